// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

/// What a daemon is in the midst of.
public enum DaemonPhase: Hashable, Sendable, CustomStringConvertible {
  /// It is to be started, or started again.
  case waiting
  /// It runs.
  case running
  /// Its heartbeat failed, and it is being killed.
  case killing
  /// It is dead, and what it had forked is not yet.
  case draining
  /// The root ends, and has asked it to.
  case stopping
  /// It has ended, for good.
  case ended
  /// It is not started any more, having failed too often.
  case givenUp
  /// None that there is, as a corrupt region tells.
  case unknown

  init(_ phase: muster_daemon_phase) {
    self =
      switch phase {
      case .MUSTER_DAEMON_WAITING: .waiting
      case .MUSTER_DAEMON_RUNNING: .running
      case .MUSTER_DAEMON_KILLING: .killing
      case .MUSTER_DAEMON_DRAINING: .draining
      case .MUSTER_DAEMON_STOPPING: .stopping
      case .MUSTER_DAEMON_ENDED: .ended
      case .MUSTER_DAEMON_ABANDONED: .givenUp
      default: .unknown
      }
  }

  /// "running", "given up".
  public var description: String {
    switch self {
    case .waiting: "waiting"
    case .running: "running"
    case .killing: "killing"
    case .draining: "draining"
    case .stopping: "stopping"
    case .ended: "ended"
    case .givenUp: "given up"
    case .unknown: "unknown"
    }
  }
}

/// What is known of a daemon at a moment.
public struct DaemonStatus: Hashable, Sendable {
  /// How many transactions there were, and what came of them.
  public struct Transactions: Hashable, Sendable {
    /// How many were begun: each attempt is one.
    public let begun: UInt64
    /// How many are in the state.
    public let committed: UInt64
    /// How many threw, or could not be logged.
    public let aborted: UInt64
    /// How many crashed, or died with their daemon.
    public let crashed: UInt64
    /// How many were not done by their deadline.
    public let late: UInt64
    /// The process of the one that runs; `nil`: none does.
    public let pid: Int32?

    /// How many came to nothing.
    public var lost: UInt64 { [aborted, crashed, late].reduce(0) { $0.addingReportingOverflow($1).partialValue } }
  }

  /// The daemon's name.
  public let name: String
  /// What it is in the midst of.
  public let phase: DaemonPhase
  /// Its process; `nil`: there is none.
  public let pid: Int32?
  /// How often it was started.
  public let starts: UInt64
  /// How often it died or hung.
  public let failures: UInt64
  /// Where it stands on the ladder.
  public let rung: DaemonRung
  /// Attempts on that rung.
  public let attempts: Int
  /// What the last start found in the state; `nil`: it has not come so far.
  public let found: DaemonFound?
  /// How it ended last; `nil`: never so far.
  public let death: DaemonDeath?
  /// Since its last start; `nil`: it was not started.
  public let sinceStart: Duration?
  /// Until its next start, of one that waits.
  public let untilStart: Duration?
  /// Why it could not be forked, the last time; `nil`: it could.
  public let forkError: Errno?
  /// It is killed when it has not beaten for so long; `nil`: never.
  public let heartbeat: Duration?
  /// Since its last beat; `nil`: there was none.
  public let sinceBeat: Duration?
  /// All beats of all its lives.
  public let beats: UInt64
  /// The bytes of its state.
  public let stateSize: UInt64
  /// The bytes of its state, checkpoints and log.
  public let arenaSize: UInt64
  /// The number of its newest checkpoint; `nil`: there is none.
  public let newestCheckpoint: UInt64?
  /// Its transactions.
  public let transactions: Transactions
  /// Processor time of all its dead processes, in the program.
  public let userTime: Duration
  /// The same, in the kernel.
  public let systemTime: Duration
  /// The most memory that one of them had, in bytes.
  public let peakMemory: UInt64
  /// How many processes that it had forked were killed after its deaths.
  public let drained: UInt64
  /// What stands in its arena can't be, and what is told of it here (heartbeat, checkpoint, transactions) means nothing.
  public let isArenaCorrupt: Bool

  init(_ status: muster_daemon_status, now: Int64) {
    name = withUnsafeBytes(of: status.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    phase = DaemonPhase(status.phase)
    pid = status.pid == 0 ? nil : status.pid
    starts = status.starts
    failures = status.failures
    rung = DaemonRung(status.rung)
    attempts = Int(status.attempts)
    found = DaemonFound(status.found, checkpoint: status.checkpoint)
    death = DaemonDeath(status.death, now: now)
    sinceStart = .sinceCore(status.started_at, now: now)
    untilStart = phase == .waiting && status.next_start != 0 ? .sinceCore(now, now: status.next_start) : nil
    forkError = status.fork_error == 0 ? nil : Errno(rawValue: status.fork_error)
    heartbeat = status.heartbeat == 0 ? nil : .nanoseconds(status.heartbeat)
    sinceBeat = .sinceCore(status.beat_at, now: now)
    beats = status.beats
    stateSize = status.state_size
    arenaSize = status.arena_size
    newestCheckpoint = status.newest_checkpoint == 0 ? nil : status.newest_checkpoint
    transactions = Transactions(
      begun: status.transactions_begun, committed: status.transactions_committed,
      aborted: status.transactions_aborted, crashed: status.transactions_crashed, late: status.transactions_late,
      pid: status.transaction_pid == 0 ? nil : status.transaction_pid)
    userTime = .nanoseconds(status.user_ns)
    systemTime = .nanoseconds(status.system_ns)
    peakMemory = UInt64(clamping: status.most_kib).multipliedReportingOverflow(by: 1024).partialValue
    drained = status.drained
    isArenaCorrupt = status.arena_error != 0
  }
}

/// What is known of a root at a moment.
public struct RootStatus: Hashable, Sendable {
  /// Its process.
  public let pid: Int32
  /// How many daemons it has.
  public let daemons: Int
  /// How many of them run.
  public let running: Int
  /// How many were given up.
  public let givenUp: Int
  /// Whether it is stopping them.
  public let isStopping: Bool
  /// Whether it is there. `false`: it has ended, or was killed, and so are its daemons, now or soon.
  public let isAlive: Bool
  /// How often it has started daemons.
  public let starts: UInt64
  /// How many other children it has reaped.
  public let orphans: UInt64
  /// How often it woke up.
  public let wakes: UInt64
  /// Since it started.
  public let sinceStart: Duration
  /// When it started, since 1970.
  public let created: Duration
  /// The bytes of memory of all daemons.
  public let size: UInt64

  init(_ status: muster_root_status, now: Int64) {
    pid = status.pid
    daemons = Int(status.daemons)
    running = Int(status.running)
    givenUp = Int(status.abandoned)
    isStopping = status.stopping != 0
    isAlive = status.alive != 0
    starts = status.starts
    orphans = status.orphans
    wakes = status.wakes
    sinceStart = .sinceCore(status.started_at, now: now) ?? .zero
    created = .nanoseconds(status.created)
    size = status.bytes
  }
}
