// When what an object holds of others' (a place, a role) may be given up: not while the C core is at work with the
// handle.
//
// Steps (arriving, claiming, polling, a blocking wait) are made one at a time, since they have the exclusive part of the
// handle. Leaving comes from another thread. If it finds a step in progress, which may be a closure that runs for long,
// or that itself closes the object, it is left to the end of that step. For a look, a step that neither sleeps nor runs anybody's
// closure, it waits: so what is closed while it is waited for has been given up when closing returns.
//
// One word says how things stand. Leaving and steps change it by compare-and-swap, so one of them comes first. Only the
// keeper's thread makes it `left`, within the job that gives up: who finds it so waits for that job by another one.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class Membership: Sendable {
  private enum State {
    static let idle: UInt32 = 0
    static let busy: UInt32 = 1
    /// Busy, and to be left at the end of the step.
    static let leaving: UInt32 = 2
    static let left: UInt32 = 3
    /// Busy for a moment.
    static let looking: UInt32 = 4
  }

  private let word = Atomic<UInt32>(State.idle)
  private let pid = getpid()
  private let giveUp: @Sendable () -> Void

  /// - Parameter giveUp: run once, on the keeper's thread.
  init(giveUp: @escaping @Sendable () -> Void) { self.giveUp = giveUp }

  /// Makes a step. Valid while the handle is in use. What has been left says so itself.
  func step<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    guard begin(State.busy) else { return try body() }
    defer { endStep() }
    return try body()
  }

  /// Makes a step that neither sleeps, nor runs a closure of the user's, nor asks the keeper.
  func look<Result>(_ body: () -> Result) -> Result {
    guard begin(State.looking) else { return body() }
    defer { word.store(State.idle, ordering: .releasing) }
    return body()
  }

  private func begin(_ state: UInt32) -> Bool {
    if word.compareExchange(expected: State.idle, desired: state, ordering: .acquiringAndReleasing).exchanged {
      return true
    }
    _ = try? Keeper.shared.run {}
    return false
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
    while seen == State.idle || seen == State.busy || seen == State.looking {
      // Who was looking when this process was forked is in the parent, and ends nothing here.
      if seen == State.looking, pid == getpid() {
        sched_yield()
        seen = word.load(ordering: .acquiring)
        continue
      }
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
