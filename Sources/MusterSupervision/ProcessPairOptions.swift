// SPDX-License-Identifier: Apache-2.0
public import Logging
public import SystemPackage

/// How a pair watches itself, and what it does when one of the two dies.
public struct ProcessPairOptions: Sendable {
  /// By what the primary tells its backup that it is well.
  public var heartbeat = ProcessPairHeartbeat.sharedMemory
  /// From beat to beat, at least a millisecond.
  public var period: Duration = .milliseconds(100)
  /// So many beats in a row may be missing until the primary is taken for hung. A step must not take longer than `missed` periods, or say that it
  /// goes on, by ``ProcessPairStep/beat()``. Nor must a processor be long in coming: `missed` periods of a few milliseconds are sometimes over for a
  /// healthy primary on a busy machine. It is killed and taken over from then, and too many ``takeovers`` end the pair.
  public var missed = 3
  /// How many states before the last are kept, 2 to 64: what an escalation can go back to.
  public var history = 8
  /// Whether each step is on the disk before its output leaves, so that a crash of the machine loses none. For a pair with a state file.
  public var isDurable = false
  /// What is done about a step that kills whoever takes it.
  public var escalation = ProcessPairEscalation()
  /// So many takeovers may there be within ``takeoverWindow``, at most 32: with one more the pair gives up, for a chain reaction helps nobody.
  public var takeovers = 10
  /// The time that ``takeovers`` counts for.
  public var takeoverWindow: Duration = .seconds(10)
  /// How long it is put off to try anew when no backup could be started, or one died early: at first, and doubled each time up to `retryMost`.
  public var retryFirst: Duration = .milliseconds(100)
  /// The longest that it is put off.
  public var retryMost: Duration = .seconds(10)
  /// A backup that has lived for so long was well started: the next one is started at once.
  public var stable: Duration = .seconds(1)
  /// So long a primary that was killed may take to be gone until that is told. It is not taken over from before.
  public var patience: Duration = .seconds(5)
  /// What SIGTERM, SIGINT and SIGHUP mean.
  public var termination = Termination.endsPair
  /// How a backup is started.
  public var launch = ProcessPairLaunch.itself
  /// Where what happens is told.
  public var logger: Logger?
  /// What happens, for the program itself. It is called between two steps; keep it short.
  public var onEvent: (@Sendable (ProcessPairEvent) -> Void)?

  /// What SIGTERM, SIGINT and SIGHUP mean.
  public enum Termination: Hashable, Sendable {
    /// To either process: the pair ends, cleanly, after the step that is at work.
    case endsPair
    /// The process that got it ends, after the step that is at work, and the other one goes on with a new partner.
    case endsProcess
    /// Nothing that the pair sees to.
    case ignoredByPair
  }

  /// As they stand above.
  public init() {}
}

/// What is done about a step that kills whoever takes it. Attempts are counted before they are made, so that none is forgotten by a death.
///
/// The first attempt of a step is no retry. After it: ``tries`` - 1 more from the same state; one from each older state that is kept; then what the
/// program allows: the step left out, the state begun anew; and then the pair gives up, with a report. It begins at the bottom again when a
/// step beyond the one that killed has been committed.
///
/// Deaths by SIGKILL from elsewhere (a person, the out-of-memory killer) say nothing about a step and are not counted, where the kernel tells (since
/// Linux 6.15, if somebody has reaped the dead); budgets count them all the same.
public struct ProcessPairEscalation: Hashable, Sendable {
  /// How often a step is tried from the same state, the first time included.
  public var tries = 2
  /// Whether older states are gone back to.
  public var goesBack = true
  /// A folder for what is known of steps that were left out; with it, such steps are left out. `nil`: no step is.
  public var evidence: FilePath?
  /// Whether the state may be begun anew, as a last resort.
  public var beginsAnew = false

  /// As they stand above.
  public init() {}
}
