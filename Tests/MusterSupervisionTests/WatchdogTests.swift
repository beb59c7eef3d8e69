// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import MusterSupervision

@Suite("The watchdog of a pair's command, as values")
struct WatchdogTests {
  @Test("Silence is counted look by look, and ends with a word")
  func silence() {
    var watchdog = PairWatchdog(limit: 1000, at: 0)
    #expect(watchdog.due == 250)
    for time: Int64 in [250, 500, 600, 850] {
      let isOver = watchdog.looks(at: time, hasSpoken: false)
      #expect(!isOver)
    }
    #expect(watchdog.due == 1000)
    var other = watchdog
    let isOver = watchdog.looks(at: 1000, hasSpoken: false)
    #expect(isOver)
    let isOverAfterAll = other.looks(at: 1000, hasSpoken: true)
    #expect(!isOverAfterAll && other == PairWatchdog(limit: 1000, at: 1000))
  }

  @Test("A look that comes late has missed nothing since it was due")
  func late() {
    var watchdog = PairWatchdog(limit: 1000, at: 0)
    for time: Int64 in [10_000, 20_000, 30_000] {
      let isOver = watchdog.looks(at: time, hasSpoken: false)
      #expect(!isOver)
    }
    let isOver = watchdog.looks(at: 40_000, hasSpoken: false)
    #expect(isOver)
  }

  @Test("Looks that come early, or a clock that stands still, do not end it; the shortest limit makes progress")
  func early() {
    var watchdog = PairWatchdog(limit: 1000, at: 100)
    for _ in 0..<100 {
      let isOver = watchdog.looks(at: 100, hasSpoken: false)
      #expect(!isOver)
    }
    var shortest = PairWatchdog(limit: 1, at: 0)
    #expect(shortest.due == 1)
    let isOver = shortest.looks(at: shortest.due, hasSpoken: false)
    #expect(isOver)
  }
}
