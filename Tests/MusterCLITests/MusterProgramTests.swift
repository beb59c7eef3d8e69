// SPDX-License-Identifier: Apache-2.0
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

private struct Region: Decodable {
  var name: String
  var kind: String
  var isHeld: Bool
  var size: UInt64
  var creator: Int32
}

private struct Show: Decodable {
  struct Member: Decodable {
    var place: Int
    var state: String
    var process: Int32
  }

  struct Barrier: Decodable {
    var parties: Int
    var arrived: Int
    var phase: Int
    var onDeath: String
    var broken: String?
    var culprit: Int?
    var members: [Member]
  }

  var region: Region
  var barrier: Barrier?
}

private struct Alive: Decodable {
  var state: String
  var process: Int32?
}

private struct Wait: Decodable {
  var outcome: String
  var index: Int?
  var isSerial: Bool
}

private let muster = Program.muster

private func listed(_ name: String) async throws -> Region? {
  try await muster.run("ls", "--json").json([Region].self).first { $0.name == name }
}

/// nil while there is no such region.
private func shown(_ name: String) async throws -> Show? {
  let outcome = try await muster.run("show", name, "--json")
  return outcome.status == 0 ? try outcome.json(Show.self) : nil
}

@Suite("muster, from outside", .serialized)
struct MusterProgramTests {
  @Test("ls and show tell of a barrier in use, without disturbing it; rm leaves it alone")
  func inUse() async throws {
    let name = testName("shown")
    let outcome = try await Program.mpbarrier.run("3", "--work", "1..3", "--rounds", "300000", "--name", name, "-q") {
      parent in
      try await expectEventually { try await listed(name)?.isHeld == true }
      let region = try #require(try await listed(name))
      #expect(region.kind == "barrier" && region.size > 0)
      try await expectEventually {
        let show = try await shown(name)
        return show?.barrier?.members.count { $0.state == "alive" } == 3 && show?.barrier.map { $0.phase > 0 } == true
      }
      let show = try #require(try await shown(name))
      #expect(show.barrier?.parties == 3 && show.barrier?.onDeath == "break" && show.barrier?.broken == nil)
      let table = try await muster.run("ls")
      #expect(table.output.contains(name) && table.output.hasPrefix("KIND"))
      let removal = try await muster.run("rm", name)
      #expect(removal.status == 1)
      #expect(removal.errors == "muster: \(name): held; --force removes it all the same\n")
      kill(parent, SIGTERM)
    }
    // It ended by the signal and not by a broken barrier: nothing above disturbed it.
    #expect(outcome.signal == SIGTERM, "\(outcome.errors)")
    expectNothingLeft(name)
  }

  @Test("What can't be printed is told by every command, and is no success; nobody reading it is neither")
  func unprintable() async throws {
    let name = testName("unprintable")
    let script = """
      '\(muster.path)' barrier wait \(name) --parties 1 >/dev/null || exit 1
      for command in ls 'ls --json' 'show \(name)' 'show \(name) --json' 'alive check /tmp/\(name)' --help 'ls --help'; do
        '\(muster.path)' $command >/dev/full; echo "$?"
      done
      '\(Program.mpbarrier.path)' 1 --rounds 1 --work 1 >/dev/full; echo "$?"
      exec 3>&1
      ('\(muster.path)' show \(name); echo "$?" >&3) | :
      '\(muster.path)' rm \(name)
      """
    let outcome = try await Program(path: "/bin/sh").run("-c", script)
    #expect(outcome.output == String(repeating: "1\n", count: 8) + "0\n", "\(outcome)")
    let said = ": standard output: No space left on device"
    let all = String(repeating: "muster\(said)\n", count: 7) + "mpbarrier\(said)\n"
    #expect(outcome.errors == all)
    expectNothingLeft(name)
  }

  @Test("What killed processes left is stale; show tells who died, and rm removes it")
  func stale() async throws {
    let name = testName("stale")
    _ = try await Program.mpbarrier.run("2", "--work", "5", "--rounds", "5000", "--name", name, "-q") { parent in
      try await expectEventually {
        try await shown(name)?.barrier.map { $0.phase > 0 } == true
      }
      kill(parent, SIGKILL)
    }
    try await expectEventually { try await listed(name)?.isHeld == false }
    let show = try #require(try await shown(name))
    #expect(show.barrier?.members.map(\.state) == ["dead", "dead"])
    // Looking has freed nobody's place.
    let again = try #require(try await shown(name))
    #expect(again.barrier?.members.map(\.process) == show.barrier?.members.map(\.process))
    let removal = try await muster.run("rm", name, name + ".board", "--json")
    #expect(removal.status == 0, "\(removal.errors)")
    expectNothingLeft(name)
  }

  @Test("clean refuses to guess: without a terminal it wants --yes; what is held stays")
  func clean() async throws {
    // In shared memory of its own: clean is for all of a user's regions.
    let script = """
      mount -t tmpfs tmpfs /dev/shm || exit 77
      '\(muster.path)' barrier wait kept --parties 2 --timeout 60s & held=$!
      '\(muster.path)' barrier wait left --parties 1 || exit 1
      until '\(muster.path)' ls | grep -q 'held.* kept'; do :; done
      '\(muster.path)' clean </dev/null; echo "refused $?"
      '\(muster.path)' clean --yes
      ls /dev/shm
      '\(muster.path)' clean --yes --json | tr -d ' \\n'; echo
      kill $held
      """
    let outcome = try await Program(path: "/usr/bin/unshare").run("-rm", "sh", "-c", script)
    guard outcome.status == 0 || outcome.status == 143 else {
      // No user namespaces here: the rest of the commands is tested without.
      try #require(outcome.status == 77 || outcome.errors.contains("unshare"), "\(outcome)")
      return
    }
    #expect(outcome.output == "refused 1\nremoved left\nkept\n{\"failed\":[],\"removed\":[]}\n", "\(outcome.errors)")
    #expect(outcome.errors.contains("muster: 1 stale: give --yes to remove them"))
  }

  @Test("Scripts meet at a barrier in a loop, each with a process for each round")
  func scriptsMeet() async throws {
    let name = testName("scripts")
    let loop = """
      for round in 1 2 3 4 5; do
        '\(muster.path)' barrier wait \(name) --parties 3 --timeout 60s || exit $?
        echo $round
      done
      """
    let outcomes = try await withThrowingTaskGroup(of: Program.Outcome.self) { group in
      for _ in 0..<3 { group.addTask { try await Program(path: "/bin/sh").run("-c", loop) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    for outcome in outcomes {
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output == "1\n2\n3\n4\n5\n")
    }
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("Each released is told its arrival index, and one of them that it is the serial process")
  func indexes() async throws {
    let name = testName("indexes")
    let waits = try await withThrowingTaskGroup(of: Wait.self) { group in
      for _ in 0..<3 {
        group.addTask {
          try await muster.run("barrier", "wait", name, "--parties", "3", "--timeout", "60s", "--json").json(Wait.self)
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(waits.map(\.outcome) == ["released", "released", "released"])
    #expect(waits.compactMap(\.index).sorted() == [0, 1, 2])
    #expect(waits.count(where: \.isSerial) == 1)
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("The exit status tells timed out from broken, and reset mends it")
  func timedOut() async throws {
    let name = testName("late")
    // One that waits keeps the barrier held, and learns that the other gave up.
    let told = try await muster.run("barrier", "wait", name, "--parties", "3", "--timeout", "80s") { _ in
      try await expectEventually {
        try await shown(name)?.barrier?.members.count == 1
      }
      let late = try await muster.run("barrier", "wait", name, "--parties", "3", "--timeout", "100ms")
      #expect(late.status == 2)
      #expect(late.errorLines.count == 1)
    }
    #expect(told.status == 3)
    #expect(told.errors.hasPrefix("muster: \(name): broken: "))
    #expect(try await muster.run("barrier", "reset", name).status == 0)
    #expect(try await shown(name)?.barrier?.broken == nil)
    let other = try await muster.run("barrier", "wait", name, "--parties", "4")
    #expect(other.status == 1 && other.errorLines.count == 1)
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("A barrier that nobody holds starts anew, broken or not")
  func anew() async throws {
    let name = testName("anew")
    let arguments = ["barrier", "wait", name, "--parties", "2", "--timeout", "50ms"]
    for _ in 0..<2 { #expect(try await muster.run(arguments).status == 2) }
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("Who dies after arriving counts for this phase: the others meet without it")
  func diedWaiting() async throws {
    let name = testName("died")
    let arguments = ["barrier", "wait", name, "--parties", "3", "--timeout", "80s", "--on-death", "break"]
    let first = try await muster.run(arguments) { _ in
      let dead = try await muster.run(arguments) { process in
        try await expectEventually { try await shown(name)?.barrier?.arrived == 2 }
        kill(process, SIGKILL)
      }
      #expect(dead.signal == SIGKILL)
      #expect(try await shown(name)?.barrier?.members.map(\.state).sorted() == ["alive", "dead"])
      // The dead one's place is not for joining under break: the third takes the free one.
      let last = try await muster.run(arguments)
      #expect(last.status == 0, "\(last.errors)")
    }
    #expect(first.status == 0, "\(first.errors)")
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("alive: hold, check, wait, wait-death")
  func alive() async throws {
    let path = "/tmp/" + testName("alive")
    defer { unlink(path) }
    #expect(try await muster.run("alive", "check", path).status == 3)
    #expect(access(path, F_OK) != 0)
    let holder = try await muster.run("alive", "hold", path) { process in
      #expect(try await muster.run("alive", "wait", path, "--timeout", "60s").status == 0)
      let alive = try await muster.run("alive", "check", path, "--json")
      let report = try alive.json(Alive.self)
      #expect(alive.status == 0 && report.state == "alive" && report.process == process)
      let second = try await muster.run("alive", "hold", path)
      #expect(second.status == 3)
      #expect(second.errors == "muster: \(path): held by pid \(process)\n")
      #expect(try await muster.run("alive", "hold", path, "--timeout", "50ms").status == 2)
      #expect(try await muster.run("alive", "wait-death", path, "--timeout", "50ms").status == 2)
      async let death = muster.run("alive", "wait-death", path, "--timeout", "60s")
      kill(process, SIGTERM)
      let end = try await death
      #expect(end.status == 0 && end.output.hasPrefix("nobody"))
    }
    #expect(holder.status == 0)
    #expect(access(path, F_OK) != 0)
  }

  @Test("alive: a killed holder leaves a crash, which check and the next holder tell")
  func crash() async throws {
    let path = "/tmp/" + testName("crash")
    defer { unlink(path) }
    let holder = try await muster.run("alive", "hold", path) { process in
      _ = try await muster.run("alive", "wait", path, "--timeout", "60s")
      kill(process, SIGKILL)
    }
    #expect(holder.signal == SIGKILL)
    #expect(try await muster.run("alive", "check", path, "--quiet").status == 4)
    #expect(try await muster.run("alive", "wait", path, "--timeout", "50ms").status == 2)
    let next = try await muster.run("alive", "hold", path, "--", "true")
    #expect(next.status == 0)
    #expect(next.errors.contains("its last owner crashed: pid "))
    #expect(try await muster.run("alive", "check", path).status == 3)
  }

  @Test("alive hold with a command: its status, its death, its absence")
  func command() async throws {
    let path = "/tmp/" + testName("command")
    defer { unlink(path) }
    let check = "'\(muster.path)' alive check --quiet '\(path)' && exit 7"
    #expect(try await muster.run("alive", "hold", path, "--", "sh", "-c", check).status == 7)
    #expect(try await muster.run("alive", "check", path).status == 3)
    #expect(try await muster.run("alive", "hold", path, "--", "sh", "-c", "kill -9 $$").status == 137)
    #expect(try await muster.run("alive", "check", path).status == 4)
    #expect(try await muster.run("alive", "hold", path, "--", "no-such-command").status == 127)
    #expect(try await muster.run("alive", "hold", path, "--", "/dev/null").status == 126)
    // Asked to end, the command ends, and that is a clean end.
    let asked = try await muster.run("alive", "hold", path, "--", "sleep", "1000") { process in
      _ = try await muster.run("alive", "wait", path, "--timeout", "60s")
      try await expectEventually { processes(with: "1000").contains { isChild($0, of: process) } }
      kill(process, SIGTERM)
    }
    #expect(asked.status == 143)
    #expect(try await muster.run("alive", "check", path).status == 3)
    let held = try await muster.run("alive", "hold", path) { process in
      _ = try await muster.run("alive", "wait", path, "--timeout", "60s")
      #expect(try await muster.run("alive", "hold", path, "--", "true").status == 125)
      kill(process, SIGINT)
    }
    #expect(held.status == 0)
  }

  @Test(
    "What can't be done is one line and the status 1; a wrong command line 64",
    arguments: [
      (["show", "no-such-region"], 1), (["rm", "no-such-region"], 1), (["barrier", "reset", "no-such-barrier"], 1),
      (["barrier", "wait", "a/b", "--parties", "1"], 1), (["alive", "check", "/no/such/folder/x"], 1),
      (["alive", "hold", "/tmp"], 1), (["alive", "wait", ""], 1), (["show", "../etc/passwd"], 1), (["frob"], 64),
      (["show"], 64), (["rm"], 64), (["barrier", "wait", "x"], 64), (["barrier", "wait", "x", "--parties", "0"], 64),
      (["barrier", "wait", "x", "--parties", "257"], 64),
      (["barrier", "wait", "x", "--parties", "2", "--timeout", "5"], 64),
      (["alive", "hold"], 64), (["alive", "wait", "x", "--timeout", "soon"], 64),
      (["barrier", "wait", "x", "--parties", "2", "--on-death", "weep"], 64),
    ] as [([String], Int32)])
  func wrong(arguments: [String], status: Int32) async throws {
    let outcome = try await muster.run(arguments)
    #expect(outcome.status == status, "\(outcome)")
    #expect(outcome.output == "")
    #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("muster: "), "\(outcome.errors)")
  }

  private func isChild(_ process: Int32, of parent: Int32) -> Bool {
    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/status") else { return false }
    return String(decoding: data, as: UTF8.self).contains("PPid:\t\(parent)\n")
  }
}
