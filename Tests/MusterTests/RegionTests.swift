// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

@Suite("Regions", .timeLimit(.minutes(1)))
struct RegionTests {
  @Test("Who comes first creates and fills, the next attaches to the same memory")
  func rendezvous() async throws {
    try await withName { name in
      let first = try Region(RegionName(name), size: 100, kind: "TEST", version: 3) { bytes in
        bytes.storeBytes(of: 42, as: UInt64.self)
      }
      let second = try Region(RegionName(name), size: 100, kind: "TEST", version: 3) { _ in
        Issue.record("filled twice")
      }
      #expect(first.isCreator && !second.isCreator)
      #expect(first.size == 100 && second.size == 100)
      #expect(try second.withUnsafeBytes { $0.load(as: UInt64.self) } == 42)
      try second.withUnsafeMutableBytes { $0.storeBytes(of: 43, toByteOffset: 8, as: UInt64.self) }
      #expect(try first.withSpan { $0.unsafeLoad(fromByteOffset: 8, as: UInt64.self) } == 43)
      #expect(try first.isCurrent())
    }
  }

  @Test("Another size, kind or version is refused, and the error says which")
  func mismatches() async throws {
    try await withName { name in
      let region = try Region(RegionName(name), size: 64, kind: "ABCD", version: 1)
      defer { region.close() }
      let size = try #require(throws: RegionError.self) {
        try Region(RegionName(name), size: 128, kind: "ABCD", version: 1)
      }
      #expect(size.code == .mismatch)
      #expect(size.mismatch?.property == .size && size.mismatch?.expected == 128 && size.mismatch?.found == 64)
      #expect(size.description.contains("another size (asked for 128, found 64)"))
      #expect(size.description.contains(name))
      let kind = try #require(throws: RegionError.self) {
        try Region(RegionName(name), size: 64, kind: "WXYZ", version: 1)
      }
      #expect(kind.mismatch?.property == .kind)
      #expect(kind.description.contains("it is a region of the kind ABCD, not a region of the kind WXYZ"))
      let version = try #require(throws: RegionError.self) {
        try Region(RegionName(name), size: 64, kind: "ABCD", version: 2)
      }
      #expect(version.mismatch?.property == .version)
    }
  }

  @Test("Names: missing, taken, impossible")
  func names() async throws {
    try await withName { name in
      let missing = try #require(throws: RegionError.self) { try Region.attach(RegionName(name)) }
      #expect(missing.code == .notFound && missing.errno == .noSuchFileOrDirectory && missing.name == name)
      let region = try Region(RegionName(name), size: 8)
      #expect(throws: RegionError.self) { try Region(RegionName(name), size: 8, mode: .create) }
      let bad = try #require(throws: RegionError.self) { try Region("a/b", size: 8) }
      #expect(bad.code == .invalidArgument)
      let cut = try #require(throws: RegionError.self) { try Region(RegionName(name + "\0x"), size: 8) }
      #expect(cut.code == .invalidArgument)
      #expect(try region.isCurrent())
    }
  }

  @Test("Closing twice is closing once; a closed region says so")
  func closing() async throws {
    try await withName { name in
      let region = try Region(RegionName(name), size: 8)
      #expect(try Region.inspect(RegionName(name)).isHeld)
      region.close()
      region.close()
      #expect(try !Region.inspect(RegionName(name)).isHeld)
      let closed = try #require(throws: RegionError.self) { try region.isCurrent() }
      #expect(closed.code == .closed && closed.errno == nil)
      #expect(closed.description == "Can't look up the region “\(name)”: it was closed before.")
      #expect(throws: RegionError.self) { try region.withUnsafeBytes { _ in } }
    }
  }

  @Test("A closure that uses the memory keeps it mapped while another closes")
  func closingInUse() async throws {
    try await withName { name in
      let region = try Region(RegionName(name), size: 8)
      try region.withUnsafeMutableBytes { bytes in
        region.close()
        let isHeld = try Region.inspect(RegionName(name)).isHeld
        #expect(isHeld)
        bytes.storeBytes(of: 7, as: UInt64.self)
        #expect(bytes.load(as: UInt64.self) == 7)
      }
      #expect(try !Region.inspect(RegionName(name)).isHeld)
    }
  }

  @Test("The last reference lets go")
  func lastReference() async throws {
    try await withName { name in
      do {
        let region = try Region(RegionName(name), size: 8)
        #expect(try region.isCurrent())
      }
      #expect(try !Region.inspect(RegionName(name)).isHeld)
    }
  }

  @Test("A read-only attach, and what a look tells")
  func looking() async throws {
    try await withName { name in
      let region = try Region(
        RegionName(name), size: 24, kind: "LOOK", version: 7, layout: 9, permissions: [.ownerReadWrite, .groupRead])
      let reader = try Region.attach(RegionName(name), kind: "LOOK", version: 7, readOnly: true)
      #expect(reader.isReadOnly && reader.size == 24 && !region.isReadOnly)
      let info = try Region.inspect(RegionName(name))
      #expect(info.kind == "LOOK" && info.kind.description == "LOOK" && info.version == 7 && info.layout == 9)
      #expect(info.size == 24 && info.fileSize == 280 && info.isFromThisBoot)
      #expect(info.permissions == [.ownerReadWrite, .groupRead])
      #expect(try Region.list().contains { $0.name == name && $0.kind == "LOOK" })
    }
  }

  @Test("Removal: refused while held, forced, and then the name leads elsewhere")
  func removing() async throws {
    try await withName { name in
      let region = try Region(RegionName(name), size: 8)
      let held = try #require(throws: RegionError.self) { try Region.remove(RegionName(name)) }
      #expect(held.code == .inUse && held.errno == .resourceBusy)
      try Region.remove(RegionName(name), force: true)
      #expect(try !region.isCurrent())
      let gone = try #require(throws: RegionError.self) { try Region.remove(RegionName(name)) }
      #expect(gone.code == .notFound)
    }
  }

  @Test("A file holds what was written to it after all have let go")
  func files() async throws {
    try await withFolder { folder in
      let name = RegionName.file(folder.appending("state"))
      let region = try Region(name, size: 8)
      try region.withUnsafeMutableBytes { $0.storeBytes(of: 5, as: UInt64.self) }
      try region.synchronizeBlocking()
      region.close()
      let again = try Region.attach(name)
      #expect(try again.withUnsafeBytes { $0.load(as: UInt64.self) } == 5)
    }
  }

  @Test("Paths need not be UTF-8: two that differ in such bytes alone are two files")
  func paths() async throws {
    try await withFolder { folder in
      let paths = [0xfe, 0xff].map { byte in
        folder.appending(FilePath.Component(platformString: [CChar(bitPattern: byte), 0])!)
      }
      let first = try Region(.file(paths[0]), size: 8)
      let second = try Region(.file(paths[1]), size: 16)
      #expect(first.isCreator && second.isCreator)
      #expect(try Region.inspect(.file(paths[1])).size == 16)
      for (region, path) in zip([first, second], paths) {
        region.close()
        // A program that another test starts just now holds a copy of the descriptor until it is exec'd.
        try Region.remove(.file(path), force: true)
      }
    }
  }

  @Test("Waiting for a name: it appears, or the deadline passes, or the task is cancelled")
  func waiting() async throws {
    try await withName { name in
      let late = try await #require(throws: RegionError.self) {
        try await Region.attach(RegionName(name), until: .now + .milliseconds(20))
      }
      #expect(late.code == .timedOut)
      let past = try await #require(throws: RegionError.self) { try await Region.attach(RegionName(name), until: .now) }
      #expect(past.code == .timedOut)
      let pastToo = try await #require(throws: RegionError.self) {
        try await blocking { () throws(RegionError) in try Region.attachBlocking(RegionName(name), until: .now) }
      }
      #expect(pastToo.code == .timedOut)
      let task = Task { try await Region.attach(RegionName(name), until: nil).size }
      let cancelled = Task { try await Region.attach(RegionName(name), until: nil).size }
      cancelled.cancel()
      let error = await #expect(throws: RegionError.self) { try await cancelled.value }
      #expect(error?.code == .cancelled)
      let region = try Region(RegionName(name), size: 16)
      #expect(try await task.value == 16)
      #expect(
        try await blocking { () throws(RegionError) in try Region.attachBlocking(RegionName(name), until: nil).size }
          == 16)
      region.close()
    }
  }
}
