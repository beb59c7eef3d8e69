// Sleeping until one of some descriptors can be read, or a time has come.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import CMusterCLI
import CMusterSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum PairWaiting {
  /// Negative descriptors are nobody's. Times are of `CLOCK_MONOTONIC`, in nanoseconds.
  static func sleep(_ descriptors: [Int32], until time: Int64) {
    muster_system_sleep(descriptors, descriptors.count, time - muster_clock_now())
  }

  static func canBeRead(_ descriptor: Int32) -> Bool {
    var one = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&one, 1, 0) > 0
  }
}

/// SIGTERM, SIGINT and SIGHUP, by a handler and a pipe: a thread of somebody's that does not block them doesn't matter.
struct PairSignals {
  let descriptor: Int32
  private let hadTerminal: Bool

  init(in name: String) throws(ProcessPairError) {
    var descriptor: Int32 = -1
    let status = muster_cli_watch_signals(&descriptor)
    guard status == 0 else { throw ProcessPairError("watch signals for", name, status: status) }
    self.descriptor = descriptor
    hadTerminal = Self.hasTerminal()
  }

  /// None: -1.
  static let none = PairSignals()
  private init() { (descriptor, hadTerminal) = (-1, false) }

  /// It changes when one has come: one load, where ``next()`` is a system call.
  var count: UInt32 { muster_cli_signals_seen() }

  struct Received {
    var number: Int32
    /// By the terminal's driver, which has sent it to all of the foreground group.
    var isFromTerminal: Bool
  }

  /// The next one that has come.
  func next() -> Int32? { nextReceived()?.number }

  func nextReceived() -> Received? {
    while descriptor >= 0, PairWaiting.canBeRead(descriptor) {
      var signal = muster_cli_signal()
      guard muster_cli_next_signal(descriptor, &signal) == 0 else { return nil }
      if !isOfOrphans(signal) { return Received(number: signal.number, isFromTerminal: signal.from_terminal != 0) }
    }
    return nil
  }

  /// The kernel's own SIGHUP, where no terminal has hung up: a process group of which somebody is stopped gets one when the one dies that the
  /// shell has started (setpgid(2)). That is the primary's death, and nobody's wish.
  private func isOfOrphans(_ signal: muster_cli_signal) -> Bool {
    signal.number == SIGHUP && signal.from_terminal != 0 && (!hadTerminal || Self.hasTerminal())
  }

  private static func hasTerminal() -> Bool {
    let terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    guard terminal >= 0 else { return errno == EMFILE || errno == ENFILE }
    close(terminal)
    return true
  }
}
