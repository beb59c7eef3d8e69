// What `muster` tells of queues.
// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import MusterToolKit

@Suite("muster and queues")
struct QueueDetailsTests {
  private static let entry = QueueDetails.Entry(
    id: "1.0", state: .queued, level: 0, attempts: 0, hasReturned: false, size: 4, ageSeconds: 3.5, process: nil,
    isProcessDead: false, text: "work", hex: nil)

  @Test("show: jobs in all states, a dead worker's, one that is no text, one too long for a line")
  func entries() {
    var details = QueueDetails(
      jobs: 8, jobSize: 2048, isFinished: true, free: 3, putting: 1, queued: 1, taken: 1, returning: 1, aside: 1,
      ended: 2,
      attempts: nil, places: 4, living: 1, waits: 3, put: 20, returned: 5,
      levels: [.init(level: 0, queued: 1, taken: 1, aside: 1)])
    var dead = Self.entry
    dead.id = "0.12"
    dead.state = .taken
    dead.process = 77
    dead.isProcessDead = true
    dead.attempts = 2
    dead.text = String(repeating: "x", count: 60)
    var binary = Self.entry
    binary.state = .aside
    binary.text = nil
    binary.hex = "ff00"
    binary.ageSeconds = 130
    details.entries = [dead, Self.entry, binary]
    let head = [
      "jobs      1 queued, 1 taken, 1 aside, 1 being put, 1 on the way back; finished",
      "room      for 3 more of 8, 2.0 KiB each",
      "attempts  never set aside",
      "so far    20 put, 5 came back",
      "ended     2 to put back from the dead",
      "members   1 of 4",
      "waits     3 for a job so far",
    ]
    #expect(ObjectDetails.queue(details).lines() == head)
    #expect(
      details.lines(limit: 3) == head + [
        "",
        "ID    STATE   LEVEL  FAILED    AGE      PID  JOB",
        "0.12  taken       0       2    3 s  77 dead  \(String(repeating: "x", count: 45))...",
        "1.0   queued      0       0    3 s           work",
        "1.0   aside       0       0  2 min           0xff00",
      ])
    #expect(details.lines(limit: 2).last == "and 1 more")
  }
}
