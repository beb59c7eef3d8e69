// What `muster` tells of pools.
// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@testable import MusterToolKit

private struct Show: Decodable {
  struct Owner: Decodable {
    var place: Int
    var state: String
    var process: Int32
    var blocks: Int
    var offered: Int
  }

  struct Pool: Decodable {
    var blocks: Int
    var blockSize: Int
    var free: Int
    var owned: Int
    var offered: Int
    var ended: Int
    var living: Int
    var places: Int
    var owners: [Owner]
  }

  struct Region: Decodable {
    var kind: String
  }

  var region: Region
  var pool: Pool?
}

private func shown(_ name: String) async throws -> Show.Pool? {
  let outcome = try await Program.muster.run("show", name, "--json")
  return outcome.status == 0 ? try outcome.json(Show.self).pool : nil
}

@Suite("muster and pools", .timeLimit(.minutes(2)))
struct PoolDetailsTests {
  private static let empty = PoolDetails(
    blocks: 8, blockSize: 64, free: 8, owned: 0, offered: 0, other: 0, ended: 0, places: 4, living: 0, waits: 0,
    owners: [])

  @Test("show: a pool that is in use, and of which a member died")
  func details() {
    var details = Self.empty
    details.free = 2
    details.owned = 4
    details.offered = 1
    details.other = 1
    details.ended = 3
    details.living = 1
    details.waits = 12
    details.blockSize = 4096
    details.owners = [
      .init(place: 0, state: .alive, process: 100, blocks: 2, offered: 1),
      .init(place: 12, state: .dead, process: 2000, blocks: 3, offered: 0),
    ]
    #expect(
      ObjectDetails.pool(details).lines() == [
        "blocks    8 of 4.0 KiB",
        "use       2 free, 4 owned, 1 offered, 1 in other hands",
        "ended     3 to take back from the dead",
        "members   1 of 4",
        "waits     12 for a block so far",
        "",
        "PLACE  STATE   PID  BLOCKS  OFFERED",
        "    0  alive   100       2        1",
        "   12  dead   2000       3        0",
      ])
  }

  @Test("show: a pool that nobody uses")
  func nobody() {
    #expect(
      Self.empty.lines() == [
        "blocks    8 of 64 B", "use       8 free", "ended     nothing to take back", "members   0 of 4",
        "waits     0 for a block so far", "", "nobody has joined",
      ])
  }

  @Test("ls and show tell of the owners of a pool from outside, alive and dead, and take nothing back")
  func fromOutside() async throws {
    let name = testName("pool")
    defer { try? Region.remove(RegionName(name), force: true) }
    let pool = try Pool(RegionName(name), blockSize: 512, blocks: 8, members: 4)
    let block = try await pool.allocate()
    let ended = try await Program.peer.run("hold-pool", name, "3") { process in
      try await expectEventually {
        try await shown(name)?.owners.contains { $0.process == process && $0.offered == 1 } == true
      }
      let pool = try #require(try await shown(name))
      #expect(pool.living == 2 && pool.free == 4 && pool.owned == 3 && pool.offered == 1 && pool.ended == 0)
      kill(process, SIGKILL)
    }
    #expect(ended.signal == SIGKILL)
    for _ in 0..<2 {
      let show = try await Program.muster.run("show", name, "--json").json(Show.self)
      let seen = try #require(show.pool)
      #expect(show.region.kind == "pool" && seen.blocks == 8 && seen.blockSize == 512 && seen.places == 4)
      #expect(seen.free == 4 && seen.ended == 3 && seen.living == 1)
      #expect(seen.owners.map(\.state) == ["alive", "dead"] && seen.owners.map(\.blocks) == [1, 3])
      #expect(seen.owners.first?.process == getpid() && seen.owners.map(\.place) == [0, 1])
    }
    let text = try await Program.muster.run("show", name)
    #expect(text.status == 0 && text.output.contains("\nended     3 to take back from the dead\n"), "\(text)")
    let table = try await Program.muster.run("ls")
    #expect(table.output.split(separator: "\n").contains { $0.hasPrefix("pool ") && $0.hasSuffix(name) })
    try pool.reclaim()
    let left = try #require(try await shown(name))
    #expect(left.free == 7 && left.ended == 0 && left.owners.map(\.place) == [0])
    #expect(block.size == 512)
  }
}
