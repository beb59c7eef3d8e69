// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("muster pair, from outside", .serialized, .timeLimit(.minutes(5)))
struct PairProgramTests {
  @Test(
    "A runner that is killed or stopped is taken over from, when its command's whole tree is gone",
    arguments: [SIGKILL, SIGSTOP])
  func takeover(signal: Int32) async throws {
    let stage = try PairStage("pair-takeover-\(signal)")
    defer { stage.remove() }
    async let first = stage.run("--period", "300ms")
    let alone = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run("--period", "300ms", "--missed", "10")
    let both = try await stage.wait(commands: 1, isBackedUp: true)
    let primary = try #require(both.primary)
    #expect(primary.process == alone.primary?.process && primary.state == "alive" && primary.epoch == 1)
    #expect(primary.heartbeat == "shared memory" && primary.periodSeconds == 0.3 && primary.missed == 3)
    #expect(both.backup?.state == "alive" && both.backup?.process != primary.process && both.takeovers == 0)

    #expect(kill(primary.process, signal) == 0)
    let after = try await stage.wait(commands: 2, isBackedUp: false)
    #expect(after.primary?.process == both.backup?.process && after.epoch == 2 && after.takeovers == 1)
    // By which signal is known when somebody has reaped it by then, and since Linux 6.15.
    let causes = signal == SIGSTOP ? ["it hung, and was killed"] : ["it was killed by signal 9", "it died"]
    #expect(causes.contains(after.primary?.cause ?? ""))
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 2, takeovers: 1)])
    try stage.end(0)
    #expect(try await first.signal == SIGKILL)
    let outcome = try await second
    #expect(outcome.status == 0 && outcome.errors.contains("takes over from process \(primary.process)"))
    try await stage.expectNothingLeft()
  }

  @Test("A guard that is stopped kills nobody: the one that takes over does")
  func guardStopped() async throws {
    let stage = try PairStage("pair-guard")
    defer { stage.remove() }
    async let first = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run()
    let primary = try #require(try await stage.wait(commands: 1, isBackedUp: true).primary).process
    let guardian = try #require(children(of: primary).first { name(of: $0) == "muster-guard" })
    kill(guardian, SIGSTOP)
    defer { kill(guardian, SIGKILL) }
    kill(primary, SIGKILL)
    _ = try await stage.wait(commands: 2, isBackedUp: false)
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 2, takeovers: 1)])
    try stage.end(0)
    #expect(try await first.signal == SIGKILL)
    #expect(try await second.status == 0)
    kill(guardian, SIGKILL)
    try await stage.expectNothingLeft()
  }

  @Test(
    "Runner and guard killed: who is of the command by its cgroup alone is found",
    .enabled("a cgroup of its own") { try await PairStage.canHaveCgroup() })
  func escaped() async throws {
    let stage = try PairStage("pair-cgroup")
    defer { stage.remove() }
    try stage.put("wipes")
    async let first = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run()
    let primary = try #require(try await stage.wait(commands: 1, isBackedUp: true).primary).process
    let orphan = try #require(stage.commands.last)
    defer { kill(orphan, SIGKILL) }
    let guardian = try #require(children(of: primary).first { name(of: $0) == "muster-guard" })
    kill(guardian, SIGKILL)
    kill(primary, SIGKILL)
    _ = try await stage.wait(commands: 2, isBackedUp: false)
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 2, takeovers: 1)])
    try stage.end(0)
    #expect(try await first.signal == SIGKILL)
    #expect(try await second.status == 0)
    try await stage.expectNothingLeft()
  }

  @Test(
    "Who would not die is told, and waited for, by the next runner as well; --force goes on beside them",
    .enabled("root, and programs that may become it") { try await PairStage.canBeNobody() })
  func survivor() async throws {
    let stage = try PairStage("pair-survivor", isNobody: true)
    defer { stage.remove() }
    async let first = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    let survivor = try #require(stage.survivor)
    defer { kill(survivor, SIGKILL) }
    async let second = stage.run()
    let both = try await stage.wait(commands: 1, isBackedUp: true)
    let (primary, backup) = try (#require(both.primary).process, #require(both.backup).process)
    kill(primary, SIGKILL)
    #expect(try await first.signal == SIGKILL)
    try await expectEventually { try await stage.report()?.epoch == 2 }
    kill(backup, SIGTERM)
    let blocked = try await second
    #expect(blocked.status == 128 + SIGTERM && !blocked.errors.contains("runs the command"))

    // It has left what it knew.
    async let third = stage.run("--force")
    try await expectEventually { stage.log.count == 2 }
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 3, takeovers: 1)])
    try stage.end(0)
    let forced = try await third
    #expect(forced.status == 0)
    #expect(forced.errors.contains("of the old command would not die: \(survivor) (sleep); goes on beside them"))
    kill(survivor, SIGKILL)
    try await stage.expectNothingLeft()
  }

  @Test(
    "A command that is quiet or stopped for longer than its watchdog has it is taken for hung",
    arguments: [false, true])
  func watchdog(isStopped: Bool) async throws {
    let stage = try PairStage("pair-watchdog-\(isStopped)")
    defer { stage.remove() }
    async let first = stage.runTelling("--watchdog", "2s")
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.runTelling("--watchdog", "2s")
    let both = try await stage.wait(commands: 1, isBackedUp: true)
    let (primary, backup) = try (#require(both.primary).process, #require(both.backup).process)
    try await expectEventually { stage.has("well") }
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0)])
    let command = try #require(children(of: primary).first { name(of: $0) == "muster-peer" })
    if isStopped { kill(command, SIGSTOP) } else { try stage.put("quiet") }
    let hung = try await first
    #expect(hung.status == 128 + SIGABRT)
    #expect(hung.errors.contains("the command has not said WATCHDOG=1 for 2"))
    _ = try await stage.wait(commands: 2, isBackedUp: false)
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 2, takeovers: 1)])
    kill(backup, SIGTERM)
    #expect(try await second.status == 128 + SIGTERM)
    try await stage.expectNothingLeft()
  }

  @Test("A command that fails hands over, with its status; one that exits with 0 ends the pair")
  func failure() async throws {
    let stage = try PairStage("pair-failure")
    defer { stage.remove() }
    async let first = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: true)
    try stage.end(7)
    #expect(try await first.status == 7)
    _ = try await stage.wait(commands: 2, isBackedUp: false)
    async let third = stage.run()
    _ = try await stage.wait(commands: 2, isBackedUp: true)
    try stage.end(0)
    #expect(try await second.status == 0)
    let standby = try await third
    #expect(standby.status == 0 && standby.errors.hasSuffix("the pair has ended\n"))
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 2, takeovers: 1)])
    try await stage.expectNothingLeft()
  }

  @Test("A command that fails with nobody there ends the pair, and leaves nothing")
  func failureAlone() async throws {
    let stage = try PairStage("pair-alone")
    defer { stage.remove() }
    async let only = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    try stage.end(9)
    #expect(try await only.status == 9)
    try await stage.expectNothingLeft()
    let missing = try await Program.muster.run("pair", "run", stage.name, "--", "/there/is/no/such")
    #expect(missing.status == 127 && missing.errors.contains("can't start “/there/is/no/such”"))
    let gone = try await Program.muster.run("pair", "status", stage.name)
    #expect(gone.status == 1 && gone.errors.contains("\(stage.name): no such pair"))
    let wrong = try await Program.muster.run("pair", "run", stage.name, "--takeovers", "33", "--", "true")
    #expect(wrong.status == 64)
    try await stage.expectNothingLeft()
  }

  @Test("Ctrl-C reaches what a shell waits for, too", .enabled(if: access("/usr/bin/script", X_OK) == 0))
  func terminal() async throws {
    let stage = try PairStage("pair-terminal")
    defer { stage.remove() }
    // A terminal, in which Ctrl-C is pressed when the command has begun. The shell has more to do after its child.
    let command = "sh -c 'touch \(stage.folder)/well; sleep 1000; true'"
    let runner = "\(Program.muster.path) pair run \(stage.name) -- \(command)"
    let outcome = try await Program(path: "/bin/sh").run(
      "-c",
      """
      (while [ ! -e "$0/well" ] && [ ! -e "$0/end" ]; do sleep 0.01; done; printf '\\003'; while [ ! -e "$0/end" ]; do sleep 0.01; done) |
        (script -qec "$1" /dev/null; touch "$0/end")
      """, stage.folder, runner)
    #expect(outcome.output.contains("the command was killed by signal 2"))
    try await stage.expectNothingLeft()
  }

  @Test("What has the name and is no pair's is refused, and left as it is")
  func foreign() async throws {
    let stage = try PairStage("pair-foreign")
    defer { stage.remove() }
    let path = "/dev/shm/\(stage.name)"
    let file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
    defer { unlink(path) }
    #expect(write(file, "mine", 4) == 4)
    close(file)
    let outcome = try await stage.run()
    #expect(outcome.status == 1 && outcome.errors.contains("Use another name, or remove it when nobody needs it."))
    #expect(outcome.errorLines.count == 1)
    var information = stat()
    #expect(stat(path, &information) == 0 && information.st_size == 4)
    #expect(access(path + ".alive", F_OK) != 0)
    let missing = try await Program.muster.run("pair", "run", stage.name, "--", "there-is-no-such")
    #expect(missing.status == 1)
    unlink(path)
    let found = try await Program.muster.run("pair", "run", stage.name, "--", "there-is-no-such")
    #expect(found.status == 127 && found.errors.contains("“there-is-no-such”: no program of that name is in PATH"))
    let empty = try await Program.muster.run("pair", "run", stage.name, "--", "")
    #expect(empty.status == 64)
    try await stage.expectNothingLeft()
  }

  @Test("A third runner is refused and told of both; SIGTERM ends a standby alone, and with the first one the pair")
  func third() async throws {
    let stage = try PairStage("pair-third")
    defer { stage.remove() }
    async let first = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run()
    let both = try await stage.wait(commands: 1, isBackedUp: true)
    let (primary, backup) = try (#require(both.primary).process, #require(both.backup).process)
    let refused = try await stage.run()
    #expect(refused.status == 3)
    #expect(refused.errors.contains("process \(primary) runs the command and process \(backup) stands by"))

    kill(backup, SIGTERM)
    #expect(try await second.status == 128 + SIGTERM)
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let another = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: true)
    kill(primary, SIGTERM)
    #expect(try await first.status == 128 + SIGTERM)
    #expect(try await another.status == 0)
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0)])
    try await stage.expectNothingLeft()
  }

  @Test("Both killed at once: who is started by hand goes on, when the tree of the old command is gone")
  func bothKilled() async throws {
    let stage = try PairStage("pair-both")
    defer { stage.remove() }
    async let first = stage.run()
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run()
    let both = try await stage.wait(commands: 1, isBackedUp: true)
    let (primary, backup) = try (#require(both.primary).process, #require(both.backup).process)
    kill(backup, SIGSTOP)
    kill(primary, SIGKILL)
    kill(backup, SIGKILL)
    #expect(try await first.signal == SIGKILL)
    #expect(try await second.signal == SIGKILL)
    async let next = stage.run()
    _ = try await stage.wait(commands: 2, isBackedUp: false)
    #expect(stage.log == [stage.line(epoch: 1, takeovers: 0), stage.line(epoch: 2, takeovers: 0)])
    try stage.end(0)
    #expect(try await next.status == 0)
    try await stage.expectNothingLeft()
  }

  @Test("With one takeover too many the pair gives up")
  func budget() async throws {
    let stage = try PairStage("pair-budget")
    defer { stage.remove() }
    let options = ["--takeovers", "1", "--within", "1h"]
    async let first = stage.run(options[0], options[1], options[2], options[3])
    _ = try await stage.wait(commands: 1, isBackedUp: false)
    async let second = stage.run(options[0], options[1], options[2], options[3])
    _ = try await stage.wait(commands: 1, isBackedUp: true)
    try stage.end(1)
    #expect(try await first.status == 1)
    _ = try await stage.wait(commands: 2, isBackedUp: false)
    async let third = stage.run(options[0], options[1], options[2], options[3])
    _ = try await stage.wait(commands: 2, isBackedUp: true)
    try stage.end(1)
    #expect(try await second.status == 1)
    let outcome = try await third
    #expect(outcome.status == 125 && outcome.errors.contains("gives up: there were 1 takeovers within"))
    #expect(stage.log.count == 2)
    try await stage.expectNothingLeft()
  }

  @Test("status, show and ls know the pair of a program, too")
  func program() async throws {
    let name = testName("pair-program")
    defer { try? Region.remove(RegionName(name), force: true) }
    let outcome = try await Program.counter.run("--name", name, "--window", "none", "--period", "10ms") { process in
      defer { kill(process, SIGTERM) }
      try await expectEventually {
        let status = try await Program.muster.run("pair", "status", name, "--json")
        guard status.status == 0 else { return false }
        let report = try status.json(PairReport.self)
        return report.primary?.mode == "working" && report.backup?.state == "alive" && report.emitted > 1
      }
      let plain = try await Program.muster.run("pair", "status", name)
      #expect(plain.status == 0 && plain.output.hasPrefix("pair      \(name)\nprimary   pid \(process), since "))
      #expect(plain.output.contains("\nheartbeat shared memory, each 100 ms, 3 missing are a hang\n"))
      let shown = try await Program.muster.run("show", name)
      #expect(shown.output.contains("kind      pair\n") && shown.output.contains("\nmode      working\n"))
      let listed = try await Program.muster.run("ls").output.split(separator: "\n")
      #expect(listed.contains { $0.hasPrefix("pair ") && $0.hasSuffix(" \(name)") })
    }
    #expect(outcome.status == 0, "\(outcome.errors)")
  }
}
