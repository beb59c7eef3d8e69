// A wait that a reactor has in hand.
// SPDX-License-Identifier: Apache-2.0
import CMuster

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

/// One wait for one C object: how to look at it, and how to give up. Subclasses say so for their object.
///
/// `poll` and `giveUp` are called by one thread at a time: first by the task that waits, then by the reactor thread
/// that the wait was handed to under the reactor's lock, then, the same way, by the next. That is why it is Sendable.
class PendingWait: @unchecked Sendable {
  /// Why a wait is to end although nothing came.
  enum Reason: Sendable {
    case cancelled
    case closed
  }

  private struct State {
    var reason: Reason?
    var bell: Doorbell?
    var continuation: CheckedContinuation<WaitEnd, Never>?
  }

  let deadline: Deadline
  /// Whether polling may run long (a barrier's action), so that no other wait may depend on the thread.
  let isLong: Bool
  private let state = Locked(State())

  init(deadline: Deadline, isLong: Bool = false) {
    self.deadline = deadline
    self.isLong = isLong
  }

  /// `EAGAIN` with the words to sleep at, or the outcome. Never sleeps.
  func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { fatalError("a wait says how to poll") }

  /// Ends a wait whose deadline passed, or whose task was cancelled: `ETIMEDOUT`, or the outcome that came first.
  func giveUp() -> Int32 { ETIMEDOUT }

  /// Why it is to end, if it is.
  var reason: Reason? { state.withLock { $0.reason } }

  /// Which bell to ring when the wait is to end. Set before the thread of that bell first asks for the `reason`: one
  /// that it does not see then finds the bell here and rings.
  func belongs(to bell: Doorbell) { state.withLock { $0.bell = bell } }

  /// Asks the wait to end. That it is closed outweighs that its task was cancelled.
  func end(because reason: Reason) {
    let bell = state.withLock { state in
      if state.reason != .closed { state.reason = reason }
      return state.bell
    }
    bell?.ring()
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

extension PendingWait {
  /// The same wait on the caller's own thread, which sleeps, at a doorbell too.
  func runBlocking() -> WaitEnd {
    let bell = Doorbell()
    belongs(to: bell)
    return withWaitSet { set in
      while true {
        let seen = bell.count
        if let reason { return outcome(of: reason) }
        let status = poll(set)
        if status != EAGAIN { return .status(status) }
        if deadline.hasPassed { return .status(giveUp()) }
        append(muster_wait_word(address: bell.address, expected: seen), to: set)
        let slept = muster_wait_any(set, deadline)
        if slept != 0 && slept != ETIMEDOUT { return .status(slept) }
      }
    }
  }
}

/// Adds a word to a set. Where there is no room it takes the place of the last, which is a member on watch for others
/// (group.h): the recheck finds its death.
func append(_ word: muster_wait_word, to set: UnsafeMutablePointer<muster_wait_set>) {
  let at = min(Int(set.pointee.count), Int(MUSTER_WAIT_WORDS) - 1)
  waitWords(of: set)[at] = word
  set.pointee.count = UInt32(at + 1)
}

/// C's array, which Swift sees as a tuple.
func waitWords(of set: UnsafeMutablePointer<muster_wait_set>) -> UnsafeMutablePointer<muster_wait_word> {
  let offset = MemoryLayout<muster_wait_set>.offset(of: \.words)!
  return (UnsafeMutableRawPointer(set) + offset).assumingMemoryBound(to: muster_wait_word.self)
}
