// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Testing

@testable import MusterToolKit

private let created: Int64 = 1_700_000_000_000_000_000

private func entry(_ name: String, kind: String = "BARR", isHeld: Bool = true) -> RegionEntry {
  RegionEntry(
    name: name, kind: kind, size: 1536, fileSize: 1792, userID: 1000, userName: "ada", mode: 0o600, creator: 77,
    isHeld: isHeld, created: created)
}

@Suite("What muster prints")
struct MusterToolKitTests {
  @Test("ls: aligned columns, by name")
  func list() {
    let entries = [entry("work", kind: "SEQL", isHeld: false), entry("crew"), entry("own", kind: "abcd")]
    #expect(
      RegionEntry.table(entries, now: created + 190_000_000_000) == [
        "KIND         SIZE  OWNER  STATE    AGE  NAME",
        "barrier   1.5 KiB  ada    held   3 min  crew",
        "abcd      1.5 KiB  ada    held   3 min  own",
        "counters  1.5 KiB  ada    stale  3 min  work",
      ])
  }

  @Test("A name and a kind made by somebody else can't move the cursor")
  func hostile() {
    let lines = RegionEntry.table([entry("a\u{1B}[2J", kind: "\u{7}\n\u{1}x")], now: created)
    #expect(lines.count == 2)
    #expect(!lines.joined().unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F })
  }

  @Test(
    "Ages: the first unit",
    arguments: [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (200_000, "2 d")] as [(Int64, String)])
  func ages(seconds: Int64, text: String) {
    #expect(readableAge(seconds * 1_000_000_000) == text)
  }

  @Test("show: a barrier that was broken by a death, with its members")
  func barrier() {
    let details = ObjectDetails.barrier(
      BarrierDetails(
        parties: 3, arrived: 1, phase: 7, onDeath: "break", broken: "death", culprit: 2, isInAction: false,
        members: [
          MemberDetails(place: 0, state: .alive, process: 100, thread: 100, incarnation: 1),
          MemberDetails(place: 2, state: .dead, process: 2000, thread: 2001, incarnation: 3),
        ]))
    #expect(
      details.lines() == [
        "parties   3",
        "on death  break",
        "phase     7",
        "arrived   1 of 3",
        "broken    by the death of place 2",
        "",
        "PLACE  STATE   PID  THREAD  JOINS",
        "    0  alive   100     100      1",
        "    2  dead   2000    2001      3",
      ])
  }

  @Test("show: counters with their labels, and who writes")
  func counters() {
    let details = ObjectDetails.counters(
      CounterDetails(
        sequence: 12, writer: nil,
        values: [.init(index: 0, label: "requests", value: 41), .init(index: 1, label: nil, value: .max)]))
    #expect(
      details.lines() == [
        "writes    12",
        "writer    nobody",
        "",
        "INDEX  LABEL                    VALUE",
        "    0  requests                    41",
        "    1            18446744073709551615",
      ])
  }

  @Test("show: the region itself, and a group in which nobody is")
  func region() {
    #expect(
      entry("crew", isHeld: false).lines(now: created + 5_000_000_000) == [
        "name      crew",
        "kind      barrier",
        "size      1.5 KiB, 1.8 KiB in memory",
        "owner     ada, mode 0600",
        "state     stale: nobody holds it",
        "created   2023-11-14T22:13:20Z, 5 s ago, by pid 77",
      ])
    #expect(
      ObjectDetails.group(capacity: 4, members: []).lines() == [
        "capacity  4", "alive     0", "", "nobody has joined",
      ])
  }

  @Test("The exit status of alive check tells the four states apart")
  func aliveStatus() {
    let statuses = [AliveReport.State.alive, .nobody, .crashed, .rebooted].map {
      AliveReport(path: "x", state: $0, process: 1, since: nil).status
    }
    #expect(statuses == [0, 3, 4, 5])
  }

  @Test("Several failures are one line")
  func removals() {
    var report = RemovalReport()
    #expect(report.failure() == nil)
    report.failed = [.init(name: "a", reason: "held"), .init(name: "b", reason: "held")]
    #expect(report.failure()?.line == "a: held, and 1 more")
  }

  @Test("A timeout is a duration or never")
  func timeouts() throws {
    #expect(try TimeoutArgument(typed: "250ms").nanoseconds == 250_000_000)
    #expect(try TimeoutArgument(typed: "never").nanoseconds == nil)
    #expect(throws: (any Error).self) { try TimeoutArgument(typed: "30") }
    #expect(TimeoutArgument.standard.text == "30 s")
  }
}
