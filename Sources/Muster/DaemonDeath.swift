// SPDX-License-Identifier: Apache-2.0
import CMuster

/// How a daemon's process ended, and when.
public struct DaemonDeath: Hashable, Sendable, CustomStringConvertible {
  /// How a daemon can end.
  public enum Cause: Hashable, Sendable, CustomStringConvertible {
    /// Its body returned (0), or threw (1, or the value of a ``DaemonExit``), or it called `exit`. 125: it did not get so far, its memory
    /// could not be protected.
    case exited(Int32)
    /// A signal ended it: a trap, an access where it has none, somebody's SIGKILL.
    case signaled(Int32)
    /// The root killed it, for want of a heartbeat.
    case hung
    /// The root, which ends, asked it to.
    case stopped
    /// The same, but it had to be killed.
    case killed

    init?(_ death: muster_daemon_death) {
      switch death.how {
      case .MUSTER_DAEMON_EXITED: self = .exited(death.value)
      case .MUSTER_DAEMON_SIGNALED: self = .signaled(death.value)
      case .MUSTER_DAEMON_HUNG: self = .hung
      case .MUSTER_DAEMON_STOPPED: self = .stopped
      case .MUSTER_DAEMON_KILLED: self = .killed
      default: return nil
      }
    }

    /// "killed by SIGSEGV", "exited with 3".
    public var description: String {
      switch self {
      case .exited(let value): "exited with \(value)"
      case .signaled(let signal): "killed by \(signalName(signal))"
      case .hung: "no heartbeat"
      case .stopped: "stopped"
      case .killed: "killed at the end"
      }
    }
  }

  /// How.
  public let cause: Cause
  /// How long before the moment at which this was asked for.
  public let age: Duration

  /// `nil`: it has not ended so far.
  init?(_ death: muster_daemon_death, now: Int64) {
    guard let cause = Cause(death) else { return nil }
    self.cause = cause
    age = .sinceCore(death.at, now: now) ?? .zero
  }

  /// "killed by SIGSEGV".
  public var description: String { cause.description }
}

/// Where a daemon stands on the ladder from its state as it was to being given up.
public enum DaemonRung: Hashable, Sendable, CustomStringConvertible {
  /// It is started with the state that its policy chooses.
  case asDeclared
  /// Failing with that, it is started from its checkpoints, from the newest to the oldest.
  case checkpoints
  /// With zeros.
  case zeroed
  /// It is not started any more.
  case givenUp

  init(_ rung: muster_daemon_rung) {
    self =
      switch rung {
      case .MUSTER_DAEMON_CHECKPOINTS: .checkpoints
      case .MUSTER_DAEMON_ZEROED: .zeroed
      case .MUSTER_DAEMON_GIVEN_UP: .givenUp
      default: .asDeclared
      }
  }

  /// "as declared", "checkpoints", "zeroed", "given up".
  public var description: String {
    switch self {
    case .asDeclared: "as declared"
    case .checkpoints: "checkpoints"
    case .zeroed: "zeroed"
    case .givenUp: "given up"
    }
  }
}

extension Duration {
  /// Since a time of the C core's clock; `nil` for 0, which is never. A time that lies ahead is one that can't be, or is of now.
  static func sinceCore(_ time: Int64, now: Int64) -> Duration? {
    guard time != 0 else { return nil }
    let (age, overflow) = now.subtractingReportingOverflow(time)
    return .nanoseconds(overflow ? 0 : max(0, age))
  }
}
