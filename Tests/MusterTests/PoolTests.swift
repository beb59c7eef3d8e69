// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage
import Testing

@testable import Muster

@Suite("The pool", .timeLimit(.minutes(1)))
struct PoolTests {
  @Test("Blocks are aligned, distinct and whole; none is left when all are in use; the end of one frees it")
  func allocation() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 100, blocks: 3, members: 2)
      #expect(pool.blockSize == 128 && pool.blocks == 3 && pool.places == 2 && pool.member == 0)
      var first = try await pool.allocate()
      var second = try some(pool.allocateIfAvailable())
      let names: [PoolBlockName]
      do {
        let third = try await pool.allocate(until: .now)
        names = [first.name, second.name, third.name]
        #expect(Set(names).count == 3 && third.size == 128)
        #expect(isNone(try pool.allocateIfAvailable()))
        #expect(await code { () throws(PoolError) in _ = try await pool.allocate(until: .now) } == .timedOut)
        #expect(Set(try pool.blocks(of: pool.member)) == Set(names))
        let state = try pool.state()
        #expect(state.free == 0 && state.owned == 3 && state.living == 1 && state.blocks == 3)
        #expect(try third.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) % 64 == 0 && $0.count == 128 })
      }
      #expect(throwing { () throws(PoolError) in _ = try pool.state(of: names[2]) } == .stale)
      try first.withUnsafeMutableBytes { for index in $0.indices { $0[index] = 1 } }
      try second.withMutableSpan { span in
        for index in 0..<span.byteCount { span.storeBytes(of: 2, toByteOffset: index, as: UInt8.self) }
      }
      #expect(
        try first.withSpan { span in
          (0..<128).allSatisfy { span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) == 1 }
        })
      #expect(try second.withUnsafeBytes { $0.allSatisfy { $0 == 2 } })
      first.free()
      let again = try await pool.allocate()
      // The place is one of those that were free, the name is new.
      #expect(!names.contains(again.name))
      #expect(try pool.state().free == 1)
    }
  }

  @Test("A block that is given is the receiver's, and one object's; who gives to nobody keeps it, or frees it")
  func giving() async throws {
    try await withPool { name in
      let giver = try Pool(name, blockSize: 64, blocks: 4, members: 3)
      let receiver = try Pool.attach(name)
      #expect(receiver.member == 1 && receiver.blockSize == 64 && receiver.blocks == 4 && receiver.places == 3)
      var block = try await giver.allocate()
      try block.withUnsafeMutableBytes { $0.storeBytes(of: 42, as: Int.self) }
      let given = block.name
      #expect(throwing { () throws(PoolError) in _ = try giver.adopt(given) } == .inUse)
      #expect(throwing { () throws(PoolError) in _ = try receiver.adopt(given) } == .notOwner)
      try block.give(to: receiver.member)
      #expect(throwing { () throws(PoolError) in _ = try giver.adopt(given) } == .notOwner)
      #expect(try receiver.blocks(of: 1) == [given])
      do {
        let got = try receiver.adopt(given)
        #expect(try got.withUnsafeBytes { $0.load(as: Int.self) } == 42)
        #expect(throwing { () throws(PoolError) in _ = try receiver.adopt(given) } == .inUse)
        let state = try giver.state(of: given)
        #expect(state.use == .owned && state.member == 1 && state.isOwnerAlive)
        let back = got.name
        try got.give(to: giver.member)
        #expect(throwing { () throws(PoolError) in _ = try receiver.adopt(back) } == .notOwner)
      }
      // It comes back under the same name.
      let mine = try giver.adopt(given)
      let nobodys = try some(mine.giveIfAlive(to: 2))
      #expect(nobodys.detach() == given)
      let error = failure { () throws(PoolError) in
        let block = try giver.adopt(given)
        try block.give(to: 2)
      }
      #expect(error?.code == .memberDied && error?.member == 2 && error?.block == given)
      #expect(error?.description == "Can't give a block of the pool “\(name)”: nobody lives in place 2.")
      #expect(throwing { () throws(PoolError) in _ = try giver.adopt(given) } == .stale)
      #expect(try giver.state().free == 4)
      #expect(
        throwing { () throws(PoolError) in
          let block = try some(giver.allocateIfAvailable())
          try block.give(to: -1)
        } == .invalidArgument)
      #expect(try giver.state().free == 4)
    }
  }

  @Test("An offer is taken once, or withdrawn; it ends with its offerer")
  func offers() async throws {
    try await withPool { name in
      let offerer = try Pool(name, blockSize: 64, blocks: 4, members: 3)
      let taker = try Pool.attach(name)
      let other = try Pool.attach(name)
      let offered = try await offerer.allocate().offer()
      #expect(throwing { () throws(PoolError) in _ = try offerer.adopt(offered) } == .offered)
      #expect(try offerer.state(of: offered).use == .offered)
      let taken = try some(taker.take(offered))
      #expect(isNone(try other.take(offered)))
      #expect(isNone(try offerer.withdraw(offered)))
      #expect(throwing { () throws(PoolError) in _ = try taker.take(offered) } == .notOffered)
      #expect(throwing { () throws(PoolError) in _ = try taker.withdraw(offered) } == .notOffered)
      taken.free()
      // Whoever took it has freed it.
      #expect(isNone(try offerer.withdraw(offered)))
      #expect(throwing { () throws(PoolError) in _ = try other.take(offered) } == .stale)

      let second = try await offerer.allocate().offer()
      let mine = try some(offerer.withdraw(second))
      #expect(isNone(try other.take(second)))
      let third = try mine.offer()
      #expect(third == second)
      let own = try some(offerer.take(third))
      _ = try own.offer()
      #expect(try other.owners().map(\.offered) == [1, 0, 0])
      offerer.close()
      #expect(throwing { () throws(PoolError) in _ = try other.take(third) } == .stale)
      #expect(try other.state().free == 4)
    }
  }

  @Test("Names go through a ring and come back as they were; what is none is told")
  func names() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 64, blocks: 2, members: 1)
      let ring = RegionName(name.string + "-ring")
      defer { try? Region.remove(ring, force: true) }
      let writer = try RingWriter(ring, capacity: 1 << 12)
      let reader = try RingReader(ring, capacity: 1 << 12)
      let block = try await pool.allocate()
      let name = block.detach()
      try await writer.write(name.bytes)
      try await writer.withClaim(8) { $0.storeBytes(of: name, as: PoolBlockName.self) }
      try await writer.write([1, 2, 3])
      #expect(PoolBlockName(try await reader.next().bytes) == name)
      #expect(try await reader.withNext { PoolBlockName($0.bytes) } == name)
      #expect(try await reader.withNext { PoolBlockName($0.bytes) } == nil)
      #expect(PoolBlockName(name.bytes.lazy.map { $0 }) == name)
      #expect(try JSONDecoder().decode(PoolBlockName.self, from: JSONEncoder().encode(name)) == name)
      let again = try pool.adopt(name)
      #expect(again.name == name && name.description.hasPrefix("block "))
      for number: UInt64 in [0, 3, .max] {
        let none = PoolBlockName(rawValue: number)
        #expect(throwing { () throws(PoolError) in _ = try pool.adopt(none) } == .invalidArgument)
        #expect(throwing { () throws(PoolError) in _ = try pool.take(none) } == .invalidArgument)
        #expect(throwing { () throws(PoolError) in _ = try pool.state(of: none) } == .invalidArgument)
      }
      #expect(throwing { () throws(PoolError) in _ = try pool.adopt(PoolBlockName(rawValue: 2)) } == .stale)
    }
  }

  @Test("Another process has the very bytes, and gives them back")
  func processes() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 64, blocks: 4, members: 2)
      let (questions, answers) = (RegionName(name.string + "-questions"), RegionName(name.string + "-answers"))
      defer { for ring in [questions, answers] { try? Region.remove(ring, force: true) } }
      let writer = try RingWriter(questions, capacity: 1 << 12)
      let reader = try RingReader(answers, capacity: 1 << 12)
      let count = 500
      async let child = run(builtProgram("muster-peer"), ["answer-pool", name.string, "\(count)"])
      let peer = try #require(Int(String(decoding: try await reader.next().bytes, as: UTF8.self)))
      // Three at a time are on the way.
      for number in 0..<count + 3 {
        if number < count {
          var block = try await pool.allocate()
          try block.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: pool.member, as: Int.self)
            bytes.storeBytes(of: number, toByteOffset: 8, as: Int.self)
          }
          let name = block.name
          try block.give(to: peer)
          try await writer.write(name.bytes)
        }
        if number >= 3 {
          let answer = try pool.adopt(try #require(PoolBlockName(try await reader.next().bytes)))
          #expect(try answer.withUnsafeBytes { $0.load(fromByteOffset: 8, as: Int.self) } == 2 * (number - 3))
        }
      }
      let ended = try await child
      #expect(ended.status == 0, "\(ended.output)")
      #expect(try pool.state().free == 4)
    }
  }

  @Test("Who waits for a block gets one when its owner is killed, and not before")
  func death() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 64, blocks: 3, members: 2)
      async let child = run(builtProgram("muster-peer"), ["hold-pool", name.string, "3"])
      try await eventually { try pool.state().offered == 1 }
      let owner = try #require(try pool.owners().last)
      #expect(owner.member == 1 && owner.state == .alive && owner.blocks == 3 && owner.offered == 1)
      let waits = (0..<3).map { number in
        Task {
          if number > 0 { return try await pool.allocate().detach() }
          return try await blocking { () throws(PoolError) in try pool.allocateBlocking().detach() }
        }
      }
      try await eventually { pool.waitCount == 3 }
      kill(owner.pid, SIGKILL)
      var names: Set<PoolBlockName> = []
      for wait in waits { names.insert(try await wait.value) }
      #expect(try await child.status == -SIGKILL)
      #expect(names.count == 3)
      #expect(try names == Set(pool.blocks(of: pool.member)))
      #expect(pool.waitCount == 0)
    }
  }

  @Test("What the dead had is taken back at once by who asks for that")
  func reclaiming() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 64, blocks: 8, members: 2)
      async let child = run(builtProgram("muster-peer"), ["hold-pool", name.string, "5"])
      try await eventually { try pool.state().offered == 1 }
      let owner = try #require(try pool.owners().last)
      let offered = try #require(try pool.blocks(of: 1).first { try pool.state(of: $0).use == .offered })
      kill(owner.pid, SIGKILL)
      #expect(try await child.status == -SIGKILL)
      // An offer outlives its offerer until somebody takes its blocks back.
      let rescued = try some(pool.take(offered))
      let seen = try Pool.look(name)
      #expect(seen.state.ended == 4 && seen.state.free == 3 && seen.state.living == 1)
      #expect(seen.owners.map(\.state) == [.alive, .dead] && seen.owners.map(\.blocks) == [1, 4])
      #expect(try pool.reclaim() == 4)
      #expect(try pool.reclaim() == 0)
      #expect(try pool.state().free == 7)
      #expect(rescued.name == offered)
    }
  }

  @Test("Deadlines pass, cancelled tasks go on, and nothing is left of them")
  func endings() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 64, blocks: 1, members: 2)
      let other = try Pool.attach(name)
      let only = try await pool.allocate()
      let soon = ContinuousClock.now + .milliseconds(10)
      #expect(await code { () throws(PoolError) in _ = try await other.allocate(until: soon) } == .timedOut)
      for deadline in [ContinuousClock.Instant.now, .now + .milliseconds(10)] {
        let late = await blocking {
          throwing { () throws(PoolError) in _ = try other.allocateBlocking(until: deadline) }
        }
        #expect(late == .timedOut)
      }
      for _ in 0..<50 {
        let task = Task { await code { () throws(PoolError) in _ = try await other.allocate() } }
        try await eventually { other.waitCount == 1 }
        task.cancel()
        #expect(await task.value == .cancelled)
      }
      #expect(other.waitCount == 0 && other.core.watchCount == 0)
      // A cancelled one has no block, or it has given it back.
      let race = Task { await code { () throws(PoolError) in _ = try await other.allocate() } }
      try await eventually { other.waitCount == 1 }
      race.cancel()
      only.free()
      _ = await race.value
      #expect(try pool.state().free == 1 && other.core.watchCount == 0)
    }
  }

  @Test("Any number of tasks and threads share few blocks of few members, and nobody has another's", arguments: [1, 3])
  func contention(members: Int) async throws {
    try await withPool { name in
      let pools = try (0..<members).map { _ in try Pool(name, blockSize: 64, blocks: 3, members: 3) }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<48 {
          let pool = pools[task % members]
          group.addTask {
            for _ in 0..<50 {
              var block = try await pool.allocate()
              try block.withUnsafeMutableBytes { $0.storeBytes(of: task, as: Int.self) }
              await Task.yield()
              let seen = try block.withUnsafeBytes { $0.load(as: Int.self) }
              #expect(seen == task)
            }
          }
        }
        for thread in 100..<104 {
          let pool = pools[thread % members]
          group.addTask {
            let isWhole = await blocking {
              (try? (0..<200).allSatisfy { _ in
                var block = try pool.allocateBlocking()
                try block.withUnsafeMutableBytes { $0.storeBytes(of: thread, as: Int.self) }
                sched_yield()
                return try block.withUnsafeBytes { $0.load(as: Int.self) } == thread
              }) == true
            }
            #expect(isWhole)
          }
        }
        try await group.waitForAll()
      }
      #expect(try pools[0].state().free == 3)
      #expect(pools.allSatisfy { $0.waitCount == 0 && $0.core.watchCount == 0 })
    }
  }

  @Test("A name that comes several times makes one object at a time, whoever races for it")
  func duplicates() async throws {
    try await withPool { name in
      let pool = try Pool(name, blockSize: 64, blocks: 2, members: 1)
      let now = Count()
      for _ in 0..<200 {
        let name = try await pool.allocate().detach()
        await withTaskGroup(of: Void.self) { group in
          for _ in 0..<4 {
            group.addTask {
              guard let block = try? pool.adopt(name) else { return }
              #expect(now.add() == 1)
              sched_yield()
              now.add(-1)
              block.free()
            }
          }
        }
        // The first freed it, and no other could.
        #expect(throwing { () throws(PoolError) in _ = try pool.adopt(name) } == .stale)
        let state = try pool.state()
        try #require(state.free == 2)
      }
    }
  }

  @Test("Refusals: other numbers, another layout, no place, what is not there")
  func refusals() async throws {
    try await withPool { name in
      func opening(_ size: Int?, _ blocks: Int?, _ members: Int?, layout: UInt64 = 0) -> PoolError? {
        failure { () throws(PoolError) in
          _ = try Pool(name, blockSize: size, blocks: blocks, members: members, layout: layout)
        }
      }
      #expect(throwing { () throws(PoolError) in _ = try Pool.attach(name) } == .notFound)
      #expect(throwing { () throws(PoolError) in _ = try Pool.look(name) } == .notFound)
      for (size, blocks, members) in [(8, 1, 1), (64, 0, 1), (64, 1, 257), (64, -1, 1), (64, 1 << 40, 1)] {
        #expect(opening(size, blocks, members)?.code == .invalidArgument)
      }
      let pool = try Pool(name, blockSize: 64, blocks: 4, members: 1, layout: 7)
      #expect(opening(64, 5, 1)?.code == .mismatch)
      #expect(opening(64, 4, 1, layout: 8)?.mismatch?.property == .layout)
      let full = opening(64, 4, 1)
      #expect(full?.code == .full && full?.errno == .overflow)
      #expect(full?.description == "Can't open the pool “\(name)”: all its places are held by living members.")
      let there = failure { () throws(PoolError) in
        _ = try Pool(name, blockSize: 64, blocks: 4, members: 1, mode: .create)
      }
      #expect(there?.code == .alreadyExists)
      #expect(throwing { () throws(PoolError) in _ = try pool.blocks(of: 1) } == .invalidArgument)
      pool.close()
      #expect(try Pool.attach(name, layout: 7).member == 0)
    }
  }

  @Test("In a file the pool's numbers stay, and its blocks are free when nobody held it")
  func file() async throws {
    try await withFolder { folder in
      let name = RegionName.file(folder.appending("pool"))
      do {
        let pool = try Pool(name, blockSize: 64, blocks: 4, members: 2)
        _ = try await pool.allocate().offer()
        #expect(try pool.state().offered == 1)
      }
      let pool = try Pool.attach(name)
      let state = try pool.state()
      #expect(state.free == 4 && state.blockSize == 64)
    }
  }

  @Test("A place is given up once, after all steps and not before, whoever leaves and ends at the same time")
  func membership() async throws {
    for turn in 0..<200 {
      let (inside, gone, wrong) = (Count(), Count(), Count())
      let membership = SharedMembership {
        if inside.value != 0 { wrong.add() }
        gone.add()
      }
      await withTaskGroup(of: Void.self) { group in
        for task in 0..<4 {
          group.addTask {
            for step in 0..<100 where membership.begin((task + step) % 3 == 0 ? .long : .short) {
              inside.add()
              if gone.value != 0 { wrong.add() }
              inside.add(-1)
              membership.end((task + step) % 3 == 0 ? .long : .short)
            }
          }
        }
        for _ in 0..<2 {
          group.addTask {
            for _ in 0..<turn { await Task.yield() }
            membership.leave()
          }
        }
      }
      try #require(gone.value == 1 && wrong.value == 0)
      #expect(!membership.begin())
    }
  }
}

extension Pool {
  var waitCount: Int { core.handle.waitCount }
}

private func withPool(_ body: (RegionName) async throws -> Void) async throws {
  try await withName("pool") { try await body(RegionName($0)) }
}

/// A macro takes no value that can't be copied.
private func some(_ block: consuming PoolBlock?) throws(PoolError) -> PoolBlock {
  guard let block else { throw PoolError("find a block in the pool", "of the test", code: .notFound) }
  return block
}

private func isNone(_ block: consuming PoolBlock?) -> Bool {
  switch consume block {
  case .some: false
  case .none: true
  }
}

private func failure(_ body: () throws(PoolError) -> Void) -> PoolError? {
  do throws(PoolError) {
    try body()
    return nil
  } catch {
    return error
  }
}

private func throwing(_ body: () throws(PoolError) -> Void) -> PoolError.Code? { failure(body)?.code }

private func code(_ body: () async throws(PoolError) -> Void) async -> PoolError.Code? {
  do throws(PoolError) {
    try await body()
    return nil
  } catch {
    return error.code
  }
}
