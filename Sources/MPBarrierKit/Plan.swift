// SPDX-License-Identifier: Apache-2.0

/// All that a run is told beforehand, the same for every process that takes part.
package struct Plan: Equatable, Sendable {
  package var name: String
  package var parties: Int
  package var rounds: Int
  package var kind: BarrierKind
  package var onDeath: DeathPolicy
  package var work: WorkRange
  package var seed: UInt64
  /// Nanoseconds that a worker waits at the barrier, at most.
  package var deadline: Int64

  package static let partiesLimit = 256
  /// The board keeps every round's times; this is the most memory that it may take.
  package static let boardLimit = 64 << 20

  package init(
    name: String, parties: Int, rounds: Int = 5, kind: BarrierKind = .robust, onDeath: DeathPolicy = .break,
    work: WorkRange = .standard, seed: UInt64, deadline: Int64 = 5_000_000_000
  ) {
    self.name = name
    self.parties = parties
    self.rounds = rounds
    self.kind = kind
    self.onDeath = onDeath
    self.work = work
    self.seed = seed
    self.deadline = deadline
  }

  /// The most rounds that a run of so many parties can have.
  package static func roundsLimit(parties: Int) -> Int {
    (boardLimit - BoardLayout.fixedBytes(parties: parties)) / (parties * BoardLayout.recordBytes) - 1
  }

  /// How long the roll call waits: the workers start, and others may have to be typed in at another terminal.
  package var rollCallDeadline: Int64 { max(deadline, 60_000_000_000) }

  /// How long worker `worker` works in round `round`, in nanoseconds: uniform over the range, the same for the same seed.
  package func workTime(worker: Int, round: Int) -> Int64 {
    guard round > 0 else { return 0 }
    var generator = SplitMix64(state: seed ^ (UInt64(worker) << 32 | UInt64(UInt32(truncatingIfNeeded: round))))
    _ = generator.next()
    return Int64.random(in: work.minimum...work.maximum, using: &generator) * 1000
  }
}

/// Sebastiano Vigna's splitmix64: any state will do, near ones give unrelated numbers.
package struct SplitMix64: RandomNumberGenerator, Sendable {
  package var state: UInt64

  package init(state: UInt64) {
    self.state = state
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}
