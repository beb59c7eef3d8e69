// SPDX-License-Identifier: Apache-2.0
import CMusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The signals by which a person or the system asks a command to end: SIGINT, SIGTERM, SIGHUP.
///
/// A handler in C passes them on through a pipe. Blocking them and waiting with sigwait(2) would not do: libraries start
/// threads that unblock them.
package struct SignalWatch: Sendable {
  package struct Received: Sendable, Equatable {
    package var number: Int32
    /// Sent by the terminal's driver (Ctrl-C), which sends it to the whole foreground group; else by a process to this one.
    package var isFromTerminal: Bool

    package var name: String {
      switch number {
      case SIGINT: "SIGINT"
      case SIGTERM: "SIGTERM"
      case SIGHUP: "SIGHUP"
      default: "signal \(number)"
      }
    }
  }

  private let descriptor: Int32

  /// From here on the signals don't end this process. Once in a process.
  package init() throws(CommandFailure) {
    var descriptor: Int32 = -1
    let failure = muster_cli_watch_signals(&descriptor)
    guard failure == 0 else { throw CommandFailure("no pipe for signals: \(String(cString: strerror(failure)))") }
    self.descriptor = descriptor
  }

  /// The signals as they come; for one reader.
  package func stream() -> AsyncStream<Received> {
    AsyncStream { continuation in
      startThread {
        var signal = muster_cli_signal()
        while muster_cli_next_signal(descriptor, &signal) == 0 {
          continuation.yield(Received(number: signal.number, isFromTerminal: signal.from_terminal != 0))
        }
      }
    }
  }

  /// Ends this process by the signal, so that a shell sees what it would have seen without the tidying.
  package static func die(of number: Int32) -> Never {
    _ = signal(number, SIG_DFL)
    // Threads of the cooperative pool, of which this may be one, block it.
    var mask = sigset_t()
    sigemptyset(&mask)
    sigaddset(&mask, number)
    pthread_sigmask(SIG_UNBLOCK, &mask, nil)
    raise(number)
    exit(128 + number)
  }
}

/// Ties this process's life to that of the one that started it, which is to be `parent`. False: that one is gone already.
package func dieWithParent(_ parent: Int32) -> Bool {
  muster_cli_die_with_parent(parent) == 0
}

/// Starts a thread that nobody joins, for calls that block.
package func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let argument = Unmanaged.passRetained(Box(body)).toOpaque()
  let failure = pthread_create(
    &thread, nil,
    { argument in
      guard let argument else { return nil }
      Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
      return nil
    }, argument)
  precondition(failure == 0, "no thread to be had")
  pthread_detach(thread)
}
