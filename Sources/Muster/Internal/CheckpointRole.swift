// When a checkpoint's writer's role may be given up: not while somebody fills in a state in place.
//
// Steps of the writer are made one at a time, by whichever thread. Filling in a state is the program's own code, so it
// runs without the lock: closing meanwhile leaves the release, which would give the memory to others, to its end.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class CheckpointRole: Sendable {
  private struct State {
    var isFilling = false
    var isLeaving = false
  }

  /// What a step gives while a state is being filled in. No errno value.
  static let filling: Int32 = -1

  private let state = Locked(State())

  /// Makes a step that returns a status.
  func step(_ body: () -> Int32) -> Int32 {
    state.withLock { $0.isFilling ? Self.filling : body() }
  }

  /// Begins to fill in, if `body` returns 0.
  func beginFilling(_ body: () -> Int32) -> Int32 {
    state.withLock { state in
      if state.isFilling { return Self.filling }
      let status = body()
      state.isFilling = status == 0
      return status
    }
  }

  /// Ends it by a step, which is told whether the role is to be given up; then that is to be done by `leave`.
  func endFilling(_ body: (_ isLeaving: Bool) -> Int32) -> (status: Int32, isLeaving: Bool) {
    state.withLock { state in
      state.isFilling = false
      return (body(state.isLeaving), state.isLeaving)
    }
  }

  /// Gives the role up, now or at the end of the filling in. On the keeper's thread.
  func leave(_ checkpoint: OpaquePointer) {
    state.withLock { state in
      state.isLeaving = true
      if !state.isFilling { muster_checkpoint_release(checkpoint) }
    }
  }
}
