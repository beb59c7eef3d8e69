// SPDX-License-Identifier: Apache-2.0

/// What came of a chaos, and whether it is as promised.
package struct ChaosResult: Sendable {
  package var kills = 0
  package var stops = 0
  package var takeovers = 0
  /// Both were dead, and the pair was started again by hand.
  package var restarts = 0
  package var mostProcesses = 0
  package var numbers = NumberTally()
  /// Whether nothing may come twice.
  package var isExactlyOnce = false
  /// What the pair says that it has emitted last.
  package var lastEmitted: UInt64?
  package var failure: String?

  package init() {}

  package var strikes: Int { kills + stops }

  /// Numbers that came more often than was promised.
  private var broken: Int {
    let allowed = isExactlyOnce ? 0 : takeovers + restarts
    return max(numbers.unmarked, numbers.repeated - allowed)
  }

  private var lost: UInt64 {
    guard let lastEmitted, lastEmitted > numbers.last else { return 0 }
    return lastEmitted - numbers.last
  }

  package var isGood: Bool {
    failure == nil && numbers.skipped == 0 && lost == 0 && broken == 0 && numbers.garbled.isEmpty && mostProcesses <= 2
  }

  package var lines: [String] {
    var lines = [
      "tally: \(kills) kills, \(stops) stops, \(takeovers) take-overs, \(restarts) restarts, at most \(mostProcesses) processes",
      "tally: \(numbers.numbers) numbers, skipped \(numbers.skipped + lost), repeated \(numbers.repeated)",
    ]
    if let failure { lines.append("failed: \(failure)") }
    if broken > 0 { lines.append("failed: \(broken) repeats against the promise") }
    if numbers.skipped + lost > 0 { lines.append("failed: numbers were skipped; the last one was \(numbers.last)") }
    if let line = numbers.garbled.first { lines.append("failed: “\(line.debugDescription)” is no number") }
    return lines
  }
}
