// When a barrier's membership may be given up: not while the C core is at work with the handle.
//
// Steps of a member (arriving, polling, a blocking wait) are made one at a time, since they have the exclusive part of
// the handle. Leaving comes from another thread. If it finds a step in progress, which may be an action that runs for
// long, or that itself closes the barrier, it is left to the end of that step.
// SPDX-License-Identifier: Apache-2.0
import CMuster

final class Membership: Sendable {
  private struct State {
    var isBusy = false
    var isLeaving = false
  }

  private nonisolated(unsafe) let barrier: OpaquePointer
  private let state = Locked(State())

  init(_ barrier: OpaquePointer) { self.barrier = barrier }

  /// Makes a step. Valid while the handle is in use.
  func step<Result>(_ body: () -> Result) -> Result {
    state.withLock { $0.isBusy = true }
    let result = body()
    let isLeaving = state.withLock { state in
      state.isBusy = false
      return state.isLeaving
    }
    if isLeaving { leave() }
    return result
  }

  /// Gives the place up, now or at the end of the step that is in progress. Doing it again does nothing.
  func leave() {
    _ = try? Keeper.shared.run {
      state.withLock { state in
        state.isLeaving = true
        if !state.isBusy { muster_group_leave(muster_barrier_group(barrier)) }
      }
    }
  }
}
