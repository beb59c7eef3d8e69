// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The signals by which a person or the system asks a command to end: SIGINT, SIGTERM, SIGHUP.
///
/// `begin` blocks them before the process has a second thread, so that every later thread inherits that; one thread of its
/// own takes them in with sigwaitinfo(2). No handler runs anywhere, and programs that are started get a clean mask.
package enum SignalWatch {
  package struct Received: Sendable, Equatable {
    package var number: Int32
    /// Sent by the terminal's driver (Ctrl-C), which sends it to the whole foreground group, or by a process to this one.
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

  private static func watched() -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, number) }
    return set
  }

  /// Call first in `main`. A signal that the parent has this process ignore (SIGHUP under nohup) stays ignored.
  package static func begin() {
    var set = watched()
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// Undoes `begin` for the calling thread: a worker, which holds nothing that needs tidying, dies of them.
  package static func end() {
    var set = watched()
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// The signals as they come.
  package static func stream() -> AsyncStream<Received> {
    AsyncStream { continuation in
      startThread {
        var set = watched()
        while true {
          var info = siginfo_t()
          let number = sigwaitinfo(&set, &info)
          guard number > 0 else { continue }
          continuation.yield(Received(number: number, isFromTerminal: info.si_code > 0))
        }
      }
    }
  }

  /// Ends this process by the signal, so that a shell sees what it would have seen without the tidying.
  package static func die(of number: Int32) -> Never {
    _ = signal(number, SIG_DFL)
    var set = watched()
    raise(number)
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
    exit(128 + number)
  }
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
