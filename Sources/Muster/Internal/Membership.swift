// When what an object holds of others' (a place, a role) may be given up: not while the C core is at work with the
// handle.
//
// Steps (arriving, claiming, polling, a blocking wait) are made one at a time, since they have the exclusive part of the
// handle. Leaving comes from another thread. If it finds a step in progress, which may be a closure that runs for long,
// or that itself closes the object, it is left to the end of that step.
//
// One word says how things stand. Leaving and steps change it by compare-and-swap, so one of them comes first. Only the
// keeper's thread makes it `left`, within the job that gives up: who finds it so waits for that job by another one.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

final class Membership: Sendable {
  private enum State {
    static let idle: UInt32 = 0
    static let busy: UInt32 = 1
    /// Busy, and to be left at the end of the step.
    static let leaving: UInt32 = 2
    static let left: UInt32 = 3
  }

  private let word = Atomic<UInt32>(State.idle)
  private let giveUp: @Sendable () -> Void

  /// - Parameter giveUp: run once, on the keeper's thread.
  init(giveUp: @escaping @Sendable () -> Void) { self.giveUp = giveUp }

  /// Makes a step. Valid while the handle is in use. What has been left says so itself.
  func step<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    guard word.compareExchange(expected: State.idle, desired: State.busy, ordering: .acquiringAndReleasing).exchanged
    else {
      _ = try? Keeper.shared.run {}
      return try body()
    }
    defer { endStep() }
    return try body()
  }

  private func endStep() {
    let (exchanged, _) = word.compareExchange(
      expected: State.busy, desired: State.idle, ordering: .acquiringAndReleasing)
    guard !exchanged else { return }
    _ = try? Keeper.shared.run {
      word.store(State.left, ordering: .releasing)
      giveUp()
    }
  }

  /// Gives up, now or at the end of the step that is in progress. Doing it again does nothing.
  func leave() { _ = try? Keeper.shared.run { leaveHere() } }

  private func leaveHere() {
    var seen = word.load(ordering: .acquiring)
    while seen == State.idle || seen == State.busy {
      let next = seen == State.idle ? State.left : State.leaving
      let (exchanged, original) = word.compareExchange(
        expected: seen, desired: next, ordering: .acquiringAndReleasing)
      guard !exchanged else {
        if next == State.left { giveUp() }
        return
      }
      seen = original
    }
  }
}
