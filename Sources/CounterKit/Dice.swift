// SPDX-License-Identifier: Apache-2.0

/// Chance that the same seed gives again: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
struct Dice: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  mutating func oneIn(_ count: Int) -> Bool { Int.random(in: 1...count, using: &self) == 1 }

  mutating func time(upTo most: Duration) -> Duration {
    .nanoseconds(
      Int64.random(
        in: 0...max(0, most.components.seconds * 1_000_000_000 + most.components.attoseconds / 1_000_000_000),
        using: &self))
  }
}

/// One blow of chance: what is done, to whom, and when.
struct Strike: Hashable, Sendable {
  enum Kind: Hashable, Sendable { case kill, stop }
  enum Target: Hashable, Sendable, CaseIterable { case primary, backup, both }

  var kind: Kind
  var target: Target
  /// Whether the pair is whole again before, or is struck while it still mends itself.
  var waitsForPair: Bool
  /// So long after.
  var delay: Duration
  /// A stopped one is let go on after that, if it still lives.
  var wake: Duration

  /// - Parameter patience: after which a stopped primary is taken over from.
  static func next(_ dice: inout Dice, beat: Duration, patience: Duration) -> Strike {
    let kind = dice.oneIn(3) ? Kind.stop : .kill
    let target: Target = dice.oneIn(8) ? .both : dice.oneIn(3) ? .backup : .primary
    let waits = !dice.oneIn(5)
    let delay = dice.time(upTo: beat * 2)
    // Both stopped: nobody is there to see to it.
    let short = dice.time(upTo: patience * 2)
    let wake = target == .both || dice.oneIn(2) ? short : patience * 2 + .seconds(2)
    return Strike(kind: kind, target: target, waitsForPair: waits, delay: delay, wake: wake)
  }
}
