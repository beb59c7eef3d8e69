// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What a daemon finds in its state when it is started.
public enum DaemonFound: Hashable, Sendable, CustomStringConvertible {
  /// Zeros.
  case zeros
  /// The checkpoint of that number.
  case checkpoint(UInt64)
  /// The memory as it was.
  case memory

  init?(_ policy: muster_daemon_policy, checkpoint: UInt64) {
    switch policy {
    case .MUSTER_DAEMON_ZERO: self = .zeros
    case .MUSTER_DAEMON_CHECKPOINT: self = .checkpoint(checkpoint)
    case .MUSTER_DAEMON_KEEP: self = .memory
    default: return nil
    }
  }

  /// "zeros", "checkpoint 3", "memory".
  public var description: String {
    switch self {
    case .zeros: "zeros"
    case .checkpoint(let number): "checkpoint \(number)"
    case .memory: "memory"
    }
  }
}

/// How this process of a daemon came to be, and what is in its state.
public struct DaemonStart: Hashable, Sendable {
  /// How many times the daemon was started, this one included: 1 is the first.
  public let starts: UInt64
  /// Where it stands on the ladder.
  public let rung: DaemonRung
  /// Attempts on that rung, this one included.
  public let attempts: Int
  /// What is in the state.
  public let found: DaemonFound
  /// Whether a transaction that the predecessor had not seen the end of was committed, and is in the state now.
  public let hasRedone: Bool
  /// Whether the predecessor died in the midst of a change of the state.
  public let wasChanging: Bool
  /// How the predecessor ended; `nil`: there was none.
  public let death: DaemonDeath?

  init(_ start: muster_daemon_start) {
    starts = start.starts
    rung = DaemonRung(start.rung)
    attempts = Int(start.attempts)
    found = DaemonFound(start.found, checkpoint: start.checkpoint) ?? .zeros
    hasRedone = start.redone != 0
    wasChanging = start.changing != 0
    death = DaemonDeath(start.death, now: muster_clock_now())
  }
}

/// Thrown from a daemon's body, ends the daemon with a value, and nothing is said about it.
public struct DaemonExit: Error, Hashable, Sendable {
  /// What the process exits with.
  public let value: UInt8

  /// 0 is a good end, as returning is.
  public init(_ value: UInt8) { self.value = value }
}
