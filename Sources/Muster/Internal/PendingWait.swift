// A wait that a reactor has in hand.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// How a wait ended.
enum WaitEnd: Sendable {
  /// What the C core's poll said at last, or `ETIMEDOUT`.
  case status(Int32)
  /// The task was cancelled before anything else came.
  case cancelled
  /// No thread could be started to wait on.
  case noThread(Int32)
}

/// One wait for one C object: how to look at it, and how to give up. Subclasses say so for their object.
///
/// `poll` and `giveUp` are called by one thread at a time: first by the task that waits, then by the reactor thread
/// that the wait was handed to under the reactor's lock, then, the same way, by the next. That is why it is Sendable.
class PendingWait: @unchecked Sendable {
  private struct State {
    var cancelled = false
    var thread: ReactorThread?
    var continuation: CheckedContinuation<WaitEnd, Never>?
  }

  let deadline: Deadline
  /// Whether polling may run long (a barrier's action), so that no other wait may depend on the thread.
  let isLong: Bool
  private let state = Mutex(State())

  init(deadline: Deadline, isLong: Bool = false) {
    self.deadline = deadline
    self.isLong = isLong
  }

  /// `EAGAIN` with the words to sleep at, or the outcome. Never sleeps.
  func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { fatalError("a wait says how to poll") }

  /// Ends a wait whose deadline passed, or whose task was cancelled: `ETIMEDOUT`, or the outcome that came first.
  func giveUp() -> Int32 { ETIMEDOUT }

  var isCancelled: Bool { state.withLock { $0.cancelled } }

  /// Which thread to call when the task is cancelled. Set before that thread first asks `isCancelled`: a cancellation
  /// that it does not see then finds the thread here and rings.
  func belongs(to thread: ReactorThread) { state.withLock { $0.thread = thread } }

  func cancel() {
    let thread = state.withLock { state in
      state.cancelled = true
      return state.thread
    }
    thread?.bell.ring()
  }

  func suspend(_ continuation: CheckedContinuation<WaitEnd, Never>) {
    state.withLock { $0.continuation = continuation }
  }

  /// Resumes the task. Called once, by whoever has the wait in hand.
  func end(_ how: WaitEnd) {
    let continuation = state.withLock { state in
      defer {
        state.continuation = nil
        state.thread = nil
      }
      return state.continuation
    }
    continuation?.resume(returning: how)
  }

  /// What giving up for a cancellation came to.
  func endCancelled() -> WaitEnd {
    let status = giveUp()
    return status == ETIMEDOUT ? .cancelled : .status(status)
  }
}

extension PendingWait {
  /// The same wait on the caller's own thread, which sleeps.
  func runBlocking() -> Int32 {
    withWaitSet { set in
      while true {
        let status = poll(set)
        if status != EAGAIN { return status }
        if deadline.hasPassed { return giveUp() }
        let slept = muster_wait_any(set, deadline)
        if slept != 0 && slept != ETIMEDOUT { return slept }
      }
    }
  }
}
