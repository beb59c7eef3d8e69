// What a forked child can do with what it inherited, and with what it opens itself: never hang.
// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Runs a closure in a forked child of this process, which Swift does not let one do by name. The exit status: the line of
/// the first of its checks that failed, or 0; of one that hung or crashed, the signal below 0.
func inChild(_ body: ((_ held: Bool, _ line: Int32) -> Void) -> Void) -> Int32 {
  typealias Fork = @convention(c) () -> pid_t
  let fork = unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
  let child = fork()
  if child == 0 {
    alarm(20)
    var failed: Int32 = 0
    body { held, line in if !held && failed == 0 { failed = line } }
    _exit(failed)
  }
  var status: Int32 = 0
  while waitpid(child, &status, 0) != child {}
  return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
}

@Suite("After a fork", .timeLimit(.minutes(1)))
struct ForkTests {
  @Test("Inherited objects say so, and can be closed; reading goes on; what the child opens itself works")
  func child() async throws {
    try await withName { name in
      await #expect(processExitsWith: .success) { [name = name as String] in
        let seqlock = try Seqlock<Int>(name + "-s")
        let group = try Muster.Group(name + "-g", capacity: 3)
        let barrier = try Barrier(name + "-b", parties: 1)
        let mutex = try RobustMutex(name + "-m")
        let lock = try RobustReadWriteLock(name + "-r", capacity: 4)
        let checkpoint = try Checkpoint<Int>(RegionName(name + "-c"), history: 2)
        func remove() {
          for kind in ["-s", "-g", "-b", "-m", "-r", "-c"] {
            try? Region.remove(RegionName(name + kind), force: true)
          }
        }
        defer { remove() }
        try seqlock.claim()
        try seqlock.write(3)
        try group.join()
        try checkpoint.takeOver()
        try checkpoint.save(3)
        // Both kinds of thread are there, and are not in the child.
        _ = await Task { try? await group.waitForChange(since: group.roster, until: .now + .milliseconds(1)) }.value
        let failed = inChild { note in
          func check(_ held: Bool, line: Int32 = #line) { note(held, line) }
          check((try? seqlock.read()?.value) == 3)
          check(caught { () throws(SeqlockError) in try seqlock.claim() }?.code == .inherited)
          check(caught { () throws(SeqlockError) in try seqlock.release() }?.code == .inherited)
          check(caught { () throws(SeqlockError) in try seqlock.write(4) }?.code == .inherited)
          check(caught { () throws(GroupError) in try group.leave() }?.code == .inherited)
          check(caught { () throws(GroupError) in try group.waitForChangeBlocking(since: 0) }?.code == .inherited)
          check(caught { () throws(BarrierError) in try barrier.waitBlocking() }?.code == .inherited)
          check(caught { () throws(BarrierError) in try barrier.arrive() }?.description.contains("forked") == true)
          for error in [
            caught({ try mutex.withLockIfAvailable {} }), caught({ try mutex.reset() }), caught({ try mutex.state() }),
            caught({ try mutex.withLockBlocking {} }), caught({ try lock.withReadLockBlocking {} }),
            caught({ try lock.withWriteLockIfAvailable {} }), caught({ try lock.reset() }),
          ] {
            check((error as? LockError)?.code == .inherited)
          }
          check((try? checkpoint.read()?.state) == 3)
          check((try? checkpoint.records().count) == 1)
          check(!checkpoint.isWriter)
          check(caught { () throws(CheckpointError) in try checkpoint.save(4) }?.code == .inherited)
          check(caught { () throws(CheckpointError) in try checkpoint.takeOver() }?.code == .inherited)
          check(caught { () throws(CheckpointError) in try checkpoint.release() }?.code == .inherited)
          check(caught { () throws(CheckpointError) in try checkpoint.writer() }?.code == .inherited)
          seqlock.close()
          mutex.close()
          lock.close()
          let ownMutex = try? RobustMutex(name + "-m")
          check((try? ownMutex?.withLockBlocking { true }) == true)
          group.close()
          barrier.close()
          checkpoint.close()
          let own = try? Muster.Group(name + "-g", capacity: 3)
          check((try? own?.join()) == 1)
          check((try? own?.member(1).pid) == getpid())
          own?.close()
        }
        // The parent's are as they were.
        let state = try group.member(0).state
        try seqlock.write(5)
        try checkpoint.save(5)
        // What stands in the report is this status; `exit` runs no `defer`.
        if failed != 0 || state != .alive {
          remove()
          exit(failed > 0 ? failed : failed < 0 ? 128 - failed : 2)
        }
      }
    }
  }

  @Test("An inherited process says so, and can be let go of; the parent's goes on; the child starts its own")
  func process() async throws {
    await #expect(processExitsWith: .success) {
      var configuration = ChildProcess.Configuration(.named("sleep"), arguments: ["1000"])
      configuration.readiness = .socket
      let started = try ChildProcess(configuration)
      let watched = try WatchedProcess(try started.identity())
      _ = await Task { try? await started.waitForEnd(until: .now + .milliseconds(1)) }.value
      let failed = inChild { note in
        func check(_ held: Bool, line: Int32 = #line) { note(held, line) }
        check(caught { () throws(ProcessError) in try started.signal(SIGKILL) }?.code == .inherited)
        check(caught { () throws(ProcessError) in try started.endIfEnded() }?.code == .inherited)
        check(caught { () throws(ProcessError) in try started.notice() }?.code == .inherited)
        check(caught { () throws(ProcessError) in try started.waitForEndBlocking() }?.code == .inherited)
        check(caught { () throws(ProcessError) in try started.stopBlocking(grace: .zero) }?.code == .inherited)
        check(caught { () throws(ProcessError) in try watched.kill() }?.description.contains("forked") == true)
        started.close()
        watched.close()
        for tie in [ChildProcess.Tie.nothing, .child, .tree] {
          var configuration = ChildProcess.Configuration(.path("/bin/sh"), arguments: ["-c", "exit 3"])
          configuration.tie = tie
          let own = try? ChildProcess(configuration)
          check((try? own?.waitForEndBlocking().cause) == .exited(3))
        }
      }
      let lives = try started.endIfEnded() == nil
      try await started.stop(grace: .zero)
      if failed != 0 || !lives { exit(failed > 0 ? failed : failed < 0 ? 128 - failed : 2) }
    }
  }

  @Test("Inherited ends of a ring say so, and can be closed; the parent's go on; the child opens its own")
  func ring() async throws {
    try await withName { name in
      await #expect(processExitsWith: .success) { [name = name as String] in
        let ring = RegionName(name)
        let writer = try RingWriter(ring, capacity: 1 << 12)
        let reader = try RingReader(ring, capacity: 1 << 12)
        try await writer.write([1])
        _ = await Task { try? await reader.withNext(until: .now + .milliseconds(1)) { $0.bytes.count } }.value
        let failed = inChild { note in
          func check(_ held: Bool, line: Int32 = #line) { note(held, line) }
          check(caught { () throws(RingError) in try writer.writeBlocking([2]) }?.code == .inherited)
          check(caught { () throws(RingError) in try writer.commit() }?.code == .inherited)
          check(caught { () throws(RingError) in try writer.position() }?.code == .inherited)
          check(caught { () throws(RingError) in try reader.nextBlocking() }?.code == .inherited)
          check(caught { () throws(RingError) in try reader.waitForWriterBlocking() }?.code == .inherited)
          check(caught { () throws(RingError) in try reader.seek(.oldest) }?.code == .inherited)
          check(caught { () throws(RingError) in try reader.state() }?.code == .inherited)
          check(caught { () throws(RingError) in try RingWriter(ring, capacity: 1 << 12) }?.code == .hasWriter)
          writer.close()
          reader.close()
          let own = try? RingReader(ring, capacity: 1 << 12)
          check((try? own?.nextBlocking().bytes) == [1])
          check((try? own?.state().readers.map(\.pid).contains(getpid())) == true)
          own?.close()
        }
        try await writer.write([3])
        let last = try await reader.next()
        try? Region.remove(ring, force: true)
        if failed != 0 || last.bytes != [3] { exit(failed > 0 ? failed : failed < 0 ? 128 - failed : 2) }
      }
    }
  }

  @Test("An inherited pool and its blocks say so, and can be closed; the parent's stay its own; the child joins anew")
  func pool() async throws {
    try await withName { name in
      await #expect(processExitsWith: .success) { [name = name as String] in
        let region = RegionName(name)
        let pool = try Pool(region, blockSize: 64, blocks: 2, members: 2)
        var block = try await pool.allocate()
        try block.withUnsafeMutableBytes { $0[0] = 7 }
        let other = try await pool.allocate().detach()
        _ = await Task { try? await pool.allocate(until: .now + .milliseconds(1)).detach() }.value
        try pool.adopt(other).free()
        let failed = inChild { note in
          func check(_ held: Bool, line: Int32 = #line) { note(held, line) }
          check(throwing { _ = try block.withUnsafeBytes { $0[0] } }?.code == .inherited)
          check(throwing { _ = try pool.allocateIfAvailable() }?.code == .inherited)
          check(throwing { _ = try pool.allocateBlocking() }?.code == .inherited)
          check(throwing { _ = try pool.take(block.name) }?.code == .inherited)
          check(throwing { _ = try pool.adopt(block.name) }?.code == .inherited)
          check(throwing { _ = try pool.state() }?.code == .inherited)
          check(throwing { _ = try pool.owners() }?.code == .inherited)
          check(throwing { _ = try pool.blocks(of: 0) }?.code == .inherited)
          check(throwing { try pool.reclaim() }?.code == .inherited)
          pool.close()
          check(throwing { _ = try pool.state() }?.code == .closed)
          let own = try? Pool.attach(region)
          check(own?.member == 1)
          check(throwing { _ = try own?.adopt(block.name) }?.code == .notOwner)
          check((try? own?.allocateBlocking().detach()) != nil)
          check((try? own?.owners().map(\.pid)) == [getppid(), getpid()])
          own?.close()
        }
        let seen = try block.withUnsafeBytes { $0[0] }
        let state = try pool.state()
        try? Region.remove(region, force: true)
        if failed != 0 || seen != 7 || state.free != 1 || state.living != 1 {
          exit(failed > 0 ? failed : failed < 0 ? 128 - failed : 2)
        }
      }
    }
  }

  @Test("An inherited queue and its jobs say so, and can be closed; the parent's stay its own; the child joins anew")
  func queue() async throws {
    try await withName { name in
      await #expect(processExitsWith: .success) { [name = name as String] in
        let region = RegionName(name)
        let queue = try JobQueue(region, jobSize: 16, jobs: 2, members: 2)
        try await queue.put([7])
        try await queue.put([8])
        guard let job = try await queue.take() else { exit(2) }
        let late = ContinuousClock.now + .milliseconds(1)
        _ = await Task { try? await queue.put([9], until: late) }.value
        let failed = inChild { note in
          func check(_ held: Bool, line: Int32 = #line) { note(held, line) }
          check(queueCode { _ = try job.bytes() } == .inherited)
          check(queueCode { _ = try job.withUnsafeBytes { $0[0] } } == .inherited)
          check(queueCode { _ = try queue.takeIfAvailable() } == .inherited)
          check(queueCode { _ = try queue.takeBlocking() } == .inherited)
          check(queueCode { _ = try queue.putIfRoom([1]) } == .inherited)
          check(queueCode { try queue.putBlocking([1]) } == .inherited)
          check(queueCode { try queue.finish() } == .inherited)
          check(queueCode { _ = try queue.state() } == .inherited)
          check(queueCode { _ = try queue.entries() } == .inherited)
          check(queueCode { try queue.reclaim() } == .inherited)
          queue.close()
          check(queueCode { _ = try queue.state() } == .closed)
          let own = try? JobQueue.attach(region)
          check(own?.member == 1)
          check((try? own?.takeBlocking()?.bytes()) == [8])
          check((try? own?.entries(.taken).map(\.pid)) == [getppid()])
          own?.close()
        }
        let seen = try job.bytes()
        try job.done()
        let entries = try queue.entries()
        try? Region.remove(region, force: true)
        // The child's job has failed there.
        if failed != 0 || seen != [7] || entries.map(\.attempts) != [1] {
          exit(failed > 0 ? failed : failed < 0 ? 128 - failed : 2)
        }
      }
    }
  }

  @Test("Inherited logs, readers and drains say so, and can be closed; the parent's go on; the child opens its own")
  func log() async throws {
    try await withName { name in
      await #expect(processExitsWith: .success) { [name = name as String] in
        let region = RegionName(name)
        let log = try Log(region)
        let reader = try LogReader(region, holdBack: .zero)
        let null = try FileDescriptor.open("/dev/null", .writeOnly)
        let drain = try LogDrain(region, to: .descriptor(null))
        try log.write(.info, "parent")
        _ = try await drain.drainAll()
        _ = await Task { try? await reader.next(until: .now + .milliseconds(20)) }.value
        let failed = inChild { note in
          func check(_ held: Bool, line: Int32 = #line) { note(held, line) }
          check(caught { () throws(LogError) in try log.write(.info, "x") }?.code == .inherited)
          check(caught { () throws(LogError) in try log.setLevel(.info) }?.code == .inherited)
          check(caught { () throws(LogError) in try log.state() }?.code == .inherited)
          check(caught { () throws(LogError) in try reader.nextBlocking() }?.code == .inherited)
          check(caught { () throws(LogError) in try reader.nextIfAvailable() }?.code == .inherited)
          check(caught { () throws(LogError) in try drain.drainAllBlocking() }?.code == .inherited)
          check(caught { () throws(LogError) in try LogDrain(region, to: .descriptor(null)) }?.code == .hasDrain)
          log.close()
          reader.close()
          drain.close()
          let own = try? Log(region)
          check((try? own?.write(.info, "child")) != nil)
          check((try? own?.state().writers.count) == 2)
          own?.close()
        }
        try log.write(.info, "parent again")
        let count = try await drain.drainAll()
        let messages = try all(name).map(\.message)
        try? Region.remove(region, force: true)
        if failed != 0 || count != 2 || messages != ["parent", "child", "parent again"] {
          exit(failed > 0 ? failed : failed < 0 ? 128 - failed : 2)
        }
      }
    }
  }

  @Test("What another thread was just looking at can be left in the child")
  func lookedAt() async {
    await #expect(processExitsWith: .success) {
      let membership = Membership {}
      let looking = Doorbell()
      let seen = Doorbell()
      let status = Threads.start("looker") {
        membership.look {
          looking.ring()
          _ = seen.waitBlocking(after: 0)
        }
      }
      if status != 0 { exit(2) }
      _ = looking.waitBlocking(after: 0)
      let failed = inChild { tell in
        membership.leave()
        tell(true, #line)
      }
      seen.ring()
      if failed != 0 { exit(failed > 0 ? failed : 128 - failed) }
    }
  }

  @Test("The thread that a fork left and new ones contend for locks")
  func contention() async {
    await #expect(processExitsWith: .success) {
      let count = Locked(0)
      count.withLock { $0 = 0 }  // this thread is known to the lock
      let failed = inChild { tell in
        let done = Doorbell()
        // Held while the other waits for it: with a note of the holder from before the fork this ended the process.
        let contend: @Sendable () -> Void = {
          for _ in 0..<50 {
            count.withLock {
              $0 += 1
              usleep(100)
            }
          }
        }
        let status = Threads.start("contender") {
          contend()
          done.ring()
        }
        tell(status == 0, #line)
        contend()
        _ = done.waitBlocking(after: 0)
        tell(count.withLock { $0 } == 100, #line)
      }
      if failed != 0 { exit(failed > 0 ? failed : 128 - failed) }
    }
  }
}

private func caught<Value, Failure: Error>(_ body: () throws(Failure) -> Value) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

private func throwing(_ body: () throws -> Void) -> PoolError? {
  do {
    try body()
    return nil
  } catch {
    return error as? PoolError
  }
}

private func queueCode(_ body: () throws -> Void) -> JobQueueError.Code? {
  do {
    try body()
    return nil
  } catch {
    return (error as? JobQueueError)?.code
  }
}
