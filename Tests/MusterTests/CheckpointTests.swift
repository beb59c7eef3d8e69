// Checkpoints of payloads in place: what is found after a death, who is fenced, what is kept.
// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private struct Work: SharedPayload, Equatable {
  static let payloadLayout: UInt32 = 1
  var done: UInt64
  var sum: UInt64
  var mark: UInt8
}

private struct OtherWork: SharedPayload {
  static let payloadLayout: UInt32 = 2
  var done: UInt64
  var sum: UInt64
  var mark: UInt8
}

/// The same in all words: a torn state shows.
private typealias Row = InlineArray<16, UInt64>

/// A peer fills each state with its number.
private func isWhole(_ snapshot: Checkpoint<Row>.Snapshot?) -> Bool {
  guard let snapshot else { return false }
  return (0..<16).allSatisfy { snapshot.state[$0] == snapshot.sequence } && snapshot.record.length == 128
}

@Suite("The checkpoint", .timeLimit(.minutes(1)))
struct CheckpointTests {
  @Test("What one saves another reads, whole, with what is known of it")
  func roundTrip() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Work>(name, history: 3)
      let reader = try Checkpoint<Work>.attach(name)
      #expect(try reader.read() == nil && reader.epoch == 0 && reader.writer() == .none)
      #expect(try reader.load { _ in true } == nil && reader.records().isEmpty)
      #expect(try job.takeOver() == CheckpointTakeOver(epoch: 1, predecessor: .none))
      #expect(job.isWriter && !reader.isWriter)
      #expect(try job.save(Work(done: 1, sum: 2, mark: 3)) == 1)
      let seen = try #require(try reader.read())
      #expect(seen.state == Work(done: 1, sum: 2, mark: 3) && seen.sequence == 1)
      #expect(seen.record.epoch == 1 && seen.record.length == 17 && seen.record.restored == nil && seen.record.isWhole)
      #expect(seen.record.time > .seconds(1_700_000_000))
      #expect(try reader.writer() == .alive(pid: getpid()) && reader.epoch == 1)
      #expect(reader.history == 3 && reader.capacity == 17)
      try job.release()
      #expect(try reader.writer() == .none && !job.isWriter)
      #expect(code { () throws(CheckpointError) in try job.save(Work(done: 2, sum: 3, mark: 4)) } == .notWriter)
      #expect(code { () throws(CheckpointError) in try job.release() } == .notWriter)
      #expect(try job.takeOver().epoch == 2)
      #expect(try job.save(Work(done: 2, sum: 3, mark: 4)) == 2)
    }
  }

  @Test("A successor of a writer that is killed at work finds its last whole state, and goes on")
  func succession() async throws {
    try await withCheckpoint { name in
      let successor = try Checkpoint<Row>(name, history: 4)
      async let child = run(builtProgram("muster-peer"), ["keep-saving", name.string])
      try await eventually { try (successor.read()?.sequence ?? 0) > 100 }
      guard case .alive(let pid) = try successor.writer() else {
        Issue.record("no writer")
        return
      }
      kill(pid, SIGKILL)
      #expect(try await child.status == -SIGKILL)
      #expect(try successor.writer() == .dead(pid: pid))
      #expect(try successor.takeOver() == CheckpointTakeOver(epoch: 2, predecessor: .dead(pid: pid)))
      let last = try #require(try successor.read())
      #expect(isWhole(last) && last.sequence > 100)
      for record in try successor.records() { #expect(try isWhole(successor.read(record.sequence))) }
      #expect(try successor.records().map(\.sequence) == (0...4).map { last.sequence - $0 })
      #expect(try successor.save(Row(repeating: last.sequence + 1)) == last.sequence + 1)
      #expect(try successor.read()?.record.epoch == 2)
    }
  }

  @Test("A writer that was stopped and wakes after another took over is refused, and told by whom")
  func fencedProcess() async throws {
    try await withCheckpoint { name in
      let successor = try Checkpoint<Row>(name, history: 4)
      async let child = run(builtProgram("muster-peer"), ["keep-saving", name.string])
      try await eventually { try (successor.read()?.sequence ?? 0) > 100 }
      guard case .alive(let pid) = try successor.writer() else {
        Issue.record("no writer")
        return
      }
      kill(pid, SIGSTOP)
      #expect(try successor.takeOver() == CheckpointTakeOver(epoch: 2, predecessor: .alive(pid: pid)))
      let last = try #require(try successor.read())
      #expect(isWhole(last) && last.record.epoch == 1)
      // More than it keeps, so that each slot is used again but the one that the stopped writer may have claimed.
      for step in 1...20 { try successor.save(Row(repeating: last.sequence + UInt64(step))) }
      kill(pid, SIGCONT)
      let ended = try await child
      #expect(ended.status == 0 && ended.output == "fenced \(getpid()) 2\n")
      #expect(try successor.read()?.sequence == last.sequence + 20)
      for record in try successor.records() {
        #expect(try record.epoch == 2 && isWhole(successor.read(record.sequence)))
      }
    }
  }

  @Test("Of two objects the one that took over last writes; the other may take over anew")
  func fencedObject() async throws {
    try await withCheckpoint { name in
      let first = try Checkpoint<Int>(name, history: 2)
      let second = try Checkpoint<Int>(name, history: 2)
      try first.takeOver()
      #expect(code { () throws(CheckpointError) in try first.takeOver() } == .alreadyWriter)
      try first.save(1)
      #expect(try second.takeOver().predecessor == .alive(pid: getpid()))
      #expect(!first.isWriter && second.isWriter)
      let fenced = try #require(throws: CheckpointError.self) { try first.save(2) }
      #expect(
        fenced.code == .fenced && fenced.pid == getpid() && fenced.epoch == 2 && fenced.errno == .init(rawValue: ESTALE)
      )
      #expect(fenced.description.contains("process \(getpid()) took over, with epoch 2"))
      #expect(code { () throws(CheckpointError) in try first.rollBack(to: 1) } == .fenced)
      #expect(try second.save(2) == 2)
      #expect(try first.takeOver().epoch == 3)
      #expect(code { () throws(CheckpointError) in try second.save(3) } == .fenced)
      #expect(try first.save(3) == 3)
    }
  }

  @Test("As many writers live as it allows: the next is told, and nobody is fenced")
  func tooMany() async throws {
    try await withCheckpoint { name in
      let first = try Checkpoint<Int>(name, history: 2, writers: 1)
      let second = try Checkpoint<Int>(name, history: 2, writers: 1)
      try first.takeOver()
      #expect(code { () throws(CheckpointError) in try second.takeOver() } == .tooManyWriters)
      #expect(try first.save(1) == 1)
      first.close()
      #expect(try second.takeOver() == CheckpointTakeOver(epoch: 2, predecessor: .none))
      let reader = try Checkpoint<Int>.attach(name)
      #expect(code { () throws(CheckpointError) in try reader.takeOver() } == .permissionDenied)
      let other = try #require(throws: CheckpointError.self) { try Checkpoint<Int>(name, history: 2) }
      #expect(other.code == .mismatch && other.description.contains("for 1 writers"))
    }
  }

  @Test("What is kept can be read, and rolled back to, which is a commit")
  func history() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Int>(name, history: 3)
      try job.takeOver()
      for value in 1...10 { try job.save(value * 100) }
      #expect(try job.records().map(\.sequence) == [10, 9, 8, 7])
      #expect(try job.read(7).state == 700)
      let gone = try #require(throws: CheckpointError.self) { try job.read(6) }
      #expect(gone.code == .notKept && gone.description.contains("state 6 is not among those that it keeps: 7 to 10"))
      #expect(code { () throws(CheckpointError) in try job.rollBack(to: 6) } == .notKept)
      #expect(code { () throws(CheckpointError) in try job.read(0) } == .notKept)
      #expect(try job.rollBack(to: 8) == 11)
      let back = try #require(try Checkpoint<Int>.attach(name).read())
      #expect(back.state == 800 && back.sequence == 11 && back.record.restored == 8)
      #expect(try job.records().map(\.restored) == [8, nil, nil, nil])
      #expect(try await job.rollBackDurably(to: 9) == 12)
      #expect(try job.read()?.state == 900)
      try job.release()
      #expect(code { () throws(CheckpointError) in try job.rollBack(to: 11) } == .notWriter)
    }
  }

  @Test("The acceptance test picks the newest that is good; that none is is an error")
  func acceptance() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Int>(name, history: 4)
      try job.takeOver()
      for value in [2, 4, 5, 7] { try job.save(value) }
      var asked: [Int] = []
      let even = try job.load { snapshot in
        asked.append(snapshot.state)
        return snapshot.state % 2 == 0
      }
      #expect(even?.state == 4 && even?.sequence == 2 && asked == [7, 5, 4])
      let none = try #require(throws: CheckpointError.self) { try job.load { $0.state > 100 } }
      #expect(none.code == .noneAccepted && none.description.contains(name.string))
      #expect(try job.load { $0.record.epoch == 1 }?.state == 7)
    }
  }

  @Test("A state that was corrupted is told, and the one before it is read")
  func torn() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<UInt64>(name, history: 2)
      try job.takeOver()
      for value: UInt64 in [0x1111_1111_1111_1111, 0x2222_2222_2222_2222] { try job.save(value) }
      try corrupt(name, 0x2222_2222_2222_2222)
      #expect(try job.read()?.state == 0x1111_1111_1111_1111)
      #expect(try job.records().map(\.isWhole) == [false, true])
      let torn = try #require(throws: CheckpointError.self) { try job.read(2) }
      #expect(torn.code == .corrupt && torn.description.contains("state 2 is torn or corrupt"))
      #expect(code { () throws(CheckpointError) in try job.rollBack(to: 2) } == .corrupt)
      #expect(try job.rollBack(to: 1) == 3)
      try corrupt(name, 0x1111_1111_1111_1111)
      #expect(code { () throws(CheckpointError) in try job.read() } == .corrupt)
    }
  }

  @Test("Other payloads, shapes and kinds are refused; so is what can't be")
  func refusals() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Work>(name, history: 3)
      #expect(code { () throws(CheckpointError) in try Checkpoint<OtherWork>(name, history: 3) } == .mismatch)
      #expect(code { () throws(CheckpointError) in try Checkpoint<OtherWork>.attach(name) } == .mismatch)
      #expect(code { () throws(CheckpointError) in try Checkpoint<Int>.attach(name) } == .mismatch)
      let shape = try #require(throws: CheckpointError.self) { try Checkpoint<Work>(name, history: 4) }
      #expect(shape.code == .mismatch)
      #expect(shape.description.contains("it keeps 3 states before the last, of 17 bytes at most, for 4 writers"))
      #expect(
        code { () throws(CheckpointError) in try Checkpoint<Work>(name, history: 3, mode: .create) } == .alreadyExists)
      let attached = try Checkpoint<Work>(name, history: nil, mode: .attach)
      #expect(attached.history == 3 && attached.name == name)
      let absent = RegionName(name.string + "x")
      #expect(code { () throws(CheckpointError) in try Checkpoint<Work>.attach(absent) } == .notFound)
      for history in [-1, 0, 1, 65, .max] {
        #expect(
          code { () throws(CheckpointError) in try Checkpoint<Work>(absent, history: history) } == .invalidArgument)
      }
      #expect(code { () throws(CheckpointError) in try Checkpoint<Work>(absent, history: nil) } == .invalidArgument)
      #expect(code { () throws(CheckpointError) in try Checkpoint<Work>("a/b", history: 2) } == .invalidArgument)
      let none = try #require(throws: CheckpointError.self) { try Checkpoint<Work>(absent, history: 2, writers: 65) }
      #expect(none.code == .invalidArgument && none.description.contains("1 to 64 writers"))
      let group = try Muster.Group(absent.string, capacity: 2)
      defer { try? Region.remove(absent, force: true) }
      let kind = try #require(throws: CheckpointError.self) { try Checkpoint.look(absent) }
      #expect(kind.code == .mismatch && kind.mismatch?.property == .kind)
      withExtendedLifetime((job, group)) {}
    }
  }

  @Test("In a file: what was saved durably is there when it is opened anew")
  func file() async throws {
    try await withFolder { folder in
      let name = RegionName.file(folder.appending("job"))
      let first = try Checkpoint<Int>(name, history: 3)
      #expect(try first.takeOver().epoch == 1)
      #expect(try await first.saveDurably(1) == 1)
      #expect(try await blocking { () throws(CheckpointError) in try first.saveDurablyBlocking(2) } == 2)
      #expect(try first.saveInPlace { $0.pointee = 3 } == 3)
      first.close()
      #expect(try Region.inspect(name).kind == "CKPT")
      let second = try Checkpoint<Int>(name, history: 3)
      #expect(try second.records().map(\.sequence) == [3, 2, 1] && second.read()?.state == 3)
      #expect(try second.takeOver() == CheckpointTakeOver(epoch: 2, predecessor: .none))
      #expect(try await second.rollBackDurably(to: 1) == 4)
      #expect(try await blocking { () throws(CheckpointError) in try second.rollBackDurablyBlocking(to: 2) } == 5)
      second.close()
      #expect(try Checkpoint<Int>.attach(name).read()?.state == 2)
    }
  }

  @Test("A state filled in in place is committed whole, or not at all")
  func inPlace() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Row>(name, history: 2)
      #expect(try fill(job, 1) == .notWriter)
      try job.takeOver()
      #expect(try fill(job, 1) == nil)
      #expect(throws: Trouble.self) { try fill(job, 9) { throw Trouble() } }
      #expect(try isWhole(job.read()) && job.records().count == 1)
      let second = try fill(job, 2) {
        #expect(code { () throws(CheckpointError) in try job.save(Row(repeating: 9)) } == .beingWritten)
        #expect(code { () throws(CheckpointError) in try job.release() } == .beingWritten)
        #expect(code { () throws(CheckpointError) in try job.takeOver() } == .beingWritten)
      }
      #expect(second == nil)
      #expect(try isWhole(job.read()) && job.read()?.sequence == 2)
    }
  }

  @Test("Closing while a state is filled in waits for nobody, and nobody gets its memory before the end")
  func closingInPlace() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Row>(name, history: 2, writers: 2)
      let other = try Checkpoint<Row>(name, history: 2, writers: 2)
      let third = try Checkpoint<Row>(name, history: 2, writers: 2)
      try job.takeOver()
      try job.save(Row(repeating: 1))
      let end = try fill(job, 99) {
        job.close()
        #expect(try other.takeOver().predecessor == .alive(pid: getpid()))
        for value: UInt64 in 2...20 { try other.save(Row(repeating: value)) }
        #expect(code { () throws(CheckpointError) in try third.takeOver() } == .tooManyWriters)
      }
      #expect(end == .closed)
      #expect(try other.read()?.sequence == 20)
      for record in try other.records() { #expect(try isWhole(other.read(record.sequence))) }
      // It has released, at last.
      #expect(try third.takeOver().epoch == 3)
    }
  }

  @Test("Closing releases the role; every later call throws `closed`")
  func closing() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Int>(name, history: 2, writers: 1)
      try job.takeOver()
      try job.save(1)
      job.close()
      job.close()
      #expect(code { () throws(CheckpointError) in try job.save(2) } == .closed)
      #expect(code { () throws(CheckpointError) in try job.read() } == .closed)
      #expect(code { () throws(CheckpointError) in try job.takeOver() } == .closed)
      #expect(code { () throws(CheckpointError) in try job.records() } == .closed)
      let late = try await #require(throws: CheckpointError.self) { try await job.saveDurably(2) }
      #expect(late.code == .closed && job.epoch == 0 && !job.isWriter)
      do {
        let next = try Checkpoint<Int>(name, history: 2, writers: 1)
        #expect(try next.takeOver().predecessor == .none)
      }
      // The end of the last reference releases, too.
      #expect(try Checkpoint<Int>(name, history: 2, writers: 1).takeOver().epoch == 3)
    }
  }

  @Test("Tasks that save by one object lose no commit")
  func manySavers() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Int>(name, history: 2)
      try job.takeOver()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<8 {
          group.addTask {
            for step in 0..<100 {
              if step % 10 == task { try await job.saveDurably(step) } else { try job.save(step) }
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(try job.read()?.sequence == 800)
    }
  }
}

/// Lends a fresh name to a test, and removes what it left there.
func withCheckpoint(_ what: String = #function, _ body: (RegionName) async throws -> Void) async throws {
  try await withName(what) { try await body(RegionName($0)) }
}

/// Changes one byte of each state that has this number.
private func corrupt(_ name: RegionName, _ number: UInt64) throws {
  try Region.attach(name).withUnsafeMutableBytes { bytes in
    var found = 0
    for offset in stride(from: 0, to: bytes.count, by: 8) {
      if bytes.load(fromByteOffset: offset, as: UInt64.self) != number { continue }
      bytes[offset] ^= 1
      found += 1
    }
    #expect(found > 0)
  }
}

private struct Trouble: Error {}

/// Fills in a state in place, and does something before its last word is stored. Nil when it was committed.
private func fill(
  _ checkpoint: Checkpoint<Row>, _ value: UInt64, _ before: () throws -> Void = {}
) throws -> CheckpointError.Code? {
  do {
    try checkpoint.saveInPlace { row in
      row.pointee = Row(repeating: value)
      try before()
      row.pointee[15] = value
    }
    return nil
  } catch let error as CheckpointError {
    return error.code
  }
}

private func code<Value>(_ body: () throws(CheckpointError) -> Value) -> CheckpointError.Code? {
  do throws(CheckpointError) {
    _ = try body()
    return nil
  } catch {
    return error.code
  }
}
