// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `--json` prints, as far as these tests look at it.
private struct Report: Decodable {
  struct Worker: Decodable {
    var worker: Int
    var outcome: String?
    var culprit: Int?
    var died: Int64?
    var deathWasAsked: Bool?
    var restarted: Int64?
    var stopped: Int64?
    var arrived: Int64?
    var left: Int64?
  }

  struct Round: Decodable {
    var round: Int
    var isMet: Bool
    var workers: [Worker]
  }

  struct Summary: Decodable {
    var roundsMet: Int
  }

  struct Verdict: Decodable {
    var outcome: String
    var message: String
    var status: Int32
  }

  struct Run: Decodable {
    var name: String
    var parties: Int
    var rounds: Int
    var seed: UInt64
  }

  var run: Run
  var rounds: [Round]?
  var summary: Summary
  var verdict: Verdict

  func worker(_ number: Int, round: Int) throws -> Worker {
    try #require(rounds?.first { $0.round == round }?.workers.first { $0.worker == number })
  }
}

private func report(_ arguments: String..., status: Int32? = 0) async throws -> Report {
  let outcome = try await Program.mpbarrier.run(arguments + ["--json"])
  #expect(outcome.status == status, "\(outcome.errors)")
  let report = try outcome.json(Report.self)
  #expect(report.verdict.status == status)
  #expect(outcome.errorLines.count == (status == 0 ? 0 : 1), "\(outcome.errors)")
  return report
}

@Suite("mpbarrier, from outside", .serialized)
struct MPBarrierProgramTests {
  @Test("All meet in all rounds; nobody leaves a round before all have arrived")
  func meets() async throws {
    let name = testName("meets")
    let report = try await report("4", "--rounds", "5", "--work", "0..10", "--seed", "7", "--name", name)
    #expect(report.verdict.outcome == "met")
    #expect(report.summary.roundsMet == 5)
    #expect(report.run.seed == 7)
    for round in try #require(report.rounds) {
      let arrivals = round.workers.compactMap(\.arrived)
      let leaves = round.workers.compactMap(\.left)
      #expect(round.isMet && arrivals.count == 4 && leaves.count == 4)
      let (lastArrival, firstLeave) = try (#require(arrivals.max()), #require(leaves.min()))
      #expect(lastArrival <= firstLeave)
    }
    expectNothingLeft(name)
  }

  @Test("One worker, and as many as there can be", arguments: [1, 256])
  func extremes(workers: Int) async throws {
    let name = testName("extremes-\(workers)")
    let report = try await report(
      "\(workers)", "--rounds", "2", "--work", "0..1", "--deadline", "60s", "--name", name)
    #expect(report.rounds?.map { $0.workers.count { $0.outcome == "met" } } == [workers, workers])
    expectNothingLeft(name)
  }

  @Test("The POSIX kind meets as well")
  func posix() async throws {
    let name = testName("posix")
    let report = try await report("3", "--kind", "posix", "--rounds", "3", "--work", "0..5", "--name", name)
    #expect(report.summary.roundsMet == 3)
    expectNothingLeft(name)
  }

  @Test(
    "Into a pipe: a line a worker, one column where all leave, no colour, 80 columns, UTF-8 only where the locale has it"
  )
  func picture() async throws {
    for (locale, mark) in [("C.UTF-8", "│"), ("C", "|")] {
      let outcome = try await Program.mpbarrier.run(
        "3", "--rounds", "2", "--work", "5..20", environment: ["LANG": locale, "COLUMNS": "200"])
      #expect(outcome.status == 0)
      let lines = outcome.output.split(separator: "\n")
      let bars = lines.filter { $0.hasPrefix("worker ") }
      #expect(bars.count == 6)
      let columns = Set(bars.compactMap { line in line.firstIndex(of: Character(mark)).map { line[..<$0].count } })
      #expect(columns.count == 1, "\(outcome.output)")
      #expect(lines.allSatisfy { $0.count <= 80 && !$0.contains("\u{1B}") })
      #expect(locale != "C" || outcome.output.utf8.allSatisfy { $0 < 0x80 })
      #expect(lines.contains { $0.hasPrefix("release skew") } && lines.contains { $0.hasPrefix("wait ") })
      #expect(lines.last == "3 workers met in all 2 rounds")
    }
  }

  @Test("--quiet prints the verdict alone")
  func quiet() async throws {
    let outcome = try await Program.mpbarrier.run("2", "--rounds", "1", "--work", "0..1", "--quiet")
    #expect(outcome.status == 0)
    #expect(outcome.output == "2 workers met in the round\n")
  }

  @Test("--on-death break: the others are told, of whom, and it ends as the policy says")
  func killBreak() async throws {
    let name = testName("break")
    let report = try await report("4", "--kill", "2@2", "--work", "1..10", "--name", name)
    #expect(report.verdict.outcome == "ended")
    #expect(
      report.verdict.message.hasPrefix("worker 2 was killed in round 2: the barrier broke and the 3 others were told"))
    #expect(report.summary.roundsMet == 1)
    for worker in [1, 3, 4] {
      let told = try report.worker(worker, round: 2)
      #expect(told.outcome == "death" && told.culprit == 2)
    }
    #expect(try report.worker(2, round: 2).deathWasAsked == true)
    expectNothingLeft(name)
  }

  @Test("--on-death shrink: the others go on")
  func killShrink() async throws {
    let name = testName("shrink")
    let report = try await report(
      "4", "--kill", "2@2", "--on-death", "shrink", "--work", "1..10", "--rounds", "4", "--name", name)
    #expect(report.verdict.outcome == "met")
    #expect(report.summary.roundsMet == 4)
    #expect(try report.worker(3, round: 4).outcome == "met")
    #expect(try report.worker(2, round: 4).outcome == nil)
    expectNothingLeft(name)
  }

  @Test("--on-death await: a replacement is started, and takes part in the very round")
  func killAwait() async throws {
    let name = testName("await")
    let report = try await report(
      "4", "--kill", "2@2", "--kill", "3@3", "--on-death", "await", "--work", "1..10", "--rounds", "4", "--deadline",
      "60s",
      "--name", name)
    #expect(report.verdict.outcome == "met")
    #expect(report.summary.roundsMet == 4)
    for (worker, round) in [(2, 2), (3, 3)] {
      let replaced = try report.worker(worker, round: round)
      #expect(replaced.died != nil && replaced.outcome == "met")
      let (restarted, died) = try (#require(replaced.restarted), #require(replaced.died))
      #expect(restarted > died)
    }
    expectNothingLeft(name)
  }

  @Test(
    "--stop: alive, so nobody is told of a death; the deadline ends the wait, and the stopped one is not left behind")
  func stop() async throws {
    let name = testName("stop")
    let report = try await report("3", "--stop", "1@2", "--work", "1..10", "--deadline", "300ms", "--name", name)
    #expect(report.verdict.outcome == "ended")
    #expect(report.verdict.message.hasPrefix("worker 1, stopped, did not arrive in round 2 within 300 ms"))
    let outcomes = try [2, 3].map { try report.worker($0, round: 2).outcome }
    #expect(outcomes.contains("timed-out"))
    #expect(outcomes.allSatisfy { $0 == "timed-out" || $0 == "broken" })
    expectNothingLeft(name)
  }

  @Test("--stop while others are killed, with shrink: two fates in one round")
  func stopAndKill() async throws {
    let name = testName("both")
    let report = try await report(
      "4", "--stop", "1@2", "--kill", "2@2", "--on-death", "shrink", "--work", "1..10", "--deadline", "300ms", "--name",
      name)
    #expect(report.verdict.outcome == "ended")
    #expect(report.summary.roundsMet == 1)
    expectNothingLeft(name)
  }

  @Test("--kind posix --kill hangs, is ended at the deadline, says so, and is no success")
  func posixHangs() async throws {
    let name = testName("hang")
    let report = try await report(
      "3", "--kind", "posix", "--kill", "2@2", "--work", "1..10", "--deadline", "300ms", "--name", name, status: 1)
    #expect(report.verdict.outcome == "hung")
    #expect(report.verdict.message.contains("2 workers hung until ended after 300 ms"))
    expectNothingLeft(name)
  }

  @Test("All killed at once: nobody is left to be told")
  func allKilled() async throws {
    let name = testName("all")
    let report = try await report("2", "--kill", "1@1", "--kill", "2@1", "--work", "5", "--name", name)
    #expect(report.verdict.outcome == "ended")
    expectNothingLeft(name)
  }

  @Test("A worker that is killed from outside is a failure under break")
  func killedFromOutside() async throws {
    let name = testName("outside")
    let outcome = try await Program.mpbarrier.run("2", "--work", "200", "--rounds", "1000", "--name", name, "-q") {
      parent in
      try await expectEventually { processes(with: name).count == 3 }
      let worker = try #require(processes(with: name).first { $0 != parent })
      // Met at the roll call, so that it is a member.
      try await expectEventually { regions(name) == [name, name + ".board"] }
      try await Task.sleep(for: .milliseconds(200))
      kill(worker, SIGKILL)
    }
    #expect(outcome.status == 1)
    #expect(outcome.errorLines.count == 1)
    #expect(outcome.errors.contains(" died in round "))
    expectNothingLeft(name)
  }

  @Test("Ctrl-C and its like leave no worker and no region", arguments: [SIGINT, SIGTERM, SIGHUP])
  func interrupted(signal: Int32) async throws {
    let name = testName("signal-\(signal)")
    let outcome = try await Program.mpbarrier.run(
      "3", "--work", "100", "--rounds", "1000", "--stop", "2@1", "--name", name
    ) {
      parent in
      try await expectEventually { processes(with: name).count == 4 }
      kill(parent, signal)
    }
    #expect(outcome.signal == signal)
    #expect(outcome.errorLines.count == 1)
    expectNothingLeft(name)
  }

  @Test("A killed mpbarrier leaves no worker, not even a stopped one; its name can be used again")
  func killedParent() async throws {
    let name = testName("killed")
    let outcome = try await Program.mpbarrier.run(
      "3", "--work", "50", "--rounds", "1000", "--stop", "2@1", "--name", name
    ) {
      parent in
      try await expectEventually {
        let workers = processes(with: name).filter { $0 != parent }
        return workers.count == 3 && workers.contains { isStopped($0) }
      }
      kill(parent, SIGKILL)
    }
    #expect(outcome.signal == SIGKILL)
    try await expectEventually { processes(with: name).isEmpty }
    #expect(regions(name) == [name, name + ".board"])
    let again = try await report("2", "--rounds", "1", "--work", "0", "--name", name)
    #expect(again.verdict.outcome == "met")
    expectNothingLeft(name)
  }

  @Test("A reader that goes away ends it")
  func brokenPipe() async throws {
    let name = testName("pipe")
    let shell = Program(path: "/bin/sh")
    let line = "'\(Program.mpbarrier.path)' 2 --work 10 --rounds 2000 --name \(name) | head -n 1"
    let outcome = try await shell.run("-c", line)
    #expect(outcome.output.hasPrefix("2 workers meet as \(name)"))
    try await expectEventually { processes(with: name).isEmpty && regions(name).isEmpty }
  }

  @Test(
    "Few open files: the limit is raised where that may be, and told where not",
    arguments: [("-Sn 64", 0), ("-n 64", 1)] as [(String, Int32)])
  func openFiles(limit: String, status: Int32) async throws {
    let name = testName("files")
    let line =
      "ulimit \(limit); exec '\(Program.mpbarrier.path)' 32 --rounds 1 --work 0 --deadline 60s --name \(name) -q"
    let outcome = try await Program(path: "/bin/sh").run("-c", line)
    #expect(outcome.status == status)
    #expect(outcome.errorLines.count == (status == 0 ? 0 : 1), "\(outcome.errors)")
    expectNothingLeft(name)
  }

  @Test("Two terminals: the second joins, both see all workers")
  func join() async throws {
    let name = testName("join")
    async let second = Program.mpbarrier.run("1", "--name", name, "--join", "--json")
    async let first = Program.mpbarrier.run(
      "2", "--parties", "3", "--name", name, "--rounds", "3", "--work", "1..10", "--json")
    for outcome in try await [first, second] {
      #expect(outcome.status == 0, "\(outcome.errors)")
      let report = try outcome.json(Report.self)
      #expect(report.verdict.message == "3 workers met in all 3 rounds")
      #expect(report.run.parties == 3)
    }
    expectNothingLeft(name)
  }

  @Test("Both terminals tell a death in the second alike")
  func joinAndDie() async throws {
    let name = testName("join-kill")
    async let second = Program.mpbarrier.run("1", "--name", name, "--join", "--kill", "1@2", "--json")
    async let first = Program.mpbarrier.run(
      "2", "--parties", "3", "--name", name, "--rounds", "3", "--work", "1..10", "--json")
    // Numbered as they came, so the second terminal's is any of the three, and the same to both.
    var killed: Set<Substring> = []
    for outcome in try await [first, second] {
      #expect(outcome.status == 0, "\(outcome.errors)")
      let message = try outcome.json(Report.self).verdict.message
      let told = message.firstMatch(
        of: /^worker ([123]) was killed in round 2: the barrier broke and the 2 others were told/)
      killed.insert(try #require(told, "\(message)").1)
    }
    #expect(killed.count == 1)
    expectNothingLeft(name)
  }

  @Test("With await, a third terminal takes the places of one that was killed")
  func joinAgain() async throws {
    let name = testName("again")
    let first = try await Program.mpbarrier.run(
      "1", "--parties", "2", "--name", name, "--on-death", "await", "--rounds", "60", "--work", "40", "--deadline",
      "80s", "--json"
    ) { _ in
      let second = try await Program.mpbarrier.run("1", "--name", name, "--join", "-q") { parent in
        // A round was met, so its worker is a member.
        try await expectEventually { phase(name) > 1 }
        kill(parent, SIGKILL)
      }
      #expect(second.signal == SIGKILL)
      let third = try await Program.mpbarrier.run("1", "--name", name, "--join", "-q")
      #expect(third.status == 0, "\(third.errors)")
    }
    #expect(first.status == 0, "\(first.errors)")
    #expect(try first.json(Report.self).summary.roundsMet == 60)
    expectNothingLeft(name)
  }

  private func phase(_ name: String) -> UInt32 { (try? Barrier.look(name).state.phase) ?? 0 }

  @Test("Nobody gets a place that is taken, or a name that is in use")
  func taken() async throws {
    let name = testName("taken")
    let outcome = try await Program.mpbarrier.run("2", "--work", "100", "--rounds", "1000", "--name", name, "-q") {
      parent in
      try await expectEventually { processes(with: name).count == 3 }
      let joiner = try await Program.mpbarrier.run("1", "--name", name, "--join")
      #expect(joiner.status == 1)
      #expect(joiner.errors == "mpbarrier: \(name): 0 places of 2 free, 1 wanted\n")
      let other = try await Program.mpbarrier.run("2", "--name", name)
      #expect(other.status == 1)
      #expect(other.errorLines.count == 1 && other.errors.contains(name))
      kill(parent, SIGTERM)
    }
    #expect(outcome.signal == SIGTERM)
    expectNothingLeft(name)
  }

  @Test(
    "A wrong command line is one clear line, and the status 64",
    arguments: [
      [], ["0"], ["257"], ["-3"], ["x"], ["4", "4"], ["4", "--rounds", "0"], ["4", "--rounds", "99999999"],
      ["4", "--kill", "5@1"], ["4", "--kill", "1@6"], ["4", "--kill", "1"], ["4", "--stop", "0@0"],
      ["4", "--kill", "1@1", "--stop", "1@1"], ["4", "--work", "9..1"], ["4", "--work", "a"], ["4", "--deadline", "5"],
      ["4", "--deadline", "0"], ["4", "--kind", "mutex"], ["4", "--on-death", "weep"], ["4", "--name", "a/b"],
      ["4", "--name", ".."], ["4", "--name", ""], ["4", "--parties", "3"], ["4", "--parties", "5"], ["4", "--join"],
      ["4", "--kind", "posix", "--on-death", "shrink"], ["4", "--seed", "-1"], ["4", "--frobnicate"],
      ["4", "--join", "--name", "x", "--rounds", "3"], ["4", "--name", String(repeating: "n", count: 250)],
    ])
  func wrong(arguments: [String]) async throws {
    let outcome = try await Program.mpbarrier.run(arguments)
    #expect(outcome.status == 64, "\(arguments)")
    #expect(outcome.output == "")
    #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("mpbarrier: "), "\(outcome.errors)")
  }

  private func isStopped(_ process: Int32) -> Bool {
    guard let file = fopen("/proc/\(process)/stat", "r") else { return false }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 256)
    guard fgets(&text, 256, file) != nil else { return false }
    let line = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return line.split(separator: ")").last?.hasPrefix(" T") ?? false
  }
}
