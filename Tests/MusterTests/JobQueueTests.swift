// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage
import Testing

@testable import Muster

private struct Picture: Codable, Hashable {
  var path: String
  var scale: Double
}

private struct Cell: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var row: UInt32
  var weight: Double
}

@Suite("The queue", .timeLimit(.minutes(1)))
struct JobQueueTests {
  @Test("Jobs come by level and in order, whole, and are gone when they are done")
  func order() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 100, jobs: 8, levels: 2, members: 2)
      #expect(queue.jobSize == 100 && queue.places == 2 && queue.member == 0)
      let taker = try JobQueue.attach(name)
      #expect(taker.member == 1 && taker.jobSize == 100)
      try await queue.put("later".utf8, level: 1)
      try await queue.put([UInt8](repeating: 7, count: 100))
      try await queue.put([])
      try await queue.put([1, 2, 3].lazy.map { $0 + 1 }, level: 1)
      #expect(try queue.state().queued == 4 && queue.state().free == 4)
      do {
        let job = try await next(taker)
        #expect(job.level == 0 && job.attempts == 0 && job.size == 100)
        #expect(try job.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) % 16 == 0 && $0.allSatisfy { $0 == 7 } })
        #expect(try job.withSpan { $0.byteCount == 100 && $0.unsafeLoad(fromByteOffset: 99, as: UInt8.self) == 7 })
        let entry = try #require(try queue.entries(.taken).first)
        #expect(entry.id == job.id && entry.member == 1 && entry.pid == getpid() && entry.isMemberAlive)
        try job.done()
      }
      let empty = try await next(taker)
      #expect(try empty.bytes() == [] && empty.size == 0)
      try empty.done()
      let later = try await next(queue)
      #expect(try later.bytes() == Array("later".utf8) && later.level == 1)
      try later.done()
      let last = try some(taker.takeIfAvailable())
      #expect(try last.bytes() == [2, 3, 4])
      try last.done()
      #expect(isNone(try taker.takeIfAvailable()))
      let state = try queue.state()
      #expect(state.free == 8 && state.put == 4 && state.returned == 0 && state.levels.count == 2)
    }
  }

  @Test("A failed job comes first and counts, an untried one doesn't; after the limit it is aside, retried, or dropped")
  func outcomes() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 16, jobs: 4, members: 2, attempts: 2)
      #expect(try queue.state().attempts == 2)
      for text in ["a", "b"] { try await queue.put(text.utf8) }
      let first = try await next(queue)
      let id = first.id
      try first.putBack(.untried)
      let again = try await next(queue)
      #expect(try again.bytes() == Array("a".utf8) && again.attempts == 0 && again.id != id)
      try again.putBack()
      let entry = try #require(try queue.entries(.queued).first)
      #expect(try #require(entry.age) < .seconds(60))
      #expect(entry.hasReturned && entry.attempts == 1 && entry.bytes == Array("a".utf8) && entry.member == nil)
      let third = try await next(queue)
      #expect(third.attempts == 1)
      let held = third.id
      #expect(throwing { () throws(JobQueueError) in try queue.retry(held) } == .busy)
      try third.putBack(.failed)
      // That was the last attempt.
      let second = try await next(queue)
      #expect(try second.bytes() == Array("b".utf8))
      try second.putBack(.hopeless)
      #expect(isNone(try queue.takeIfAvailable()))
      let aside = try queue.entries(.aside).sorted { $0.attempts > $1.attempts }
      #expect(aside.map(\.bytes) == [Array("a".utf8), Array("b".utf8)] && aside.map(\.attempts) == [2, 0])
      #expect(try queue.state().aside == 2)
      #expect(try queue.entries(.aside, bytes: 0).allSatisfy { $0.bytes.isEmpty && $0.size == 1 })
      try queue.retry(aside[0].id)
      try queue.drop(aside[1].id)
      let error = failure { () throws(JobQueueError) in try queue.drop(aside[1].id) }
      #expect(error?.code == .stale && error?.job == aside[1].id)
      #expect(
        error?.description
          == "Can't drop a job of the queue “\(name)”: job \(aside[1].id) is not there any more under that id.")
      #expect(throwing { () throws(JobQueueError) in try queue.retry(JobID(rawValue: 0)) } == .invalidArgument)
      let retried = try await next(queue)
      #expect(retried.attempts == 0)
      try retried.putBack(.hopeless)
      try queue.finish()
      let left = try #require(try queue.entries(.aside).first)
      #expect(throwing { () throws(JobQueueError) in try queue.retry(left.id) } == .finished)
      #expect(JobID("\(left.id)") == left.id)
      for text in ["", "1", "1.", ".1", "1.2.3", "-1.0", "4294967295.0", "1.x"] { #expect(JobID(text) == nil) }
    }
  }

  @Test("A job whose value ends without a word has failed")
  func abandoned() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 16, jobs: 4, members: 1, attempts: 3)
      try await queue.put("x".utf8)
      struct Oops: Error {}
      func drop(_ job: consuming JobQueue.Job) throws { throw Oops() }
      await #expect(throws: Oops.self) { try drop(try await next(queue)) }
      do { _ = try await next(queue) }
      let state = try queue.state()
      #expect(state.queued == 1 && state.returned == 2)
      let job = try await next(queue)
      #expect(job.attempts == 2)
      try job.done()
      #expect(try queue.state().free == 4)
    }
  }

  @Test("Values: payloads in place, others as JSON; what is none of the type is told, and goes back")
  func values() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 64, jobs: 4, members: 1)
      let picture = Picture(path: "ä.png", scale: 0.5)
      try await queue.put(payload: Cell(row: 3, weight: 1.5))
      try await queue.put(encoding: picture)
      try await blocking { () throws(JobQueueError) in
        try queue.putBlocking(payload: UInt16(7))
        try queue.putBlocking(encoding: picture)
      }
      let cell = try await next(queue)
      #expect(try cell.payload(as: Cell.self).row == 3 && cell.payload(as: Cell.self).weight == 1.5)
      var wrong: JobQueueError?
      do throws(JobQueueError) { _ = try cell.decoded(as: Picture.self) } catch { wrong = error }
      #expect(wrong?.code == .undecodable && wrong?.job == cell.id && wrong?.errno == nil)
      do throws(JobQueueError) { _ = try cell.payload(as: UInt8.self) } catch { wrong = error }
      #expect(wrong?.description == "Can't read a job of the queue “\(name)”: it has 16 bytes, and a UInt8 has 1.")
      try cell.done()
      for _ in 0..<2 {
        let job = try await next(queue)
        if job.size == 2 {
          #expect(try job.payload() == UInt16(7))
        } else {
          #expect(try job.decoded() == picture)
        }
        try job.done()
      }
      let last = try await next(queue)
      #expect(try last.decoded() == picture)
      try last.done()
      #expect(await code { () throws(JobQueueError) in try await queue.put(encoding: Double.infinity) } == .unencodable)
      let long = String(repeating: "x", count: 65)
      #expect(await code { () throws(JobQueueError) in try await queue.put(encoding: long) } == .tooLarge)
      #expect(await code { () throws(JobQueueError) in try await queue.put([], level: 1) } == .invalidArgument)
      #expect(await code { () throws(JobQueueError) in try await queue.put([], level: -1) } == .invalidArgument)
      #expect(try queue.state().free == 4)
    }
  }

  @Test("A job is written where it will be read; one that is not finished, or not right, is none")
  func claims() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 32, jobs: 1, members: 1)
      struct Oops: Error {}
      await #expect(throws: Oops.self) { try await queue.withClaim { _ in throw Oops() } }
      for count in [-1, 33] {
        let error = await #expect(throws: JobQueueError.self) { try await queue.withClaim { _ in count } }
        #expect(error?.code == .tooLarge)
      }
      let error = await #expect(throws: JobQueueError.self) { try await queue.withClaim(level: 3) { _ in 1 } }
      #expect(error?.code == .invalidArgument)
      #expect(try queue.state().free == 1)
      try await queue.withClaim { bytes in
        #expect(bytes.count == 32 && (try? queue.state().putting) == 1)
        bytes[0] = 9
        return 1
      }
      let job = try await next(queue)
      #expect(try job.bytes() == [9])
      try job.done()
      let isPut = await blocking { (try? queue.withClaimBlocking { _ in 32 }) != nil }
      #expect(isPut)
      #expect(try queue.putIfRoom([]) == false)
      #expect(await code { () throws(JobQueueError) in try await queue.put([], until: .now) } == .timedOut)
      let full = Task { try await queue.put([5]) }
      try await eventually { queue.waitCount == 1 }
      try await next(queue).done()
      try await full.value
      let put = try await next(queue)
      #expect(try put.bytes() == [5])
    }
  }

  @Test("Who waits for a job gets those of one who is killed, counted, and not before")
  func death() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 16, jobs: 4, members: 2)
      for number in 0..<3 { try await queue.put(payload: UInt32(number)) }
      async let child = run(builtProgram("muster-peer"), ["hold-jobs", name.string, "3"])
      try await eventually { try queue.state().taken == 3 }
      let pid = try #require(try queue.entries(.taken).first?.pid)
      let waits = (0..<3).map { number in
        Task {
          let seen: (UInt32, Int)
          if number > 0 {
            let job = try await next(queue)
            seen = (try job.payload(), job.attempts)
            try job.done()
          } else {
            seen = try await blocking {
              let job = try some(queue.takeBlocking())
              let seen: (UInt32, Int) = (try job.payload(), job.attempts)
              try job.done()
              return seen
            }
          }
          return seen
        }
      }
      try await eventually { queue.waitCount == 3 }
      kill(pid, SIGKILL)
      var numbers: Set<UInt32> = []
      for wait in waits {
        let (number, attempts) = try await wait.value
        numbers.insert(number)
        #expect(attempts == 1)
      }
      #expect(numbers == [0, 1, 2])
      #expect(try await child.status == -SIGKILL)
      #expect(try queue.state().free == 4 && queue.waitCount == 0 && queue.core.watchCount == 0)
    }
  }

  @Test("What the dead had is put back at once by who asks for that; looking does not")
  func reclaiming() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 16, jobs: 4, members: 2, attempts: 1)
      for number in 0..<2 { try await queue.put(payload: UInt32(number)) }
      async let child = run(builtProgram("muster-peer"), ["hold-jobs", name.string, "2"])
      try await eventually { try queue.state().taken == 2 }
      let pid = try #require(try queue.entries(.taken).first?.pid)
      kill(pid, SIGKILL)
      #expect(try await child.status == -SIGKILL)
      let seen = try JobQueue.look(name, entries: .any, bytes: 2)
      #expect(seen.state.taken == 2 && seen.state.ended == 2 && seen.state.living == 1)
      #expect(seen.entries.allSatisfy { $0.use == .taken && $0.pid == pid && !$0.isMemberAlive && $0.bytes.count == 2 })
      #expect(try JobQueue.look(name).entries.isEmpty)
      #expect(try queue.reclaim() == 2)
      #expect(try queue.reclaim() == 0)
      // The first failure was the last.
      #expect(try queue.state().aside == 2)
    }
  }

  @Test("The end: who waits for a job gets none, who waits for room may not, and what is in hands can still come back")
  func finishing() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 16, jobs: 1, members: 2)
      let other = try JobQueue.attach(name)
      try await queue.put("x".utf8)
      let job = try await next(queue)
      let putting = Task { await code { () throws(JobQueueError) in try await other.put("y".utf8) } }
      let taking = Task {
        let job = try await next(other)
        let attempts = job.attempts
        try job.done()
        return attempts
      }
      try await eventually { other.waitCount == 2 }
      try queue.finish()
      #expect(await putting.value == .finished)
      #expect(await code { () throws(JobQueueError) in try await queue.put("z".utf8) } == .finished)
      try job.putBack()
      #expect(try await taking.value == 1)
      #expect(isNone(try await queue.take()))
      #expect(isNone(try queue.takeIfAvailable()))
      let isOver = await blocking { (try? isNone(queue.takeBlocking())) == true }
      #expect(isOver)
      #expect(try queue.state().isFinished)
      try other.reopen()
      try await queue.put("z".utf8)
      #expect(try !queue.state().isFinished && queue.state().queued == 1)
    }
  }

  @Test("Deadlines pass, cancelled tasks go on, and no job is lost by either")
  func endings() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 16, jobs: 2, members: 2)
      let other = try JobQueue.attach(name)
      for deadline in [ContinuousClock.Instant.now, .now + .milliseconds(10)] {
        #expect(await code { () throws(JobQueueError) in _ = try await other.take(until: deadline) } == .timedOut)
        let late = await blocking {
          throwing { () throws(JobQueueError) in _ = try other.takeBlocking(until: deadline) }
        }
        #expect(late == .timedOut)
      }
      for turn in 0..<100 {
        let task = Task { () -> Int? in
          do throws(JobQueueError) {
            guard let job = try await other.take() else { return nil }
            try job.done()
            return 1
          } catch {
            return error.code == .cancelled ? 0 : nil
          }
        }
        try await eventually { other.waitCount == 1 }
        task.cancel()
        if turn % 2 == 0 { try await queue.put([1]) }
        let done = try #require(await task.value)
        // Cancelled, or served: the job was done, or is there.
        #expect(try queue.state().queued == (turn % 2 == 0 ? 1 - done : 0))
        if let job = try queue.takeIfAvailable() { try job.done() }
      }
      #expect(other.waitCount == 0 && other.core.watchCount == 0)
    }
  }

  @Test("Tasks and threads of several members share the jobs, and each is done once", arguments: [1, 3])
  func contention(members: Int) async throws {
    try await withQueue { name in
      let queues = try (0..<members).map { _ in try JobQueue(name, jobSize: 8, jobs: 5, levels: 2, members: 3) }
      let total = 1200
      let counts = (0..<total).map { _ in Count() }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<12 {
          let queue = queues[worker % members]
          group.addTask {
            try await queue.forEach { job in
              let number: Int = try job.payload()
              // Each seventh fails at first.
              if number % 7 == 0, job.attempts == 0 { throw CancellationError() }
              counts[number].add()
            }
          }
        }
        for thread in 0..<2 {
          let queue = queues[thread % members]
          group.addTask {
            let isWhole = await blocking {
              (try? queue.forEachBlocking { counts[try $0.payload(as: Int.self)].add() }) != nil
            }
            #expect(isWhole)
          }
        }
        try await withThrowingTaskGroup(of: Void.self) { putters in
          for putter in 0..<4 {
            let queue = queues[putter % members]
            putters.addTask {
              for number in stride(from: putter, to: total, by: 4) {
                try await queue.put(payload: number, level: number % 2)
              }
            }
          }
          try await putters.waitForAll()
        }
        try queues[0].finish()
        try await group.waitForAll()
      }
      #expect(counts.allSatisfy { $0.value == 1 })
      let state = try queues[0].state()
      #expect(state.free == 5 && state.put == UInt64(total))
      #expect(queues.allSatisfy { $0.waitCount == 0 && $0.core.watchCount == 0 })
    }
  }

  @Test("forEach: what is thrown decides what becomes of the job, and whether it goes on; a cancelled one gives back")
  func working() async throws {
    try await withQueue { name in
      let queue = try JobQueue(name, jobSize: 8, jobs: 8, members: 2, attempts: 3)
      struct Bad: Error {}
      struct Enough: Error {}
      for number in 0..<4 { try await queue.put(payload: number) }
      try queue.finish()
      var seen: [Int] = []
      let done = try await queue.forEach { job in
        seen.append(try job.payload())
        if seen.last == 1 || seen.last == 2 { throw Bad() }
      } failed: { job, error in
        #expect(error is Bad)
        return try job.payload() == 2 ? .hopeless : .failed
      }
      #expect(done == 2 && seen == [0, 1, 1, 1, 2, 3])
      #expect(try queue.entries(.aside).map(\.attempts).sorted() == [0, 3])
      for entry in try queue.entries(.aside) { try queue.drop(entry.id) }
      try queue.reopen()
      try await queue.put(payload: 7)
      await #expect(throws: Enough.self) {
        try await queue.forEach { _ in
          throw Bad()
        } failed: { _, _ in
          throw Enough()
        }
      }
      #expect(try queue.entries(.queued).map(\.attempts) == [1])
      let working = Task {
        try await queue.forEach { _ in try await Task.sleep(for: .seconds(60)) }
      }
      try await eventually { try queue.state().taken == 1 }
      working.cancel()
      let error = await #expect(throws: JobQueueError.self) { try await working.value }
      #expect(error?.code == .cancelled)
      #expect(try queue.entries(.queued).map(\.attempts) == [1])
      let late = await #expect(throws: JobQueueError.self) {
        try await queue.forEach(until: .now + .milliseconds(10)) { _ in }
      }
      #expect(late?.code == .timedOut)
      #expect(try queue.state().free == 8)
    }
  }

  @Test("Refusals: other numbers, another layout, no place, what is not there")
  func refusals() async throws {
    try await withQueue { name in
      func opening(
        _ size: Int?, _ jobs: Int?, _ members: Int?, levels: Int? = nil, attempts: Int? = nil, layout: UInt64 = 0
      ) -> JobQueueError? {
        failure { () throws(JobQueueError) in
          _ = try JobQueue(
            name, jobSize: size, jobs: jobs, levels: levels, members: members, attempts: attempts, layout: layout)
        }
      }
      #expect(throwing { () throws(JobQueueError) in _ = try JobQueue.attach(name) } == .notFound)
      #expect(throwing { () throws(JobQueueError) in _ = try JobQueue.look(name) } == .notFound)
      let impossible: [(Int?, Int, Int)] = [
        (8, 0, 1), (64, 1, 257), (64, -1, 1), (64, 1 << 40, 1), (1 << 31, 1, 1), (-1, 1, 1), (nil, 1, 1),
      ]
      for (size, jobs, members) in impossible {
        #expect(opening(size, jobs, members)?.code == .invalidArgument)
      }
      #expect(opening(8, 1, 1, levels: 17)?.code == .invalidArgument)
      for attempts in [0, -1, 1 << 32] { #expect(opening(8, 1, 1, attempts: attempts)?.code == .invalidArgument) }
      #expect(throwing { () throws(JobQueueError) in _ = try JobQueue.look(name) } == .notFound)
      let queue = try JobQueue(name, jobSize: 64, jobs: 4, members: 1, layout: 7)
      #expect(opening(64, 5, 1)?.code == .mismatch)
      #expect(opening(64, 4, 1, layout: 8)?.mismatch?.property == .layout)
      let full = opening(64, 4, 1)
      #expect(full?.code == .full && full?.errno == .overflow)
      #expect(full?.description == "Can't open the queue “\(name)”: all its places are held by living members.")
      queue.close()
      #expect(try JobQueue.attach(name, layout: 7).member == 0)
    }
  }

  @Test("Jobs outlive a time when nobody holds the queue, in memory and in a file; what was taken then has failed")
  func unheld() async throws {
    try await withFolder { folder in
      try await withQueue { memory in
        for name in [memory, .file(folder.appending("queue"))] {
          do {
            let queue = try JobQueue(name, jobSize: 16, jobs: 4, levels: 2, members: 2, attempts: 5)
            try await queue.put("a".utf8, level: 1)
            try await queue.put("b".utf8, level: 1)
            _ = try await next(queue)
            queue.close()
          }
          let queue = try JobQueue.attach(name)
          let entries = try queue.entries()
          #expect(entries.map(\.bytes) == [Array("a".utf8), Array("b".utf8)] && entries.map(\.attempts) == [1, 0])
          #expect(try queue.state().levels.map(\.queued) == [0, 2] && queue.state().attempts == 5)
        }
      }
    }
  }
}

extension JobQueue {
  var waitCount: Int { core.handle.waitCount }
}

private func withQueue(_ body: (RegionName) async throws -> Void) async throws {
  try await withName("queue") { try await body(RegionName($0)) }
}

/// A macro takes no value that can't be copied.
private func some(_ job: consuming JobQueue.Job?) throws(JobQueueError) -> JobQueue.Job {
  guard let job else { throw JobQueueError("find a job in the queue", "of the test", code: .notFound) }
  return job
}

private func next(_ queue: JobQueue) async throws(JobQueueError) -> JobQueue.Job { try some(await queue.take()) }

private func isNone(_ job: consuming JobQueue.Job?) -> Bool {
  switch consume job {
  case .some: false
  case .none: true
  }
}

private func failure(_ body: () throws(JobQueueError) -> Void) -> JobQueueError? {
  do throws(JobQueueError) {
    try body()
    return nil
  } catch {
    return error
  }
}

private func throwing(_ body: () throws(JobQueueError) -> Void) -> JobQueueError.Code? { failure(body)?.code }

private func code(_ body: () async throws(JobQueueError) -> Void) async -> JobQueueError.Code? {
  do throws(JobQueueError) {
    try await body()
    return nil
  } catch {
    return error.code
  }
}
