// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("The robust read-write lock", .timeLimit(.minutes(1)))
struct RobustReadWriteLockTests {
  @Test("Readers read together, a writer writes alone; of several objects, awaited and blocking")
  func exclusion() async throws {
    try await withName { name in
      let count = PlainCount()
      let torn = Count()
      let locks = try (0..<2).map { _ in try RobustReadWriteLock(name, capacity: 16) }
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        for lock in locks {
          for _ in 0..<3 {
            tasks.addTask { for _ in 0..<50 { try await lock.withWriteLock { count.addOne() } } }
            tasks.addTask {
              for _ in 0..<100 {
                try await lock.withReadLock {
                  let seen = count.value
                  for _ in 0..<100 where count.value != seen { torn.add() }
                }
              }
            }
          }
          tasks.addTask {
            try await blocking {
              Result { for _ in 0..<200 { try lock.withWriteLockBlocking { count.addOne() } } }
            }.get()
          }
        }
        try await tasks.waitForAll()
      }
      #expect(count.value == 2 * (3 * 50 + 200) && torn.value == 0)
      let state = try locks[0].state()
      #expect(state.holder == nil && state.readers.isEmpty && state.condition == .whole && state.capacity == 16)
      #expect(locks.allSatisfy { $0.handle.waitCount == 0 })
    }
  }

  @Test("Who reads and who writes can be asked, and keeps out whom it must")
  func holders() async throws {
    try await withName { name in
      let lock = try RobustReadWriteLock(name, capacity: 4)
      let other = try RobustReadWriteLock(name, capacity: nil, mode: .attach)
      #expect(other.capacity == 4)
      let before = ContinuousClock.now
      let reading = try await Stay { try lock.withReadLockBlocking($0) }
      let reader = try #require(try other.state().readers.first)
      #expect(reader.pid == getpid() && reader.isAlive && reader.place == 0)
      #expect(try #require(reader.since) > before - .seconds(3))
      #expect(try other.withReadLockIfAvailable { true } == true)
      #expect(try other.withWriteLockIfAvailable {} == nil)
      try await reading.over()
      let writing = try await Stay { try lock.withWriteLockBlocking(for: .seconds(60), $0) }
      let state = try LockState.look(name)
      #expect(state.holder?.pid == getpid() && state.holder?.isAlive == true && state.readers.isEmpty)
      #expect(try other.withReadLockIfAvailable {} == nil)
      #expect(try other.withWriteLockIfAvailable {} == nil)
      try await writing.over()
      let nested = await blocking {
        lockError(blocking: { try lock.withWriteLockBlocking { try lock.withWriteLockBlocking {} } })
      }
      #expect(nested?.code == .alreadyHeld)
      #expect(try lock.withWriteLockIfAvailable { 5 } == 5)
      #expect(lockError(blocking: { try lock.withReadLockIfAvailable { throw CannotRepair() } }) == nil)
      #expect(try other.state().readers.isEmpty)
    }
  }

  @Test("A reader that is killed is counted out, and a writer that waits for it goes on")
  func deadReader() async throws {
    try await withName { name in
      let lock = try RobustReadWriteLock(name, capacity: 4)
      let cue = try Barrier(name + "-cue", parties: 2)
      defer { try? Region.remove(RegionName(name + "-cue"), force: true) }
      async let peer = run(builtProgram("muster-peer"), ["die-reading", name, name + "-cue"])
      try await cue.wait()
      let pid = try #require(try lock.state().readers.first?.pid)
      #expect(pid != getpid())
      let writer = Task { try await lock.withWriteLock { try lock.state() } }
      // From here on it holds the gate closed, and waits for the reader.
      try await eventually { try lock.state().holder?.pid == getpid() }
      try await cue.wait()
      let during = try await writer.value
      #expect(try await peer.status == -SIGKILL)
      #expect(during.readers.map(\.pid) == [pid] && during.readers.map(\.isAlive) == [false])
      #expect(during.condition == .whole && during.lastDeathPID == nil)
    }
  }

  @Test("After a writer's death readers are refused, the next writer repairs, and is told who died")
  func deadWriter() async throws {
    try await withName { name in
      let lock = try RobustReadWriteLock(name, capacity: 4)
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let lock = try RobustReadWriteLock(name, capacity: 4)
        try await lock.withWriteLock { _ = kill(getpid(), SIGKILL) }
      }
      let ran = Count()
      let refused = await lockError { try await lock.withReadLock { ran.add() } }
      #expect(refused?.code == .holderDied && refused?.pid != nil && refused?.pid != getpid())
      #expect(refused?.description.hasSuffix("Lock it for writing, with a closure that repairs.") == true)
      #expect(lockError(blocking: { try lock.withReadLockIfAvailable {} })?.code == .holderDied)
      #expect(try lock.state().condition == .unrepaired)
      let failed = await lockError { try await lock.withWriteLock(repair: { _ in throw CannotRepair() }) {} }
      #expect(failed?.code == .repairFailed && failed?.pid == refused?.pid)
      #expect(try lock.isPoisoned)
      #expect(await lockError { try await lock.withReadLock { ran.add() } }?.code == .poisoned)
      #expect(await lockError { try await lock.withWriteLock { ran.add() } }?.code == .poisoned)
      try lock.reset()
      #expect(await lockError { try await lock.withWriteLock { ran.add() } }?.code == .holderDied)
      #expect(try lock.isPoisoned && ran.value == 0)
      try lock.reset()
      let told = Guarded<DeadHolder?>(nil)
      try await lock.withWriteLock(repair: { told.value = $0 }) { _ = ran.add() }
      #expect(told.value?.pid == refused?.pid && ran.value == 1)
      #expect(try await lock.withReadLock { true })
    }
  }

  @Test("Readers wait while a living writer repairs")
  func repairing() async throws {
    try await withName { name in
      let lock = try RobustReadWriteLock(name, capacity: 4)
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let lock = try RobustReadWriteLock(name, capacity: 4)
        try await lock.withWriteLock { _ = kill(getpid(), SIGKILL) }
      }
      let repaired = Count()
      let stay = try await Stay { stay in
        try lock.withWriteLockBlocking(
          repair: { _ in
            stay()
            repaired.add()
          }, {})
      }
      let reader = Task { try await lock.withReadLock { repaired.value } }
      try await eventually { lock.handle.waitCount == 1 }
      try await stay.over()
      #expect(try await reader.value == 1)
    }
  }

  @Test("A writer that waits keeps new readers out; cancelled, late or closed it lets them in again")
  func endings() async throws {
    try await withName { name in
      let lock = try RobustReadWriteLock(name, capacity: 4)
      let other = try RobustReadWriteLock(name, capacity: 4)
      let ran = Count()
      let reading = try await Stay { try other.withReadLockBlocking($0) }
      for isClosing in [false, true] {
        let writer = Task { await lockError { try await lock.withWriteLock { ran.add() } } }
        try await eventually { try other.withReadLockIfAvailable {} == nil }
        if isClosing { lock.close() } else { writer.cancel() }
        #expect(await writer.value?.code == (isClosing ? .closed : .cancelled))
        #expect(try other.withReadLockIfAvailable { true } == true)
        #expect(try other.state().holder == nil && other.state().readers.count == 1)
      }
      #expect(lockError(blocking: { try lock.state() })?.code == .closed)
      let lateTask = await lockError { try await other.withWriteLock(for: .milliseconds(10)) { ran.add() } }
      #expect(lateTask?.code == .timedOut)
      // Looked at on the thread that waited: what it left behind would be let go of at its end.
      let late = try await blocking {
        Result {
          let error = lockError(blocking: { try other.withWriteLockBlocking(for: .milliseconds(10)) { ran.add() } })
          return (error?.code, try other.withReadLockIfAvailable { true })
        }
      }.get()
      #expect(late.0 == .timedOut && late.1 == true)
      try await reading.over()
      #expect(ran.value == 0 && other.handle.waitCount == 0)
      #expect(try await other.withWriteLock { true })
    }
  }

  @Test("Readers that wait: a deadline, a cancellation, closing; none keeps its place")
  func waitingReaders() async throws {
    try await withName { name in
      let lock = try RobustReadWriteLock(name, capacity: 4)
      let other = try RobustReadWriteLock(name, capacity: 4)
      let writing = try await Stay { try other.withWriteLockBlocking($0) }
      // More often than there are places, in tasks and on one thread.
      for _ in 0..<6 {
        #expect(await lockError { try await lock.withReadLock(for: .milliseconds(1)) {} }?.code == .timedOut)
      }
      let late = await blocking {
        (0..<6).map { _ in lockError(blocking: { try lock.withReadLockBlocking(for: .milliseconds(1)) {} })?.code }
      }
      #expect(late.allSatisfy { $0 == .timedOut })
      let tasks = (0..<3).map { _ in Task { await lockError { try await lock.withReadLock {} } } }
      try await eventually { lock.handle.waitCount == 3 }
      let full = await lockError { try await other.withReadLock {} }
      #expect(full?.code == .full)
      #expect(full?.description.contains("all its places are held by the living. Create it with a larger") == true)
      tasks[0].cancel()
      #expect(await tasks[0].value?.code == .cancelled)
      let blocked = Task { await blocking { lockError(blocking: { try lock.withReadLockBlocking {} }) } }
      try await eventually { lock.handle.waitCount == 3 }
      lock.close()
      for task in tasks[1...] { #expect(await task.value?.code == .closed) }
      #expect(await blocked.value?.code == .closed)
      try await writing.over()
      #expect(try await other.withReadLock { true })
      other.close()
      try await eventuallyUnheld(name)
    }
  }

  @Test("Openings that can't be")
  func refusals() async throws {
    try await withName { name in
      for capacity in [0, -1, 257] {
        #expect(lockError(blocking: { try RobustReadWriteLock(name, capacity: capacity) })?.code == .invalidArgument)
      }
      #expect(lockError(blocking: { try RobustReadWriteLock(name, capacity: nil) })?.code == .invalidArgument)
      #expect(lockError(blocking: { try RobustReadWriteLock(name, capacity: nil, mode: .attach) })?.code == .notFound)
      let lock = try RobustReadWriteLock(name, capacity: 2)
      #expect(lockError(blocking: { try RobustReadWriteLock(name, capacity: 3) })?.code == .mismatch)
      #expect(lockError(blocking: { try RobustMutex(name) })?.code == .mismatch)
      #expect(lock.capacity == 2)
    }
  }
}
