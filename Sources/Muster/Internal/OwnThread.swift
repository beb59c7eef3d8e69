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
  /// How long one step of such a wait lasts before it asks whether its task was cancelled.
  private static let step: Int64 = 50_000_000

  /// Runs a blocking wait off the cooperative pool, in steps. The task goes on when the thread is done, so that the
  /// outcome is certain: what happened before the cancellation was seen did happen.
  ///
  /// - Parameter body: waits until the deadline that it is given, which is never later than `deadline`, and returns
  ///   `ETIMEDOUT` when that passed.
  static func wait(until deadline: Deadline, _ body: @escaping @Sendable (Deadline) -> Int32) async -> WaitEnd {
    let cancelled = Flag()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let status = Threads.start("muster-wait") {
          continuation.resume(returning: repeatSteps(deadline, cancelled, body))
        }
        if status != 0 { continuation.resume(returning: .noThread(status)) }
      }
    } onCancel: {
      cancelled.set()
    }
  }

  private static func repeatSteps(_ deadline: Deadline, _ cancelled: Flag, _ body: (Deadline) -> Int32) -> WaitEnd {
    while true {
      let status = body(deadline.atMost(nanoseconds: step))
      if status != ETIMEDOUT || deadline.hasPassed { return .status(status) }
      if cancelled.isSet { return .cancelled }
    }
  }
}

/// Said once, seen by all.
final class Flag: Sendable {
  private let word = Atomic<Bool>(false)
  var isSet: Bool { word.load(ordering: .acquiring) }
  func set() { word.store(true, ordering: .releasing) }
}
