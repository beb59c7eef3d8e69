// SPDX-License-Identifier: Apache-2.0
import CounterKit
import Muster
import MusterSupervision
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

private let counter = Program.counter

@Suite("counter, from outside", .serialized, .timeLimit(.minutes(5)))
struct CounterProgramTests {
  @Test("counts, each number a line, and says on standard error who is which")
  func counts() async throws {
    let name = testName("counts")
    let outcome = try await counter.run("--name", name, "--count-to", "30", "--period", "20ms")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output == (1...30).map { "\($0)\n" }.joined())
    #expect(outcome.errors.contains(/counter: primary \d+ leads/), "\(outcome.errors)")
    #expect(outcome.errors.contains(/counter: primary \d+ has process \d+ as its backup/), "\(outcome.errors)")
    expectNothingLeft(name)
  }

  @Test("goes on without a number skipped when the primary or the backup is killed or stopped")
  func goesOn() async throws {
    try await CounterRun.with("goes-on") { run in
      let first = try run.start("--period", "10ms", "--beat", "400ms")
      for number in [SIGKILL, SIGSTOP, SIGKILL, SIGSTOP] {
        let old = try await run.both()
        try await run.moreSteps()
        try run.signal(old.primary, number)
        let new = try await run.both(without: [old.primary])
        #expect(new.primary == old.backup)
        try run.signal(new.backup, number)
        let last = try await run.both(without: [new.backup])
        #expect(last.primary == new.primary)
      }
      try await run.end(by: try await run.both().primary)
      #expect(try await first.waitForEnd().cause == .signaled(SIGKILL, coreDumped: false))
      #expect(NumberTally(of: run.numbers).isWhole(repeats: 4), "\(run.numbers)\n\(run.errors)")
    }
  }

  @Test("SIGTERM and SIGINT to either end both", arguments: [SIGTERM, SIGINT], [true, false])
  func ends(signal number: Int32, toPrimary: Bool) async throws {
    try await CounterRun.with("ends") { run in
      let first = try run.start("--period", "10ms", "--beat", "400ms")
      let both = try await run.both()
      try run.signal(toPrimary ? both.primary : both.backup, number)
      let end = try await first.waitForEnd(until: .now + Program.patience)
      #expect(end.isSuccess, "\(end)")
      try await expectEventually { processes(with: run.name).isEmpty }
      #expect(regions(run.name) == [])
    }
  }

  @Test("a backup that was asked to end, and whose primary does not hear of it, takes over to end the pair")
  func endsAlone() async throws {
    try await CounterRun.with("ends-alone") { run in
      _ = try run.start("--period", "5ms", "--beat", "200ms")
      let both = try await run.both()
      try await run.moreSteps()
      try run.signal(both.primary, SIGSTOP)
      try run.signal(both.backup, SIGTERM)
      try await expectEventually { processes(with: run.name).isEmpty }
      #expect(regions(run.name) == [])
      #expect(NumberTally(of: run.numbers).isWhole(repeats: 1), "\(run.numbers)")
    }
  }

  @Test("both killed and started again by hand, it goes on from its state file")
  func startsAgain() async throws {
    try await CounterRun.with("again") { run in
      let arguments = ["--state-file", run.stateFile.string, "--period", "10ms", "--beat", "400ms"]
      var seen = UInt64(0)
      for _ in 1...3 {
        let first = try run.start(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
        let both = try await run.both()
        try await run.moreSteps()
        #expect(try #require(run.status()).emitted > seen)
        try run.signal(both.backup, SIGKILL)
        try run.signal(both.primary, SIGKILL)
        _ = try await first.waitForEnd(until: .now + Program.patience)
        try await expectEventually { processes(with: run.name).isEmpty }
        seen = try #require(run.status()).emitted
      }
      #expect(NumberTally(of: run.numbers).isWhole(repeats: 2), "\(run.numbers)")
    }
  }

  @Test("--output has each number exactly once, whoever is killed, and is gone on with from a state")
  func exactlyOnce() async throws {
    try await CounterRun.with("once") { run in
      for _ in 1...2 {
        let first = try run.start(
          "--output", run.output.string, "--state-file", run.stateFile.string, "--durable", "--period", "2ms", "--beat",
          "400ms")
        var old = try await run.both()
        for _ in 1...3 {
          try run.signal(old.primary, SIGKILL)
          old = try await run.both(without: [old.primary])
        }
        try await run.end(by: old.backup)
        _ = try await first.waitForEnd()
      }
      let emitted = try #require(run.status()).emitted
      #expect(run.outputText == (1...emitted).map { "\($0)\n" }.joined())
      #expect(run.numbers == "")
    }
  }

  @Test("an output that is not empty, without a state that belongs to it, is refused and left as it is")
  func foreignOutput() async throws {
    try await CounterRun.with("foreign") { run in
      try Data("not numbers\n".utf8).write(to: URL(filePath: run.output.string))
      let outcome = try await counter.run("--name", run.name, "--output", run.output.string, "--count-to", "3")
      #expect(outcome.status == 64 && outcome.errorLines.count == 1 && outcome.output == "", "\(outcome.errors)")
      #expect(outcome.errors.contains("is not empty") && outcome.errors.contains("--state-file"))
      #expect(run.outputText == "not numbers\n")
    }
  }

  @Test("a number that crashes who counts it is tried again, from older states too, then given up with a report")
  func poison() async throws {
    try await CounterRun.with("poison") { run in
      let first = try run.start(
        "--state-file", run.stateFile.string, "--poison", "4", "--period", "5ms", "--beat", "400ms")
      let end = try await first.waitForEnd(until: .now + Program.patience)
      #expect(end.cause == .signaled(SIGSEGV, coreDumped: false))
      try await expectEventually { run.status()?.primary?.mode == .gaveUp && processes(with: run.name).isEmpty }
      let report = try #require(run.errors.split(separator: "\n").last)
      #expect(report.contains("step 4 has killed every primary that tried it") && report.contains("older states"))
      #expect(run.status()?.emitted == 3)
      #expect(NumberTally(of: run.numbers).isWhole(repeats: 0), "\(run.numbers)")
      // The cause removed, it goes on.
      let again = try run.start("--state-file", run.stateFile.string, "--count-to", "6", "--period", "5ms")
      #expect(try await again.waitForEnd(until: .now + Program.patience).isSuccess)
      #expect(run.numbers == "1\n2\n3\n4\n5\n6\n")
    }
  }

  @Test("with --skip that number is left out in the end, and kept as evidence")
  func skip() async throws {
    try await CounterRun.with("skip") { run in
      let evidence = run.folder.appending("evidence")
      _ = try run.start(
        "--poison", "4", "--skip", evidence.string, "--count-to", "8", "--period", "5ms", "--beat", "400ms")
      try await expectEventually { run.numbers.hasSuffix("8\n") && processes(with: run.name).isEmpty }
      #expect(run.numbers == "1\n2\n3\n5\n6\n7\n8\n")
      let text = CounterRun.text(evidence.appending("\(run.name)-step-4.json"))
      // From the same state twice, and from those after steps 2, 1 and 0.
      #expect(text.contains("\"step\":4") && text.contains("\"attempts\":5"), "\(text)")
    }
  }

  @Test("a file that may not grow any more is told by its name, and gone on with from there")
  func fileLimit() async throws {
    try await CounterRun.with("limit") { run in
      let shell = Program(path: "/bin/sh")
      let arguments = ["--name", run.name, "--output", run.output.string, "--count-to", "40000", "--period", "0"]
      let command = "ulimit -f 128; exec \"$@\""
      let outcome = try await shell.run(["-c", command, "sh", counter.path] + arguments + ["--beat", "400ms"])
      try await expectEventually { processes(with: run.name).isEmpty }
      #expect(
        outcome.status == 1 && outcome.errors.contains("\(run.output) can't be written to: "), "\(outcome.errors)")
      #expect(try await counter.run(arguments).status == 0)
      #expect(NumberTally(of: run.outputText).isWhole(repeats: 0) && run.outputText.hasSuffix("40000\n"))
    }
  }

  @Test("a reader that has read enough ends the pair")
  func readerGone() async throws {
    let name = testName("reader")
    let shell = Program(path: "/bin/sh")
    let outcome = try await shell.run("-c", "\"$1\" --name \"$2\" --period 5ms | head -n 3", "sh", counter.path, name)
    #expect(outcome.status == 0 && outcome.output == "1\n2\n3\n")
    try await expectEventually { processes(with: name).isEmpty }
    expectNothingLeft(name)
  }

  @Test("who looks at a pair sees what it says of itself, and disturbs nothing")
  func observed() async throws {
    try await CounterRun.with("observed") { run in
      #expect(throws: ProcessPairError.self) { try ProcessPairObserver(run.name) }
      let first = try run.start("--heartbeat", "udp", "--period", "10ms", "--beat", "400ms", "--missed", "4")
      let both = try await run.both()
      try await run.moreSteps()
      let before = try #require(run.status())
      #expect(before.primary?.identity.pid == first.pid && before.primary?.cause == nil && before.takeovers == 0)
      #expect(before.primary?.heartbeat == "UDP" && before.primary?.period == .milliseconds(400))
      #expect(before.primary?.missed == 4 && before.escalation == nil && before.skipped == 0)
      #expect(before.backup?.epoch == before.epoch && before.epoch == before.primary?.epoch)
      try run.signal(both.primary, SIGKILL)
      let new = try await run.both(without: [both.primary])
      let after = try #require(run.status())
      #expect(after.primary?.identity == both.backup && after.primary?.cause != nil && after.takeovers == 1)
      #expect(after.epoch == before.epoch + 1)
      try run.signal(new.backup, SIGKILL)
      try run.signal(new.primary, SIGKILL)
      try await expectEventually { run.status()?.primaryLife == .dead && run.status()?.backupLife == .dead }
    }
  }

  @Test("a second one of the same name is refused, and disturbs nothing")
  func secondOne() async throws {
    try await CounterRun.with("second") { run in
      _ = try run.start("--period", "10ms", "--beat", "400ms")
      let both = try await run.both()
      let outcome = try await counter.run("--name", run.name)
      #expect(outcome.status == 1 && outcome.errorLines.count == 1, "\(outcome.errors)")
      #expect(outcome.errors.contains("process \(both.primary.pid) is its primary"), "\(outcome.errors)")
      try await run.moreSteps()
      let after = try await run.both()
      #expect(after.primary == both.primary && after.backup == both.backup)
    }
  }

  @Test(
    "a wrong command line is one line and status 64",
    arguments: [
      ["--beat", "0"], ["--beat", "10"], ["--missed", "0"], ["--poison", "0"], ["--count-to", "0"], ["--durable"],
      ["--name", "a/b"], ["--name", ""], ["--seed", "1"], ["--for", "1s"], ["--strikes", "2"],
      ["--heartbeat", "smoke"],
      ["--window", "door"], ["--chaos", "--poison", "3"], ["--chaos", "--window", "tmux"], ["--chaos", "--for", "0"],
      ["--output", ""], ["--output", "x", "--state-file", "./x"], ["--nonsense"], ["extra"],
    ])
  func wrong(_ arguments: [String]) async throws {
    let outcome = try await counter.run(arguments)
    #expect(outcome.status == 64 && outcome.output == "" && outcome.errorLines.count == 1, "\(outcome.errors)")
    #expect(outcome.errors.hasPrefix("counter: "))
  }
}
