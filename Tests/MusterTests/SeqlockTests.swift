// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private struct Pair: SharedPayload, Equatable {
  static let payloadLayout: UInt32 = 1
  var first: UInt64
  var second: Double
  var small: UInt8
}

private struct OtherPair: SharedPayload {
  static let payloadLayout: UInt32 = 2
  var first: UInt64
  var second: Double
  var small: UInt8
}

/// The same in all words: a torn read shows.
private typealias Row = InlineArray<16, UInt64>

@Suite("The seqlock", .timeLimit(.minutes(1)))
struct SeqlockTests {
  @Test("What one writes another reads, whole")
  func roundTrip() async throws {
    try await withName { name in
      let writer = try Seqlock<Pair>(name)
      let reader = try Seqlock<Pair>.attach(name)
      #expect(try reader.read() == nil && reader.sequence == 0)
      let found = try writer.claim()
      #expect(found.sequence == 0 && found.diedPID == nil)
      try writer.write(Pair(first: 1, second: 2.5, small: 3))
      let snapshot = try #require(try reader.read())
      #expect(snapshot.value == Pair(first: 1, second: 2.5, small: 3) && snapshot.sequence == 1)
      try writer.write(Pair(first: .max, second: -.infinity, small: 255))
      #expect(try reader.read()?.value == Pair(first: .max, second: -.infinity, small: 255))
      #expect(try reader.writer() == .alive(pid: getpid()))
      try writer.release()
      #expect(try reader.writer() == .none)
    }
  }

  @Test("Another payload is refused: other fields by their number, another size, another kind of object")
  func mismatches() async throws {
    try await withName { name in
      let seqlock = try Seqlock<Pair>(name)
      #expect(code { () throws(SeqlockError) in try Seqlock<OtherPair>(name) } == .mismatch)
      #expect(code { () throws(SeqlockError) in try Seqlock<Int>.attach(name) } == .mismatch)
      #expect(code { () throws(SeqlockError) in try CounterRegion(name, counters: ["a"]) } == .mismatch)
      #expect(code { () throws(SeqlockError) in try Seqlock<Pair>.attach(name + "x") } == .notFound)
      #expect(try seqlock.read() == nil)
    }
    try await withName { name in
      let numbers = try Seqlock<Int64>(name)
      #expect(code { () throws(SeqlockError) in try Seqlock<UInt64>(name) } == .mismatch)
      let error = try #require(throws: SeqlockError.self) { try Seqlock<Double>(name) }
      #expect(error.mismatch?.property == .layout && error.description.contains("(asked for 0x"))
      #expect(numbers.name == name)
    }
  }

  @Test("One writer at a time; who has not claimed can't write; a reader can't claim")
  func claims() async throws {
    try await withName { name in
      let writer = try Seqlock<Int>(name)
      let second = try Seqlock<Int>(name)
      let reader = try Seqlock<Int>.attach(name)
      #expect(code { () throws(SeqlockError) in try writer.write(1) } == .notWriter)
      try writer.claim()
      #expect(code { () throws(SeqlockError) in try writer.claim() } == .alreadyWriter)
      let held = try #require(throws: SeqlockError.self) { try second.claim() }
      #expect(held.code == .hasWriter && held.pid == getpid())
      #expect(held.description == "Can't claim the seqlock “\(name)”: process \(getpid()) is its writer.")
      #expect(code { () throws(SeqlockError) in try reader.claim() } == .permissionDenied)
      #expect(code { () throws(SeqlockError) in try second.release() } == .notWriter)
      try writer.write(5)
      writer.close()
      writer.close()
      #expect(code { () throws(SeqlockError) in try writer.write(6) } == .closed)
      #expect(code { () throws(SeqlockError) in try writer.read() } == .closed)
      let found = try second.claim()
      #expect(found.sequence == 1 && found.diedPID == nil)
      #expect(try second.read()?.value == 5)
    }
  }

  @Test("A successor takes over from a killed writer, and finds its last whole value")
  func succession() async throws {
    try await withName { name in
      let successor = try Seqlock<Int>(name)
      let seen = try Barrier(name + "-seen", parties: 2)
      defer { try? Region.remove(RegionName(name + "-seen"), force: true) }
      async let child = run(builtProgram("muster-peer"), ["die-writing", name, name + "-seen"])
      try await successor.waitForWriter()
      try await seen.wait()
      let died = try await #require(throws: SeqlockError.self) {
        var last: UInt64 = 0
        while true { last = try await successor.waitForChange(since: last) }
      }
      #expect(died.code == .writerDied && died.pid != nil && died.pid != getpid())
      #expect(died.description.contains("its writer, process \(died.pid ?? 0), died"))
      #expect(try await child.status == -SIGKILL)
      guard case .dead = try successor.writer() else {
        Issue.record("not dead")
        return
      }
      let found = try successor.claim()
      #expect(found.sequence == 100 && found.diedPID != nil && found.diedPID != getpid())
      #expect(try successor.read()?.value == 100)
      try successor.write(101)
      #expect(try successor.read()?.sequence == 101)
    }
  }

  @Test("No read is torn while another process writes as fast as it can")
  func whole() async throws {
    try await withName { name in
      let reader = try Seqlock<Row>(name)
      async let writer = #expect(processExitsWith: .success) { [name = name as String] in
        let seqlock = try Seqlock<Row>(name)
        try seqlock.claim()
        for value in 1...UInt64(200_000) { try seqlock.write(Row(repeating: value)) }
      }
      var last: UInt64 = 0
      while last < 200_000 {
        try await reader.waitForChange(since: last)
        let snapshot = try #require(try reader.read())
        #expect(snapshot.sequence >= last)
        last = snapshot.sequence
        for index in 0..<16 where snapshot.value[index] != last { Issue.record("torn at write \(last)") }
      }
      _ = await writer
    }
  }

  @Test("Waiting for a change, by a read-only reader too; deadlines and cancellation")
  func waiting() async throws {
    try await withName { name in
      let writer = try Seqlock<Int>(name)
      let reader = try Seqlock<Int>.attach(name)
      try writer.claim()
      let waits = [writer, reader].map { seqlock in Task { try await seqlock.waitForChange(since: 0) } }
      let blocked = Task {
        try await blocking { () throws(SeqlockError) in try reader.waitForChangeBlocking(since: 0) }
      }
      try writer.write(1)
      for wait in waits { #expect(try await wait.value == 1) }
      #expect(try await blocked.value == 1)
      for seqlock in [writer, reader] {
        let late = try await #require(throws: SeqlockError.self) {
          try await seqlock.waitForChange(since: 1, until: .now + .milliseconds(10))
        }
        #expect(late.code == .timedOut)
        let task = Task { try await seqlock.waitForChange(since: 1) }
        task.cancel()
        #expect(try await #require(throws: SeqlockError.self) { try await task.value }.code == .cancelled)
      }
      try writer.release()
      let noWriter = try await #require(throws: SeqlockError.self) {
        try await reader.waitForWriter(until: .now + .milliseconds(10))
      }
      #expect(noWriter.code == .timedOut)
      async let writerThere: Void = reader.waitForWriter()
      try writer.claim()
      try await writerThere
    }
  }
}

@Suite("Counter regions", .timeLimit(.minutes(1)))
struct CounterRegionTests {
  @Test("Labelled counters, as one snapshot")
  func counting() async throws {
    try await withName { name in
      let counters = try CounterRegion(name, counters: ["requests", "errors"])
      let reader = try CounterRegion.attach(name)
      #expect(reader.labels == ["requests", "errors"])
      #expect(try reader.snapshot().values == [0, 0] && reader.snapshot().sequence == 0)
      try counters.claim()
      try counters.add(2, to: "requests")
      try counters.set("errors", to: 7)
      let seen = try reader.snapshot()
      #expect(seen["requests"] == 2 && seen["errors"] == 7 && seen["none"] == nil && seen.sequence == 2)
      try counters.write([10, 20])
      #expect(try reader.value(of: "errors") == 20)
      try counters.add(.max, to: "errors")
      #expect(try reader.value(of: "errors") == 19)
      var values: [UInt64] = [0, 0]
      #expect(try reader.read(into: &values) == 4)
      #expect(values == [10, 19])
      let look = try CounterRegion.look(name)
      #expect(look.snapshot.values == [10, 19] && look.writer == .alive(pid: getpid()))
    }
  }

  @Test("Other counters are refused; so are labels that can't be")
  func refusals() async throws {
    try await withName { name in
      for labels in [[], [""], ["a", "a"], [String(repeating: "x", count: 32)], ["a\0b"]] {
        #expect(code { () throws(SeqlockError) in try CounterRegion(name, counters: labels) } == .invalidArgument)
      }
      let long = try #require(throws: SeqlockError.self) {
        try CounterRegion(name, counters: ["a", String(repeating: "x", count: 32)])
      }
      #expect(long.description.contains("“xxxx") && long.description.contains("more than 31 bytes"))
      let counters = try CounterRegion(name, counters: ["a", "b"])
      let other = try #require(throws: SeqlockError.self) { try CounterRegion(name, counters: ["a", "c"]) }
      #expect(other.code == .mismatch && other.description.contains("its counter 1 is “b”, not “c”"))
      let fewer = try #require(throws: SeqlockError.self) { try CounterRegion(name, counters: ["a"]) }
      #expect(fewer.code == .mismatch && fewer.description.contains("it has 2 counters, not 1"))
      #expect(fewer.mismatch?.expected == 1 && fewer.mismatch?.found == 2)
      try counters.claim()
      let missing = try #require(throws: SeqlockError.self) { try counters.add(1, to: "c") }
      #expect(missing.code == .invalidArgument && missing.description.contains("“c”"))
      #expect(code { () throws(SeqlockError) in try counters.write([1, 2, 3]) } == .invalidArgument)
      var few: [UInt64] = [0]
      #expect(throws: SeqlockError.self) { try counters.read(into: &few) }
      counters.close()
      counters.close()
      #expect(code { () throws(SeqlockError) in try counters.snapshot() } == .closed)
    }
  }

  @Test("Counters that a C program made are the same counters; so are those that an earlier version made")
  func madeInC() async throws {
    for layout: UInt64 in [0, 0x1234_5678_9abc_def1] {
      try await withName { name in
        let object = try #require(openInC(name, ["a", "b"], layout: layout))
        let counters = try CounterRegion(name, counters: ["a", "b"])
        try counters.claim()
        try counters.add(7, to: "b")
        #expect(try CounterRegion.attach(name).value(of: "b") == 7)
        #expect(code { () throws(SeqlockError) in try CounterRegion(name, counters: ["b", "a"]) } == .mismatch)
        muster_seqlock_close(object)
      }
    }
  }

  @Test("A value's seqlock is no row of counters, also where it has as many words")
  func payloads() async throws {
    try await withName { name in
      let number = try Seqlock<Double>(name)
      let error = try #require(throws: SeqlockError.self) { try CounterRegion.attach(name) }
      #expect(error.code == .mismatch && error.description.contains("a value of 8 bytes"))
      #expect(code { () throws(SeqlockError) in try CounterRegion(name, counters: ["a"]) } == .mismatch)
      #expect(code { () throws(SeqlockError) in try CounterRegion.look(name) } == .mismatch)
      #expect(number.sequence == 0)
    }
  }

  @Test("Another user's counters are refused unless they are asked for", .enabled(if: geteuid() == 0))
  func otherUsers() async throws {
    await #expect(processExitsWith: .success) { [name = freshName() as String] in
      let everybody: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead]
      let writer = try Seqlock<Int>(name + "-s", permissions: everybody)
      let counters = try CounterRegion(name + "-c", counters: ["a"], permissions: everybody)
      defer { for kind in ["-s", "-c"] { try? Region.remove(RegionName(name + kind), force: true) } }
      try writer.claim()
      try writer.write(3)
      seteuid(65534)
      let refused = code { () throws(SeqlockError) in try Seqlock<Int>.attach(name + "-s") } == .permissionDenied
      let read = try? Seqlock<Int>.attach(name + "-s", anyOwner: true).read()?.value
      let labels = try? CounterRegion.attach(name + "-c", anyOwner: true).labels
      seteuid(0)
      withExtendedLifetime(counters) { if !refused || read != 3 || labels != ["a"] { exit(1) } }
    }
  }

  @Test("Tasks that write by one object lose no count")
  func manyWriters() async throws {
    try await withName { name in
      let counters = try CounterRegion(name, counters: ["n"])
      try counters.claim()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<8 { group.addTask { for _ in 0..<1000 { try counters.add(1, to: "n") } } }
        try await group.waitForAll()
      }
      #expect(try counters.value(of: "n") == 8000 && counters.sequence == 8000)
    }
  }
}

/// Makes counters as a C program does.
private func openInC(_ name: String, _ labels: [String], layout: UInt64) -> OpaquePointer? {
  var object: OpaquePointer?
  var options = muster_seqlock_options()
  options.words = UInt32(labels.count)
  options.label_count = UInt32(labels.count)
  options.layout = layout
  let texts = labels.map { strdup($0) }
  defer { for text in texts { free(text) } }
  let status = texts.map { UnsafePointer($0) }.withUnsafeBufferPointer { texts in
    options.labels = texts.baseAddress
    return muster_seqlock_open(name, &options, &object)
  }
  return status == 0 ? object : nil
}

private func code<Value>(_ body: () throws(SeqlockError) -> Value) -> SeqlockError.Code? {
  do throws(SeqlockError) {
    _ = try body()
    return nil
  } catch {
    return error.code
  }
}
