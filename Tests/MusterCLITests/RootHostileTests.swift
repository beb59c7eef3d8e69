// What anybody may have written into the region of a root: it is looked at, or refused, and never more than that.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import Testing

@testable import MusterToolKit

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

@Suite("Roots whose memory is not to be trusted", .timeLimit(.minutes(3)))
struct RootHostileTests {
  /// What `muster root status` and `show` do, as often as they like.
  private static func look(_ name: String) throws -> RootDetails? {
    guard let observer = try? RootObserver(name, anyOwner: true) else { return nil }
    defer { observer.close() }
    _ = try? observer.read(DaemonReference<Pair>("steady"))
    guard let details = try? RootDetails(observer) else { return nil }
    let lines = details.lines()
    #expect(!lines.contains { $0.utf8.contains { $0 < 32 } })
    let text = try json(details, isCompact: true)
    #expect(!text.utf8.contains { $0 < 32 })
    #expect(try JSONDecoder().decode(Read.self, from: Data(text.utf8)).daemons.count == details.daemons.count)
    return details
  }

  private struct Read: Decodable {
    struct Daemon: Decodable {
      var name: String
    }

    var daemons: [Daemon]
  }

  private struct Pair: SharedPayload {
    static let payloadLayout: UInt32 = 1
    var up: Int
    var down: Int
  }

  /// The bytes that anything reads: of the first page head and rows, of each other as much as the head of an arena, or a desk, takes.
  private static func used(_ page: Int) -> Int { page == 0 ? 1024 + 3 * 512 : 64 }

  @Test("Each byte of head, rows, arenas and desks as it is not: told or refused, and valid JSON")
  func eachByte() async throws {
    let name = testName("root-hostile")
    let copy = "/dev/shm/\(name)-copy"
    defer { unlink(copy) }
    defer { try? Region.remove(RegionName(name), force: true) }
    _ = try await Program.rootPeer.run("board", name) { process in
      defer { kill(process, SIGTERM) }
      try await expectEventually {
        guard let daemons = try? RootObserver(name).daemons() else { return false }
        return daemons[0].newestCheckpoint == 1 && daemons[1].starts == 2 && daemons[2].phase == .givenUp
      }
      try FileManager.default.copyItem(atPath: "/dev/shm/\(name)", toPath: copy)
      chmod(copy, 0o600)
    }
    let file = open(copy, O_RDWR)
    defer { close(file) }
    let size = Int(lseek(file, 0, SEEK_END))
    let map = try #require(mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0))
    defer { munmap(map, size) }
    let bytes = map.assumingMemoryBound(to: UInt8.self)
    #expect(try Self.look("\(name)-copy")?.daemons.count == 3)
    var told = 0
    for page in stride(from: 0, to: size, by: 4096) {
      for place in page..<page + Self.used(page) {
        let before = bytes[place]
        bytes[place] = before == 0 ? 0xff : [0, 0xff, before ^ 1, before ^ 0x80][place % 4]
        if try Self.look("\(name)-copy") != nil { told += 1 }
        bytes[place] = before
      }
      await Task.yield()
    }
    #expect(told > 1000)
  }
}
