// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The one who writes a ring: records of any size, in place, which up to 64 readers get, each all of them.
///
/// ```swift
/// let writer = try RingWriter("events", capacity: 1 << 20)
/// try await writer.write("hello".utf8)
/// try await writer.withClaim(24) { bytes in bytes.storeBytes(of: 7, as: Int64.self) }      // where it will be read
///
/// for event in events { try await writer.write(event, commit: false) }                     // a batch:
/// try writer.commit()                                                                      // all of it or nothing
/// ```
///
/// There is one writer at a time. Who opens a ring whose writer lives gets `hasWriter`; a successor of one that closed or
/// died goes on behind the last record that was committed. Closing, and the end of the last reference, is a clean end:
/// readers wait for who comes next. The end of the process in any other way is a death: they get `writerDied`.
///
/// In a ring of ``Ring/Delivery/lossless`` a write waits for the slowest living reader, by its deadline; in one of
/// ``Ring/Delivery/latest`` no write waits. Writing is for one task at a time (others get `inUse`), and so it stays while
/// that one waits; ``close()`` and ``state()`` may be called from anywhere, meanwhile too.
public final class RingWriter: Sendable {
  /// The ring's name, or the path of its file.
  public var name: String { end.name }
  /// What becomes of slow readers.
  public var delivery: Ring.Delivery { end.delivery }
  /// Bytes for records and their headers; a record takes 8 more than it has, up to a multiple of 8.
  public var capacity: Int { end.capacity }
  /// The largest record, in bytes: a quarter of the capacity.
  public var largestRecord: Int { end.largestRecord }
  /// What this writer found when it came.
  public let predecessor: Ring.Predecessor
  let end: RingEnd

  /// Opens a ring and becomes its writer; whoever comes first, writer or reader, creates it.
  ///
  /// It waits for nobody, except for a second at most for a process that was stopped while removing the region or while
  /// becoming the writer.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file, which outlives the machine's restart.
  ///   - capacity: bytes for records, a power of two from 4 KiB to 1 GiB. `nil`, when attaching: as it is.
  ///   - delivery: what becomes of slow readers. `nil`: lossless to create, when attaching as it is.
  ///   - layout: what the records mean, as a number of yours; 0, when attaching: not compared.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a ring that is created, whatever the umask.
  /// - Throws: ``RingError``: `hasWriter` with its process; `mismatch`, `alreadyExists`, `notFound`, `corrupt`,
  ///   `permissionDenied`, `invalidArgument`, `system`.
  public init(
    _ name: RegionName, capacity: Int?, delivery: Ring.Delivery? = nil, layout: UInt64 = 0,
    mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(RingError) {
    let operation = "write to the ring"
    let options = RingEnd.options(
      name, capacity: capacity, delivery: delivery, layout: layout, mode: mode, permissions: permissions)
    var found = muster_ring_predecessor()
    end = try RingEnd(operation, name, options) { ring in
      let status = muster_ring_start_writing(ring, &found)
      guard status != 0 else { return nil }
      return RingError(
        operation, name.string, status: status, code: status == EBUSY ? .hasWriter : nil,
        pid: status == EBUSY ? found.pid : 0)
    }
    predecessor = Ring.Predecessor(found)
  }

  // Not left to the end of `end`: the thread that a wait was handed to lets go of it a little later than the task goes on,
  // and a process that ends meanwhile would have died as the writer.
  deinit { close() }

  /// Ends writing, cleanly, and lets go of the ring; its name and its records stay. What was claimed and not committed
  /// is dropped. Closing again does nothing. A write that waits for room throws `closed`; a closure that is just filling
  /// a record ends first.
  public func close() { end.handle.close() }

  // MARK: In place

  /// Has a record written where it will be read. Waits for room if it must: the task does, no thread of the cooperative
  /// pool.
  ///
  /// - Parameters:
  ///   - size: bytes of the record.
  ///   - commit: whether to publish it, and all that was claimed before, or to let it wait for ``commit()``.
  ///   - deadline: how long to wait for room, `nil`: for ever. `.now` never waits.
  ///   - body: fills the bytes, which are aligned to 8 and hold anything. If it throws, nothing is published: all that
  ///     was claimed and not committed is dropped.
  /// - Returns: what `body` did.
  /// - Throws: ``RingError``: `timedOut`, `cancelled`, `tooLarge`, `inUse`, `corrupt`, `inherited`, `closed`; or what
  ///   `body` throws.
  @inlinable
  public func withClaim<Result>(
    _ size: Int, commit: Bool = true, until deadline: ContinuousClock.Instant? = nil,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) async throws -> Result {
    var result: Result?
    try await fill(size, commit: commit, until: deadline) { result = try body($0) }
    return result!
  }

  /// Has a record written where it will be read. Waits for room if it must, and blocks the thread: the fast form, which
  /// spins a little before it sleeps.
  ///
  /// - Parameters: as of ``withClaim(_:commit:until:_:)``.
  /// - Returns: what `body` did.
  /// - Throws: as ``withClaim(_:commit:until:_:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @inlinable
  public func withClaimBlocking<Result>(
    _ size: Int, commit: Bool = true, until deadline: ContinuousClock.Instant? = nil,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) throws -> Result {
    var result: Result?
    try fillBlocking(size, commit: commit, until: deadline) { result = try body($0) }
    return result!
  }

  // MARK: By copy

  /// Writes a record. Waits for room if it must: the task does, no thread of the cooperative pool.
  ///
  /// - Parameters:
  ///   - bytes: the record.
  ///   - commit: whether to publish it, and all that was claimed before, or to let it wait for ``commit()``.
  ///   - deadline: how long to wait for room, `nil`: for ever. `.now` never waits.
  /// - Throws: ``RingError``: `timedOut`, `cancelled`, `tooLarge`, `inUse`, `corrupt`, `inherited`, `closed`. Nothing
  ///   has been written then.
  @inlinable
  public func write(
    _ bytes: some Collection<UInt8>, commit: Bool = true, until deadline: ContinuousClock.Instant? = nil
  ) async throws(RingError) {
    let isDone = bytes.withContiguousStorageIfAvailable { writes(UnsafeRawBufferPointer($0), commit: commit) }
    if isDone != true { try await writeWaiting(bytes, commit: commit, until: deadline) }
  }

  /// Writes a record. Waits for room if it must, and blocks the thread: the fast form, which spins a little before it
  /// sleeps.
  ///
  /// - Parameters: as of ``write(_:commit:until:)``.
  /// - Throws: as ``write(_:commit:until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @inlinable
  public func writeBlocking(
    _ bytes: some Collection<UInt8>, commit: Bool = true, until deadline: ContinuousClock.Instant? = nil
  ) throws(RingError) {
    let isDone = bytes.withContiguousStorageIfAvailable { writes(UnsafeRawBufferPointer($0), commit: commit) }
    if isDone != true { try writeWaitingBlocking(bytes, commit: commit, until: deadline) }
  }

  // MARK: Batches

  /// Publishes all that was claimed or written with `commit: false`, at once: readers get all of it or nothing, also
  /// where this process dies.
  ///
  /// - Throws: ``RingError``: `invalidArgument` (there is nothing), `inUse`, `inherited`, `closed`.
  public func commit() throws(RingError) { try end.check("commit to the ring") { muster_ring_commit($0) } }

  /// Drops all that was claimed or written and not committed.
  ///
  /// - Throws: ``RingError``: `inUse`, `inherited`, `closed`.
  public func cancel() throws(RingError) { try end.check("cancel a batch of the ring") { muster_ring_cancel($0) } }

  // MARK: Asking

  /// The end of what this writer has committed.
  ///
  /// - Throws: ``RingError``: `inUse`, `inherited`, `closed`.
  public func position() throws(RingError) -> Ring.Place { try end.position() }

  /// Who writes and who reads, at this moment.
  ///
  /// - Throws: ``RingError``: `overtaken`, `corrupt`, `inherited`, `closed`.
  public func state() throws(RingError) -> Ring.State { try end.state() }

  // MARK: Attempts

  @usableFromInline
  func fill(
    _ size: Int, commit: Bool, until deadline: ContinuousClock.Instant?,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Void
  ) async throws {
    let size = try records(size)
    try end.begin(Self.writing)
    defer { end.handle.end(exclusive: true) }
    if try claim(size, commit: commit, .now, body) { return }
    let deadline = Deadline(deadline)
    repeat {
      try await end.wait(Self.writing, .room(size), deadline)
    } while try !claim(size, commit: commit, .now, body)
  }

  @usableFromInline
  func fillBlocking(
    _ size: Int, commit: Bool, until deadline: ContinuousClock.Instant?,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let size = try records(size)
    try end.begin(Self.writing)
    defer { end.handle.end(exclusive: true) }
    if try !claim(size, commit: commit, .now, body) { try fillWaiting(size, commit: commit, until: deadline, body) }
  }

  /// Apart, so that who needs not wait doesn't pay for it.
  @inline(never)
  private func fillWaiting(
    _ size: UInt32, commit: Bool, until deadline: ContinuousClock.Instant?,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let deadline = Deadline(deadline)
    while try !claim(size, commit: commit, Self.spinning(deadline), body) {
      try end.waitBlocking(Self.writing, .room(size), deadline)
    }
  }

  /// Whether it could be written without waiting. Why not, if not for want of room, is told by the call that waits.
  @usableFromInline
  func writes(_ bytes: UnsafeRawBufferPointer, commit: Bool) -> Bool {
    guard bytes.count <= largestRecord, (try? end.handle.begin(exclusive: true)) != nil else { return false }
    defer { end.handle.end(exclusive: true) }
    return copy(bytes, commit: commit, .now) == 0
  }

  @usableFromInline
  func writeWaiting(
    _ bytes: some Collection<UInt8>, commit: Bool, until deadline: ContinuousClock.Instant?
  ) async throws(RingError) {
    let size = try records(bytes.count)
    let deadline = Deadline(deadline)
    try end.begin(Self.writing)
    defer { end.handle.end(exclusive: true) }
    while try !store(bytes, commit: commit, .now) {
      try await end.wait(Self.writing, .room(size), deadline)
    }
  }

  @usableFromInline
  func writeWaitingBlocking(
    _ bytes: some Collection<UInt8>, commit: Bool, until deadline: ContinuousClock.Instant?
  ) throws(RingError) {
    let size = try records(bytes.count)
    let deadline = Deadline(deadline)
    try end.begin(Self.writing)
    defer { end.handle.end(exclusive: true) }
    while try !store(bytes, commit: commit, Self.spinning(deadline)) {
      try end.waitBlocking(Self.writing, .room(size), deadline)
    }
  }

  private static let writing = "write to the ring"

  private func records(_ size: Int) throws(RingError) -> UInt32 {
    guard let size = UInt32(exactly: size) else { throw end.failure(Self.writing, EINVAL, code: .tooLarge) }
    return size
  }

  /// A deadline that has passed, by which C's claim spins and does not sleep; or one that doesn't even want that.
  private static func spinning(_ deadline: Deadline) -> Deadline { deadline == .now ? .now : 1 }

  /// The status of a claim, or of a write: whether there was room.
  private func hadRoom(_ status: Int32) throws(RingError) -> Bool {
    switch status {
    case 0: return true
    case ETIMEDOUT: return false
    case EINVAL, EOVERFLOW: throw end.failure(Self.writing, status, code: .tooLarge)
    default: throw end.failure(Self.writing, status)
    }
  }

  /// Whether there was room.
  private func claim(
    _ size: UInt32, commit: Bool, _ deadline: Deadline, _ body: (UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> Bool {
    // One step, so that a successor doesn't begin in what is being filled.
    try end.membership.step {
      let writer = muster_ring_writer_of(end.handle.object)
      var place: UnsafeMutableRawPointer?
      guard try hadRoom(muster_ring_writer_claim(writer, size, deadline, &place)) else { return false }
      do {
        try body(UnsafeMutableRawBufferPointer(start: place, count: Int(size)))
      } catch {
        muster_ring_cancel(end.handle.object)
        throw error
      }
      return try !commit || hadRoom(muster_ring_writer_commit(writer))
    }
  }

  /// Whether there was room.
  private func store(_ bytes: some Collection<UInt8>, commit: Bool, _ deadline: Deadline) throws(RingError) -> Bool {
    let status =
      bytes.withContiguousStorageIfAvailable { copy(UnsafeRawBufferPointer($0), commit: commit, deadline) }
      ?? Array(bytes).withUnsafeBytes { copy($0, commit: commit, deadline) }
    return try hadRoom(status)
  }

  private func copy(_ bytes: UnsafeRawBufferPointer, commit: Bool, _ deadline: Deadline) -> Int32 {
    end.membership.step {
      let ring = end.handle.object
      let size = UInt32(bytes.count)
      var nothing: UInt8 = 0
      if commit {
        guard let start = bytes.baseAddress else { return muster_ring_write(ring, &nothing, 0, deadline) }
        return muster_ring_write(ring, start, size, deadline)
      }
      var place: UnsafeMutableRawPointer?
      let status = muster_ring_writer_claim(muster_ring_writer_of(ring), size, deadline, &place)
      if status == 0 { UnsafeMutableRawBufferPointer(start: place, count: Int(size)).copyMemory(from: bytes) }
      return status
    }
  }
}
