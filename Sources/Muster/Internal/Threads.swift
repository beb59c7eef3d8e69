// Threads of Muster's own.
// SPDX-License-Identifier: Apache-2.0
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum Threads {
  private final class Start: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  private static let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
    guard let context else { return nil }
    let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
    showName(start.name)
    start.body()
    return nil
  }

  /// Starts a detached thread. Signals are blocked in it: they are for the threads of the program.
  ///
  /// - Parameter name: what tools show, at most 15 bytes.
  /// - Returns: 0, or the error of `pthread_create(3)`; `body` is not run then.
  static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> Int32 {
    var attributes = pthread_attr_t()
    let status = pthread_attr_init(&attributes)
    guard status == 0 else { return status }
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    // Inherited by the new thread from its first instruction on.
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let start = Unmanaged.passRetained(Start(name: name, body: body))
    let created = pthread_create(&thread, &attributes, Threads.main, start.toOpaque())
    if created != 0 { start.release() }
    return created
  }

  /// What pthread_setname_np(3) does on the thread itself; Swift's view of libc lacks that function. It is a help for
  /// who looks at the process, so where it fails nothing is lost.
  private static func showName(_ name: String) {
    guard let file = try? FileDescriptor.open("/proc/thread-self/comm", .writeOnly, options: .closeOnExec) else {
      return
    }
    _ = try? file.closeAfter { try file.writeAll(name.utf8) }
  }
}
