// SPDX-License-Identifier: Apache-2.0
import CMuster

extension Barrier {
  /// What the death of a member before it arrives means, or its closing without ``Barrier/arriveAndDrop()``.
  public enum OnDeath: Hashable, Sendable {
    /// All who wait learn who died; the barrier is broken until reset.
    case `break`
    /// The others go on without it; the parties are one fewer.
    case shrink
    /// The others wait on, by their deadlines, until a process joins in the dead one's place.
    case await

    var core: muster_on_death {
      switch self {
      case .break: .MUSTER_ON_DEATH_BREAK
      case .shrink: .MUSTER_ON_DEATH_SHRINK
      case .await: .MUSTER_ON_DEATH_AWAIT
      }
    }

    init(_ core: muster_on_death) {
      switch core {
      case .MUSTER_ON_DEATH_SHRINK: self = .shrink
      case .MUSTER_ON_DEATH_AWAIT: self = .await
      default: self = .break
      }
    }
  }

  /// What an arrival, or a wait, came to.
  public struct Arrival: Hashable, Sendable {
    /// The phase that was arrived at, or waited for.
    public let phase: UInt32
    /// The arrival index: 0 for the first, the parties less one for the last. `nil` where it is unknown: after a wait
    /// for a phase at which another arrived.
    public let index: Int?
    /// True for at most one of those who are released.
    public let isSerial: Bool

    init(_ result: muster_barrier_result) {
      self.phase = result.phase
      self.index = result.index == UInt32.max ? nil : Int(result.index)
      self.isSerial = result.serial != 0
    }
  }

  /// Why a barrier is broken.
  public enum Break: Hashable, Sendable {
    /// The deadline of that member passed, or its task was cancelled.
    case timedOut(member: Int)
    /// Somebody called ``Barrier/abort()``.
    case aborted
    /// That member died, or closed without dropping out.
    case death(member: Int)
    /// The action of that member failed.
    case action(member: Int)
  }

  /// A barrier at one moment.
  public struct State: Hashable, Sendable {
    /// How many have to arrive for a phase to complete.
    public let parties: Int
    /// How many of those have arrived in the present phase.
    public let arrived: Int
    /// The present phase. It grows by one with each release and each reset, has 31 bits, and wraps around.
    public let phase: UInt32
    /// Why the barrier is broken; `nil`: it is not.
    public let broken: Break?
    /// What a death means.
    public let onDeath: OnDeath
    /// Whether all have arrived, and the action runs.
    public let isInAction: Bool

    init(_ state: muster_barrier_state) {
      self.parties = Int(state.parties)
      self.arrived = Int(state.arrived)
      self.phase = state.phase
      self.onDeath = OnDeath(state.on_death)
      self.isInAction = state.in_action != 0
      let culprit = Int(state.culprit)
      self.broken =
        switch state.cause {
        case .MUSTER_BARRIER_TIMED_OUT: .timedOut(member: culprit)
        case .MUSTER_BARRIER_ABORTED: .aborted
        case .MUSTER_BARRIER_DEATH: .death(member: culprit)
        case .MUSTER_BARRIER_ACTION: .action(member: culprit)
        default: nil
        }
    }
  }
}
