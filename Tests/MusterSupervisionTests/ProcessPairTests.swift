// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterSupervision
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("A process pair", .serialized, .timeLimit(.minutes(3)))
struct ProcessPairTests {
  @Test("It counts to the end, and both end; nothing is left")
  func finishes() async throws {
    try await withPair("finish") { pair in
      let first = try pair.start(["to=100"])
      #expect(try await first.waitForEnd().cause == .exited(0))
      try await pair.gone()
      pair.expectCounted(to: 100)
      #expect(pair.told("ending finished") == 1)
    }
  }

  @Test(
    "Killed, stopped, crashed: the backup goes on with the next number, and has a backup of its own",
    arguments: ["", "json"])
  func takesOver(coding: String) async throws {
    try await withPair("takeover" + coding) { pair in
      let first = try pair.start(["pause=2", "to=100000", "period=100"] + (coding.isEmpty ? [] : [coding]))
      var seen: Set<Int32> = []
      for signal in [SIGKILL, SIGSTOP, SIGUSR2, SIGKILL] {
        let (primary, backup) = try await pair.both()
        #expect(seen.insert(primary).inserted, "a primary twice")
        kill(primary, signal)
        try await pair.eventually("\(backup) leads") { pair.status()?.primary?.identity.pid == backup }
        #expect(pair.countAtOnce() <= 2)
      }
      let (primary, _) = try await pair.both()
      kill(primary, SIGTERM)
      try await pair.gone()
      _ = try await first.waitForEnd()
      pair.expectCounted(to: nil)
      #expect(pair.told("has lost its primary") == 4)
      #expect(pair.told("it hung, and was killed") == 1)
    }
  }

  @Test("A backup that dies or stops is replaced; the counting goes on meanwhile", arguments: [SIGKILL, SIGSTOP])
  func replacesBackup(signal: Int32) async throws {
    try await withPair("backup\(signal)") { pair in
      let first = try pair.start(["pause=2", "to=100000"])
      let (primary, backup) = try await pair.both()
      // One that dies before its primary has seen it stand by is not one that was lost.
      try await pair.eventually("it is known") { pair.told("has process \(backup) as its backup") > 0 }
      kill(backup, signal)
      try await pair.eventually("another backup") {
        guard let status = pair.status(), let other = status.backup, status.backupLife == .alive else { return false }
        return other.identity.pid != backup
      }
      #expect(try await pair.both().primary == primary)
      kill(primary, SIGTERM)
      #expect(try await first.waitForEnd().cause == .exited(0))
      try await pair.gone()
      pair.expectCounted(to: nil)
      #expect(pair.told("has lost its backup") == 1)
    }
  }

  @Test("SIGTERM to either ends both; or, by choice, that one alone", arguments: [true, false])
  func terminates(isPrimary: Bool) async throws {
    try await withPair("term\(isPrimary)") { pair in
      _ = try pair.start(["pause=2", "to=100000"])
      let (primary, backup) = try await pair.both()
      kill(isPrimary ? primary : backup, SIGTERM)
      try await pair.gone()
      #expect(pair.told("ending terminated(15)") == 1 && pair.told("ending stoodBy") == 1)
    }
    try await withPair("hands\(isPrimary)") { pair in
      let first = try pair.start(["pause=2", "to=100000", "hands-over", "tries=1", "stays"])
      let (primary, backup) = try await pair.both()
      kill(isPrimary ? primary : backup, SIGTERM)
      try await pair.eventually("the other goes on") {
        guard let status = pair.status(), let leader = status.primary, let other = status.backup else { return false }
        return status.backupLife == .alive && other.identity.pid != backup
          && leader.identity.pid == (isPrimary ? backup : primary)
      }
      let (last, _) = try await pair.both()
      // Handing over is no death, and is not counted against the step.
      #expect(pair.status()?.escalation.map { $0.attempt <= 1 } ?? true)
      try await pair.killAll()
      _ = try? await first.waitForEnd()
      #expect(last == (isPrimary ? backup : primary))
      pair.expectCounted(to: nil)
      try Region.remove(RegionName(pair.name), force: true)
    }
  }

  @Test(
    "A step that fails once is taken again by the next one: crashed, hung, thrown out by the acceptance test",
    arguments: ["crash-once=50", "hang-once=50", "reject-once=50"])
  func onceBad(argument: String) async throws {
    try await withPair("once-" + argument.prefix(4)) { pair in
      _ = try pair.start(["to=100", argument])
      try await pair.eventually("the end") { pair.numbers.count >= 100 }
      try await pair.gone()
      pair.expectCounted(to: 100)
      #expect(pair.told("has lost its primary") == 1)
    }
  }

  @Test(
    "A step that always kills: the same state, older ones, and then a report; nothing is counted twice",
    arguments: ["crash=30", "throw=30"])
  func givesUp(argument: String) async throws {
    try await withPair("kept-" + argument.prefix(5)) { pair in
      _ = try pair.start(["to=100", argument, "tries=2"])
      try await pair.eventually("it gives up") { pair.told("event gives up") == 1 }
      try await pair.gone()
      pair.expectCounted(to: 29)
      // Two from the same state, one from each of the eight before it.
      #expect(pair.told("has lost its primary") == 10)
      #expect(pair.told("from an older state, attempt 1") == 8)
      #expect(pair.told("error Can't go on with the pair") == 1)
    }
  }

  @Test("Where it may, it leaves the step out, keeps the evidence, and goes on")
  func skips() async throws {
    try await withPair("skip") { pair in
      _ = try pair.start(["to=60", "crash=30", "tries=1", "stays", "skip=\(pair.folder)"])
      try await pair.eventually("the end") { pair.numbers.count >= 59 }
      try await pair.gone()
      #expect(pair.numbers == Array(1...29) + Array(31...60))
      let evidence = pair.contents("\(pair.folder)/\(pair.name)-step-30.json")
      #expect(evidence.contains("\"step\":30") && evidence.contains("\"pair\":\"\(pair.name)\""), "\(evidence)")
    }
  }

  @Test("Or begins anew, as a last resort")
  func beginsAnew() async throws {
    try await withPair("anew") { pair in
      let first = try pair.start(["crash-step=6", "tries=1", "stays", "anew", "pause=1"])
      try await pair.eventually("it has begun anew") { pair.numbers.count >= 8 }
      #expect(pair.numbers.prefix(8) == [1, 2, 3, 4, 5, 1, 2, 3])
      for process in pair.processes() { kill(process, SIGTERM) }
      _ = try? await first.waitForEnd()
    }
  }

  @Test("A step that takes long, and says that it goes on, is not taken for hung")
  func longStep() async throws {
    try await withPair("long") { pair in
      let first = try pair.start(["to=20", "long=10"])
      #expect(try await first.waitForEnd().cause == .exited(0))
      try await pair.gone()
      #expect(pair.numbers == Array(1...20) && pair.told("has lost its primary") == 0)
    }
  }

  @Test("The budget of takeovers ends a chain of deaths")
  func budget() async throws {
    try await withPair("kept-budget") { pair in
      _ = try pair.start(["crash=5", "tries=1000", "takeovers=3"])
      try await pair.eventually("it gives up") { pair.told("event gives up: there were 3 takeovers within") == 1 }
      try await pair.gone()
      #expect(pair.told("has lost its primary") == 4 && pair.numbers == Array(1...4))
    }
  }

  @Test("A second one by hand is refused, with the primary's number")
  func alreadyRunning() async throws {
    try await withPair("twice") { pair in
      let first = try pair.start(["pause=5", "to=100000"])
      let (primary, _) = try await pair.both()
      let second = try pair.start(["pause=5"])
      #expect(try await second.waitForEnd().cause == .exited(1))
      #expect(pair.told("it runs: process \(primary) is its primary. End that one first") == 1)
      kill(primary, SIGTERM)
      _ = try await first.waitForEnd()
    }
  }

  @Test(
    "Both killed, started again by hand: it goes on from the last step, in memory and in a file",
    arguments: [false, true])
  func bothKilled(isFile: Bool) async throws {
    try await withPair("both\(isFile)") { pair in
      let file = isFile ? ["file=\(pair.folder)/state", "durable"] : []
      let first = try pair.start(["pause=1", "to=100000"] + file)
      try await pair.eventually("some numbers, and a backup") {
        pair.numbers.count > 20 && pair.told("as its backup") >= 1
      }
      try await pair.killAll()
      _ = try await first.waitForEnd()
      let before = UInt64(pair.numbers.count)
      let second = try pair.start(["to=\(before + 20)"] + file)
      #expect(try await second.waitForEnd().cause == .exited(0))
      try await pair.gone()
      pair.expectCounted(to: before + 20, pair.contents(pair.events))
    }
  }

  @Test(
    "Random deaths and stops, by each heartbeat: no number is skipped, none repeated, never more than two processes",
    arguments: ["memory", "file", "udp", "queue", "signals"])
  func storm(heartbeat: String) async throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    var random = SplitMix(state: seed)
    try await withPair("storm-" + heartbeat) { pair in
      let arguments = ["pause=1", "heartbeat=" + heartbeat, "period=10", "tries=1000"]
      var started = [try pair.start(arguments)]
      // On a busy machine one may be killed just as it kills the other, which it takes for hung. Then both are dead.
      let revive = { started.append(try pair.start(arguments)) }
      var injuries = 0
      while injuries < 12 {
        let (primary, backup) = try await pair.both(revive: revive)
        #expect(pair.countAtOnce() <= 2, "seed \(seed)")
        let choice = random.next() % 4
        try await Task.sleep(for: .microseconds(Int64(random.next() % 20000)))
        kill(choice & 1 == 0 ? primary : backup, choice & 2 == 0 ? SIGKILL : SIGSTOP)
        injuries += 1
        try await pair.eventually("it is seen to, seed \(seed)") {
          // Alone when it was hit, for the same reason: a stopped one has nobody who could take over.
          if pair.processes().count <= 1 {
            kill(choice & 1 == 0 ? primary : backup, SIGCONT)
            return true
          }
          guard let status = pair.status() else { return false }
          return choice & 1 == 0 ? status.primary?.identity.pid != primary : status.backup?.identity.pid != backup
        }
      }
      let (primary, _) = try await pair.both(revive: revive)
      kill(primary, SIGTERM)
      try await pair.gone()
      for process in started { _ = try await process.waitForEnd() }
      pair.expectCounted(to: nil, "seed \(seed)")
    }
  }
}

/// https://prng.di.unimi.it/splitmix64.c
struct SplitMix {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
