// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Reads a log: the records of all its writers as one stream in the order of time.
///
/// ```swift
/// let reader = try LogReader("app", filter: LogFilter(level: .warning, tags: ["net"]))
/// for try await record in reader.records { print(record) }
/// ```
///
/// It changes nothing in the log, takes no place, and needs no permission to write: there may be any number. Nobody waits
/// for a reader: what was overwritten before it came there is told by a record of the kind ``LogRecord/Kind/lost(_:)``.
///
/// A record is held back for some milliseconds, since another process may be just committing an earlier one. Nobody wakes
/// a reader: while it waits it looks again after 1 to 32 ms.
///
/// Reading is for one task at a time (others get `inUse`); ``close()`` may be called from anywhere, meanwhile too.
public final class LogReader: Sendable {
  /// Where a reader begins.
  public enum Start: Hashable, Sendable {
    /// With all that is still there.
    case oldest
    /// With what comes from now on.
    case newest
    /// At a position that was remembered. What was overwritten since is told as lost.
    case at(Position)
  }

  /// Where a reader is, in each place of the log. It means the same to every process, as long as the log exists.
  public struct Position: Hashable, Sendable, Codable {
    /// In the order of the log's places.
    public let places: [Ring.Place]

    /// A position that was noted elsewhere than in a value of this type.
    public init(places: [Ring.Place]) { self.places = places }
  }

  /// The log's name, or the path of its file.
  public let name: String
  let handle: Handle

  /// Opens a log that exists, to read.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - start: where to begin.
  ///   - filter: which records to give.
  ///   - holdBack: how long a record is held back for earlier ones. Zero: not at all; what comes then is in order for
  ///     each process, and mixed as it was found.
  ///   - anyOwner: whether a log that belongs to another user is accepted.
  /// - Throws: ``LogError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `invalidArgument` (a position of
  ///   another log, a filter with more than 32 tags), `overtaken`, `system`.
  public init(
    _ name: RegionName, from start: Start = .oldest, filter: LogFilter = LogFilter(),
    holdBack: Duration = .milliseconds(5), anyOwner: Bool = false
  ) throws(LogError) {
    let operation = "read the log"
    let core = try LogCore.attach(operation, name, readOnly: true, anyOwner: anyOwner)
    var reader: OpaquePointer?
    let status = Self.open(core, start, filter, holdBack, &reader)
    guard status == 0, let reader else {
      throw LogError(operation, name.string, status: status, code: status == EAGAIN ? .overtaken : nil)
    }
    self.name = name.string
    self.handle = Handle(reader) {
      muster_log_reader_close($0)
      withExtendedLifetime(core) {}
    }
  }

  private static func open(
    _ core: LogCore, _ start: Start, _ filter: LogFilter, _ holdBack: Duration, _ reader: inout OpaquePointer?
  ) -> Int32 {
    filter.withCore { filter in
      var options = muster_log_reader_options()
      options.filter = filter
      options.hold = holdBack == .zero ? -1 : max(1, holdBack.coreNanoseconds)
      switch start {
      case .oldest: options.from = .MUSTER_LOG_OLDEST
      case .newest: options.from = .MUSTER_LOG_NEWEST
      case .at(let position):
        options.from = .MUSTER_LOG_AT
        guard position.places.count <= Int(MUSTER_LOG_PLACES_MAX) else { return EINVAL }
        var kept = muster_log_position()
        kept.count = UInt32(position.places.count)
        withUnsafeMutableBytes(of: &kept.places) { bytes in
          let places = bytes.assumingMemoryBound(to: muster_ring_place.self)
          for (index, place) in position.places.enumerated() { places[index] = place.core }
        }
        return withUnsafePointer(to: &kept) { kept in
          options.position = kept
          return muster_log_reader_open(core.object, &options, &reader)
        }
      }
      return muster_log_reader_open(core.object, &options, &reader)
    }
  }

  deinit { close() }

  /// Lets go of the log. Closing again does nothing. A read that waits throws `closed`, and a sequence of ``records`` ends.
  public func close() { handle.close() }

  /// The next record. Waits if it must: the task does, no thread of the cooperative pool.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever. `.now` never waits.
  /// - Throws: ``LogError``: `timedOut`, `cancelled`, `inUse`, `inherited`, `closed`. No record is lost by any of them.
  public func next(until deadline: ContinuousClock.Instant? = nil) async throws(LogError) -> LogRecord {
    try begin(Self.reading)
    defer { handle.end(exclusive: true) }
    let deadline = Deadline(deadline)
    while true {
      if let record = try take() { return record }
      try check(await handle.wait(LogWait(handle, deadline)))
    }
  }

  /// The next record. Waits if it must, and blocks the thread.
  ///
  /// - Parameter deadline: as of ``next(until:)``.
  /// - Throws: as ``next(until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func nextBlocking(until deadline: ContinuousClock.Instant? = nil) throws(LogError) -> LogRecord {
    try begin(Self.reading)
    defer { handle.end(exclusive: true) }
    let deadline = Deadline(deadline)
    while true {
      if let record = try take() { return record }
      try check(handle.waitBlocking(LogWait(handle, deadline)))
    }
  }

  /// The next record, if there is one that is not held back. Never waits.
  ///
  /// - Throws: ``LogError``: `inUse`, `inherited`, `closed`.
  public func nextIfAvailable() throws(LogError) -> LogRecord? {
    try begin(Self.reading)
    defer { handle.end(exclusive: true) }
    return try take()
  }

  /// Behind the last record that was given or passed over: to be remembered, and begun at by a later reader
  /// (``Start/at(_:)``).
  ///
  /// - Throws: ``LogError``: `inUse`, `closed`.
  public func position() throws(LogError) -> Position {
    try begin("ask the reader of the log")
    defer { handle.end(exclusive: true) }
    var core = muster_log_position()
    muster_log_reader_position(handle.object, &core)
    let count = min(Int(core.count), Int(MUSTER_LOG_PLACES_MAX))
    return withUnsafeBytes(of: &core.places) { bytes in
      Position(places: bytes.assumingMemoryBound(to: muster_ring_place.self).prefix(count).map { Ring.Place($0) })
    }
  }

  private static let reading = "read the log"

  private func begin(_ operation: String) throws(LogError) {
    do {
      try handle.begin(exclusive: true)
    } catch {
      throw LogError(operation, name, code: error == .taken ? .inUse : .closed)
    }
  }

  private func take() throws(LogError) -> LogRecord? {
    var record = muster_log_record()
    let status = muster_log_next(handle.object, &record)
    if status == EAGAIN { return nil }
    guard status == 0 else { throw failure(status) }
    return LogRecord(record)
  }

  /// A wait that ended otherwise than by a record.
  private func check(_ end: WaitEnd) throws(LogError) {
    switch end {
    case .status(0): return
    case .status(let status): throw failure(status)
    case .noThread(let status): throw LogError(Self.reading, name, status: status, code: .system)
    case .closed: throw LogError(Self.reading, name, code: .closed)
    case .cancelled: throw LogError(Self.reading, name, code: .cancelled)
    }
  }

  private func failure(_ status: Int32) -> LogError {
    let inherited = status == EPERM && handle.isInherited
    return LogError(Self.reading, name, status: status, code: inherited ? .inherited : nil)
  }
}

private final class LogWait: PendingWait, @unchecked Sendable {
  private let handle: Handle

  init(_ handle: Handle, _ deadline: Deadline) {
    self.handle = handle
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { muster_log_poll(handle.object, set) }
}
