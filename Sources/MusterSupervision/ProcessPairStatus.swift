// SPDX-License-Identifier: Apache-2.0
import CMuster
public import Muster

/// What there is to be seen of a pair. Each part is one moment's; the parts may be of different moments.
public struct ProcessPairStatus: Hashable, Sendable {
  /// How one of the two is known to live: by a lock that the kernel lets go of at its death, stopped or not.
  public enum Life: Hashable, Sendable, CustomStringConvertible {
    /// There was none yet, or it has ended cleanly.
    case nobody
    /// It lives, or is stopped.
    case alive
    /// It has died, and nobody has taken its place.
    case dead

    /// "alive".
    public var description: String {
      switch self {
      case .nobody: "nobody"
      case .alive: "alive"
      case .dead: "dead"
      }
    }
  }

  /// What a primary is in the midst of.
  public enum Mode: Hashable, Sendable, CustomStringConvertible {
    /// Nobody has led yet, or the last one has handed over.
    case unsaid
    /// It leads, and has not begun to work.
    case starting
    /// It works, and has a backup or is starting one.
    case working
    /// It works alone: no backup can be started.
    case degraded
    /// The work is done, or was ended on purpose.
    case ended
    /// The escalation is at its end: nobody goes on.
    case gaveUp
    /// None that there is, as corrupt memory tells.
    case unknown

    init(_ mode: UInt64) {
      self =
        switch muster_pair_mode(rawValue: UInt32(truncatingIfNeeded: mode)) {
        case .MUSTER_PAIR_UNSAID: .unsaid
        case .MUSTER_PAIR_STARTING: .starting
        case .MUSTER_PAIR_WORKING: .working
        case .MUSTER_PAIR_DEGRADED: .degraded
        case .MUSTER_PAIR_ENDED: .ended
        case .MUSTER_PAIR_GIVEN_UP: .gaveUp
        default: .unknown
        }
    }

    /// "working", "gave up".
    public var description: String {
      switch self {
      case .unsaid: "unsaid"
      case .starting: "starting"
      case .working: "working"
      case .degraded: "degraded"
      case .ended: "ended"
      case .gaveUp: "gave up"
      case .unknown: "unknown"
      }
    }
  }

  /// What the last primary has said of itself.
  public struct Primary: Hashable, Sendable {
    /// The process.
    public let identity: ProcessIdentity
    /// Its epoch: it rises with each primary.
    public let epoch: UInt64
    /// When it began to lead: since 1970, by the wall clock of that time.
    public let since: Duration
    /// What it is in the midst of.
    public let mode: Mode
    /// How the primary before it ended; `nil`: it was started by hand.
    public let cause: ProcessPairDeath?
    /// By what it tells its backup that it is well: "shared memory", "UDP"...
    public let heartbeat: String
    /// From beat to beat.
    public let period: Duration
    /// So many beats in a row may be missing until it is taken for hung.
    public let missed: Int
  }

  /// What the last backup has said of itself.
  public struct Backup: Hashable, Sendable {
    /// The process.
    public let identity: ProcessIdentity
    /// When it began to stand by: since 1970, by the wall clock of that time.
    public let since: Duration
    /// The epoch of the primary that it watches.
    public let epoch: UInt64
    /// How often it has looked: its own heartbeat.
    public let looks: UInt64
    /// So many beats in a row it has missed by now.
    public let misses: Int
  }

  /// Where the escalation stands about a step that has killed whoever took it.
  public struct Escalation: Hashable, Sendable {
    /// The step.
    public let step: UInt64
    /// What is done about it.
    public let rung: ProcessPairRung
    /// The attempts on that rung, the one at work included.
    public let attempt: Int
  }

  /// The newest epoch; 0: nobody has led yet.
  public let epoch: UInt64
  /// The step that was begun last.
  public let tried: UInt64
  /// The step of the newest state; `nil`: there is no state yet.
  public let committed: UInt64?
  /// The step whose output was emitted last.
  public let emitted: UInt64
  /// Takeovers that the pair has seen.
  public let takeovers: UInt64
  /// Steps that were left out.
  public let skipped: UInt64
  /// What is done about a step that kills; `nil`: no step is under suspicion.
  public let escalation: Escalation?
  /// Whether the primary lives.
  public let primaryLife: Life
  /// The primary, living or not; `nil`: nobody has led yet.
  public let primary: Primary?
  /// Whether the backup lives.
  public let backupLife: Life
  /// The backup, living or not; `nil`: nobody has stood by yet.
  public let backup: Backup?
}

extension ProcessPairStatus {
  init(_ status: muster_pair_status) {
    epoch = status.epoch
    tried = status.tried
    committed = status.entries != 0 ? status.committed : nil
    emitted = status.emitted
    takeovers = status.primary.takeovers
    skipped = status.primary.skipped
    escalation = Escalation(status.primary)
    primaryLife = Life(status.primary_life)
    primary = Primary(status.primary)
    backupLife = Life(status.backup_life)
    backup = Backup(status.backup)
  }
}

extension ProcessPairStatus.Life {
  fileprivate init(_ life: muster_pair_life) {
    self =
      switch life {
      case .MUSTER_PAIR_ALIVE: .alive
      case .MUSTER_PAIR_DEAD: .dead
      default: .nobody
      }
  }
}

extension ProcessPairStatus.Primary {
  fileprivate init?(_ said: muster_pair_primary) {
    guard said.pid != 0 else { return nil }
    identity = ProcessIdentity(pid: Int32(truncatingIfNeeded: said.pid), start: said.start)
    epoch = said.epoch
    since = .nanoseconds(said.since)
    mode = ProcessPairStatus.Mode(said.mode)
    cause = said.cause != 0 ? ProcessPairDeath(code: said.cause) : nil
    heartbeat = ProcessPairHeartbeat.phrase(said.heartbeat)
    period = .nanoseconds(said.period)
    missed = Int(clamping: said.missed)
  }
}

extension ProcessPairStatus.Backup {
  fileprivate init?(_ said: muster_pair_backup) {
    guard said.pid != 0 else { return nil }
    identity = ProcessIdentity(pid: Int32(truncatingIfNeeded: said.pid), start: said.start)
    since = .nanoseconds(said.since)
    epoch = said.epoch
    looks = said.looks
    misses = Int(clamping: said.misses)
  }
}

extension ProcessPairStatus.Escalation {
  // A step that is tried for the first time is under no suspicion.
  fileprivate init?(_ said: muster_pair_primary) {
    let rung = ProcessPairRung(rawValue: said.rung) ?? .sameState
    guard said.suspect != 0, said.attempts > 1 || rung != .sameState else { return nil }
    step = said.suspect
    self.rung = rung
    attempt = Int(clamping: said.attempts)
  }
}
