// A peer process of the Swift tests. An exit test can't be one where the test has to go on while the child lives:
// Swift Testing reads from the child on a thread of the cooperative pool, which has as many as there are processors.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@main
struct Peer {
  static func main() async throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    switch arguments.first {
    case "meet": try await meet(arguments[1], rounds: Int(arguments[2]) ?? 0)
    case "die-alive": try await dieAlive(FilePath(arguments[1]), after: arguments[2])
    case "die-writing": try await dieWriting(arguments[1], after: arguments[2])
    case "die-locked": try dieLocked(arguments[1], cue: arguments[2])
    case "die-reading": try dieReading(arguments[1], cue: arguments[2])
    case "keep-saving": try keepSaving(RegionName(arguments[1]))
    case "write-ring": try await writeRing(RegionName(arguments[1]), records: Int(arguments[2]) ?? 0)
    case "hold-ring": try await holdRing(RegionName(arguments[1]))
    case "hold-pool": try await holdPool(RegionName(arguments[1]), blocks: Int(arguments[2]) ?? 0)
    case "answer-pool": try await answerPool(arguments[1], messages: Int(arguments[2]) ?? 0)
    case "hold-jobs": try await holdJobs(try JobQueue.attach(RegionName(arguments[1])), Int(arguments[2]) ?? 0)
    case "die-recording": try dieRecording(RegionName(arguments[1]), label: arguments[2])
    case "keep-logging": try keepLogging(RegionName(arguments[1]))
    case "drain-log": try await drainLog(RegionName(arguments[1]), to: FilePath(arguments[2]))
    case "tell": try tell()
    case "keep-telling": try keepTelling(in: arguments[1])
    default: exit(2)
    }
  }

  /// Says that it is ready, and when it is asked to (a line) more; then lives on.
  static func tell() throws {
    try ProcessNotice.tell(.ready, .status("on its way"))
    _ = readLine()
    try ProcessNotice.tell(.watchdog, .stopping, .error(.noSpace))
    while true { pause() }
  }

  /// Says that it is well until there is a file "quiet"; tells by a file "well" that it has done so for twice as long as it need not.
  static func keepTelling(in folder: String) throws {
    let limit = Duration.microseconds(Int64(getenv("WATCHDOG_USEC").map { String(cString: $0) } ?? "") ?? 0)
    let begin = ContinuousClock.now
    // Not the backtrace of Swift's.
    signal(SIGABRT, SIG_DFL)
    while unlink(folder + "/quiet") != 0 {
      try ProcessNotice.tell(.watchdog)
      if limit > .zero, ContinuousClock.now - begin > limit * 2 {
        close(open(folder + "/well", O_CREAT | O_WRONLY, 0o600))
      }
      usleep(20_000)
    }
    while true { pause() }
  }

  /// Meets one other, so many rounds, and drops out.
  static func meet(_ name: String, rounds: Int) async throws {
    let barrier = try Barrier(name, parties: 2)
    for _ in 0..<rounds { try await barrier.wait(for: .seconds(60)) }
    try barrier.arriveAndDrop()
  }

  /// Is killed as the owner of an Alive file, once another has come to a barrier.
  static func dieAlive(_ path: FilePath, after barrier: String) async throws {
    let alive = try Alive(path)
    try await Barrier(barrier, parties: 2).wait(for: .seconds(60))
    _ = withExtendedLifetime(alive) { kill(getpid(), SIGKILL) }
  }

  /// Is killed as the writer of a seqlock, after a hundred writes and once another has come to a barrier.
  static func dieWriting(_ name: String, after barrier: String) async throws {
    let writer = try Seqlock<Int>(name)
    try writer.claim()
    for value in 1...100 { try writer.write(value) }
    try await Barrier(barrier, parties: 2).wait(for: .seconds(60))
    _ = withExtendedLifetime(writer) { kill(getpid(), SIGKILL) }
  }

  /// Is killed in a section of a mutex: another comes to a barrier twice, when it is in and when it is to die.
  static func dieLocked(_ name: String, cue: String) throws {
    let barrier = try Barrier(cue, parties: 2)
    try RobustMutex(name).withLockBlocking { try die(after: barrier) }
  }

  /// The same in a section that reads.
  static func dieReading(_ name: String, cue: String) throws {
    let barrier = try Barrier(cue, parties: 2)
    try RobustReadWriteLock(name, capacity: nil, mode: .attach).withReadLockBlocking { try die(after: barrier) }
  }

  private static func die(after barrier: Barrier) throws {
    for _ in 0..<2 { try barrier.waitBlocking(for: .seconds(60)) }
    kill(getpid(), SIGKILL)
  }

  /// Is killed within a span, the hundredth that it records.
  static func dieRecording(_ name: RegionName, label: String) throws {
    let trace = try Trace(name, shape: .init(recorders: 4, events: 64, names: 8))
    let recorder = try trace.join(label: label)
    let job = try trace.name("job")
    for id in 1...99 as ClosedRange<UInt64> { recorder.span(job, id: id) {} }
    recorder.begin(job, id: 100)
    kill(getpid(), SIGKILL)
  }

  /// Saves states as fast as it can, each filled with its number, until it is killed, or fenced: then it says by whom.
  static func keepSaving(_ name: RegionName) throws {
    let checkpoint = try Checkpoint<InlineArray<16, UInt64>>(name, history: 4)
    try checkpoint.takeOver()
    var value = try checkpoint.read()?.sequence ?? 0
    do throws(CheckpointError) {
      while true {
        value += 1
        try checkpoint.save(InlineArray(repeating: value))
      }
    } catch {
      print(error.code, error.pid ?? 0, error.epoch ?? 0)
    }
  }

  /// Writes so many records, 0 to 299 bytes that follow from the record's number, and closes.
  static func writeRing(_ name: RegionName, records: Int) async throws {
    let writer = try RingWriter(name, capacity: nil, mode: .attach)
    for number in 0..<records {
      try await writer.withClaim(number * 7 % 300) { bytes in
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: number &+ index) }
      }
    }
  }

  /// Becomes a reader that reads nothing, and lives on until it is killed.
  static func holdRing(_ name: RegionName) async throws {
    let reader = try RingReader.attach(name)
    try await Task.sleep(for: .seconds(600))
    reader.close()
  }

  /// Has so many blocks, the last of them offered, and lives on until it is killed.
  static func holdPool(_ name: RegionName, blocks: Int) async throws {
    let pool = try Pool.attach(name)
    for number in 1...blocks {
      let block = try await pool.allocate(until: .now)
      if number < blocks { block.detach() } else { _ = try block.offer() }
    }
    try await Task.sleep(for: .seconds(600))
    pool.close()
  }

  /// Has so many jobs, and lives on until it is killed.
  static func holdJobs(_ queue: JobQueue, _ count: Int) async throws {
    guard count > 0 else { return try await Task.sleep(for: .seconds(600)) }
    guard let job = try await queue.take(until: .now) else { exit(3) }
    try await holdJobs(queue, count - 1)
    try job.done()
  }

  /// Answers messages, whose blocks begin with the place of whoever is to have them back, and a number.
  static func answerPool(_ name: String, messages: Int) async throws {
    let pool = try Pool.attach(RegionName(name))
    let questions = try RingReader.attach(RegionName(name + "-questions"))
    let answers = try RingWriter(RegionName(name + "-answers"), capacity: nil, mode: .attach)
    try await answers.write("\(pool.member)".utf8)
    for _ in 0..<messages {
      let question = try await questions.next()
      var block = try pool.adopt(PoolBlockName(question.bytes)!)
      let asker = try block.withUnsafeMutableBytes { bytes in
        bytes.storeBytes(of: bytes.load(fromByteOffset: 8, as: Int.self) * 2, toByteOffset: 8, as: Int.self)
        return bytes.load(as: Int.self)
      }
      let name = block.name
      try block.give(to: asker)
      try await answers.write(name.bytes)
    }
  }

  /// Logs as fast as it can, each record with its number, until it is killed.
  static func keepLogging(_ name: RegionName) throws {
    let log = try Log(name, mode: .attach)
    for number in 0... { try log.write(.info, "\(number)", file: "", function: "") }
  }

  /// Drains into files until it is killed.
  static func drainLog(_ name: RegionName, to folder: FilePath) async throws {
    try await LogDrain(name, to: .files(in: folder, name: "app", rotateBytes: 1 << 14)).run()
  }
}
