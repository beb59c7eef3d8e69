// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Groups", .timeLimit(.minutes(1)))
struct GroupTests {
  @Test("Joining, asking who is there, leaving")
  func membership() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      let other = try Muster.Group(name, capacity: nil, mode: .attach)
      #expect(other.capacity == 2)
      let before = group.roster
      #expect(try group.join() == 0)
      #expect(group.roster != before)
      #expect(try other.join() == 1)
      #expect(try group.members().map(\.state) == [.alive, .alive])
      #expect(try group.member(1).pid == getpid() && group.member(1).incarnation == 1)
      #expect(code { () throws(GroupError) in try group.join() } == .alreadyJoined)
      let third = try Muster.Group(name, capacity: 2)
      let full = try #require(throws: GroupError.self) { try third.join() }
      #expect(full.code == .full)
      #expect(full.description == "Can't join the group “\(name)”: all its places are held by living members.")
      try other.leave()
      #expect(try Muster.Group.look(name).map(\.state) == [.alive, .left])
      #expect(code { () throws(GroupError) in try other.leave() } == .invalidArgument)
      try group.freeDead()
      #expect(try group.member(1).state == .free)
      #expect(code { () throws(GroupError) in try group.member(2) } == .invalidArgument)
      #expect(code { () throws(GroupError) in try group.member(-1) } == .invalidArgument)
    }
  }

  @Test("Closing leaves, twice is once, and the object says that it is closed")
  func closing() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      let other = try Muster.Group(name, capacity: 2)
      try other.join()
      other.close()
      other.close()
      #expect(try group.member(0).state == .left)
      #expect(code { () throws(GroupError) in try other.join() } == .closed)
      #expect(code { () throws(GroupError) in try other.members() } == .closed)
      #expect(other.roster == 0)
      let error = try await #require(throws: GroupError.self) { try await other.waitForChange(since: 0) }
      #expect(error.code == .closed)
    }
  }

  @Test("Openings that can't be")
  func refusals() async throws {
    try await withName { name in
      for capacity in [0, -1, 257] {
        #expect(code { () throws(GroupError) in try Muster.Group(name, capacity: capacity) } == .invalidArgument)
      }
      #expect(code { () throws(GroupError) in try Muster.Group(name, capacity: nil, mode: .attach) } == .notFound)
      let group = try Muster.Group(name, capacity: 3)
      let mismatch = try #require(throws: GroupError.self) { try Muster.Group(name, capacity: 4) }
      #expect(mismatch.code == .mismatch && mismatch.mismatch != nil)
      #expect(group.capacity == 3)
      let barrier = try #require(throws: BarrierError.self) { try Barrier(name, parties: 3) }
      #expect(barrier.code == .mismatch && barrier.mismatch?.property == .kind)
    }
  }

  @Test("Waiters, as many as one likes of one object, see a join")
  func changes() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      let seen = group.roster
      let joiner = try Muster.Group(name, capacity: 2)
      try await withThrowingTaskGroup(of: UInt32.self) { tasks in
        for _ in 0..<20 { tasks.addTask { try await group.waitForChange(since: seen) } }
        tasks.addTask { try await blocking { () throws(GroupError) in try group.waitForChangeBlocking(since: seen) } }
        try joiner.join()
        for try await roster in tasks { #expect(roster != seen) }
      }
    }
  }

  @Test("A deadline passes, a task is cancelled, and the group goes on")
  func endings() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      try group.join()
      let seen = group.roster
      let late = try await #require(throws: GroupError.self) {
        try await group.waitForChange(since: seen, until: .now + .milliseconds(10))
      }
      #expect(late.code == .timedOut)
      let lateToo = try await #require(throws: GroupError.self) {
        try await blocking { () throws(GroupError) in
          try group.waitForChangeBlocking(since: seen, until: .now + .milliseconds(10))
        }
      }
      #expect(lateToo.code == .timedOut)
      let task = Task { try await group.waitForChange(since: seen) }
      task.cancel()
      let cancelled = try await #require(throws: GroupError.self) { try await task.value }
      #expect(cancelled.code == .cancelled && cancelled.errno == nil)
      #expect(group.roster == seen)
    }
  }

  @Test("The death of a process is seen, and who it was")
  func death() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      try group.join()
      let watcher = Task {
        var seen = group.roster
        while try group.member(1).state != .dead { seen = try await group.waitForChange(since: seen) }
        return try group.member(1).pid
      }
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let group = try Muster.Group(name, capacity: 2)
        try group.join()
        _ = withExtendedLifetime(group) { kill(getpid(), SIGKILL) }
      }
      #expect(try await watcher.value != getpid())
      #expect(try Muster.Group.look(name)[1].state == .dead)
      let successor = try Muster.Group(name, capacity: 2)
      #expect(try successor.join() == 1)
      #expect(try group.member(1).incarnation == 2)
    }
  }
}

private func code<Value>(_ body: () throws(GroupError) -> Value) -> GroupError.Code? {
  do throws(GroupError) {
    _ = try body()
    return nil
  } catch {
    return error.code
  }
}
