// muster checkpoint, ls and show, on checkpoints that these tests, or processes that they kill, have made.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private struct Shown: Decodable {
  struct State: Decodable {
    var sequence: UInt64
    var epoch: UInt64
    var length: Int
    var checksum: String
    var isWhole: Bool
    var restored: UInt64?
  }

  var history: Int
  var capacity: Int
  var epoch: UInt64
  var writer: Int32?
  var isWriterDead: Bool
  var states: [State]
}

private struct ShownRegion: Decodable {
  struct Region: Decodable { var kind: String }
  var region: Region
  var checkpoint: Shown?
}

private struct ShownState: Decodable {
  var state: Shown.State
  var text: String?
  var hex: String?
}

private struct RolledBack: Decodable {
  var restored: UInt64
  var sequence: UInt64
  var epoch: UInt64
  var fenced: Int32?
}

private let muster = Program.muster

private func shown(_ name: String) async throws -> Shown {
  try await muster.run("checkpoint", "show", name, "--json").json(Shown.self)
}

/// A checkpoint of this process, which is its writer, with these states.
private func checkpoint(_ place: RegionName, _ states: [String]) throws -> Checkpoint<[UInt8]> {
  let made = try Checkpoint(place, history: 2, capacity: 64, coding: .bytes)
  try made.takeOver()
  for state in states { try made.save(Array(state.utf8)) }
  return made
}

@Suite("muster checkpoint", .serialized)
struct CheckpointProgramTests {
  @Test("ls and show tell of a checkpoint; checkpoint show of its states, as text, bytes and JSON")
  func show() async throws {
    let name = testName("checkpoint-show")
    defer { try? Region.remove(RegionName(name), force: true) }
    let own = try checkpoint(RegionName(name), ["gone", "one", "two\nlines", "\u{1}\u{FF}"])
    #expect(try await muster.run("ls").output.contains("checkpoint "))
    let region = try await muster.run("show", name, "--json").json(ShownRegion.self)
    #expect(region.region.kind == "checkpoint" && region.checkpoint?.states.map(\.sequence) == [4, 3, 2])
    let all = try await shown(name)
    #expect(all.history == 2 && all.capacity == 64 && all.epoch == 1 && all.writer == getpid() && !all.isWriterDead)
    #expect(all.states.map(\.length) == [3, 9, 3] && all.states.allSatisfy { $0.isWhole && $0.epoch == 1 })
    let table = try await muster.run("checkpoint", "show", name)
    #expect(table.output.contains("SEQUENCE") && table.output.contains("writer    pid \(getpid()), alive\n"))
    let text = try await muster.run("checkpoint", "show", name, "3")
    #expect(text.output.hasPrefix("sequence  3\n") && text.output.hasSuffix("\n\ntwo\nlines\n"))
    let hex = try await muster.run("checkpoint", "show", name, "4")
    #expect(hex.output.contains("\n00000000  01 c3 bf"))
    #expect(try await muster.run("checkpoint", "show", name, "2", "--raw").output == "one")
    #expect(try await muster.run("checkpoint", "show", name, "--raw").output == "\u{1}\u{FF}")
    let one = try await muster.run("checkpoint", "show", name, "2", "--json").json(ShownState.self)
    #expect(one.text == "one" && one.hex == nil && one.state.sequence == 2 && one.state.checksum.count == 8)
    #expect(try await muster.run("checkpoint", "show", name, "4", "--json").json(ShownState.self).hex == "01c3bf")
    // Looking has fenced nobody.
    #expect(own.isWriter)
  }

  @Test("rollback leaves a living writer alone, unless it is forced: then that one is fenced")
  func living() async throws {
    let name = testName("checkpoint-living")
    defer { try? Region.remove(RegionName(name), force: true) }
    let own = try checkpoint(RegionName(name), ["a", "b", "c"])
    let refused = try await muster.run("checkpoint", "rollback", name, "2")
    #expect(
      refused.status == 1
        && refused.errors.hasPrefix("muster: \(name): pid \(getpid()) is its writer and lives; --force"))
    #expect(refused.errorLines.count == 1)
    #expect(own.isWriter && own.epoch == 1)
    // What can't be done is refused before anybody is fenced.
    let absent = try await muster.run("checkpoint", "rollback", name, "9", "--force")
    #expect(absent.status == 1 && absent.errors.contains("state 9 is not among those that it keeps: 1 to 3"))
    #expect(own.isWriter)
    let done = try await muster.run("checkpoint", "rollback", name, "1", "--force", "--json").json(RolledBack.self)
    #expect(done.restored == 1 && done.sequence == 4 && done.epoch == 2 && done.fenced == getpid())
    let fenced = try #require(throws: CheckpointError.self) { try own.save([]) }
    #expect(fenced.code == .fenced && fenced.epoch == 2)
    #expect(try own.read()?.state == Array("a".utf8) && own.read()?.record.restored == 1)
    let after = try await shown(name)
    #expect(after.writer == nil && after.states.map(\.restored) == [1, nil, nil])
  }

  @Test("A killed writer is told as dead, and rolled back without force; what was printed is what happened")
  func dead() async throws {
    let name = testName("checkpoint-dead")
    defer { try? Region.remove(RegionName(name), force: true) }
    let writer = try await Program.peer.run("keep-saving", name) { process in
      // What is looked at is not there at first.
      try await expectEventually { try (try? Checkpoint.look(RegionName(name)))?.read()?.sequence ?? 0 > 10 }
      kill(process, SIGKILL)
    }
    #expect(writer.signal == SIGKILL, "\(writer)")
    let left = try await shown(name)
    #expect(left.isWriterDead && left.writer != nil && left.epoch == 1)
    let second = try #require(left.states.dropFirst().first)
    let outcome = try await muster.run("checkpoint", "rollback", name, "\(second.sequence)")
    #expect(outcome.output == "state \(left.states[0].sequence + 1) has the contents of \(second.sequence); epoch 2\n")
    #expect(try await shown(name).states.first?.checksum == second.checksum)
  }

  @Test("A path is a file's checkpoint; a torn state is told, and not rolled back to")
  func file() async throws {
    let folder = "/tmp/" + testName("checkpoint-folder")
    mkdir(folder, 0o700)
    let path = folder + "/job"
    defer {
      unlink(path)
      rmdir(folder)
    }
    let own = try checkpoint(.file(FilePath(path)), ["first---", "second--"])
    own.close()
    try Region.attach(.file(FilePath(path))).withUnsafeMutableBytes { bytes in
      let place = (0..<bytes.count - 8).first { start in bytes[start..<start + 8].elementsEqual("second--".utf8) }
      bytes[try #require(place)] ^= 1
    }
    let all = try await shown(path)
    #expect(all.writer == nil && all.states.map(\.isWhole) == [false, true])
    #expect(try await muster.run("checkpoint", "show", path).output.contains("torn"))
    #expect(try await muster.run("checkpoint", "show", path, "--raw").output == "first---")
    let torn = try await muster.run("checkpoint", "rollback", path, "2")
    #expect(torn.status == 1 && torn.errors.contains("state 2 is torn or corrupt"))
    #expect(try await shown(path).epoch == 1)
    #expect(try await muster.run("checkpoint", "rollback", path, "1").status == 0)
    #expect(try await muster.run("checkpoint", "show", path, "--raw").output == "first---")
  }

  @Test(
    "What can't be done is one line and the status 1; a wrong command line 64",
    arguments: [
      (["show", "no-such-checkpoint"], 1), (["show", "/no/such/file"], 1), (["show", "/tmp/"], 1),
      (["rollback", "no-such-checkpoint", "1"], 1), (["show"], 64), (["rollback", "x"], 64), (["show", "x", "y"], 64),
      (["show", "x", "--raw", "--json"], 64), (["rollback", "x", "-1"], 64),
    ] as [([String], Int32)])
  func wrong(arguments: [String], status: Int32) async throws {
    let outcome = try await muster.run(["checkpoint"] + arguments)
    #expect(outcome.status == status && outcome.output == "", "\(outcome)")
    #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("muster: "), "\(outcome.errors)")
  }

  @Test("Nothing saved yet; another kind of region")
  func others() async throws {
    let name = testName("checkpoint-empty")
    defer { for end in ["", ".group"] { try? Region.remove(RegionName(name + end), force: true) } }
    let empty = try Checkpoint(RegionName(name), history: 2, capacity: 8, coding: .bytes)
    #expect(
      try await muster.run("checkpoint", "show", name).output.hasSuffix("writer    nobody\n\nnothing was saved yet\n"))
    let raw = try await muster.run("checkpoint", "show", name, "--raw")
    #expect(raw.status == 1 && raw.errors == "muster: \(name): nothing was saved yet\n")
    let group = try Muster.Group(name + ".group", capacity: 2)
    let other = try await muster.run("checkpoint", "show", name + ".group")
    #expect(other.status == 1 && other.errors.contains("another kind"), "\(other.errors)")
    withExtendedLifetime((empty, group)) {}
  }
}
