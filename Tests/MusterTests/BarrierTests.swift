// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("The robust barrier", .timeLimit(.minutes(2)))
struct BarrierTests {
  @Test("64 parties, each a task of this process, meet round after round, on a pool of few threads")
  func manyParties() async throws {
    try await withName { name in
      let parties = 64
      let rounds = 50
      let serials = Count()
      let inside = Count()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<parties {
          let barrier = try Barrier(name, parties: parties)
          group.addTask {
            for round in 0..<rounds {
              // Nobody is in the next round before all have come to this one.
              let count = inside.add()
              #expect(count > round * parties && count <= (round + 1) * parties)
              let arrival = try await barrier.wait()
              #expect(arrival.phase == UInt32(round))
              if arrival.isSerial { serials.add() }
            }
            barrier.close()
          }
        }
        try await group.waitForAll()
      }
      #expect(inside.value == parties * rounds)
      #expect(serials.value <= rounds)
    }
  }

  @Test("Arrival indexes are each given once, and the blocking and the awaited form meet each other")
  func mixedForms() async throws {
    try await withName { name in
      let barriers = try (0..<4).map { _ in try Barrier(name, parties: 4) }
      #expect(Set(barriers.map(\.member)) == [0, 1, 2, 3])
      for _ in 0..<20 {
        async let a = barriers[0].wait()
        async let b = barriers[1].wait(for: .seconds(30))
        async let c = blocking { () throws(BarrierError) in try barriers[2].waitBlocking() }
        async let d = blocking { () throws(BarrierError) in try barriers[3].waitBlocking(for: .seconds(30)) }
        let arrivals = try await [a, b, c, d]
        #expect(Set(arrivals.map(\.index)) == [0, 1, 2, 3])
        #expect(arrivals.count { $0.isSerial } <= 1)
      }
      for barrier in barriers { barrier.close() }
    }
  }

  @Test("Arriving, then waiting for that phase")
  func splitPhases() async throws {
    try await withName { name in
      let first = try Barrier(name, parties: 2)
      let second = try Barrier(name, parties: 2)
      let arrival = try first.arrive()
      #expect(arrival.phase == 0 && arrival.index == 0)
      #expect(try first.poll(phase: 0) == nil)
      let twice = try #require(throws: BarrierError.self) { try first.arrive() }
      #expect(twice.code == .alreadyArrived)
      #expect(try second.state().arrived == 1)
      async let waited = first.wait(phase: 0)
      #expect(try await second.wait().index == 1)
      #expect(try await waited.index == 0)
      #expect(try first.poll(phase: 0)?.phase == 0)
      let early = try #require(throws: BarrierError.self) { try first.poll(phase: 9) }
      #expect(early.code == .invalidArgument)
    }
  }

  @Test("Who drops out is not waited for any more")
  func dropping() async throws {
    try await withName { name in
      let stays = try Barrier(name, parties: 2)
      let drops = try Barrier(name, parties: 2)
      try drops.arriveAndDrop()
      try await stays.wait()
      drops.close()
      #expect(try stays.state().parties == 1)
      try await stays.wait()
      #expect(try stays.state().broken == nil)
    }
  }

  @Test("A deadline breaks the barrier for all, until reset")
  func deadline() async throws {
    try await withName { name in
      let barriers = try (0..<3).map { _ in try Barrier(name, parties: 3) }
      async let other = outcome { () throws(BarrierError) in try await barriers[1].wait() }
      try await eventually { try barriers[0].state().arrived == 1 }
      let late = try await #require(throws: BarrierError.self) { try await barriers[0].wait(for: .milliseconds(20)) }
      #expect(late.code == .timedOut && late.errno == .timedOut)
      #expect(late.description.hasPrefix("Can't wait at the barrier “\(name)”: the deadline passed. It stays broken"))
      #expect(await other == .broken)
      #expect(try barriers[2].state().broken == .timedOut(member: 0))
      #expect(await outcome { () throws(BarrierError) in try await barriers[2].wait() } == .broken)
      try barriers[2].reset()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for barrier in barriers { group.addTask { try await barrier.wait() } }
        try await group.waitForAll()
      }
      let past = await outcome { () throws(BarrierError) in try await barriers[0].wait(until: .now - .seconds(1)) }
      #expect(past == .timedOut)
    }
  }

  @Test("A cancelled waiter breaks the barrier: the others don't wait for one that won't go on")
  func cancellation() async throws {
    try await withName { name in
      let barriers = try (0..<3).map { _ in try Barrier(name, parties: 3) }
      let cancelled = Task { await outcome { () throws(BarrierError) in try await barriers[0].wait() } }
      async let other = outcome { () throws(BarrierError) in try await barriers[1].wait() }
      try await eventually { try barriers[2].state().arrived == 2 }
      cancelled.cancel()
      #expect(await cancelled.value == .cancelled)
      #expect(await other == .broken)
      // The object is as usable as before.
      try barriers[2].reset()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for barrier in barriers { group.addTask { try await barrier.wait() } }
        try await group.waitForAll()
      }
      // Cancelled before it begins is cancelled all the same.
      let before = Task {
        while !Task.isCancelled { await Task.yield() }
        return await outcome { () throws(BarrierError) in try await barriers[0].wait() }
      }
      before.cancel()
      #expect(await before.value == .cancelled)
      #expect(try barriers[1].state().broken == .timedOut(member: 0))
    }
  }

  @Test("Abort and reset, by an observer, end those who wait")
  func abortAndReset() async throws {
    try await withName { name in
      let barrier = try Barrier(name, parties: 2)
      let observer = try Barrier.observe(name)
      #expect(observer.member == nil)
      for reset in [false, true] {
        async let waiter = outcome { () throws(BarrierError) in try await barrier.wait() }
        try await eventually { try observer.state().arrived == 1 }
        if reset { try observer.reset() } else { try observer.abort() }
        #expect(await waiter == .aborted)
        if !reset {
          #expect(try observer.state().broken == .aborted)
          try observer.reset()
        }
      }
      #expect(try observer.state().broken == nil)
      let not = try #require(throws: BarrierError.self) { try observer.arrive() }
      #expect(not.code == .invalidArgument)
    }
  }

  @Test("The action runs once a round, before anyone is released; one that throws breaks the barrier")
  func actions() async throws {
    struct Spoiled: Error {}
    try await withName { name in
      let runs = Count()
      let spoil = Count()
      let action: @Sendable () throws -> Void = {
        if spoil.value > 0 { throw Spoiled() }
        runs.add()
      }
      let barriers = try (0..<3).map { _ in try Barrier(name, parties: 3, action: action) }
      for round in 1...10 {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for barrier in barriers {
            group.addTask {
              try await barrier.wait()
              #expect(runs.value == round)
            }
          }
          try await group.waitForAll()
        }
      }
      spoil.add()
      let outcomes = await withTaskGroup(of: BarrierError?.self, returning: [BarrierError?].self) { group in
        for barrier in barriers {
          group.addTask {
            do throws(BarrierError) {
              try await barrier.wait()
              return nil
            } catch {
              return error
            }
          }
        }
        return await group.reduce(into: []) { $0.append($1) }
      }
      let failed = outcomes.compactMap { $0 }
      #expect(failed.count == 3)
      let culprit = try #require(failed.first { $0.code == .actionFailed })
      #expect(culprit.reason == "Spoiled()" && culprit.description.contains("its action failed: Spoiled()"))
      #expect(failed.count { $0.code == .broken } == 2)
    }
  }

  @Test("One object is one member: a second wait with it is refused, and closing lets one that blocks a thread end")
  func oneMember() async throws {
    try await withName { name in
      let barrier = try Barrier(name, parties: 2)
      let observer = try Barrier.observe(name)
      async let waiter = outcome { () throws(BarrierError) in
        try await blocking { () throws(BarrierError) in try barrier.waitBlocking() }
      }
      try await eventually { try observer.state().arrived == 1 }
      #expect(await outcome { () throws(BarrierError) in try await barrier.wait() } == .inUse)
      barrier.close()
      barrier.close()
      let closed = try #require(throws: BarrierError.self) { try barrier.state() }
      #expect(closed.code == .closed)
      #expect(try observer.members()[0].state == .alive)
      try observer.abort()
      #expect(await waiter == .aborted)
      // Let go of by the wait that was in progress.
      try await eventually { try observer.members()[0].state == .left }
      observer.close()
    }
  }

  @Test("Openings that can't be: no parties, too many, other parties, another policy, one too many")
  func refusals() async throws {
    try await withName { name in
      for parties in [0, -1, 257, Int.max] {
        #expect(code { () throws(BarrierError) in try Barrier(name, parties: parties) } == .invalidArgument)
      }
      #expect(code { () throws(BarrierError) in try Barrier(name, parties: nil) } == .invalidArgument)
      #expect(code { () throws(BarrierError) in try Barrier(name, parties: nil, mode: .attach) } == .notFound)
      let barrier = try Barrier(name, parties: 1)
      #expect(code { () throws(BarrierError) in try Barrier(name, parties: 2) } == .mismatch)
      #expect(code { () throws(BarrierError) in try Barrier(name, parties: 1, onDeath: .shrink) } == .mismatch)
      #expect(code { () throws(BarrierError) in try Barrier(name, parties: 1) } == .full)
      #expect(code { () throws(BarrierError) in try Barrier(name, parties: 1, mode: .create) } == .alreadyExists)
      let look = try Barrier.look(name)
      #expect(look.state.parties == 1 && look.members.map(\.pid) == [getpid()])
      barrier.close()
    }
  }

  @Test("The last reference leaves, which is a death to the others")
  func lastReference() async throws {
    try await withName { name in
      let stays = try Barrier(name, parties: 2)
      do {
        let goes = try Barrier(name, parties: 2)
        #expect(goes.member == 1)
      }
      let error = try await #require(throws: BarrierError.self) { try await stays.wait() }
      #expect(error.code == .memberDied && error.member == 1 && error.memberPID == getpid())
    }
  }
}

@Suite("The robust barrier and the death of a process", .timeLimit(.minutes(2)))
struct BarrierDeathTests {
  @Test("break: who waits learns which process died")
  func breaking() async throws {
    try await withName { name in
      let barrier = try Barrier(name, parties: 2)
      async let waiter = thrown { () throws(BarrierError) in try await barrier.wait() }
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let member = try Barrier(name, parties: 2)
        _ = withExtendedLifetime(member) { kill(getpid(), SIGKILL) }
      }
      let error = try #require(await waiter)
      #expect(error.code == .memberDied && error.member == 1)
      #expect(try barrier.members()[1].state == .dead)
      #expect(error.memberPID == (try barrier.members()[1].pid))
      #expect(error.description.contains("member 1 (process \(error.memberPID ?? 0)) died"))
    }
  }

  @Test("shrink: the others go on without it")
  func shrinking() async throws {
    try await withName { name in
      let barriers = try (0..<2).map { _ in try Barrier(name, parties: 3, onDeath: .shrink) }
      async let a = barriers[0].wait()
      async let b = barriers[1].wait()
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let member = try Barrier(name, parties: 3, onDeath: .shrink)
        _ = withExtendedLifetime(member) { kill(getpid(), SIGKILL) }
      }
      _ = try await (a, b)
      #expect(try barriers[0].state().parties == 2)
    }
  }

  @Test("await: the others wait until a process takes the dead one's place")
  func awaiting() async throws {
    try await withName { name in
      let barrier = try Barrier(name, parties: 2, onDeath: .await)
      async let waiter = barrier.wait()
      try await eventually { try barrier.state().arrived == 1 }
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let member = try Barrier(name, parties: 2, onDeath: .await)
        _ = withExtendedLifetime(member) { kill(getpid(), SIGKILL) }
      }
      #expect(try barrier.state().arrived == 1)
      await #expect(processExitsWith: .success) { [name = name as String] in
        let replacement = try Barrier(name, parties: 2, onDeath: .await)
        let arrival = try await replacement.wait(for: .seconds(60))
        try #require(replacement.member == 1 && arrival.phase == 0)
      }
      #expect(try await waiter.phase == 0)
    }
  }

  @Test("A peer process meets this one, many rounds")
  func peers() async throws {
    try await withName { name in
      let barrier = try Barrier(name, parties: 2)
      async let peer = run(builtProgram("muster-peer"), ["meet", name, "500"])
      for round in 0..<500 { #expect(try await barrier.wait(for: .seconds(60)).phase == UInt32(round)) }
      try await barrier.wait(for: .seconds(60))
      #expect(try await peer.status == 0)
      #expect(try barrier.state().broken == nil)
    }
  }
}

/// How a wait ended: `nil` is a release.
private func outcome(
  _ body: () async throws(BarrierError) -> Barrier.Arrival
) async -> BarrierError.Code? {
  await thrown(body)?.code
}

private func thrown(_ body: () async throws(BarrierError) -> Barrier.Arrival) async -> BarrierError? {
  do throws(BarrierError) {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}

private func code<Value>(_ body: () throws(BarrierError) -> Value) -> BarrierError.Code? {
  do throws(BarrierError) {
    _ = try body()
    return nil
  } catch {
    return error.code
  }
}
