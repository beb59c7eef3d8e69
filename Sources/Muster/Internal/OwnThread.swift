// Waits that are no words to sleep at (a file's lock, a name that is to appear): each on a thread of its own.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum OwnThread {
  /// Runs a blocking wait off the cooperative pool. The task goes on when the thread is done, so that the outcome is
  /// certain: what happened before the cancellation was seen did happen.
  ///
  /// - Parameters:
  ///   - stop: called when the task is cancelled, by any thread: makes `body` return.
  ///   - body: waits, and returns `ECANCELED` when it was stopped.
  static func wait(stop: @escaping @Sendable () -> Void, _ body: @escaping @Sendable () -> Int32) async -> WaitEnd {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let status = Threads.start("muster-wait") {
          let status = body()
          continuation.resume(returning: status == ECANCELED ? .cancelled : .status(status))
        }
        if status != 0 { continuation.resume(returning: .noThread(status)) }
      }
    } onCancel: {
      stop()
    }
  }
}

/// Said once, seen by all.
final class Flag: Sendable {
  private let word = Atomic<Bool>(false)
  var isSet: Bool { word.load(ordering: .acquiring) }
  func set() { word.store(true, ordering: .releasing) }
}
