// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("The robust mutex", .timeLimit(.minutes(1)))
struct RobustMutexTests {
  @Test("Sections of several objects, awaited and blocking, exclude each other")
  func exclusion() async throws {
    try await withName { name in
      let count = PlainCount()
      let mutexes = try (0..<4).map { _ in try RobustMutex(name) }
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        for mutex in mutexes {
          // More than the cooperative pool has threads.
          for _ in 0..<8 { tasks.addTask { for _ in 0..<50 { try await mutex.withLock { count.addOne() } } } }
          tasks.addTask {
            try await blocking { Result { for _ in 0..<400 { try mutex.withLockBlocking { count.addOne() } } } }.get()
          }
        }
        try await tasks.waitForAll()
      }
      #expect(count.value == 4 * (8 * 50 + 400))
      #expect(mutexes.allSatisfy { $0.handle.waitCount == 0 })
    }
  }

  @Test("What the section returns or throws comes out, and the mutex is unlocked")
  func outcomes() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      #expect(try await mutex.withLock { 7 } == 7)
      #expect(try mutex.withLockIfAvailable { "seven" } == "seven")
      #expect(try mutex.withLockIfAvailable { Int?.none } == .some(.none))
      await #expect(throws: CannotRepair.self) { try await mutex.withLock { throw CannotRepair() } }
      let state = try mutex.state()
      #expect(state.holder == nil && state.condition == .whole && state.lastDeathPID == nil && state.capacity == nil)
      #expect(try await mutex.withLock(for: .zero) { true })
    }
  }

  @Test("Who holds it, since when; nobody else gets it meanwhile, nor the holder a second time")
  func holders() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      let other = try RobustMutex(name, mode: .attach)
      let before = ContinuousClock.now
      let stay = try await Stay { try mutex.withLockBlocking($0) }
      let holder = try #require(try other.holder)
      #expect(holder.pid == getpid() && holder.thread != 0 && holder.isAlive && holder.place == nil)
      let since = try #require(holder.since)
      #expect(since > before - .seconds(3) && since < .now)
      #expect(try LockState.look(name).holder?.pid == getpid())
      #expect(try mutex.withLockIfAvailable {} == nil)
      #expect(try other.withLockIfAvailable {} == nil)
      try await stay.over()
      #expect(try other.holder == nil)
      let nested = await blocking {
        lockError(blocking: { try mutex.withLockBlocking { try mutex.withLockBlocking {} } })
      }
      #expect(nested?.code == .alreadyHeld)
      #expect(nested?.description == "Can't lock the mutex “\(name)”: this thread holds it already.")
      #expect(try mutex.withLockIfAvailable { true } == true)
    }
  }

  @Test("The next after a death repairs, and is told who died; the ones after it find it whole")
  func repaired() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let mutex = try RobustMutex(name)
        try await mutex.withLock { _ = kill(getpid(), SIGKILL) }
      }
      let found = try mutex.state()
      #expect(found.condition == .unrepaired && found.holder?.isAlive == false)
      let died = found.holder?.pid
      #expect(died != nil && died != getpid())
      var repairs: [DeadHolder] = []
      let order = try await mutex.withLock(repair: { repairs.append($0) }) { repairs.count }
      #expect(order == 1 && repairs.map(\.pid) == [died])
      #expect(try await mutex.withLock(repair: { repairs.append($0) }) { repairs.count } == 1)
      #expect(try mutex.state().condition == .whole && mutex.state().lastDeathPID == died)
    }
  }

  @Test("Repairing that fails poisons, until a reset; so does who can't repair")
  func poisoned() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let mutex = try RobustMutex(name)
        try await mutex.withLock { _ = kill(getpid(), SIGKILL) }
      }
      let failed = await lockError { try await mutex.withLock(repair: { _ in throw CannotRepair() }) {} }
      #expect(failed?.code == .repairFailed && failed?.reason == "the books are lost")
      let pid = try #require(failed?.pid)
      #expect(
        failed?.description
          == "Can't lock the mutex “\(name)”: its holder, process \(pid), died, and repairing failed: the books are lost."
          + " It is poisoned until somebody resets it.")
      #expect(try mutex.isPoisoned)
      let ran = Count()
      let refused = await lockError { try await mutex.withLock(repair: { _ in ran.add() }) { ran.add() } }
      #expect(refused?.code == .poisoned && ran.value == 0)
      #expect(lockError(blocking: { try mutex.withLockIfAvailable {} })?.code == .poisoned)
      try mutex.reset()
      #expect(try mutex.state().condition == .unrepaired)
      let cannot = await lockError { try await mutex.withLock { ran.add() } }
      #expect(cannot?.code == .holderDied && ran.value == 0)
      #expect(cannot?.description.hasSuffix("died. It is poisoned until somebody resets it.") == true)
      #expect(try mutex.isPoisoned)
      try mutex.reset()
      #expect(try mutex.withLockIfAvailable(repair: { _ in ran.add() }) { ran.value } == 1)
      #expect(try await mutex.withLock { true })
    }
  }

  @Test("Who waits when the holder is killed goes on: one repairs")
  func deathWhileWaiting() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      let cue = try Barrier(name + "-cue", parties: 2)
      defer { try? Region.remove(RegionName(name + "-cue"), force: true) }
      async let peer = run(builtProgram("muster-peer"), ["die-locked", name, name + "-cue"])
      try await cue.wait()
      let (repairs, sections) = (Count(), Count())
      let waits = (0..<6).map { number in
        Task {
          let repair: @Sendable (DeadHolder) -> Void = { _ in repairs.add() }
          if number % 2 == 0 { return try await mutex.withLock(repair: repair) { _ = sections.add() } }
          try await blocking { Result { try mutex.withLockBlocking(repair: repair) { _ = sections.add() } } }.get()
        }
      }
      try await eventually { mutex.handle.waitCount == 6 }
      #expect(sections.value == 0)
      try await cue.wait()
      for wait in waits { try await wait.value }
      #expect(try await peer.status == -SIGKILL)
      #expect(repairs.value == 1 && sections.value == 6)
    }
  }

  @Test("Deadlines pass, cancelled tasks go on, and nothing is left of them")
  func endings() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      let stay = try await Stay { try mutex.withLockBlocking($0) }
      let ran = Count()
      #expect(await lockError { try await mutex.withLock(for: .milliseconds(10)) { ran.add() } }?.code == .timedOut)
      #expect(await lockError { try await mutex.withLock(until: .now) { ran.add() } }?.code == .timedOut)
      for timeout in [Duration.zero, .microseconds(100), .milliseconds(10)] {
        let late = await blocking {
          lockError(blocking: { try mutex.withLockBlocking(for: timeout) { ran.add() } })
        }
        #expect(late?.code == .timedOut)
      }
      let task = Task { await lockError { try await mutex.withLock { ran.add() } } }
      try await eventually { mutex.handle.waitCount == 1 }
      task.cancel()
      let cancelled = await task.value
      #expect(cancelled?.code == .cancelled && cancelled?.errno == nil)
      #expect(ran.value == 0 && mutex.handle.waitCount == 0)
      try await stay.over()
      #expect(try mutex.state().holder == nil)
      #expect(try mutex.withLockIfAvailable { true } == true)
    }
  }

  @Test("Closing ends waits, lets a section end, and is told afterwards")
  func closing() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      let stay = try await Stay { try mutex.withLockBlocking($0) }
      let awaited = Task { await lockError { try await mutex.withLock {} } }
      let blocked = Task { await blocking { lockError(blocking: { try mutex.withLockBlocking {} }) } }
      try await eventually { mutex.handle.waitCount == 2 }
      mutex.close()
      mutex.close()
      #expect(await awaited.value?.code == .closed)
      #expect(await blocked.value?.code == .closed)
      let other = try RobustMutex(name)
      #expect(try other.withLockIfAvailable {} == nil)
      try await stay.over()
      #expect(try other.withLockIfAvailable { true } == true)
      #expect(lockError(blocking: { try mutex.state() })?.code == .closed)
      #expect(lockError(blocking: { try mutex.reset() })?.code == .closed)
      #expect(lockError(blocking: { try mutex.withLockIfAvailable {} })?.code == .closed)
      other.close()
      try await eventuallyUnheld(name)
    }
  }

  @Test("A section may close its own object")
  func closingFromTheSection() async throws {
    try await withName { name in
      let mutex = try RobustMutex(name)
      #expect(
        try mutex.withLockIfAvailable {
          mutex.close()
          return 3
        } == 3)
      let lock = try RobustReadWriteLock(name + "-rw", capacity: 2)
      defer { try? Region.remove(RegionName(name + "-rw"), force: true) }
      #expect(
        try await lock.withWriteLock {
          lock.close()
          return 4
        } == 4)
      for name in [name, name + "-rw"] {
        #expect(try LockState.look(name).holder == nil)
        try await eventuallyUnheld(name)
      }
    }
  }

  @Test("Openings that can't be")
  func refusals() async throws {
    try await withName { name in
      #expect(lockError(blocking: { try RobustMutex(name, mode: .attach) })?.code == .notFound)
      #expect(lockError(blocking: { try RobustMutex("a/b") })?.code == .invalidArgument)
      #expect(lockError(blocking: { try LockState.look(name) })?.code == .notFound)
      let mutex = try RobustMutex(name)
      #expect(lockError(blocking: { try RobustMutex(name, mode: .create) })?.code == .alreadyExists)
      let other = lockError(blocking: { try RobustReadWriteLock(name, capacity: 2) })
      #expect(other?.code == .mismatch && other?.mismatch?.property == .layout)
      #expect(try mutex.holder == nil)
    }
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      #expect(lockError(blocking: { try RobustMutex(name) })?.mismatch?.property == .kind)
      let looked = lockError(blocking: { try LockState.look(name) })
      #expect(looked?.code == .mismatch && looked?.mismatch?.property == .kind)
      #expect(group.capacity == 2)
    }
  }
}
