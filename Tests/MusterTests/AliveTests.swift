// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Alive", .timeLimit(.minutes(1)))
struct AliveTests {
  @Test("Held while its owner lives, gone after a clean end")
  func cleanLife() async throws {
    try await withFolder { folder in
      let path = folder.appending("a")
      #expect(try Alive.probe(path) == .nothing)
      let alive = try Alive(path) { found in Issue.record("unexpected: \(found)") }
      #expect(alive.found == .nothing)
      guard case .held(let owner?) = try Alive.probe(path) else {
        Issue.record("not held")
        return
      }
      #expect(owner.pid == getpid() && owner.start > 0 && owner.since > .zero)
      let held = try #require(throws: AliveError.self) { try Alive(path) }
      #expect(held.code == .held && held.holder?.pid == getpid() && held.errno == .resourceBusy)
      #expect(held.description == "Can't acquire the Alive file “\(path)”: process \(getpid()) holds it.")
      #expect(try alive.isCurrent())
      alive.close()
      alive.close()
      #expect(access(path.string, F_OK) == -1)
      #expect(throws: AliveError.self) { try alive.isCurrent() }
      let twice = try #require(throws: AliveError.self) { try alive.release() }
      #expect(twice.code == .closed)
    }
  }

  @Test("The last reference is a clean end; abandoning is a crash")
  func endings() async throws {
    try await withFolder { folder in
      let path = folder.appending("a")
      do {
        let alive = try Alive(path)
        #expect(try alive.isCurrent())
      }
      #expect(try Alive.probe(path) == .nothing)
      try Alive(path).abandon()
      #expect(try Alive.probe(path).isUnexpectedShutdown)
      var told: [AliveFound] = []
      let next = try Alive(path) { told.append($0) }
      #expect(told == [next.found] && next.found.owner?.pid == getpid())
      try next.release()
      #expect(try Alive.probe(path) == .nothing)
    }
  }

  @Test("A killed owner is told as a crash, and who waits for its death learns of it")
  func crash() async throws {
    try await withFolder { folder in
      try await withName { name in
        let path = folder.appending("a")
        let seen = try Barrier(name, parties: 2)
        async let child = run(builtProgram("muster-peer"), ["die-alive", path.string, name])
        let holder = try await Alive.waitUntilHeld(path)
        async let death = Alive.waitForDeath(path)
        try await seen.wait()
        #expect(try await child.status == -SIGKILL)
        guard case .crash(let owner?) = try await death else {
          Issue.record("no crash")
          return
        }
        #expect(owner.pid != getpid() && owner == holder)
        var told: AliveFound?
        let alive = try Alive(path) { told = $0 }
        #expect(told == .crash(owner))
        alive.close()
      }
    }
  }

  @Test("Acquiring waits for the owner to end; deadlines and cancellation end the waiting")
  func waiting() async throws {
    try await withFolder { folder in
      let path = folder.appending("a")
      let alive = try Alive(path)
      let late = try await #require(throws: AliveError.self) {
        try await Alive.acquire(path, until: .now + .milliseconds(20))
      }
      #expect(late.code == .timedOut && late.holder?.pid == getpid())
      let death = try await #require(throws: AliveError.self) {
        try await Alive.waitForDeath(path, until: .now + .milliseconds(20))
      }
      #expect(death.code == .timedOut)
      let cancelled = Task { try await Alive.acquire(path, until: nil).found }
      cancelled.cancel()
      let error = try await #require(throws: AliveError.self) { try await cancelled.value }
      #expect(error.code == .cancelled)
      let next = Task { try await Alive.acquire(path, until: nil) }
      let blocked = Task {
        try await blocking { () throws(AliveError) in try Alive.waitForDeathBlocking(folder.appending("none")) }
      }
      #expect(try await blocked.value == .nothing)
      try await Task.sleep(for: .milliseconds(20))
      alive.close()
      #expect(try await next.value.found == .nothing)
      let missing = try await #require(throws: AliveError.self) {
        try await Alive.waitUntilHeld(folder.appending("b"), until: .now + .milliseconds(20))
      }
      #expect(missing.code == .timedOut && missing.holder == nil)
    }
  }

  @Test("The blocking forms")
  func blockingForms() async throws {
    try await withFolder { folder in
      let path = folder.appending("a")
      let alive = try Alive(path)
      let owner = try await blocking { () throws(AliveError) in try Alive.waitUntilHeldBlocking(path) }
      #expect(owner?.pid == getpid())
      let late = try await #require(throws: AliveError.self) {
        try await blocking { () throws(AliveError) in
          try Alive.acquireBlocking(path, until: .now + .milliseconds(10)).close()
        }
      }
      #expect(late.code == .timedOut)
      alive.close()
      try await blocking { () throws(AliveError) in try Alive.acquireBlocking(path, until: nil).close() }
    }
  }

  @Test("Paths that can't be an Alive file, and what the errors say")
  func badPaths() async throws {
    try await withFolder { folder in
      let isFolder = try #require(throws: AliveError.self) { try Alive(folder) }
      #expect(isFolder.code == .notAFile && isFolder.errno == .isDirectory)
      let link = folder.appending("link")
      #expect(symlink("a", link.string) == 0)
      #expect(try #require(throws: AliveError.self) { try Alive(link) }.code == .notAFile)
      let none = try #require(throws: AliveError.self) { try Alive(folder.appending("none").appending("a")) }
      #expect(none.code == .noFolder && none.description.contains("its folder does not exist. Create it first."))
      let other = folder.appending("other")
      let file = try FileDescriptor.open(other, .writeOnly, options: .create, permissions: .ownerReadWrite)
      try file.closeAfter { _ = try file.writeAll("a letter".utf8) }
      let letter = try #require(throws: AliveError.self) { try Alive(other) }
      #expect(letter.code == .notAnAliveFile && letter.description.contains("“\(other)”"))
    }
  }

  @Test("An owner whose file somebody replaced can tell")
  func replaced() async throws {
    try await withFolder { folder in
      let path = folder.appending("a")
      let alive = try Alive(path)
      #expect(unlink(path.string) == 0)
      #expect(try !alive.isCurrent())
      let error = try #require(throws: AliveError.self) { try alive.release() }
      #expect(error.code == .replaced)
    }
  }
}
