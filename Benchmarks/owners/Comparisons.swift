// The pairs that are compared.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Logging
import Muster
import MusterLogging

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A state of 256 bytes.
struct Work: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var words = InlineArray<32, UInt64>(repeating: 1)
}

private struct Checkpoints {
  let owner: Checkpoint<Work>
  let object: OpaquePointer

  init() throws {
    owner = try Checkpoint<Work>(Names.make("checkpoint"), history: 5)
    _ = try owner.takeOver()
    var shape = muster_checkpoint_shape()
    shape.capacity = numericCast(MemoryLayout<Work>.size)
    shape.history = 5
    shape.writers = 2
    let size = muster_checkpoint_size(&shape)
    let place = memory(size)
    var made: OpaquePointer?
    try check(muster_checkpoint_init(place, size, &shape))
    try check(muster_checkpoint_attach(place, size, &made))
    object = made!
    try check(muster_checkpoint_take_over(object, nil))
    try owner.save(Work())
    var work = Work()
    try check(muster_checkpoint_save(object, &work, MemoryLayout<Work>.size, nil))
  }
}

func checkpointSave() throws -> Comparison {
  let both = try Checkpoints()
  var work = Work()
  return Comparison(name: "checkpoint.save") { count in
    for _ in 0..<count { try both.owner.save(work) }
  } inC: { count in
    for _ in 0..<count { try check(muster_checkpoint_save(both.object, &work, MemoryLayout<Work>.size, nil)) }
  }
}

func checkpointRead() throws -> Comparison {
  let both = try Checkpoints()
  var work = Work()
  return Comparison(name: "checkpoint.read") { count in
    for _ in 0..<count { work = try both.owner.read()!.state }
  } inC: { count in
    for _ in 0..<count { try check(muster_checkpoint_read(both.object, &work, MemoryLayout<Work>.size, nil)) }
  }
}

/// A record of 64 bytes written, and read in place.
func ring() throws -> Comparison {
  let writer = try RingWriter(Names.make("ring"), capacity: 1 << 16)
  let reader = try RingReader(Names.make("ring"), capacity: 1 << 16)
  let bytes = [UInt8](repeating: 7, count: 64)
  let size = muster_ring_size(1 << 16)
  let place = memory(size)
  try check(muster_ring_init(place, size, 1 << 16, .MUSTER_RING_LOSSLESS))
  var made: (writer: OpaquePointer?, reader: OpaquePointer?)
  try check(muster_ring_attach(place, size, &made.writer))
  try check(muster_ring_attach(place, size, &made.reader))
  let (from, to) = (made.writer!, made.reader!)
  try check(muster_ring_start_writing(from, nil))
  try check(muster_ring_start_reading(to, .MUSTER_RING_OLDEST, nil))
  var sum: UInt64 = 0
  return Comparison(name: "ring.record") { count in
    for _ in 0..<count {
      try writer.writeBlocking(bytes)
      try reader.withNextBlocking { sum &+= UInt64($0.bytes[0]) }
    }
  } inC: { count in
    for _ in 0..<count {
      try check(muster_ring_write(from, bytes, 64, .max))
      var record = muster_ring_record()
      try check(muster_ring_next(to, &record))
      sum &+= UInt64(record.bytes!.load(as: UInt8.self))
      try check(muster_ring_release(to))
    }
  }
}

/// A block of 64 bytes allocated, written to and freed.
func pool() throws -> Comparison {
  let owner = try Pool(Names.make("pool"), blockSize: 64, blocks: 1024, members: 2)
  let size = muster_pool_size(64, 1024, 2)
  let place = memory(size)
  var made: OpaquePointer?
  try check(muster_pool_init(place, size, 64, 1024, 2))
  try check(muster_pool_attach(place, size, &made))
  let object = made!
  try check(muster_pool_join(object, nil))
  return Comparison(name: "pool.block") { count in
    for _ in 0..<count {
      var block = try owner.allocateBlocking()
      try block.withUnsafeMutableBytes { $0.storeBytes(of: 1, as: UInt64.self) }
      block.free()
    }
  } inC: { count in
    for _ in 0..<count {
      var block: muster_pool_block = 0
      var place: UnsafeMutableRawPointer?
      try check(muster_pool_alloc(object, &block))
      try check(muster_pool_get(object, block, &place))
      place!.storeBytes(of: 1, as: UInt64.self)
      try check(muster_pool_free(object, block))
    }
  }
}

/// A job of 64 bytes put, taken, looked at, and done.
func queue() throws -> Comparison {
  let owner = try JobQueue(Names.make("queue"), jobSize: 64, jobs: 1024, members: 2)
  let bytes = [UInt8](repeating: 7, count: 64)
  var options = muster_queue_options()
  options.job_size = 64
  options.jobs = 1024
  options.levels = 1
  options.members = 2
  // As every queue of Swift's.
  options.times = 1
  let size = muster_queue_size(&options)
  let place = memory(size)
  var made: OpaquePointer?
  try check(muster_queue_init(place, size, &options))
  try check(muster_queue_attach(place, size, &made))
  let object = made!
  try check(muster_queue_join(object, nil))
  var sum: UInt64 = 0
  return Comparison(name: "queue.job") { count in
    for _ in 0..<count {
      guard try owner.putIfRoom(bytes), let job = try owner.takeIfAvailable() else { throw Failed(status: ENOSPC) }
      try job.withUnsafeBytes { sum &+= UInt64($0[0]) }
      try job.done()
    }
  } inC: { count in
    for _ in 0..<count {
      var job = muster_queue_job()
      try check(muster_queue_put(object, bytes, 64, 0))
      try check(muster_queue_take(object, &job))
      sum &+= UInt64(job.bytes!.load(as: UInt8.self))
      try check(muster_queue_done(object, job.id))
    }
  }
}

private let message = "a message of some length, as one writes into logs, it is ok"

/// A log that Swift writes to, and one of C's, which is written to as Swift does: with the place in the source.
private struct Logs {
  let owner: Log
  private let object: OpaquePointer

  init() throws {
    owner = try Log(Names.make("log"), places: 4, bytes: 1 << 20)
    let size = muster_log_size(4, 1 << 20)
    let place = memory(size)
    var made: OpaquePointer?
    try check(muster_log_init(place, size, 4, 1 << 20, .MUSTER_LOG_INFO))
    try check(muster_log_attach(place, size, &made))
    object = made!
    try check(muster_log_join(object, nil))
  }

  func write(_ count: Int) throws {
    for number in 0..<count {
      let status = withUnsafeTemporaryAllocation(of: muster_log_pair.self, capacity: 2) { pairs in
        pairs.initializeElement(at: 0, to: muster_log_int(port, Int64(number)))
        pairs.initializeElement(at: 1, to: muster_log_string(who, somebody))
        var fields = muster_log_fields()
        fields.pairs = UnsafePointer(pairs.baseAddress)
        fields.pair_count = 2
        fields.file = file
        fields.function = function
        fields.line = 1
        return muster_log_put(object, .MUSTER_LOG_INFO, text, length, &fields)
      }
      try check(status)
    }
  }

  // Texts as C has them, for as long as the process lives.
  private let port = UnsafePointer(strdup("port")!)
  private let who = UnsafePointer(strdup("who")!)
  private let somebody = UnsafePointer(strdup("somebody")!)
  private let text = UnsafePointer(strdup(message)!)
  private let length = message.utf8.count
  private let file = Self.text(#fileID)
  private let function = Self.text("log()")

  private static func text(_ text: String) -> muster_log_text {
    var made = muster_log_text()
    made.bytes = UnsafePointer(strdup(text))
    made.size = numericCast(text.utf8.count)
    return made
  }
}

/// A record of 100 bytes with two key-values.
func log() throws -> Comparison {
  let both = try Logs()
  return Comparison(name: "log.record") { count in
    for number in 0..<count { try both.owner.write(.info, message, ["port": .init(number), "who": "somebody"]) }
  } inC: { count in
    try both.write(count)
  }
}

/// The same through swift-log.
func logHandler() throws -> Comparison {
  let both = try Logs()
  let logger = Logger(label: "") { MusterLogHandler(label: $0, log: both.owner) }
  let text = Logger.Message(stringLiteral: message)
  return Comparison(name: "log.handler") { count in
    for number in 0..<count { logger.info(text, metadata: ["port": .stringConvertible(number), "who": "somebody"]) }
  } inC: { count in
    try both.write(count)
  }
}

func trace() throws -> Comparison {
  let owner = try Trace(Names.make("trace"))
  let recorder = try owner.join(label: "owners")
  let name = try owner.name("work")
  var shape = muster_trace_shape()
  (shape.recorders, shape.events, shape.names) = (16, 4096, 256)
  let size = muster_trace_size(&shape)
  let place = memory(size)
  var (made, mine): (OpaquePointer?, UnsafeMutablePointer<muster_trace_recorder>?)
  try check(muster_trace_init(place, size, &shape))
  try check(muster_trace_attach(place, size, &made))
  try check(muster_trace_join(made!, nil, &mine))
  var number: UInt16 = 0
  try check(muster_trace_name(made!, "work", &number))
  let (work, own) = (number, mine!)
  return Comparison(name: "trace.instant") { count in
    for id in 0..<count { recorder.instant(name, id: UInt64(id)) }
  } inC: { count in
    for id in 0..<count { try check(muster_trace_instant(own, work, UInt64(id))) }
  }
}
