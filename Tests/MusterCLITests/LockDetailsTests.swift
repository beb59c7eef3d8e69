// What `muster` tells of locks.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@testable import MusterToolKit

private struct Show: Decodable {
  struct Holder: Decodable {
    var place: Int?
    var state: String
    var process: Int32?
    var heldSeconds: Double?
  }

  struct Lock: Decodable {
    var capacity: Int?
    var condition: String
    var holder: Holder?
    var lastDeath: Int32?
    var readers: [Holder]
  }

  struct Region: Decodable {
    var kind: String
    var isHeld: Bool
  }

  var region: Region
  var lock: Lock?
}

@Suite("muster and locks", .timeLimit(.minutes(2)))
struct LockDetailsTests {
  @Test("show: a mutex that is held, and one that was poisoned")
  func mutex() {
    let held = LockDetails.Holder(state: .alive, process: 100, thread: 101, heldSeconds: 3.4)
    #expect(
      ObjectDetails.lock(LockDetails(condition: .whole, holder: held, readers: [])).lines() == [
        "lock      mutex", "holder    pid 100, 3 s ago", "condition whole",
      ])
    #expect(
      ObjectDetails.lock(LockDetails(condition: .poisoned, lastDeath: 7, readers: [])).lines() == [
        "lock      mutex", "holder    nobody", "condition poisoned, until it is reset",
        "died      pid 7 was the last to die holding it",
      ])
    let unknown = LockDetails.Holder(state: .dead, thread: 0)
    #expect(
      LockDetails(condition: .unrepaired, holder: unknown, readers: []).lines()[1...] == [
        "holder    one that is not known yet, dead", "condition unrepaired: the next to lock is told",
      ])
  }

  @Test("show: a read-write lock with its readers")
  func readWrite() {
    let readers = [
      LockDetails.Holder(place: 0, state: .alive, process: 100, thread: 101, heldSeconds: 90),
      LockDetails.Holder(place: 3, state: .dead, process: 2000, thread: 2001, heldSeconds: 4000),
    ]
    #expect(
      LockDetails(capacity: 4, condition: .whole, readers: readers).lines() == [
        "lock      read-write", "capacity  4", "writer    nobody", "condition whole", "",
        "PLACE  STATE   PID  THREAD  SINCE",
        "    0  alive   100     101  1 min",
        "    3  dead   2000    2001    1 h",
      ])
    #expect(LockDetails(capacity: 4, condition: .whole, readers: []).lines().suffix(2) == ["", "nobody reads"])
  }

  @Test("ls and show tell of a lock in use, and of one whose holder was killed")
  func fromOutside() async throws {
    let name = testName("locks")
    defer {
      try? Region.remove(RegionName(name), force: true)
      try? Region.remove(RegionName(name + "-rw"), force: true)
    }
    let mutex = try RobustMutex(name)
    await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
      let mutex = try RobustMutex(name)
      try await mutex.withLock { _ = kill(getpid(), SIGKILL) }
    }
    let show = try await Program.muster.run("show", name, "--json").json(Show.self)
    #expect(show.region.kind == "lock" && show.region.isHeld)
    let lock = try #require(show.lock)
    #expect(lock.condition == "unrepaired" && lock.capacity == nil && lock.readers.isEmpty)
    #expect(lock.holder?.state == "dead" && lock.holder?.process != nil && lock.holder?.process != getpid())
    try await mutex.withLock(repair: { _ in }) {}
    let repaired = try await Program.muster.run("show", name)
    #expect(repaired.output.contains("condition whole\ndied      pid \(lock.holder?.process ?? 0) was the last"))
    #expect(try await Program.muster.run("ls").output.contains("lock"))

    let readWrite = try RobustReadWriteLock(name + "-rw", capacity: 2)
    let entry = try Registry.inspect(name + "-rw")
    let read = try readWrite.withReadLockIfAvailable { Registry.details(entry) }
    guard case .lock(let details)? = read else {
      Issue.record("\(String(describing: read))")
      return
    }
    #expect(details.capacity == 2 && details.holder == nil && details.readers.map(\.process) == [getpid()])
    #expect(details.readers.first?.place == 0 && details.readers.first?.heldSeconds != nil)
    let written = try readWrite.withWriteLockIfAvailable { Registry.details(entry) }
    guard case .lock(let writing)? = written else {
      Issue.record("\(String(describing: written))")
      return
    }
    #expect(writing.holder?.process == getpid() && writing.holder?.state == .alive && writing.readers.isEmpty)
  }

  @Test("reset takes poison off a mutex and a read-write lock; what is no lock is told")
  func reset() async throws {
    let name = testName("poisoned")
    defer {
      for end in ["", "-rw", "-ring"] { try? Region.remove(RegionName(name + end), force: true) }
    }
    struct CannotRepair: Error {}
    let mutex = try RobustMutex(name)
    let readWrite = try RobustReadWriteLock(name + "-rw", capacity: 2)
    await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
      try await RobustMutex(name).withLock { _ = kill(getpid(), SIGKILL) }
    }
    await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
      let readWrite = try RobustReadWriteLock(name + "-rw", capacity: nil, mode: .attach)
      try await readWrite.withWriteLock { _ = kill(getpid(), SIGKILL) }
    }
    await #expect(throws: LockError.self) { try await mutex.withLock(repair: { _ in throw CannotRepair() }) {} }
    await #expect(throws: LockError.self) {
      try await readWrite.withWriteLock(repair: { _ in throw CannotRepair() }) {}
    }
    #expect(try mutex.isPoisoned && readWrite.isPoisoned)
    for end in ["", "-rw"] {
      let outcome = try await Program.muster.run("lock", "reset", name + end)
      #expect(outcome.status == 0 && outcome.output.isEmpty && outcome.errors.isEmpty, "\(outcome)")
      #expect(try LockState.look(name + end).condition == .unrepaired)
    }
    // What is not poisoned stays as it is, and the next to come repairs it.
    #expect(try await Program.muster.run("lock", "reset", name).status == 0)
    try await mutex.withLock(repair: { _ in }) {}
    try await readWrite.withWriteLock(repair: { _ in }) {}
    let missing = try await Program.muster.run("lock", "reset", name + "-none")
    #expect(missing.status == 1 && missing.errors == "muster: \(name)-none: no such lock\n")
    let ring = try RingWriter(RegionName(name + "-ring"), capacity: 4096)
    defer { ring.close() }
    let other = try await Program.muster.run("lock", "reset", name + "-ring")
    #expect(other.status == 1 && other.errors.contains("it is a ring, not a lock"), "\(other)")
  }
}
