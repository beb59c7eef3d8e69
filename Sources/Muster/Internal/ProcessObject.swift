// One muster_process of C, which one thread at a time may use but for sending signals.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Whoever looks does so under the lock, and never for long. A stop takes long: whoever looks meanwhile is told that there is nothing to be
/// seen, and nudged when it is over. So nobody reaps a process while its number stands for its group.
final class ProcessObject: @unchecked Sendable {
  /// For `muster_process_signal`, which needs no lock.
  let plain: UnsafeMutablePointer<muster_process>
  let pid: Int32
  let descriptor: Int32
  private let isBeingStopped = Locked(false)
  private let stops = Lock()
  let hasCgroup: Bool
  private let owner = getpid()

  /// Takes what it is given.
  init(_ process: muster_process) {
    plain = .allocate(capacity: 1)
    plain.initialize(to: process)
    pid = process.pid
    descriptor = process.pidfd
    hasCgroup = process.cgroup >= 0
  }

  deinit {
    if isOurs { muster_process_close(plain) }
    plain.deallocate()
  }

  /// In a forked child it is the parent's.
  var isOurs: Bool { owner == getpid() }

  /// `EAGAIN` while a stop is under way.
  func look(_ body: (UnsafeMutablePointer<muster_process>) -> Int32) -> Int32 {
    isBeingStopped.withLock { $0 ? EAGAIN : body(plain) }
  }

  /// Where to sleep until there is something to be seen: nowhere during a stop, whose end is told by a nudge. Its pidfd may be readable long before.
  var restingPlace: Int32 { isBeingStopped.withLock { $0 ? -1 : descriptor } }

  /// One stop at a time.
  func stop(_ body: (UnsafeMutablePointer<muster_process>) -> Int32) -> Int32 {
    stops.withLock {
      isBeingStopped.withLock { $0 = true }
      defer { isBeingStopped.withLock { $0 = false } }
      return body(plain)
    }
  }
}
