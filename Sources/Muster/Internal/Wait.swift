// A wait that a thread of Muster's has in hand, or the caller's own.
// SPDX-License-Identifier: Apache-2.0

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
  /// The object was closed before anything else came.
  case closed
  /// No thread could be started to wait on.
  case noThread(Int32)
}

/// One wait for one C object: when to give up, and how. Subclasses say how to look.
///
/// Looking and `giveUp` are done by one thread at a time: first by the task that waits, then by the thread that the wait was
/// handed to under a lock, then, the same way, by the next. That is why it is Sendable.
class Wait: @unchecked Sendable {
  /// Why a wait is to end although nothing came.
  enum Reason: Sendable {
    case cancelled
    case closed
  }

  private struct State {
    var reason: Reason?
    var isNudged = false
    var bell: (any Bell)?
    var continuation: CheckedContinuation<WaitEnd, Never>?
  }

  let deadline: Deadline
  private let state = Locked(State())

  init(deadline: Deadline) { self.deadline = deadline }

  /// Ends a wait whose deadline passed, or whose task was cancelled: `ETIMEDOUT`, or the outcome that came first.
  func giveUp() -> Int32 { ETIMEDOUT }

  /// Why it is to end, if it is.
  var reason: Reason? { state.withLock { $0.reason } }

  /// Which bell to ring when the wait is to end. Set before the thread of that bell first asks for the `reason`: one
  /// that it does not see then finds the bell here and rings.
  func belongs(to bell: any Bell) { state.withLock { $0.bell = bell } }

  /// Asks the wait to end. That it is closed outweighs that its task was cancelled.
  func end(because reason: Reason) {
    let bell = state.withLock { state in
      if state.reason != .closed { state.reason = reason }
      return state.bell
    }
    bell?.ring()
  }

  /// Asks whoever has it in hand to look again.
  func nudge() {
    let bell = state.withLock { state in
      state.isNudged = true
      return state.bell
    }
    bell?.ring()
  }

  /// Whether it was asked to since this was last asked.
  func takeNudge() -> Bool {
    state.withLock { state in
      defer { state.isNudged = false }
      return state.isNudged
    }
  }

  func suspend(_ continuation: CheckedContinuation<WaitEnd, Never>) {
    state.withLock { $0.continuation = continuation }
  }

  /// The task, for whoever has the wait in hand and resumes it: once.
  func takeTask() -> CheckedContinuation<WaitEnd, Never>? {
    state.withLock { state in
      defer {
        state.continuation = nil
        state.bell = nil
      }
      return state.continuation
    }
  }

  /// What ending for a reason came to. Who has closed has left, and has nothing to give up.
  func outcome(of reason: Reason) -> WaitEnd {
    if reason == .closed { return .closed }
    let status = giveUp()
    return status == ETIMEDOUT ? .cancelled : .status(status)
  }
}
