// Closing what is waited for: others get at once what the object held, and its waits end.
// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Closing", .timeLimit(.minutes(1)))
struct ClosingTests {
  @Test("Whoever drops the last reference after a wait has left: the reactor holds none")
  func lastReference() async throws {
    try await withName { name in
      let observer = try Muster.Group(name, capacity: 1)
      for _ in 0..<300 {
        var group: Muster.Group? = try Muster.Group(name, capacity: 1)
        try group!.join()
        let roster = group!.roster
        _ = try? await group!.waitForChange(since: roster, until: .now + .microseconds(100))
        group = nil
        let state = try observer.member(0).state
        try #require(state == .left)
      }
    }
  }

  @Test("A seqlock that is closed while it is waited for has released its claim, and the waits throw `closed`")
  func seqlock() async throws {
    try await withName { name in
      let writer = try Seqlock<Int>(name)
      try writer.claim()
      try writer.write(1)
      let awaited = Task { await code { () throws(SeqlockError) in try await writer.waitForChange(since: 1) } }
      let blocked = Task {
        await blocking { caught { () throws(SeqlockError) in try writer.waitForChangeBlocking(since: 1) } }
      }
      try await eventually { writer.waitCount == 2 }
      writer.close()
      // At once, not when the waits have ended.
      let successor = try Seqlock<Int>(name)
      let found = try successor.claim()
      #expect(found.sequence == 1 && found.diedPID == nil)
      #expect(await awaited.value?.code == .closed)
      #expect(await blocked.value?.code == .closed)
      #expect(caught { () throws(SeqlockError) in try writer.claim() }?.code == .closed)
    }
  }

  @Test("A group that is closed while it is waited for has been left, and the waits throw `closed`")
  func group() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      let other = try Muster.Group(name, capacity: 2)
      try group.join()
      let seen = group.roster
      let awaited = Task { await code { () throws(GroupError) in try await group.waitForChange(since: seen) } }
      let blocked = Task {
        await blocking { caught { () throws(GroupError) in try group.waitForChangeBlocking(since: seen) } }
      }
      try await eventually { group.waitCount == 2 }
      group.close()
      #expect(try other.member(0).state == .left)
      #expect(await awaited.value?.code == .closed)
      #expect(await blocked.value?.code == .closed)
    }
  }

  @Test("What closing does to the roster is no outcome of a wait that had not yet been told when it looked")
  func groupLeftByItself() async throws {
    try await withName { name in
      let group = try Muster.Group(name, capacity: 2)
      try group.join()
      let wait = GroupWait(group, since: group.roster, deadline: .never)
      #expect(withWaitSet { wait.poll($0) } == EAGAIN)
      // As closing does, between the wait's look at whether it is to end and its look at the roster.
      wait.end(because: .closed)
      try group.leave()
      #expect(withWaitSet { wait.poll($0) } == ECANCELED && wait.giveUp() == ECANCELED)
      let other = GroupWait(group, since: group.roster &- 1, deadline: .never)
      #expect(withWaitSet { other.poll($0) } == 0)
    }
  }

  @Test(
    "A barrier that is closed while a task waits has been left, and the wait throws `closed`", arguments: [false, true])
  func barrier(hasAction: Bool) async throws {
    try await withName { name in
      let barrier = try Barrier(name, parties: 2, action: hasAction ? { @Sendable in } : nil)
      let other = try Barrier(name, parties: 2)
      let awaited = Task { await code { () throws(BarrierError) in try await barrier.wait() } }
      try await eventually { barrier.waitCount == 1 }
      try await eventually { try other.state().arrived == 1 }
      barrier.close()
      #expect(await awaited.value?.code == .closed)
      // With an action it is on a thread of its own, which may have been in the midst of a look.
      try await eventually { try other.members()[0].state == .left }
      // It had arrived; from the next phase on it is missed.
      try await other.wait()
      #expect(await code { () throws(BarrierError) in try await other.wait() }?.code == .memberDied)
    }
  }

  @Test("The ends of a ring that are closed while a task waits have been given back, and the waits throw `closed`")
  func ring() async throws {
    try await withName { name in
      let writer = try RingWriter(RegionName(name), capacity: 1 << 12)
      let reader = try RingReader(RegionName(name), capacity: 1 << 12)
      let full = [UInt8](repeating: 7, count: 1 << 10)
      for _ in 0..<3 { try await writer.write(full, until: .now) }
      let written = Task { await code { () throws(RingError) in try await writer.write(full) } }
      try await eventually { writer.waitCount == 1 }
      writer.close()
      // At once, not when the waits have ended.
      let successor = try RingWriter(RegionName(name), capacity: 1 << 12)
      #expect(successor.predecessor.end.number == 3 && successor.predecessor.diedPID == nil)
      #expect(await written.value?.code == .closed)
      for _ in 0..<3 { #expect(try await reader.next().bytes == full) }
      let awaited = Task { await code { () throws(RingError) in try await reader.next() } }
      try await eventually { reader.waitCount == 1 }
      reader.close()
      #expect(try successor.state().readers == [])
      #expect(await awaited.value?.code == .closed)
      let other = try RingReader(RegionName(name), from: .newest, capacity: 1 << 12)
      let blocked = Task { await blocking { caught { () throws(RingError) in try other.nextBlocking() } } }
      try await eventually { other.waitCount == 1 }
      other.close()
      #expect(await blocked.value?.code == .closed)
      #expect(try successor.state().readers == [])
    }
  }

  @Test("A closure that fills or reads a record may close its own end, which is given back when it ends")
  func closingWhileLending() async throws {
    try await withName { name in
      let writer = try RingWriter(RegionName(name), capacity: 1 << 12)
      let reader = try RingReader(RegionName(name), capacity: 1 << 12)
      try await writer.withClaim(8) { bytes in
        writer.close()
        // Not a successor's yet.
        #expect(
          caught { () throws(RingError) in try RingWriter(RegionName(name), capacity: 1 << 12) }?.code == .hasWriter)
        bytes.storeBytes(of: 9, as: Int.self)
      }
      let successor = try RingWriter(RegionName(name), capacity: 1 << 12)
      #expect(successor.predecessor.end.number == 1)
      try await reader.withNext { record in
        reader.close()
        #expect(record.bytes.load(as: Int.self) == 9)
        let readers = try successor.state().readers
        #expect(readers.count == 1)
      }
      #expect(try successor.state().readers == [])
    }
  }

  @Test("A pool that is closed while tasks wait has been left, and the waits throw `closed`; what it had is free")
  func pool() async throws {
    try await withName { name in
      let pool = try Pool(RegionName(name), blockSize: 64, blocks: 2, members: 2)
      let other = try Pool.attach(RegionName(name))
      var block = try await pool.allocate()
      let offered = try await pool.allocate().offer()
      let awaited = Task { await code { () throws(PoolError) in _ = try await pool.allocate() } }
      let blocked = Task { await blocking { caught { () throws(PoolError) in _ = try pool.allocateBlocking() } } }
      try await eventually { pool.waitCount == 2 }
      pool.close()
      // At once, not when the waits have ended.
      #expect(try other.owners()[0].state == .left)
      #expect(try other.state().free == 2)
      #expect(await awaited.value?.code == .closed)
      #expect(await blocked.value?.code == .closed)
      #expect(throws: PoolError.self) { try block.withUnsafeBytes { _ in } }
      #expect(throws: PoolError.self) { try block.withUnsafeMutableBytes { _ in } }
      #expect(caught { () throws(PoolError) in _ = try pool.withdraw(offered) }?.code == .closed)
      #expect(caught { () throws(PoolError) in _ = try pool.allocateIfAvailable() }?.code == .closed)
      #expect(caught { () throws(PoolError) in try pool.state() }?.code == .closed)
      // Its end frees nobody else's.
      let first = try await other.allocate().detach()
      let second = try await other.allocate().detach()
      block.free()
      #expect(try other.blocks(of: other.member).count == 2 && first != second)
    }
  }

  @Test("A closure that was lent a block may close its pool; the block is nobody else's until it ends")
  func closingWhileLentABlock() async throws {
    try await withName { name in
      let pool = try Pool(RegionName(name), blockSize: 64, blocks: 1, members: 2)
      let other = try Pool.attach(RegionName(name))
      var block = try await pool.allocate()
      try block.withUnsafeMutableBytes { bytes in
        pool.close()
        let state = try other.state()
        #expect(state.owned == 1 && state.living == 2)
        bytes[0] = 9
      }
      let state = try other.state()
      #expect(state.free == 1 && state.living == 1)
    }
  }

  @Test("A block keeps its pool open; whoever drops the last of both has left")
  func lastBlock() async throws {
    try await withName { name in
      let other = try Pool(RegionName(name), blockSize: 64, blocks: 1, members: 2)
      var pool: Pool? = try Pool.attach(RegionName(name))
      let block = try await pool!.allocate()
      pool = nil
      #expect(try block.withUnsafeBytes { $0.count } == 64)
      #expect(try other.state().living == 2)
      block.free()
      #expect(try other.state().living == 1)
      let only = try await other.allocate()
      for _ in 0..<100 {
        pool = try Pool.attach(RegionName(name))
        _ = try? await pool!.allocate(until: .now + .microseconds(100)).detach()
        pool = nil
        let living = try other.state().living
        try #require(living == 1)
      }
      #expect(only.size == 64)
    }
  }

  @Test(
    "A queue that is closed while tasks wait has been left, and the waits throw `closed`; what it had taken goes back")
  func queue() async throws {
    try await withName { name in
      let queue = try JobQueue(RegionName(name), jobSize: 16, jobs: 1, members: 2)
      let other = try JobQueue.attach(RegionName(name))
      try await queue.put([1])
      let first = try await queue.take()
      guard let job = first else { throw JobQueueError("take", name, code: .notFound) }
      let awaited = Task { await code { () throws(JobQueueError) in _ = try await queue.take() } }
      let blocked = Task { await blocking { caught { () throws(JobQueueError) in try queue.putBlocking([2]) } } }
      try await eventually { queue.waitCount == 2 }
      queue.close()
      // At once, not when the waits have ended.
      #expect(try other.state().living == 1 && other.state().queued == 1)
      #expect(await awaited.value?.code == .closed)
      #expect(await blocked.value?.code == .closed)
      #expect(throws: JobQueueError.self) { try job.withUnsafeBytes { _ in } }
      #expect(caught { () throws(JobQueueError) in try queue.finish() }?.code == .closed)
      #expect(caught { () throws(JobQueueError) in _ = try queue.takeIfAvailable() }?.code == .closed)
      #expect(caught { () throws(JobQueueError) in try queue.state() }?.code == .closed)
      let mine = try await other.take()
      guard let mine else { throw JobQueueError("take", name, code: .notFound) }
      #expect(mine.attempts == 1)
      // Its end, and what it says, are nothing to who has it now.
      var late: JobQueueError?
      do throws(JobQueueError) { try job.done() } catch { late = error }
      #expect(late?.code == .closed)
      #expect(try other.state().taken == 1)
      try mine.done()
    }
  }

  @Test("A closure that was lent a job may close its queue; the job is nobody else's until it ends, and goes back then")
  func closingWhileLentAJob() async throws {
    try await withName { name in
      let queue = try JobQueue(RegionName(name), jobSize: 16, jobs: 1, members: 2)
      let other = try JobQueue.attach(RegionName(name))
      try await queue.withClaim { bytes in
        queue.close()
        let state = try other.state()
        #expect(state.putting == 1)
        bytes[0] = 9
        return 1
      }
      let again = try JobQueue.attach(RegionName(name))
      let first = try await again.take()
      guard let job = first else { throw JobQueueError("take", name, code: .notFound) }
      try job.withUnsafeBytes { bytes in
        again.close()
        let state = try other.state()
        #expect(bytes[0] == 9 && state.taken == 1 && state.living == 2)
      }
      _ = consume job
      let state = try other.state()
      #expect(state.taken + state.queued == 1 && state.living == 1)
      let second = try await other.take()
      guard let second else { throw JobQueueError("take", name, code: .notFound) }
      let attempts = second.attempts
      #expect(attempts == 1)
    }
  }

  @Test("A job keeps its queue open; whoever drops the last of both has left")
  func lastJob() async throws {
    try await withName { name in
      let other = try JobQueue(RegionName(name), jobSize: 16, jobs: 1, members: 2)
      var queue: JobQueue? = try JobQueue.attach(RegionName(name))
      try await other.put([3])
      let first = try await queue!.take()
      guard let job = first else { throw JobQueueError("take", name, code: .notFound) }
      queue = nil
      #expect(try job.bytes() == [3])
      #expect(try other.state().living == 2)
      try job.done()
      #expect(try other.state().living == 1)
      for _ in 0..<100 {
        queue = try JobQueue.attach(RegionName(name))
        _ = try? await queue!.take(until: .now + .microseconds(100))
        queue = nil
        let living = try other.state().living
        try #require(living == 1)
      }
    }
  }

  @Test("A log that is closed has left at once; one that is closed while it gathers a record writes it first")
  func log() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), places: 1, bytes: 1 << 12)
      try log.write(.info, "before")
      func last() -> String {
        log.close()
        return "value"
      }
      try log.write(.info, "last", ["key": .init(last())])
      #expect(caught { () throws(LogError) in try log.write(.info, "after") }?.code == .closed)
      // The only place is free.
      let successor = try Log(RegionName(name))
      #expect(successor.place == 0)
      #expect(try all(name).map(\.message) == ["before", "last"])
      #expect(caught { () throws(LogError) in try log.state() }?.code == .closed)
    }
  }

  @Test("An action may close its own barrier")
  func closingFromTheAction() async throws {
    try await withName { name in
      let barriers = Guarded<[Barrier]>([])
      let ran = Count()
      let first = try Barrier(
        name, parties: 2,
        action: {
          ran.add()
          barriers.value.first?.close()
        })
      barriers.value = [first]
      let other = try Barrier(name, parties: 2)
      try other.arrive()
      let ended = await code { () throws(BarrierError) in try await first.wait() }?.code
      #expect(ran.value == 1 && ended == nil)
      #expect(await code { () throws(BarrierError) in try await first.wait() }?.code == .closed)
      try await eventually { try other.members()[0].state == .left }
      barriers.value = []
    }
  }

  @Test("Numbers mean in each call what they mean there: a thread that can't be started is the system's")
  func codes() {
    for status in [EAGAIN, EBUSY, ENOMEM] {
      #expect(SeqlockError("open", "x", status: status).code == .system)
      #expect(BarrierError("open", "x", status: status).code == .system)
      #expect(GroupError("open", "x", status: status).code == .system)
      if status != EAGAIN { #expect(RingError("open", "x", status: status).code == .system) }
      #expect(LogError("open", "x", status: status).code == .system)
      #expect(LockError("open", "x", status: status).code == .system)
      #expect(PoolError("open", "x", status: status).code == .system)
      if status != EBUSY { #expect(JobQueueError("open", "x", status: status).code == .system) }
    }
    #expect(SeqlockError("wait for", "x", status: EPERM, code: .system).code == .system)
  }
}

extension Seqlock {
  fileprivate var waitCount: Int { core.handle.waitCount }
}

extension Muster.Group {
  fileprivate var waitCount: Int { handle.waitCount }
}

extension RingWriter {
  fileprivate var waitCount: Int { end.handle.waitCount }
}

extension RingReader {
  fileprivate var waitCount: Int { end.handle.waitCount }
}

extension Barrier {
  fileprivate var waitCount: Int { handle.waitCount }
}

private func caught<Value, Failure: Error>(_ body: () throws(Failure) -> Value) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

private func code<Value, Failure: Error>(_ body: () async throws(Failure) -> Value) async -> Failure? {
  do throws(Failure) {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}
