// SPDX-License-Identifier: Apache-2.0
package import MusterCLI

/// What a run comes to in numbers; times in nanoseconds.
package struct Summary: Equatable, Sendable, Codable {
  package struct Spread: Equatable, Sendable, Codable {
    package var p50: Int64
    package var p99: Int64
    package var max: Int64

    /// Nearest rank: each figure is one that was measured.
    package init?(_ values: [Int64]) {
      guard let last = values.max() else { return nil }
      let sorted = values.sorted()
      func rank(_ percent: Int) -> Int64 { sorted[(sorted.count * percent + 99) / 100 - 1] }
      p50 = rank(50)
      p99 = rank(99)
      max = last
    }
  }

  /// Rounds, of those planned, in which all who were left met.
  package var roundsMet: Int
  package var roundsPlanned: Int
  package var workers: Int
  /// From the first start of work to the last release.
  package var elapsed: Int64
  /// Between the first and the last to leave, one figure a round; nil with fewer than two workers.
  package var releaseSkew: Spread?
  /// Between arriving and leaving, one figure a worker and round.
  package var wait: Spread?

  /// `rounds` without the roll call.
  package init(rounds: [Round], planned: Int, workers: Int) {
    let met = rounds.filter(\.isMet)
    roundsMet = met.count
    roundsPlanned = planned
    self.workers = workers
    let begin = rounds.compactMap(\.begin).min() ?? 0
    elapsed = max(0, (rounds.flatMap(\.lanes).compactMap(\.left).max() ?? begin) - begin)
    releaseSkew = Spread(met.filter { $0.met.count > 1 }.compactMap(\.skew))
    wait = Spread(met.flatMap { $0.met.compactMap(\.wait) })
  }

  package func lines(_ terminal: Terminal) -> [String] {
    func time(_ nanoseconds: Int64) -> String {
      Duration.nanoseconds(nanoseconds).readable(microsecond: terminal.isUnicode ? "µs" : "us")
    }
    var lines = [
      "\(count(roundsMet, "round")) of \(roundsPlanned) met by \(count(workers, "worker")) in \(time(elapsed))"
    ]
    var table = TextTable([("", .left), ("", .left), ("", .left), ("", .left)])
    for (title, spread) in [("release skew", releaseSkew), ("wait", wait)] {
      guard let spread else { continue }
      table.append([title, "p50 \(time(spread.p50))", "p99 \(time(spread.p99))", "max \(time(spread.max))"])
    }
    lines += table.lines(header: false)
    return lines
  }
}

/// `1 worker`, `2 workers`.
package func count(_ number: Int, _ noun: String) -> String {
  "\(number) \(noun)\(number == 1 ? "" : "s")"
}
