// SPDX-License-Identifier: Apache-2.0
public import Muster

/// What happens to a pair, as one of its processes sees it.
public enum ProcessPairEvent: Hashable, Sendable, CustomStringConvertible {
  /// This process leads.
  case leads(epoch: UInt64, step: UInt64)
  /// This process stands by.
  case standsBy(primary: ProcessIdentity)
  /// It has a backup.
  case backedUp(ProcessIdentity)
  /// Its backup has died, or does not look any more.
  case lostBackup(Int32)
  /// No backup can be started: it goes on alone, and tries again after the time.
  case degraded(why: String, retry: Duration)
  /// The primary has died, or hangs.
  case lostPrimary(ProcessIdentity, ProcessPairDeath)
  /// It does not die, and is not taken over from.
  case primaryCannotBeKilled(ProcessIdentity)
  /// The output of a step was in doubt: it was out, or it was emitted again.
  case resolvedDoubt(step: UInt64, wasOut: Bool?)
  /// A step is under suspicion, and what is done about it.
  case escalated(step: UInt64, ProcessPairRung, attempt: Int)
  /// A step was left out.
  case skipped(step: UInt64)
  /// It ends: the work is done, or it was asked to.
  case ends
  /// It gives up.
  case gaveUp(String)

  /// One sentence.
  public var description: String {
    switch self {
    case .leads(let epoch, let step): "leads, epoch \(epoch), after step \(step)"
    case .standsBy(let primary): "stands by for process \(primary.pid)"
    case .backedUp(let backup): "has process \(backup.pid) as its backup"
    case .lostBackup(let pid): "has lost its backup, process \(pid)"
    case .degraded(let why, let retry): "goes on alone: \(why); tries again in \(retry)"
    case .lostPrimary(let primary, let death): "has lost its primary, process \(primary.pid): \(death)"
    case .primaryCannotBeKilled(let primary): "can't kill its primary, process \(primary.pid), and does not take over"
    case .resolvedDoubt(let step, let wasOut):
      switch wasOut {
      case true?: "found the output of step \(step) to be out"
      case false?: "found the output of step \(step) missing, and emitted it"
      case nil: "emitted the output of step \(step), maybe again"
      }
    case .escalated(let step, let rung, let attempt):
      switch rung {
      case .sameState, .olderState: "tries step \(step) \(rung), attempt \(attempt)"
      case .skip: "is about to leave step \(step) out"
      case .fresh: "begins a state anew, since step \(step) kills"
      case .gaveUp: "has nothing left to try with step \(step)"
      }
    case .skipped(let step): "left step \(step) out"
    case .ends: "ends"
    case .gaveUp(let why): "gives up: \(why)"
    }
  }
}

/// How a primary ended.
public enum ProcessPairDeath: Hashable, Sendable, CustomStringConvertible {
  /// It missed its beats, and was killed.
  case hung
  /// It exited with that status without having ended the pair.
  case exited(Int32)
  /// By that signal.
  case signaled(Int32)
  /// The kernel does not tell.
  case unknown

  /// "was killed by signal 9".
  public var description: String {
    switch self {
    case .hung: "it hung, and was killed"
    case .exited(let status): "it exited with status \(status)"
    case .signaled(let number): "it was killed by signal \(number)"
    case .unknown: "it died"
    }
  }

  /// Never 0: that is for a primary that nobody was before.
  var code: UInt64 {
    switch self {
    case .unknown: 4 << 32
    case .hung: 1
    case .exited(let status): 2 << 32 | UInt64(UInt32(bitPattern: status))
    case .signaled(let number): 3 << 32 | UInt64(UInt32(bitPattern: number))
    }
  }

  init(code: UInt64) {
    let low = Int32(truncatingIfNeeded: code)
    switch code >> 32 {
    case 2: self = .exited(low)
    case 3: self = .signaled(low)
    default: self = low == 1 ? .hung : .unknown
    }
  }
}

/// Where an escalation stands.
public enum ProcessPairRung: UInt64, Hashable, Sendable, CustomStringConvertible, CaseIterable {
  /// Nothing is suspected, or the step is tried from the same state.
  case sameState = 0
  /// From an older state.
  case olderState = 1
  /// The step is left out.
  case skip = 2
  /// The state is begun anew.
  case fresh = 3
  /// Nobody goes on.
  case gaveUp = 4

  /// "from an older state".
  public var description: String {
    switch self {
    case .sameState: "from the same state"
    case .olderState: "from an older state"
    case .skip: "by leaving it out"
    case .fresh: "with a state begun anew"
    case .gaveUp: "given up"
    }
  }
}
