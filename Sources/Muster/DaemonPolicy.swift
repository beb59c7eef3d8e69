// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What a daemon finds in its state when it is started again, as long as that goes well. If it fails so again and again, the ladder
/// goes on to its checkpoints, zeros, and giving it up.
///
/// What tests a state, or decides, runs in the daemon's process before its body; if it traps or hangs, the daemon has died of it.
public struct DaemonPolicy<State: SharedPayload> {
  /// Says of a state whether it is good. Its bits can be any.
  public typealias Test = (borrowing State) -> Bool

  /// What a decision can be.
  public enum Choice: Hashable, Sendable {
    /// Zeros.
    case zeros
    /// The newest checkpoint that is taken for good; zeros, if there is none.
    case checkpoint
    /// The memory as it was, if it is taken for good; else as `checkpoint`.
    case memory

    var core: muster_daemon_policy {
      switch self {
      case .zeros: .MUSTER_DAEMON_ZERO
      case .checkpoint: .MUSTER_DAEMON_CHECKPOINT
      case .memory: .MUSTER_DAEMON_KEEP
      }
    }
  }

  let core: muster_daemon_policy
  let accept: Test?
  let choose: ((borrowing DaemonCase<State>) -> Choice)?

  /// Zeros.
  public static func zeros() -> Self { Self(core: .MUSTER_DAEMON_ZERO, accept: nil, choose: nil) }

  /// The newest checkpoint that `accept` takes; zeros, if there is none.
  ///
  /// - Parameter accept: whether a state is good; `nil`: each is.
  public static func checkpoint(accept: Test? = nil) -> Self {
    Self(core: .MUSTER_DAEMON_CHECKPOINT, accept: accept, choose: nil)
  }

  /// The memory as it was, if `accept` takes it, be it half changed or not; else as ``checkpoint(accept:)``.
  ///
  /// - Parameter accept: whether a state is good; `nil`: each is.
  public static func keep(accept: Test? = nil) -> Self {
    Self(core: .MUSTER_DAEMON_KEEP, accept: accept, choose: nil)
  }

  /// What the daemon decides when it comes to that.
  ///
  /// - Parameters:
  ///   - accept: whether a state is good; `nil`: each is.
  ///   - choose: decides.
  public static func decide(
    accept: Test? = nil, _ choose: @escaping (borrowing DaemonCase<State>) -> Choice
  ) -> Self {
    Self(core: .MUSTER_DAEMON_DECIDE, accept: accept, choose: choose)
  }
}

/// What a decision on a daemon's state is based on.
public struct DaemonCase<State: SharedPayload>: ~Copyable {
  private let state: UnsafeRawPointer
  /// How the predecessor ended.
  public let death: DaemonDeath?
  /// Attempts with the state as declared, this one included.
  public let attempts: Int
  /// Whether the predecessor died in the midst of a change of the state.
  public let wasChanging: Bool
  /// The number of the newest checkpoint; `nil`: there is none.
  public let newestCheckpoint: UInt64?

  init(_ found: muster_daemon_case) {
    state = found.state
    death = DaemonDeath(found.death, now: muster_clock_now())
    attempts = Int(found.attempts)
    wasChanging = found.changing != 0
    newestCheckpoint = found.checkpoint == 0 ? nil : found.checkpoint
  }

  /// Looks at the state as it was, which may be half changed.
  public func withState<Result>(_ body: (borrowing State) throws -> Result) rethrows -> Result {
    try InPlace.look(state, body)
  }
}
