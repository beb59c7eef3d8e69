// What `muster` tells of roots.
// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Testing

@testable import MusterToolKit

@Suite("muster and roots")
struct RootDetailsTests {
  private static func daemon(_ name: String) -> RootDetails.Daemon {
    RootDetails.Daemon(
      name: name, phase: "running", process: 101, upSeconds: 130, nextStartSeconds: nil, starts: 1, failures: 0,
      rung: "as declared", attempts: 1, found: "zeros", death: nil, forkError: nil, heartbeatSeconds: nil,
      beatAgeSeconds: nil, beats: 0, stateSize: 8, arenaSize: 20480, newestCheckpoint: nil,
      transactions: .init(begun: 9, committed: 5, aborted: 1, crashed: 2, late: 1, process: nil), userSeconds: 0.25,
      systemSeconds: 0.5, peakMemory: 1 << 20, drained: 0, isArenaCorrupt: false)
  }

  private static func root(_ state: RootDetails.State, _ daemons: [RootDetails.Daemon]) -> RootDetails {
    RootDetails(
      name: "app", state: state, process: 100, upSeconds: 184, size: 1 << 20, running: 1, givenUp: 1, starts: 7,
      orphans: 0, wakes: 1, daemons: daemons)
  }

  /// One that beats, one that waits, one on the ladder, one that is given up, one that can't be forked.
  private static var daemons: [RootDetails.Daemon] {
    var beating = daemon("beating")
    (beating.heartbeatSeconds, beating.beatAgeSeconds) = (30, 0.012)
    beating.memory = 3 << 19
    var waiting = daemon("waiting\u{1B}[2J")
    (waiting.phase, waiting.process, waiting.upSeconds) = ("waiting", nil, nil)
    (waiting.nextStartSeconds, waiting.starts) = (1.5, 4)
    waiting.death = .init(cause: "killed by SIGSEGV", exitStatus: nil, signal: 11, ageSeconds: 3.2)
    var climbing = daemon("climbing")
    (climbing.rung, climbing.attempts, climbing.drained) = ("checkpoints", 2, 3)
    climbing.death = .init(cause: "no heartbeat", exitStatus: nil, signal: nil, ageSeconds: 60)
    var doomed = daemon("doomed")
    (doomed.phase, doomed.process, doomed.rung) = ("given up", nil, "given up")
    doomed.death = .init(cause: "exited with 7", exitStatus: 7, signal: nil, ageSeconds: 0.1)
    var unforked = daemon("unforked")
    (unforked.phase, unforked.process, unforked.forkError) = ("waiting", nil, "Resource temporarily unavailable")
    return [beating, waiting, climbing, doomed, unforked]
  }

  @Test("status: daemons that beat, wait, climb down the ladder, are given up, can't be forked")
  func lines() {
    let expected = [
      "root      app",
      "state     running, pid 100, for 3 min 4 s",
      "memory    1.0 MiB",
      "so far    7 starts, 1 wake-up, 0 orphans reaped",
      "daemons   1 of 5 running, 1 given up",
      "",
      "DAEMON          STATE          PID     UP  STARTS        BEAT     ARENA  DONE  LOST     CPU   MEMORY  LAST DEATH",
      "beating         running        101  2 min       1  12 ms/30 s  20.0 KiB     5     4  750 ms  1.5 MiB",
      #"waiting\x1b[2J  waiting 1.5 s    -      -       4           -  20.0 KiB     5     4  750 ms        -  killed by SIGSEGV, 3 s ago"#,
      "climbing        running        101  2 min       1           -  20.0 KiB     5     4  750 ms        -  no heartbeat, 1 min ago; on checkpoints, attempt 2; 3 of its processes killed",
      "doomed          given up         -      -       1           -  20.0 KiB     5     4  750 ms        -  exited with 7, 0 s ago",
      "unforked        waiting          -      -       1           -  20.0 KiB     5     4  750 ms        -  could not be forked: Resource temporarily unavailable",
    ]
    let details = Self.root(.running, Self.daemons)
    #expect(details.lines() == expected)
    #expect(ObjectDetails.root(details).lines() == expected)
    #expect(details.lines(on: Terminal(isInteractive: false, isUnicode: true)) == expected)
  }

  @Test("Of a root that was killed no daemon is said to run")
  func killed() {
    let lines = Self.root(.killed, [Self.daemon("one")]).lines()
    #expect(lines[1] == "state     killed, it was pid 100: this is what was there last")
    #expect(lines[4] == "daemons   0 of 1 running, 1 given up")
    #expect(lines.last?.hasPrefix("one     gone     -   -       1     -") == true, "\(lines.last ?? "")")
  }

  @Test("Colours by what is wrong, and none where there are to be none")
  func colors() {
    let screen = Terminal(isInteractive: true, width: 300, height: 40, isColored: true, isUnicode: true)
    let details = Self.root(.running, Self.daemons)
    let lines = details.lines(on: screen)
    #expect(lines[1].hasPrefix("\u{1B}[32mstate"))
    #expect(lines[6].hasPrefix("\u{1B}[1mDAEMON"))
    #expect(lines[7].hasPrefix("beating"))
    #expect(lines[8].hasPrefix("\u{1B}[33mwaiting"))
    #expect(lines[10].hasPrefix("\u{1B}[31mdoomed"))
    #expect(Self.root(.killed, []).lines(on: screen)[1].hasPrefix("\u{1B}[1;31mstate"))
    var plain = screen
    plain.isColored = false
    #expect(details.lines(on: plain) == details.lines())
  }

  @Test("Watched, it fits on the screen, and what does not run comes first")
  func fitted() {
    var daemons = (1...20).map { Self.daemon("d\($0)") }
    daemons[18].phase = "waiting"
    let screen = Terminal(isInteractive: true, width: 40, height: 13, isUnicode: true)
    let lines = Self.root(.running, daemons).lines(on: screen, isFitted: true)
    #expect(lines.count == 12 && lines.allSatisfy { $0.count <= 40 })
    #expect(lines[7].hasPrefix("d19 ") && lines[8].hasPrefix("d1 ") && lines[10].hasPrefix("d3 "))
    #expect(lines[11] == "and 16 more")
    #expect(lines[6].hasSuffix("…"))
    // Where something has to go it is not the deaths.
    let narrow = Terminal(isInteractive: true, width: 80, height: 40, isUnicode: true)
    let dead = Self.root(.running, Array(Self.daemons.prefix(2))).lines(on: narrow, isFitted: true)
    #expect(dead[6] == "DAEMON          STATE          PID  STARTS  LOST  LAST DEATH")
    #expect(dead[8].hasSuffix("killed by SIGSEGV, 3 s ago"))
    let tall = Terminal(isInteractive: true, width: 300, height: 40, isUnicode: true)
    let all = Self.root(.running, daemons)
    #expect(all.lines(on: tall, isFitted: true) == all.lines())
  }
}
