// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One of up to 64 readers of a ring, each of which gets all records, whole and in order.
///
/// ```swift
/// let reader = try RingReader("events", capacity: 1 << 20)
/// do {
///   for try await record in reader.records { use(record.bytes) }
/// } catch {
///   guard error.code == .writerDied else { throw error }
///   try await reader.waitForWriter()      // the successor goes on in the same ring, and this reader behind what it read
/// }
/// ```
///
/// Reading moves the reader's position, and nothing else does. In a ring of ``Ring/Delivery/lossless`` the writer waits
/// when it has come round to the slowest reader: who asks for the next record late holds the writer back. That is the
/// back-pressure; there is no other buffer than the ring. In one of ``Ring/Delivery/latest`` the reader is overtaken, and
/// the next record says how many it lost.
///
/// The place among the readers belongs to the process, and ends with it or with ``close()``: the writer does not wait
/// for a dead reader. Reading is for one task at a time (others get `inUse`), and so it stays while that one waits;
/// ``close()`` and ``state()`` may be called from anywhere, meanwhile too.
public final class RingReader: Sendable {
  /// The ring's name, or the path of its file.
  public var name: String { end.name }
  /// What becomes of a reader that is slow.
  public var delivery: Ring.Delivery { end.delivery }
  /// Bytes for records and their headers.
  public var capacity: Int { end.capacity }
  /// The largest record, in bytes: a quarter of the capacity.
  public var largestRecord: Int { end.largestRecord }
  let end: RingEnd

  /// Opens a ring and becomes a reader; whoever comes first, writer or reader, creates it.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file, which outlives the machine's restart.
  ///   - start: where to begin.
  ///   - capacity: bytes for records, a power of two from 4 KiB to 1 GiB. `nil`, when attaching: as it is.
  ///   - delivery: what becomes of slow readers. `nil`: lossless to create, when attaching as it is.
  ///   - layout: what the records mean, as a number of yours; 0, when attaching: not compared.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a ring that is created, whatever the umask.
  /// - Throws: ``RingError``: `full`, `invalidArgument` (also a place that is none of this ring's), `mismatch`,
  ///   `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`, `overtaken`, `system`.
  public init(
    _ name: RegionName, from start: Ring.Start = .oldest, capacity: Int?, delivery: Ring.Delivery? = nil,
    layout: UInt64 = 0, mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(RingError) {
    let options = RingEnd.options(
      name, capacity: capacity, delivery: delivery, layout: layout, mode: mode, permissions: permissions)
    end = try Self.start(name, options, start)
  }

  private init(_ end: RingEnd) { self.end = end }

  // Not left to the end of `end`, which a wait's thread lets go of a little later than the task goes on.
  deinit { close() }

  /// Becomes a reader of a ring that exists.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - start: where to begin.
  ///   - layout: compared, unless it is 0.
  ///   - readOnly: whether to map it read-only, which takes no place among the readers. Such a reader looks every few
  ///     milliseconds while it waits, and can read a ring of ``Ring/Delivery/latest`` only (else `permissionDenied`).
  ///   - anyOwner: whether a ring that belongs to another user is accepted.
  /// - Throws: ``RingError``: `full`, `invalidArgument`, `mismatch`, `notFound`, `corrupt`, `permissionDenied`,
  ///   `overtaken`, `system`.
  public static func attach(
    _ name: RegionName, from start: Ring.Start = .oldest, layout: UInt64 = 0, readOnly: Bool = false,
    anyOwner: Bool = false
  ) throws(RingError) -> RingReader {
    var options = muster_ring_options()
    options.layout = layout
    options.flags = RingEnd.attaching(name, readOnly: readOnly, anyOwner: anyOwner)
    return RingReader(try Self.start(name, options, start))
  }

  private static func start(
    _ name: RegionName, _ options: muster_ring_options, _ start: Ring.Start
  ) throws(RingError) -> RingEnd {
    let operation = "read the ring"
    return try RingEnd(operation, name, options) { ring in
      var core = start.core
      let status = muster_ring_start_reading(ring, core.from, &core.place)
      // It reads then; the first record tells what was lost.
      guard status != 0, status != ESTALE else { return nil }
      return RingError(operation, name.string, status: status, code: status == EOVERFLOW ? .full : nil)
    }
  }

  /// Gives the place among the readers up and lets go of the ring. Closing again does nothing. A read that waits throws
  /// `closed`, and a sequence of ``records`` ends; a closure that is just reading a record ends first.
  public func close() { end.handle.close() }

  // MARK: By copy

  /// The next record. Waits if it must: the task does, no thread of the cooperative pool.
  ///
  /// Without any writer yet, or after one that closed, it waits for the next one.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever. `.now` never waits.
  /// - Throws: ``RingError``: `writerDied`, when all that the dead one committed has been read; `timedOut`, `cancelled`,
  ///   `overtaken`, `inUse`, `corrupt`, `inherited`, `closed`. No record is lost by any of them.
  public func next(until deadline: ContinuousClock.Instant? = nil) async throws(RingError) -> Ring.Record {
    // Only a wait that may end without a record gives none.
    try await copied(.record(untilEnd: false), deadline)!
  }

  /// The next record, or `nil` when all has been read and nobody writes: the writer closed, or none has come yet.
  ///
  /// - Parameter deadline: as of ``next(until:)``.
  /// - Throws: as ``next(until:)``.
  public func nextUntilEnd(until deadline: ContinuousClock.Instant? = nil) async throws(RingError) -> Ring.Record? {
    try await copied(.record(untilEnd: true), deadline)
  }

  /// The next record. Waits if it must, and blocks the thread: the fast form, which spins a little before it sleeps.
  ///
  /// - Parameter deadline: as of ``next(until:)``.
  /// - Throws: as ``next(until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func nextBlocking(until deadline: ContinuousClock.Instant? = nil) throws(RingError) -> Ring.Record {
    try copiedBlocking(.record(untilEnd: false), deadline)!
  }

  /// The next record, or `nil` when all has been read and nobody writes: as ``nextUntilEnd(until:)``. Blocks the thread.
  ///
  /// - Parameter deadline: as of ``next(until:)``.
  /// - Throws: as ``next(until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func nextUntilEndBlocking(until deadline: ContinuousClock.Instant? = nil) throws(RingError) -> Ring.Record? {
    try copiedBlocking(.record(untilEnd: true), deadline)
  }

  // MARK: In place

  /// Lends the next record where it lies. Waits if it must: the task does, no thread of the cooperative pool.
  ///
  /// The record counts as read when `body` ends, also when it throws.
  ///
  /// - Parameters:
  ///   - deadline: as of ``next(until:)``.
  ///   - body: reads the record.
  /// - Returns: what `body` did.
  /// - Throws: as ``next(until:)``, or what `body` throws. In a ring of ``Ring/Delivery/latest`` `overtaken` when the
  ///   writer came while `body` was reading: what it read may be of two records. It counts as lost.
  @inlinable
  public func withNext<Result>(
    until deadline: ContinuousClock.Instant? = nil, _ body: (Ring.Lent) throws -> Result
  ) async throws -> Result {
    var result: Result?
    try await withNext(atMost: 1, until: deadline) { result = try body($0) }
    return result!
  }

  /// Lends the next record where it lies. Waits if it must, and blocks the thread: the fast form, which spins a little
  /// before it sleeps.
  ///
  /// - Parameters: as of ``withNext(until:_:)``.
  /// - Returns: what `body` did.
  /// - Throws: as ``withNext(until:_:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @inlinable
  public func withNextBlocking<Result>(
    until deadline: ContinuousClock.Instant? = nil, _ body: (Ring.Lent) throws -> Result
  ) throws -> Result {
    var result: Result?
    try withNextBlocking(atMost: 1, until: deadline) { result = try body($0) }
    return result!
  }

  /// Lends a batch of records where they lie: waits for one, then gives what else is there, and gives all of it back at
  /// once.
  ///
  /// What `body` was called with counts as read when the call ends, also when `body` throws; then it is the last.
  ///
  /// - Parameters:
  ///   - limit: so many at most, 1 or more. In a ring of ``Ring/Delivery/latest`` a batch holds only if the writer has not
  ///     come to its first record when it is given back, so keep it small beside the ring.
  ///   - deadline: as of ``next(until:)``.
  ///   - body: reads a record. It is valid until the whole batch is given back.
  /// - Returns: how many there were.
  /// - Throws: as ``withNext(until:_:)``; at `overtaken` nothing of the batch may be used.
  @discardableResult
  public func withNext(
    atMost limit: Int, until deadline: ContinuousClock.Instant? = nil, _ body: (Ring.Lent) throws -> Void
  ) async throws -> Int {
    try end.begin(Self.reading)
    defer { end.handle.end(exclusive: true) }
    var count = try lend(limit, body)
    guard count == 0 else { return count }
    let deadline = Deadline(deadline)
    for _ in 0..<Self.attempts {
      try await end.wait(Self.reading, .record(untilEnd: false), deadline)
      count = try lend(limit, body)
      if count > 0 { return count }
    }
    throw end.failure(Self.reading, EAGAIN)
  }

  /// Lends a batch of records where they lie. Blocks the thread.
  ///
  /// - Parameters: as of ``withNext(atMost:until:_:)``.
  /// - Returns: how many there were.
  /// - Throws: as ``withNext(atMost:until:_:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func withNextBlocking(
    atMost limit: Int, until deadline: ContinuousClock.Instant? = nil, _ body: (Ring.Lent) throws -> Void
  ) throws -> Int {
    try end.begin(Self.reading)
    defer { end.handle.end(exclusive: true) }
    let count = try lend(limit, body)
    return count > 0 ? count : try lendWaiting(limit, until: deadline, body)
  }

  /// Apart, so that who needs not wait doesn't pay for it.
  @inline(never)
  private func lendWaiting(
    _ limit: Int, until deadline: ContinuousClock.Instant?, _ body: (Ring.Lent) throws -> Void
  ) throws -> Int {
    let deadline = Deadline(deadline)
    for _ in 0..<Self.attempts {
      try waitBlocking(.record(untilEnd: false), deadline)
      let count = try lend(limit, body)
      if count > 0 { return count }
    }
    throw end.failure(Self.reading, EAGAIN)
  }

  // MARK: Places, and who is there

  /// Where the next record is, or will be: to be remembered, and begun at by a later reader (``Ring/Start/at(_:)``).
  ///
  /// - Throws: ``RingError``: `inUse`, `inherited`, `closed`.
  public func position() throws(RingError) -> Ring.Place { try end.position() }

  /// Goes elsewhere.
  ///
  /// - Returns: whether it stands there. `false`: the place is gone. It stands at the oldest record then, and the next
  ///   one tells how many were lost.
  /// - Throws: ``RingError``: `invalidArgument` (no place of this ring), `overtaken`, `inUse`, `corrupt`, `inherited`,
  ///   `closed`. It stays where it was.
  @discardableResult
  public func seek(_ start: Ring.Start) throws(RingError) -> Bool {
    var core = start.core
    var isThere = true
    try end.check("seek in the ring") { ring in
      let status = muster_ring_seek(ring, core.from, &core.place)
      isThere = status != ESTALE
      return isThere ? status : 0
    }
    return isThere
  }

  /// Who writes and who reads, at this moment.
  ///
  /// - Throws: ``RingError``: `overtaken`, `corrupt`, `inherited`, `closed`.
  public func state() throws(RingError) -> Ring.State { try end.state() }

  /// Waits until a living process writes: after `writerDied`, for the successor. Or until there is a record: the successor
  /// may have closed by now. The task waits, no thread of the cooperative pool does.
  ///
  /// - Throws: ``RingError``: `timedOut`, `cancelled`, `inUse`, `corrupt`, `inherited`, `closed`.
  public func waitForWriter(until deadline: ContinuousClock.Instant? = nil) async throws(RingError) {
    try end.begin(Self.awaitingWriter)
    defer { end.handle.end(exclusive: true) }
    try await end.wait(Self.awaitingWriter, .writer, Deadline(deadline))
  }

  /// Waits until a living process writes, or there is a record: as ``waitForWriter(until:)``. Blocks the thread.
  ///
  /// - Throws: ``RingError``: `timedOut`, `inUse`, `corrupt`, `inherited`, `closed`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func waitForWriterBlocking(until deadline: ContinuousClock.Instant? = nil) throws(RingError) {
    try end.begin(Self.awaitingWriter)
    defer { end.handle.end(exclusive: true) }
    try end.waitBlocking(Self.awaitingWriter, .writer, Deadline(deadline))
  }

  // MARK: Attempts

  private static let reading = "read the ring"
  private static let awaitingWriter = "wait for a writer of the ring"
  /// How often one goes on at once who is overtaken each time that there is something.
  private static let attempts = 100

  private func copied(
    _ what: RingEnd.Waiting, _ deadline: ContinuousClock.Instant?
  ) async throws(RingError) -> Ring.Record? {
    try end.begin(Self.reading)
    defer { end.handle.end(exclusive: true) }
    if let record = try copy() { return record }
    let deadline = Deadline(deadline)
    for _ in 0..<Self.attempts {
      if try await end.wait(Self.reading, what, deadline) == .nobodyWrites { return nil }
      if let record = try copy() { return record }
    }
    throw end.failure(Self.reading, EAGAIN)
  }

  private func copiedBlocking(
    _ what: RingEnd.Waiting, _ deadline: ContinuousClock.Instant?
  ) throws(RingError) -> Ring.Record? {
    try end.begin(Self.reading)
    defer { end.handle.end(exclusive: true) }
    if let record = try copy() { return record }
    let deadline = Deadline(deadline)
    for _ in 0..<Self.attempts {
      if try waitBlocking(what, deadline) == .nobodyWrites { return nil }
      if let record = try copy() { return record }
    }
    throw end.failure(Self.reading, EAGAIN)
  }

  /// Spins first: a deadline that has passed makes C's wait not sleep.
  @discardableResult
  private func waitBlocking(_ what: RingEnd.Waiting, _ deadline: Deadline) throws(RingError) -> RingEnd.Found {
    if deadline != .now {
      let status = end.membership.step { muster_ring_wait(end.handle.object, 1) }
      if status == 0 { return .something }
      if status != ETIMEDOUT { throw end.failure(Self.reading, status) }
    }
    return try end.waitBlocking(Self.reading, what, deadline)
  }

  /// The next record, if there is one.
  private func copy() throws(RingError) -> Ring.Record? {
    var record = muster_ring_record()
    var bytes: [UInt8] = []
    let status = end.membership.step { read(&bytes, &record) }
    if status == EAGAIN { return nil }
    guard status == 0 else { throw end.failure(Self.reading, status) }
    return Ring.Record(
      bytes: bytes, place: Ring.Place(position: record.position, number: record.number), lost: record.lost)
  }

  /// Asked for a size first. In latest mode the next one may be another, and larger, by the time that there is room.
  private func read(_ bytes: inout [UInt8], _ record: inout muster_ring_record) -> Int32 {
    let ring = end.handle.object
    var nothing: UInt8 = 0
    var status = muster_ring_read(ring, &nothing, 0, &record)
    for _ in 0..<Self.attempts where status == EMSGSIZE {
      let size = record.size
      bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
        status = muster_ring_read(ring, buffer.baseAddress!, size, &record)
        count = status == 0 ? Int(record.size) : 0
      }
    }
    return status == EMSGSIZE ? EAGAIN : status
  }

  /// Lends what there is, and gives it back. How many.
  private func lend(_ limit: Int, _ body: (Ring.Lent) throws -> Void) throws -> Int {
    precondition(limit > 0, "a batch has a record at least")
    // One step, so that the writer doesn't overwrite what is being read.
    return try end.membership.step {
      let reader = muster_ring_reader_of(end.handle.object)
      var count = 0
      var record = muster_ring_record()
      while count < limit {
        let status = muster_ring_reader_next(reader, &record)
        if status == EAGAIN || (status != 0 && count > 0) { break }
        guard status == 0 else { throw end.failure(Self.reading, status) }
        count += 1
        do {
          try body(Ring.Lent(record))
        } catch {
          muster_ring_reader_release(reader)
          throw error
        }
      }
      guard count > 0 else { return 0 }
      let status = muster_ring_reader_release(reader)
      guard status == 0 else { throw end.failure(Self.reading, status) }
      return count
    }
  }
}
