// SPDX-License-Identifier: Apache-2.0
import Muster
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

private struct Root: Decodable {
  struct Daemon: Decodable {
    struct Death: Decodable {
      var cause: String
      var exitStatus: Int32?
      var signal: Int32?
    }

    struct Transactions: Decodable {
      var begun: Int
      var committed: Int
      var crashed: Int
    }

    var name: String
    var phase: String
    var process: Int32?
    var starts: Int
    var rung: String
    var death: Death?
    var heartbeatSeconds: Double?
    var newestCheckpoint: Int?
    var memory: Int?
    var transactions: Transactions
  }

  var name: String
  var state: String
  var process: Int32
  var running: Int
  var givenUp: Int
  var daemons: [Daemon]
}

private let muster = Program.muster

/// A root with a daemon that lives and has had transactions, one that crashed once, one that is given up. `body` ends it.
private func withRoot(
  _ purpose: String, _ body: @escaping @Sendable (String, Int32) async throws -> Void
) async throws {
  let name = testName(purpose)
  defer { try? Region.remove(RegionName(name), force: true) }
  let outcome = try await Program.rootPeer.run("board", name) { process in
    do {
      try await expectEventually {
        guard let observer = try? RootObserver(name), let daemons = try? observer.daemons() else { return false }
        return daemons[0].newestCheckpoint == 1 && daemons[1].starts == 2 && daemons[2].phase == .givenUp
      }
      try await body(name, process)
    } catch {
      kill(process, SIGKILL)
      throw error
    }
  }
  #expect(outcome.status == 0 || outcome.signal == SIGKILL, "\(outcome.errors)")
}

@Suite("muster root, from outside", .serialized, .timeLimit(.minutes(3)))
struct RootProgramTests {
  @Test("status tells of the daemons and their deaths, for people and as JSON; ls and show know the kind")
  func status() async throws {
    try await withRoot("root-status") { name, process in
      let outcome = try await muster.run("root", "status", name, "--json")
      #expect(outcome.status == 0, "\(outcome.errors)")
      let root = try outcome.json(Root.self)
      #expect(root.name == name && root.state == "running" && root.process == process)
      #expect(root.running == 2 && root.givenUp == 1)
      let (steady, clumsy, doomed) = (root.daemons[0], root.daemons[1], root.daemons[2])
      #expect(steady.name == "steady" && steady.phase == "running" && steady.starts == 1 && steady.death == nil)
      #expect(steady.heartbeatSeconds == 30 && steady.newestCheckpoint == 1)
      #expect((steady.memory ?? 0) > 0 && doomed.memory == nil)
      let transactions = steady.transactions
      #expect(transactions.begun == 2 && transactions.committed == 1 && transactions.crashed == 1)
      #expect(clumsy.starts == 2 && clumsy.process != nil && clumsy.death?.signal == SIGKILL)
      #expect(doomed.phase == "given up" && doomed.process == nil && doomed.death?.exitStatus == 7)
      #expect(doomed.death?.cause == "exited with 7" && doomed.rung == "given up")

      let plain = try await muster.run("root", "status", name)
      let lines = plain.output.split(separator: "\n")
      #expect(plain.status == 0 && !plain.output.contains("\u{1B}"))
      #expect(lines[0] == "root      \(name)" && lines[1].hasPrefix("state     running, pid \(process), for "))
      #expect(lines[4] == "daemons   2 of 3 running, 1 given up")
      #expect(lines[5].hasPrefix("DAEMON") && lines[7].contains("killed by SIGKILL"))
      #expect(lines[8].hasPrefix("doomed  given up"))

      let shown = try await muster.run("show", name)
      #expect(shown.status == 0 && shown.output.contains("kind      root\n"))
      #expect(shown.output.contains("doomed  given up"))
      let listed = try await muster.run("ls").output.split(separator: "\n")
      #expect(listed.contains { $0.hasPrefix("root ") && $0.hasSuffix(" \(name)") })
      kill(process, SIGTERM)
    }
  }

  @Test("--watch goes on until the root is gone, and says how it went")
  func watch() async throws {
    try await withRoot("root-watch") { name, process in
      // The root is ended when the first picture is there.
      let script = #"""
        { "$muster" root status "$name" --watch --json --interval 10ms; echo $?; } |
          { read -r first; kill -TERM "$root"; echo "$first"; cat; }
        """#
      let outcome = try await Program(path: "/bin/sh").run(
        ["-c", script], environment: ["muster": muster.path, "name": name, "root": "\(process)"])
      #expect(outcome.errors == "muster: \(name): the root has ended\n")
      var lines = outcome.output.split(separator: "\n")
      #expect(lines.popLast() == "3")
      let pictures = try lines.map { try JSONDecoder().decode(Root.self, from: Data($0.utf8)) }
      #expect(pictures.last?.state == "ended" && pictures.last?.daemons[0].death?.cause == "stopped")
      #expect(pictures.dropLast().allSatisfy { $0.state == "running" || $0.state == "stopping" })
    }
  }

  @Test("A root that was killed: what was there last, and what to do")
  func killed() async throws {
    try await withRoot("root-killed") { name, process in
      kill(process, SIGKILL)
      // Its daemons hold the region for a moment longer.
      try await expectEventually { try !Region.inspect(RegionName(name)).isHeld }
      let outcome = try await muster.run("root", "status", name)
      #expect(outcome.status == 3)
      #expect(outcome.output.contains("state     killed, it was pid \(process): this is what was there last\n"))
      #expect(outcome.output.contains("steady  gone"))
      let advice = "start it again, or remove what it left: muster rm \(name)"
      #expect(outcome.errors == "muster: \(name): the root was killed, and its daemons with it; \(advice)\n")
      #expect(try await muster.run("rm", name).status == 0)
    }
  }

  @Test("A root that has ended is told as such, also where its program goes on; --watch ends")
  func lingering() async throws {
    let name = testName("root-linger")
    defer { try? Region.remove(RegionName(name), force: true) }
    _ = try await Program.rootPeer.run("linger", name) { process in
      defer { kill(process, SIGKILL) }
      try await expectEventually { (try? RootObserver(name).daemon(0).phase) == .ended }
      #expect(try RootObserver(name).root().isAlive)
      let outcome = try await muster.run("root", "status", name, "--watch")
      #expect(outcome.status == 3 && outcome.output.contains("state     ended: this is what was there last\n"))
      #expect(outcome.errors == "muster: \(name): the root has ended\n")
    }
  }

  @Test("A root of another user is looked at by who may read it", .enabled(if: getuid() == 0))
  func anotherUsers() async throws {
    try await withRoot("root-other") { name, process in
      #expect(chown("/dev/shm/\(name)", 65534, 65534) == 0)
      let outcome = try await muster.run("root", "status", name)
      #expect(outcome.status == 0 && outcome.output.contains("daemons   2 of 3 running"), "\(outcome.errors)")
      #expect(try await muster.run("show", name).output.contains("steady  running"))
      #expect(chown("/dev/shm/\(name)", 0, 0) == 0)
      kill(process, SIGTERM)
    }
  }

  @Test("What is no root is named, and what is not there")
  func others() async throws {
    let name = testName("root-none")
    let missing = try await muster.run("root", "status", name)
    #expect(missing.status == 1)
    #expect(missing.errors == "muster: \(name): no such root; muster ls shows what there is\n")
    let counters = try CounterRegion(name, counters: ["one"])
    defer { try? Region.remove(RegionName(name), force: true) }
    let other = try await muster.run("root", "status", name)
    #expect(other.status == 1)
    #expect(other.errors == "muster: \(name): no root, but of kind counters; muster show \(name) tells of it\n")
    counters.close()
    #expect(try await muster.run("root", "status", name, "--interval", "1s").status == 64)
    #expect(try await muster.run("root", "status", name, "--watch", "--interval", "1us").status == 64)
  }
}
