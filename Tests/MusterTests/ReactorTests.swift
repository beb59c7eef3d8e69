// How tasks wait: that threads come and go as needed, and that nothing is left of a wait that ended.
// SPDX-License-Identifier: Apache-2.0
import Synchronization
import SystemPackage
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("The reactor", .timeLimit(.minutes(2)))
struct ReactorTests {
  /// Meets with `parties` tasks, `rounds` times, by that reactor.
  private func meet(_ reactor: Reactor, parties: Int, rounds: Int) async throws {
    try await withName { name in
      let barriers = try (0..<parties).map { _ in try Barrier(name, parties: parties) }
      let released = Count()
      await withTaskGroup(of: Void.self) { group in
        for barrier in barriers {
          group.addTask {
            for _ in 0..<rounds {
              let wait = BarrierWait(
                barrier.membership, barrier.handle.object, phase: nil, deadline: .never, hasAction: false)
              guard case .status(0) = await reactor.wait(wait) else { return }
              released.add()
            }
          }
        }
      }
      #expect(released.value == parties * rounds)
      for barrier in barriers { barrier.close() }
    }
  }

  @Test("Waits share threads, and more words than one sleep takes are spread over several")
  func spreading() async throws {
    let reactor = Reactor(sharesThreads: true)
    try await meet(reactor, parties: 100, rounds: 10)
    #expect(reactor.threadCount <= 100)
    try await eventually { reactor.threadCount == 0 }
  }

  @Test("A group of more places than one thread can watch")
  func largest() async throws {
    let reactor = Reactor(sharesThreads: true)
    try await meet(reactor, parties: 256, rounds: 3)
    try await eventually { reactor.threadCount == 0 }
  }

  @Test("Without sleeps at many words each wait has a thread of its own, which ends with it")
  func alone() async throws {
    let reactor = Reactor(sharesThreads: false)
    try await meet(reactor, parties: 12, rounds: 20)
    try await eventually { reactor.threadCount == 0 }
  }

  @Test("Cancelled waits end at once, and leave neither a registration nor a thread", arguments: [true, false])
  func cancellation(sharesThreads: Bool) async throws {
    final class Reference: Sendable {
      nonisolated(unsafe) weak var wait: GroupWait?
    }
    try await withName { name in
      let reactor = Reactor(sharesThreads: sharesThreads)
      let group = try Muster.Group(name, capacity: 4)
      let references = (0..<40).map { _ in Reference() }
      let seen = group.roster
      let tasks = references.map { reference in
        Task {
          let wait = GroupWait(group, since: seen, deadline: .never)
          reference.wait = wait
          return await reactor.wait(wait)
        }
      }
      try await eventually { sharesThreads ? reactor.threadCount >= 1 : reactor.threadCount == references.count }
      for task in tasks { task.cancel() }
      for task in tasks {
        guard case .cancelled = await task.value else {
          Issue.record("not cancelled")
          continue
        }
      }
      try await eventually { references.allSatisfy { $0.wait == nil } }
      try await eventually { reactor.threadCount == 0 }
    }
  }

  @Test("Waits with different deadlines on one thread each end at their own")
  func deadlines() async throws {
    try await withName { name in
      let reactor = Reactor(sharesThreads: true)
      let group = try Muster.Group(name, capacity: 4)
      let seen = group.roster
      let ended = Count()
      let never = Task { await reactor.wait(GroupWait(group, since: seen, deadline: .never)) }
      await withTaskGroup(of: Void.self) { tasks in
        for delay in [300, 150, 10] {
          tasks.addTask {
            let deadline = Deadline(Duration.milliseconds(delay))
            let end = await reactor.wait(GroupWait(group, since: seen, deadline: deadline))
            guard case .status(ETIMEDOUT) = end else {
              Issue.record("\(end)")
              return
            }
            #expect(deadline.hasPassed)
            ended.add()
          }
        }
      }
      #expect(ended.value == 3)
      try group.join()
      guard case .status(0) = await never.value else {
        Issue.record("missed")
        return
      }
    }
  }

  @Test("A keeper's job may let go of what itself asks the keeper")
  func keeperNesting() throws {
    let result = try Keeper.shared.run { (try? Keeper.shared.run { 7 }) ?? 0 }
    #expect(result == 7)
  }

  @Test("A region that is held up, by one who is removing it, holds up no job of the keeper's")
  func keeperIsNotHeldUp() async throws {
    try await withName { name in
      try Barrier(name, parties: 2).close()
      let file = try FileDescriptor.open(FilePath("/dev/shm/" + name), .readWrite)
      defer { try? file.close() }
      // As a remover does: alone on the byte that every user of the region shares (region_layout.h). A program that another test starts
      // shares it, too, until it has come to its exec.
      var lock = flock()
      lock.l_type = Int16(F_WRLCK)
      lock.l_len = 1
      let openFileLock: Int32 = 37
      try await eventually { fcntl(file.rawValue, openFileLock, &lock) == 0 }
      // Opened again and again, each time for the second that an opener is patient, until the jobs are done.
      let attempts = Guarded(0)
      let enough = Guarded(false)
      let opening = Task {
        await blocking {
          while true {
            attempts.value += 1
            do throws(BarrierError) {
              try Barrier(name, parties: 2).close()
              return nil as BarrierError.Code?
            } catch {
              if enough.value || error.code != .system { return error.code }
            }
          }
        }
      }
      // Jobs that begin and end within one opening: queued behind it they would end when it has.
      try await eventually { attempts.value > 0 }
      var jobs = 0
      var attempt = attempts.value
      try await eventually {
        jobs += (try? Keeper.shared.run { 1 }) ?? 0
        if attempts.value != attempt {
          jobs = 0
          attempt = attempts.value
        }
        return jobs == 5
      }
      enough.value = true
      #expect(await opening.value == .system)
    }
  }

  @Test("Instants and durations become deadlines, also the impossible ones")
  func times() {
    #expect(Deadline(nil as ContinuousClock.Instant?) == .never)
    #expect(Deadline(.now - .seconds(1)) == .now)
    #expect(Deadline(.zero) == .now && Deadline(.seconds(-5)) == .now)
    #expect(Deadline(.seconds(Int64.max)) == .never)
    #expect(Deadline(.nanoseconds(1)) > 0)
    let soon = Deadline(.seconds(100))
    #expect(!soon.hasPassed && soon != .never && Deadline(.seconds(200)) > soon)
  }
}
