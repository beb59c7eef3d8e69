// SPDX-License-Identifier: Apache-2.0
import CounterKit
import Muster
import SystemPackage
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("counter: chaos", .serialized, .timeLimit(.minutes(10)))
struct CounterChaosTests {
  private static let seed =
    ProcessInfo.processInfo.environment["MUSTER_TEST_SEED"].flatMap { UInt64($0) }
    ?? UInt64.random(in: 0...UInt64(UInt32.max))

  @Test(
    "killed and stopped at random nothing is skipped, repeats are as promised, and there are never more than two processes",
    arguments: ["shm", "file", "udp", "mq", "signal"], [false, true])
  func survives(heartbeat: String, toFile: Bool) async throws {
    try await CounterRun.with("chaos-\(heartbeat)") { run in
      let strikes = ProcessInfo.processInfo.environment["MUSTER_CHAOS_STRIKES"] ?? "12"
      let arguments = [
        "--chaos", "--strikes", strikes, "--seed", "\(Self.seed)", "--heartbeat", heartbeat, "--name", run.name,
      ]
      let outcome = try await Program.counter.run(
        arguments + (toFile ? ["--output", run.output.string, "--period", "0"] : ["--period", "20us"]))
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.errors.contains("counter: chaos seed \(Self.seed)"))
      let strikesDealt = try #require(
        outcome.errors.firstMatch(of: /tally: (\d+) kills, (\d+) stops, (\d+) take-overs/))
      #expect(try #require(Int(strikesDealt.1)) + #require(Int(strikesDealt.2)) >= #require(Int(strikes)))
      #expect(outcome.errors.contains(/at most [12] processes/))
      #expect(outcome.errors.contains("skipped 0"))
      if toFile {
        #expect(outcome.output == "")
        #expect(NumberTally(of: run.outputText).isWhole(repeats: 0), "\(outcome.errors)")
      } else {
        let restarts = try #require(outcome.errors.firstMatch(of: /(\d+) restarts/))
        let most = try #require(Int(strikesDealt.3)) + #require(Int(restarts.1))
        #expect(NumberTally(of: outcome.output).isWhole(repeats: most), "\(outcome.errors)")
      }
      print(
        "counter: chaos seed \(Self.seed), \(heartbeat), \(toFile ? "file" : "pipe"): \(outcome.errorLines.suffix(2))")
    }
  }

  @Test("a pair that runs is not its own, and is left alone", .timeLimit(.minutes(1)))
  func others() async throws {
    try await CounterRun.with("others") { run in
      _ = try run.start("--period", "5ms", "--beat", "400ms")
      let both = try await run.both()
      let outcome = try await Program.counter.run("--chaos", "--strikes", "3", "--name", run.name)
      #expect(outcome.status == 1 && outcome.output == "")
      #expect(outcome.errors.contains("runs already"), "\(outcome.errors)")
      try await run.moreSteps()
      let after = try await run.both()
      #expect(after == both)
      try await run.end(by: both.primary)
    }
  }

  @Test("a seed that is not given is drawn, and printed")
  func drawnSeed() async throws {
    let name = testName("drawn")
    let outcome = try await Program.counter.run("--chaos", "--strikes", "1", "--name", name)
    #expect(outcome.status == 0 && outcome.errors.contains(/chaos seed \d+/), "\(outcome.errors)")
    expectNothingLeft(name)
  }

  @Test("both killed by the last strike: they are started again, and end with nothing left", arguments: [7, 19])
  func lastStrikeKillsBoth(seed: Int) async throws {
    let name = testName("both-\(seed)")
    let outcome = try await Program.counter.run("--chaos", "--strikes", "1", "--seed", "\(seed)", "--name", name)
    #expect(outcome.status == 0, "\(outcome.errors)")
    expectNothingLeft(name)
  }

  @Test("more than two processes of a group are seen, those that are dead are not")
  func crowd() async throws {
    let name = testName("crowd")
    var configuration = ChildProcess.Configuration(
      .path("/bin/sh"), arguments: ["-c", "sleep 1000 & sleep 1000 & wait", name])
    configuration.group = .own
    let child = try ChildProcess(configuration)
    var crowd = Crowd()
    crowd.add(group: child.pid)
    #expect(!crowd.isEmpty)
    let end = ContinuousClock.now + Program.patience
    while crowd.most < 3, .now < end {
      crowd.look()
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(crowd.most == 3)
    crowd.killAll()
    while !crowd.isEmpty, .now < end {
      crowd.look()
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(crowd.isEmpty && crowd.most == 3)
    #expect(try await child.waitForEnd(until: end).cause == .signaled(SIGKILL, coreDumped: false))
  }

  @Test("a result is good only if all of it is as promised")
  func result() {
    var good = ChaosResult()
    good.takeovers = 2
    good.mostProcesses = 2
    good.lastEmitted = 3
    good.numbers = NumberTally(of: "1\n2\n(again?) 2\n3\n")
    #expect(good.isGood)
    func isGood(_ change: (inout ChaosResult) -> Void) -> Bool {
      var result = good
      change(&result)
      return result.isGood
    }
    #expect(!isGood { $0.lastEmitted = 4 })
    #expect(!isGood { $0.takeovers = 0 })
    #expect(isGood { ($0.takeovers, $0.restarts) = (0, 1) })
    #expect(!isGood { $0.isExactlyOnce = true })
    #expect(!isGood { $0.mostProcesses = 3 })
    #expect(!isGood { $0.failure = "the pair gave up" })
    #expect(!isGood { $0.numbers = NumberTally(of: "1\n3\n") })
    #expect(!isGood { $0.numbers = NumberTally(of: "1\n2\n2\n3\n") })
    #expect(!isGood { $0.numbers = NumberTally(of: "1\n2\n3\nmud\n") })
  }

  @Test("a tally tells what was skipped, what came again, and what is no number")
  func tally() {
    let good = NumberTally(of: "1\n2\n(again?) 2\n3\n(again?) 4\n5\n")
    #expect(good.isWhole(repeats: 1) && !good.isWhole(repeats: 0) && good.last == 5 && good.numbers == 6)
    #expect(NumberTally(of: "1\n3\n6\n").skipped == 3)
    #expect(NumberTally(of: "1\n2\n2\n").unmarked == 1)
    #expect(NumberTally(of: "1\n2\n3\n(again?) 2\n").unmarked == 1)
    #expect(NumberTally(of: "1\ntwo\n").garbled == ["two"])
    #expect(NumberTally(of: "1\n2").garbled == ["2"])
  }
}
