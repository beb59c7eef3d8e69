// Checkpoints of encoded states: of any length, of another type than asked for, by encoders of one's own.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private struct Job: Codable, Equatable {
  var title: String
  var done: [Int]
}

/// What a later version of the program has.
private struct NewJob: Codable, Equatable {
  var title: String
  var done: [Int]
  var owner: String
}

/// What a later version has that reads older states as well.
private struct LenientJob: Codable, Equatable {
  var title: String
  var owner: String?
}

@Suite("Checkpoints of encoded states", .timeLimit(.minutes(1)))
struct CheckpointCodingTests {
  @Test("Codable states of any length up to the capacity, and an error for one that is longer")
  func lengths() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Job>(name, history: 3, capacity: 400, coding: .json)
      try job.takeOver()
      let jobs = [Job(title: "", done: []), Job(title: "ä\0\"", done: Array(1...50)), Job(title: "x", done: [7])]
      for state in jobs { try job.save(state) }
      try await job.saveDurably(jobs[1])
      let reader = try Checkpoint<Job>.attach(name, coding: .json)
      #expect(try reader.read()?.state == jobs[1])
      for (index, state) in jobs.enumerated() { #expect(try reader.read(UInt64(index + 1)).state == state) }
      #expect(Set(try reader.records().map(\.length)).count == 3)
      let large = try #require(throws: CheckpointError.self) { try job.save(Job(title: "x", done: Array(1...200))) }
      #expect(large.code == .tooLarge && large.description.contains("and its capacity is 400"))
      let late = try await #require(throws: CheckpointError.self) {
        try await job.saveDurably(Job(title: "x", done: Array(1...200)))
      }
      #expect(late.code == .tooLarge)
      #expect(try reader.read()?.sequence == 4)
    }
  }

  @Test("A state of another type is an error that says what is missing; acceptance passes it over")
  func changedType() async throws {
    try await withCheckpoint { name in
      let old = try Checkpoint<Job>(name, history: 3, capacity: 400, coding: .json)
      try old.takeOver()
      try old.save(Job(title: "a", done: [1]))
      let new = try Checkpoint<NewJob>(name, history: 3, capacity: 400, coding: .json)
      let error = try #require(throws: CheckpointError.self) { try new.read() }
      #expect(error.code == .undecodable && error.errno == nil)
      #expect(error.description.contains("state 1 is no NewJob") && error.description.contains("owner"))
      let none = try #require(throws: CheckpointError.self) { try new.load { _ in true } }
      #expect(none.code == .noneAccepted && none.description.contains("state 1 is no NewJob"))
      #expect(try Checkpoint<LenientJob>.attach(name, coding: .json).read()?.state == LenientJob(title: "a"))
      try new.takeOver()
      try new.save(NewJob(title: "b", done: [], owner: "ada"))
      try old.takeOver()
      try old.save(Job(title: "c", done: []))
      #expect(try new.load { _ in true }?.state == NewJob(title: "b", done: [], owner: "ada"))
      // A program of before reads what has more fields than it knows.
      #expect(try old.read(2).state == Job(title: "b", done: []))
    }
  }

  @Test("Another tag, another coding and payloads in place are refused when it is opened")
  func layouts() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Int>(name, history: 2, capacity: 100, coding: .json(tag: 2))
      try job.takeOver()
      try job.save(1_000_000)
      let tag = try #require(throws: CheckpointError.self) { try Checkpoint<Int>.attach(name, coding: .json) }
      #expect(tag.code == .mismatch && tag.mismatch?.property == .layout)
      #expect(throws: CheckpointError.self) { try Checkpoint<Int>.attach(name) }
      #expect(throws: CheckpointError.self) { try Checkpoint<Int>(name, history: 2) }
      #expect(try Checkpoint<Int>.attach(name, coding: .json(tag: 2)).read()?.state == 1_000_000)
      // Looking takes any.
      let look = try Checkpoint.look(name)
      #expect(try look.read()?.state == Array("1000000".utf8) && look.capacity == 100)
      #expect(throws: CheckpointError.self) { try look.takeOver() }
    }
  }

  @Test("What can't be encoded is not committed")
  func unencodable() async throws {
    try await withCheckpoint { name in
      let job = try Checkpoint<Double>(name, history: 2, capacity: 100, coding: .json)
      try job.takeOver()
      try job.save(0.5)
      let error = try #require(throws: CheckpointError.self) { try job.save(.infinity) }
      #expect(error.code == .unencodable && error.description.contains("can't be encoded"))
      #expect(try job.read()?.state == 0.5)
    }
  }

  @Test("An encoder of one's own, empty states, and bytes; a C program that gives the same layout meets them")
  func ownCoding() async throws {
    try await withCheckpoint { name in
      let text = CheckpointCoding<String>(layout: 77) {
        Array($0.utf8)
      } decode: {
        String(decoding: $0, as: UTF8.self)
      }
      let job = try Checkpoint(name, history: 2, capacity: 32, coding: text)
      try job.takeOver()
      try job.save("")
      #expect(try job.read()?.state == "")
      try job.save("in Swift")
      #expect(try inC(name.string, layout: 77, save: nil) == "in Swift")
      #expect(try inC(name.string, layout: 77, save: "in C") == "in C")
      #expect(try job.read()?.state == "in C" && job.read()?.record.epoch == 2)
      let bytes = try Checkpoint(name, history: 2, capacity: 32, coding: .bytes)
      try bytes.takeOver()
      try bytes.save([])
      #expect(try job.read()?.state == "" && bytes.read()?.state == [])
    }
  }
}

/// Reads the newest state as a C program does, after saving one if that is asked for.
private func inC(_ name: String, layout: UInt64, save text: String?) throws -> String {
  var object: OpaquePointer?
  var options = muster_checkpoint_options()
  options.layout = layout
  options.flags = muster_region_flags.MUSTER_REGION_ATTACH.rawValue
  try #require(muster_checkpoint_open(name, &options, &object) == 0)
  let checkpoint = try #require(object)
  defer { muster_checkpoint_close(checkpoint) }
  if let text {
    try #require(muster_checkpoint_take_over(checkpoint, nil) == 0)
    try #require(muster_checkpoint_save(checkpoint, text, text.utf8.count, nil) == 0)
  }
  var info = muster_checkpoint_info()
  var buffer = [UInt8](repeating: 0, count: 32)
  try #require(muster_checkpoint_read(checkpoint, &buffer, buffer.count, &info) == 0)
  return String(decoding: buffer.prefix(Int(info.length)), as: UTF8.self)
}
