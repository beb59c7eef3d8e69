// The other process of the pair: a pidfd, so that it is never another one that is meant.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class PairPeer {
  let pid: Int32
  /// When it was started: asked for only where it is needed, for that takes as long as a takeover's other steps.
  private(set) lazy var start = Self.start(of: process)
  private var process: muster_process
  private var hasEnded = false

  /// The process of that number that was started then. `nil`: it is gone. EMFILE and its like are thrown.
  init?(pid: Int32, start: UInt64, in name: String) throws(ProcessPairError) {
    var process = muster_process()
    let status = muster_process_open(pid, start, &process)
    if status == ESRCH || status == ESTALE { return nil }
    guard status == 0 else { throw ProcessPairError("watch process \(pid) of", name, status: status) }
    self.process = process
    self.pid = pid
    self.start = start
  }

  /// A child that was just started; it is reaped by this.
  init(child process: muster_process) {
    self.process = process
    pid = process.pid
  }

  deinit { muster_process_close(&process) }

  /// Readable when it ends. -1: that has been seen, and is not to be slept on any more.
  var descriptor: Int32 { hasEnded ? -1 : process.pidfd }

  static func start(of process: muster_process) -> UInt64 {
    var process = process
    var sample = muster_process_sample()
    return muster_process_look(&process, &sample) == 0 ? sample.start : 0
  }

  /// How it ended, if it has.
  func end() -> muster_process_end? {
    var end = muster_process_end()
    guard muster_process_poll(&process, &end) == 0 else { return nil }
    hasEnded = true
    return end
  }

  /// Kills it, and sees it gone: false when it is not by then.
  func kill(within patience: Int64) -> Bool {
    _ = muster_process_signal(&process, SIGKILL)
    return muster_process_wait(&process, muster_deadline_after(patience), nil) == 0
  }

  func signal(_ number: Int32) { _ = muster_process_signal(&process, number) }

  func wait(until deadline: Int64) -> Bool { muster_process_wait(&process, deadline, nil) == 0 }
}

extension ProcessPairDeath {
  init(_ end: muster_process_end) {
    switch end.kind {
    case .MUSTER_PROCESS_EXITED: self = .exited(end.code)
    case .MUSTER_PROCESS_SIGNALED: self = .signaled(end.code)
    default: self = .unknown
    }
  }
}
