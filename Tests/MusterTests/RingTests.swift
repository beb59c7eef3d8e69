// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("The ring", .timeLimit(.minutes(1)))
struct RingTests {
  @Test("What one writes another reads, by copy and in place, whole and in order")
  func roundTrip() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 16)
      let reader = try RingReader(name, capacity: 1 << 16)
      #expect(writer.delivery == .lossless && writer.capacity == 1 << 16 && reader.largestRecord == 1 << 14)
      #expect(writer.predecessor.end == Ring.Place(position: 0, number: 0) && writer.predecessor.diedPID == nil)
      try await writer.write("hello".utf8)
      try await writer.write([])
      let told = try await writer.withClaim(24) { bytes in
        #expect(bytes.count == 24 && UInt(bitPattern: bytes.baseAddress) % 8 == 0)
        for index in 0..<3 { bytes.storeBytes(of: index + 7, toByteOffset: 8 * index, as: Int.self) }
        return "told"
      }
      #expect(told == "told")
      #expect(try writer.position().number == 3)
      let first = try await reader.next()
      #expect(first.bytes == Array("hello".utf8) && first.place.number == 0 && first.lost == 0)
      #expect(try await reader.next().bytes == [])
      let sum = try await reader.withNext { record in
        #expect(record.place.number == 2)
        return (0..<3).reduce(0) { $0 + record.bytes.load(fromByteOffset: 8 * $1, as: Int.self) }
      }
      #expect(sum == 24)
      let end = try writer.position()
      #expect(try reader.position() == end)
      // One that is not contiguous.
      try await writer.write((0..<1000).lazy.map { UInt8(truncatingIfNeeded: $0) })
      #expect(try await reader.next().bytes == (0..<1000).map { UInt8(truncatingIfNeeded: $0) })
    }
  }

  @Test("A batch is seen at once; one that is dropped, or whose closure throws, never")
  func batches() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      let reader = try RingReader(name, capacity: 1 << 12)
      for number in 0..<3 { try await writer.write([UInt8(number)], commit: false) }
      #expect(await code { () throws(RingError) in try await reader.next(until: .now) } == .timedOut)
      try writer.commit()
      var seen: [UInt8] = []
      #expect(try await reader.withNext(atMost: 2) { seen.append($0.bytes[0]) } == 2)
      #expect(try await reader.withNext(atMost: 10) { seen.append($0.bytes[0]) } == 1)
      #expect(seen == [0, 1, 2])
      try await writer.write([3], commit: false)
      try writer.cancel()
      #expect(await code { () throws(RingError) in try writer.commit() } == .invalidArgument)
      try await writer.write([4], commit: false)
      await #expect(throws: Oops.self) { try await writer.withClaim(8) { _ in throw Oops() } }
      try await writer.write([5])
      #expect(try await reader.next().bytes == [5])
      // A reader's closure that throws has read its record.
      try await writer.write([6])
      try await writer.write([7])
      await #expect(throws: Oops.self) { try await reader.withNext { _ in throw Oops() } }
      #expect(try await reader.next().bytes == [7])
    }
  }

  @Test("Refusals: another shape, another writer, what is too large, what is not there")
  func refusals() async throws {
    try await withRing { name in
      #expect(await code { () throws(RingError) in try RingReader.attach(name) } == .notFound)
      #expect(await code { () throws(RingError) in try RingWriter(name, capacity: 5000) } == .invalidArgument)
      #expect(await code { () throws(RingError) in try RingWriter(name, capacity: .max) } == .invalidArgument)
      let writer = try RingWriter(name, capacity: 1 << 12, layout: 7)
      #expect(await code { () throws(RingError) in try RingReader(name, capacity: 1 << 13) } == .mismatch)
      #expect(await code { () throws(RingError) in try RingReader.attach(name, layout: 8) } == .mismatch)
      let other = await code { () throws(RingError) in
        try RingReader(name, capacity: 1 << 12, delivery: .latest, layout: 7)
      }
      #expect(other == .mismatch)
      #expect(await code { () throws(RingError) in try RingReader.attach(name, readOnly: true) } == .permissionDenied)
      let held = try #require(throws: RingError.self) { try RingWriter(name, capacity: nil, mode: .attach) }
      #expect(held.code == .hasWriter && held.pid == getpid())
      #expect(held.description == "Can't write to the ring “\(name)”: process \(getpid()) is its writer.")
      let large = [UInt8](repeating: 1, count: 1 << 10)
      try await writer.write(large)
      #expect(await code { () throws(RingError) in try await writer.write(large + [1]) } == .tooLarge)
      for _ in 0..<2 { try await writer.write(large, commit: false) }
      #expect(await code { () throws(RingError) in try await writer.write(large, commit: false) } == .tooLarge)
      try writer.commit()
      let place = Ring.Place(position: 2000, number: 2)
      #expect(await code { () throws(RingError) in try RingReader.attach(name, from: .at(place)) } == .invalidArgument)
      let state = try Ring.look(name)
      #expect(state.writer == .alive(pid: getpid()) && state.end.number == 3 && state.readers == [])
    }
  }

  @Test("Records of another process arrive whole and in order, by copy, in place and as a sequence")
  func processes() async throws {
    try await withRing { name in
      let copying = try RingReader(name, capacity: 1 << 16)
      let inPlace = try RingReader(name, capacity: 1 << 16)
      let streaming = try RingReader(name, capacity: 1 << 16)
      let blocked = try RingReader(name, capacity: 1 << 16)
      let count = 20_000
      async let child = run(builtProgram("muster-peer"), ["write-ring", name.string, "\(count)"])
      async let copied: Int = {
        var number = 0
        while number < count {
          let record = try await copying.next()
          guard isRecord(record.bytes, number), record.place.number == UInt64(number) else { break }
          number += 1
        }
        return number
      }()
      async let lent: Int = {
        var number = 0
        while number < count {
          var isWhole = true
          try await inPlace.withNext(atMost: 64) { record in
            isWhole = isWhole && isRecord(record.bytes, number)
            number += 1
          }
          guard isWhole else { return -number }
        }
        return number
      }()
      async let streamed: Int = {
        var number = 0
        for try await record in streaming.records {
          guard isRecord(record.bytes, number) else { break }
          number += 1
          if number == count { break }
        }
        return number
      }()
      async let read = blocking {
        var number = 0
        while number < count, let record = try? blocked.nextBlocking(), isRecord(record.bytes, number) { number += 1 }
        return number
      }
      #expect(try await copied == count)
      #expect(try await lent == count)
      #expect(try await streamed == count)
      #expect(await read == count)
      let ended = try await child
      #expect(ended.status == 0, "\(ended.output)")
      // It has closed: nobody has died, and nobody writes.
      #expect(try await copying.nextUntilEnd() == nil)
      #expect(try copying.state().writer == .none)
    }
  }

  @Test("64 readers, each a task of this process, get all of it on a pool of few threads; a 65th is refused")
  func manyReaders() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      let readers = try (0..<64).map { _ in try RingReader(name, capacity: 1 << 12) }
      let more = try #require(throws: RingError.self) { try RingReader(name, capacity: 1 << 12) }
      #expect(more.code == .full && more.errno == .overflow)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for reader in readers {
          group.addTask {
            for number in 0..<200 {
              let found = try await reader.next()
              #expect(found.bytes == record(number))
            }
          }
        }
        group.addTask { for number in 0..<200 { try await writer.write(record(number)) } }
        try await group.waitForAll()
      }
      readers[0].close()
      #expect(try writer.state().readers.count == 63)
      let late = try RingReader(name, capacity: 1 << 12)
      #expect(try late.state().readers.count == 64)
    }
  }

  @Test("Of a killed writer all that it committed, then writerDied; a successor goes on, and so does the reader")
  func succession() async throws {
    try await withRing { name in
      let reader = try RingReader(name, capacity: 1 << 14)
      async let child = run(builtProgram("muster-peer"), ["write-ring", name.string, "1000000000"])
      try await reader.waitForWriter()
      var number = 0
      var pid: Int32 = 0
      let died = try await #require(throws: RingError.self) {
        for try await record in reader.records {
          guard isRecord(record.bytes, number) else { throw Oops() }
          number += 1
          if number == 1000, case .alive(let writer) = try reader.state().writer {
            pid = writer
            kill(pid, SIGKILL)
          }
        }
      }
      #expect(died.code == .writerDied && died.pid == pid && pid > 0)
      #expect(died.description.contains("its writer, process \(pid), died"))
      #expect(try await child.status == -SIGKILL)
      #expect(try reader.state().writer == .dead(pid: pid))
      // It is said again, until there is a successor.
      #expect(await code { () throws(RingError) in try await reader.next() } == .writerDied)
      #expect(await code { () throws(RingError) in try await reader.nextUntilEnd() } == .writerDied)
      let noOne = await code { () throws(RingError) in
        try await reader.waitForWriter(until: .now + .milliseconds(10))
      }
      #expect(noOne == .timedOut)
      async let successorThere: Void = reader.waitForWriter()
      let successor = try RingWriter(name, capacity: 1 << 14)
      try await successorThere
      #expect(successor.predecessor.diedPID == pid && successor.predecessor.end.number == UInt64(number))
      try await successor.write(record(number))
      successor.close()
      // It has gone again, and what it wrote is there.
      try await reader.waitForWriter()
      #expect(try await reader.next().bytes == record(number))
    }
  }

  @Test("A writer that waits for a reader goes on when that one is killed, and not before")
  func deadReader() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      async let child = run(builtProgram("muster-peer"), ["hold-ring", name.string])
      try await eventually { try writer.state().readers.count == 1 }
      try await fill(writer)
      let waiting = Task { try await writer.write(record(42)) }
      try await eventually { writer.waitCount == 1 }
      let reader = try #require(try writer.state().readers.first)
      #expect(reader.lag > 0 && reader.pid != getpid())
      kill(reader.pid, SIGKILL)
      try await waiting.value
      #expect(try await child.status == -SIGKILL)
      #expect(try writer.state().readers == [])
    }
  }

  @Test("Deadlines of both ends, awaited and blocking")
  func deadlines() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      let reader = try RingReader(name, capacity: 1 << 12)
      let soon = ContinuousClock.now + .milliseconds(10)
      #expect(await code { () throws(RingError) in try await reader.next(until: soon) } == .timedOut)
      #expect(await caught { () throws(RingError) in try reader.nextBlocking(until: soon) } == .timedOut)
      #expect(await caught { () throws(RingError) in try reader.nextBlocking(until: .now) } == .timedOut)
      try await fill(writer)
      let late = ContinuousClock.now + .milliseconds(10)
      #expect(await code { () throws(RingError) in try await writer.write(record(42), until: late) } == .timedOut)
      #expect(await caught { () throws(RingError) in try writer.writeBlocking(record(42), until: late) } == .timedOut)
      #expect(await caught { () throws(RingError) in try writer.writeBlocking(record(42), until: .now) } == .timedOut)
      #expect(reader.waitCount == 0 && writer.waitCount == 0)
      while try await reader.next().place.number + 1 < writer.position().number {}
      try await writer.write(record(42), until: .now)
    }
  }

  @Test("Cancellation leaves no registration and loses no record")
  func cancellation() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      let reader = try RingReader(name, capacity: 1 << 12)
      var number = 0
      for turn in 0..<200 {
        let task = Task { try await reader.next() }
        if turn % 2 == 0 { try await eventually { reader.waitCount == 1 } }
        async let written: Void = writer.write(record(turn))
        task.cancel()
        let got = await task.result
        try await written
        switch got {
        case .success(let found):
          #expect(found.bytes == record(number))
          number += 1
        case .failure(let error): #expect((error as? RingError)?.code == .cancelled)
        }
        // What a cancelled one did not take is the next.
        while number <= turn {
          #expect(try await reader.next().bytes == record(number))
          number += 1
        }
      }
      #expect(reader.waitCount == 0)
      try await fill(writer)
      let end = try writer.position()
      let waiting = Task { try await writer.write(record(42)) }
      try await eventually { writer.waitCount == 1 }
      waiting.cancel()
      #expect(await code { () throws(RingError) in try await value(of: waiting) } == .cancelled)
      #expect(writer.waitCount == 0)
      #expect(try writer.position() == end)
      // A loop over records that are there ends at once, too.
      let loop = Task { for try await _ in reader.records {} }
      loop.cancel()
      #expect(await code { () throws(RingError) in try await value(of: loop) } == .cancelled)
    }
  }

  @Test("A consumer that asks for no more holds the writer of a lossless ring back")
  func backPressure() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      let reader = try RingReader(name, capacity: 1 << 12)
      var iterator = reader.records.makeAsyncIterator()
      try await writer.write(record(0))
      #expect(try await iterator.next()?.bytes == record(0))
      let count = Count()
      let writing = Task { for number in 1...500 { try await writer.write(record(number)); count.add() } }
      try await eventually { writer.waitCount == 1 }
      let written = count.value
      #expect(written < 500)
      // Held until somebody asks: nothing else makes room.
      #expect(try reader.state().readers.map(\.lag).allSatisfy { $0 > 1 << 11 })
      for number in 1...500 { #expect(try await iterator.next()?.bytes == record(number)) }
      try await writing.value
      reader.close()
      #expect(try await iterator.next() == nil)
    }
  }

  @Test(
    "A ring of latest tells exactly how many records were lost, to a read-only reader too", arguments: [false, true])
  func losses(readOnly: Bool) async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12, delivery: .latest)
      for number in 0..<10 { try await writer.write(record(number), until: .now) }
      let reader = try RingReader.attach(name, readOnly: readOnly)
      #expect(try writer.state().readers.count == (readOnly ? 0 : 1))
      #expect(try await reader.next().bytes == record(0))
      let remembered = try reader.position()
      for number in 10..<5000 { try await writer.write(record(number), until: .now) }
      var next: UInt64 = 1
      while next < 5000 {
        let found = try await reader.next()
        #expect(found.place.number == next + found.lost)
        if next == 1 { #expect(found.lost > 4000) } else { #expect(found.lost == 0) }
        #expect(found.bytes == record(Int(found.place.number)))
        next = found.place.number + 1
      }
      // A place that is gone.
      let late = try RingReader.attach(name, from: .at(remembered), readOnly: readOnly)
      let found = try await late.next()
      #expect(found.lost == found.place.number - 1 && found.lost > 4000)
      #expect(try !late.seek(.at(remembered)))
      #expect(try await late.next().lost > 4000)
      // What is overtaken while it is read in place must not be used.
      #expect(try late.seek(.oldest))
      let overtaken = try await #require(throws: RingError.self) {
        try await late.withNext { _ in
          for number in 5000..<6000 { try blockingWrite(writer, record(number)) }
        }
      }
      #expect(overtaken.code == .overtaken)
      let after = try await late.next()
      #expect(after.bytes == record(Int(after.place.number)) && after.lost > 0)
    }
  }

  @Test("A ring in a file is gone on with, at a place that was remembered")
  func file() async throws {
    try await withFolder { folder in
      let name = RegionName.file(folder.appending("events"))
      let writer = try RingWriter(name, capacity: 1 << 14)
      #expect(writer.name == folder.appending("events").string)
      for number in 0..<20 { try await writer.write(record(number)) }
      writer.close()
      let reader = try RingReader.attach(name)
      for number in 0..<7 { #expect(try await reader.next().bytes == record(number)) }
      let place = try reader.position()
      reader.close()
      let next = try RingWriter(name, capacity: nil, mode: .attach)
      #expect(next.predecessor.diedPID == nil && next.predecessor.end.number == 20)
      try await next.write(record(20))
      next.close()
      let later = try RingReader.attach(name, from: .at(place))
      for number in 7...20 { #expect(try await later.nextUntilEnd()?.bytes == record(number)) }
      #expect(try await later.nextUntilEnd() == nil)
      #expect(try RingReader.attach(name, from: .newest).position().number == 21)
    }
  }

  @Test("A reader that waits for the end is told of it when the writer closes, and not before")
  func end() async throws {
    try await withRing { name in
      let reader = try RingReader(name, capacity: 1 << 12)
      #expect(try await reader.nextUntilEnd() == nil)
      let blocked = try RingReader(name, capacity: 1 << 12)
      for _ in 0..<20 {
        let writer = try RingWriter(name, capacity: 1 << 12)
        let waiting = Task { try await (reader.nextUntilEnd(), reader.nextUntilEnd()) }
        let other = Task {
          try await blocking { () throws(RingError) in
            (try blocked.nextUntilEndBlocking(), try blocked.nextUntilEndBlocking())
          }
        }
        try await eventually { reader.waitCount == 1 && blocked.waitCount == 1 }
        try await writer.write([1])
        writer.close()
        for (first, second) in [try await waiting.value, try await other.value] {
          #expect(first?.bytes == [1] && second == nil)
        }
      }
    }
  }

  @Test("One task at a time writes, and one reads; who only looks may do so meanwhile")
  func oneAtATime() async throws {
    try await withRing { name in
      let writer = try RingWriter(name, capacity: 1 << 12)
      let reader = try RingReader(name, capacity: 1 << 12)
      let waiting = Task { try await reader.next() }
      try await eventually { reader.waitCount == 1 }
      #expect(await code { () throws(RingError) in try await reader.next() } == .inUse)
      #expect(await code { () throws(RingError) in try reader.position() } == .inUse)
      #expect(try reader.state().readers.count == 1)
      try await writer.withClaim(8) { bytes in
        #expect(throws: RingError.self) { try writer.commit() }
        bytes.storeBytes(of: 5, as: Int.self)
      }
      #expect(try await waiting.value.bytes == [5, 0, 0, 0, 0, 0, 0, 0])
    }
  }
}

private struct Oops: Error {}

/// Lends a fresh name of a ring.
private func withRing(_ what: String = #function, _ body: (RegionName) async throws -> Void) async throws {
  try await withName(what) { try await body(RegionName($0)) }
}

/// What the peer writes as its record of that number: bytes that follow from it, 0 to 299 of them.
private func record(_ number: Int) -> [UInt8] {
  (0..<(number * 7 % 300)).map { UInt8(truncatingIfNeeded: number &+ $0) }
}

private func isRecord(_ bytes: some Collection<UInt8>, _ number: Int) -> Bool {
  bytes.elementsEqual(record(number))
}

/// Writes until there is no more room.
private func fill(_ writer: RingWriter) async throws(RingError) {
  do throws(RingError) {
    while true { try await writer.write(record(42), until: .now) }
  } catch {
    guard error.code == .timedOut else { throw error }
  }
}

private func blockingWrite(_ writer: RingWriter, _ bytes: [UInt8]) throws(RingError) {
  try writer.writeBlocking(bytes, until: .now)
}

extension RingWriter {
  fileprivate var waitCount: Int { end.handle.waitCount }
}

extension RingReader {
  fileprivate var waitCount: Int { end.handle.waitCount }
}

private func value<Value: Sendable>(of task: Task<Value, any Error>) async throws(RingError) -> Value {
  do {
    return try await task.value
  } catch {
    throw error as! RingError
  }
}

private func code<Value>(_ body: () async throws(RingError) -> Value) async -> RingError.Code? {
  do throws(RingError) {
    _ = try await body()
    return nil
  } catch {
    return error.code
  }
}

/// Of what blocks, on a thread of its own.
private func caught<Value: Sendable>(_ body: @escaping @Sendable () throws(RingError) -> Value) async -> RingError.Code?
{
  await code { () throws(RingError) in try await blocking(body) }
}
