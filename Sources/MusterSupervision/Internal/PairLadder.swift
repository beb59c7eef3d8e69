// What is done about a step that kills: pure code over values. What states there are comes in as an argument.
// SPDX-License-Identifier: Apache-2.0

/// Where the escalation stands. It lies in the pair's memory, and each new primary goes on with it.
struct PairLadder: Hashable, Sendable {
  /// The step under suspicion: the first that is not committed. 0: none yet.
  var suspect: UInt64 = 0
  var rung = ProcessPairRung.sameState
  /// On this rung, counted before each.
  var attempts = 0
  /// The sequence of the state that was loaded last. Sequences only grow, so what is older than this never comes back to one that has failed.
  var loaded: UInt64 = 0
}

/// A kept state: which, and after which step.
struct PairKept: Hashable, Sendable {
  var sequence: UInt64
  var step: UInt64
}

/// What the next primary is to begin with.
enum PairBeginning: Hashable, Sendable {
  /// The state of that sequence.
  case state(sequence: UInt64)
  /// The newest state, and the next step is left out.
  case skip(sequence: UInt64)
  /// No state: as at the very first start.
  case fresh
  case giveUp
}

extension PairLadder {
  /// Counts the next attempt, and says with what it begins.
  ///
  /// - Parameters:
  ///   - kept: from the newest to the oldest; at least one.
  ///   - isCounted: whether the death says anything about the step.
  mutating func next(after kept: [PairKept], isCounted: Bool, by escalation: ProcessPairEscalation) -> PairBeginning {
    let newest = kept[0]
    if newest.step >= suspect {
      self = PairLadder(suspect: newest.step + 1, attempts: 1, loaded: newest.sequence)
    }
    if !isCounted { return again(kept) }
    // The one that has died was the one before.
    attempts += 1
    if rung == .sameState && attempts > escalation.tries || rung != .sameState { climb(kept, by: escalation) }
    return again(kept)
  }

  /// What this rung begins with.
  private func again(_ kept: [PairKept]) -> PairBeginning {
    switch rung {
    case .sameState: return .state(sequence: kept[0].sequence)
    case .olderState: return .state(sequence: (kept.first { $0.sequence <= loaded } ?? kept[kept.count - 1]).sequence)
    case .skip: return .skip(sequence: kept[0].sequence)
    case .fresh: return .fresh
    case .gaveUp: return .giveUp
    }
  }

  /// The next rung that there is: each older state is one of its own.
  private mutating func climb(_ kept: [PairKept], by escalation: ProcessPairEscalation) {
    if rung <= .olderState, escalation.goesBack, let older = kept.first(where: { $0.sequence < loaded }) {
      self = PairLadder(suspect: suspect, rung: .olderState, attempts: 1, loaded: older.sequence)
      return
    }
    attempts = 1
    loaded = kept[0].sequence
    if rung < .skip, escalation.evidence != nil {
      rung = .skip
    } else if rung < .fresh, escalation.beginsAnew {
      rung = .fresh
    } else {
      rung = .gaveUp
    }
  }
}

extension ProcessPairRung: Comparable {
  /// By the order in which they are tried.
  public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
}

/// Takeovers within a time.
struct PairBudget: Sendable {
  /// Whether there were already as many as may be: `recent` are the times of the last ones, 0: none; all in nanoseconds of one clock.
  static func isSpent(_ recent: [Int64], now: Int64, most: Int, within window: Int64) -> Bool {
    recent.count { $0 != 0 && now - $0 < window && now >= $0 } >= most
  }
}
