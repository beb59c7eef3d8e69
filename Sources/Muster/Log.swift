// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Records in shared memory that outlive their writer.
///
/// ```swift
/// let log = try Log("app")                                   // whoever comes first creates it
/// try log.write(.info, "listens", ["port": 80])              // no system call; there when the process is killed now
///
/// let reader = try LogReader("app")                          // in another process
/// for try await record in reader.records { print(record) }
///
/// let drain = try LogDrain("app", to: .files(in: "/var/log/app"))   // in a third
/// try await drain.run()
/// ```
///
/// Each process that logs takes a place of the log and writes into a ring of its own, so no process waits for another. What
/// was written last before a `SIGKILL` stays until somebody joins in that place and comes round in it. When a ring is full
/// its oldest records are overwritten; how many were before a reader or the drain came to them is told as a record.
///
/// Levels below the log's threshold cost two loads. The threshold lies in the shared memory: any process can change it for
/// all (``setLevel(_:)``, ``setLevel(_:of:)``, `muster log level`).
///
/// Any thread and task writes, any number at a time; a forked child gets `inherited`, and opens the log anew. The C
/// functions are in muster/log.h; how it works and why it is right stands in the repository's docs/log.md. The product
/// `MusterLogging` has the backend for swift-log.
public final class Log: Sendable {
  /// The log's name, or the path of its file.
  public let name: String
  /// Which of the log's places this object has.
  public let place: Int
  /// Bytes of the largest record. What is larger is cut, and says so.
  public let largestRecord: Int
  let core: LogCore
  let handle: Handle
  /// What a forked child logs by.
  private let heir: ForkLocal<Heir>

  private struct Heir: Sendable {
    var log: Log?
  }

  /// Opens a log and takes a place in it; whoever comes first creates it.
  ///
  /// It waits for nobody, except for a second at most for a process that was stopped while removing the region or while
  /// joining.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file, which outlives the machine's restart.
  ///   - places: how many processes can log at the same time, at most 128. `nil`: as it is, or 32.
  ///   - bytes: of each place, a power of two from 4 KiB. `nil`: as it is, or 64 KiB.
  ///   - level: the threshold of a log that is created.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a log that is created, whatever the umask.
  /// - Throws: ``LogError``: `full`; `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`,
  ///   `invalidArgument` (also places without bytes, and the reverse), `system`.
  public init(
    _ name: RegionName, places: Int? = nil, bytes: Int? = nil, level: Level = .info, mode: OpenMode = .createOrAttach,
    permissions: FilePermissions = [.ownerReadWrite]
  ) throws(LogError) {
    let operation = "log to"
    var options = muster_log_options()
    // Numbers that are too large for the type are too large for a log, and refused as such.
    options.places = places.map { UInt32(exactly: $0) ?? .max } ?? 0
    options.bytes = bytes.map { UInt32(exactly: $0) ?? .max } ?? 0
    options.level = level.core
    options.flags = mode.flags | name.flags
    options.permissions = UInt32(permissions.rawValue)
    let core = try LogCore(operation, name, options)
    var place: UInt32 = 0
    let status: Int32
    do throws(ThreadFailure) {
      status = try Keeper.shared.run { muster_log_join(core.object, &place) }
    } catch {
      throw LogError(operation, name.string, status: error.status, code: .system)
    }
    guard status == 0 else {
      throw LogError(operation, name.string, status: status, code: status == EOVERFLOW ? .full : nil)
    }
    self.name = name.string
    self.heir = ForkLocal { Heir(log: try? Log(name, mode: .attach)) }
    self.place = Int(place)
    self.largestRecord = Int(core.look().largest)
    self.core = core
    // The memory stays mapped while this object lives, so that a level can be looked at without counting who does.
    self.handle = Handle(core.object) { _ in
      _ = try? Keeper.shared.run { muster_log_leave(core.object) }
    }
  }

  /// Gives the place up; the records stay. Writing throws `closed` from here on. Closing again does nothing. The memory is
  /// let go of with the last reference.
  public func close() { handle.close() }

  // MARK: Writing

  /// Writes a record, with the time of day of this moment. What is below the threshold is not made at all.
  ///
  /// What is too large is cut, and marked so: first text and pairs that don't fit, then the message.
  ///
  /// - Parameters:
  ///   - level: how much it matters.
  ///   - message: what happened.
  ///   - pairs: keys with their values: at most 64, keys of at most 255 bytes.
  ///   - tags: at most 32, of at most 255 bytes each.
  ///   - correlation: what it belongs to.
  ///   - label: which part of the program: at most 255 bytes.
  ///   - file: where in the source; "" to leave it out.
  ///   - function: in which function; "" to leave it out.
  ///   - line: told where `file` is.
  /// - Throws: ``LogError``: `closed`, `inherited`, `corrupt`, `invalidArgument` (the level `off`), `system`.
  public func write(
    _ level: Level, _ message: @autoclosure () -> String,
    _ pairs: @autoclosure () -> KeyValuePairs<String, Value> = [:], tags: @autoclosure () -> [String] = [],
    correlation: @autoclosure () -> CorrelationID? = nil, label: String = "", file: String = #fileID,
    function: String = #function, line: UInt = #line
  ) throws(LogError) {
    guard level == .off || handle.isClosed || isEnabled(level) else { return }
    let status = put(
      level, message(), label: label, file: file, function: function, line: line, correlation: correlation()
    ) { entry in
      for (key, value) in pairs() { entry.add(key, value) }
      for tag in tags() { entry.add(tag: tag) }
    }
    guard status != 0 else { return }
    throw failure("log to", status)
  }

  /// Writes a record whose pairs and tags are gathered by a closure. The status of C's put; `ESHUTDOWN`: closed.
  package func put(
    _ level: Level, _ message: String, label: String, file: String, function: String, line: UInt,
    correlation: CorrelationID?, gather: (inout LogEntry) -> Void
  ) -> Int32 {
    guard (try? handle.begin()) != nil else { return ESHUTDOWN }
    defer { handle.end() }
    return LogEntry.with { entry in
      // Before the pairs, which may take all the room there is.
      let source = (label: entry.text(label), file: entry.text(file), function: entry.text(function))
      gather(&entry)
      var fields = entry.fields
      fields.label = source.label
      fields.file = source.file
      fields.function = source.function
      fields.line = UInt32(clamping: line)
      var bytes = correlation?.bytes ?? CorrelationID.none
      var message = message
      return withUnsafePointer(to: &bytes.0) { bytes in
        if correlation != nil { fields.correlation = bytes }
        return message.withUTF8 { message in
          message.withMemoryRebound(to: CChar.self) {
            muster_log_put(handle.object, level.core, $0.baseAddress, $0.count, &fields)
          }
        }
      }
    }
  }

  /// In a forked child: the same log, opened and joined anew, once for all who ask; `nil` where that can't be.
  package var ofChild: Log? { handle.isInherited ? heir.value.log : nil }

  // MARK: Levels

  /// Whether a record of that level would be written: to save what it takes to make one.
  public func isEnabled(_ level: Level) -> Bool {
    muster_log_enabled(core.object, level.core) != 0 && !handle.isClosed
  }

  /// The threshold, of all processes. In a log that was closed, as it was left.
  public var level: Level { Level(muster_log_get_level(core.object)) }

  /// Sets the threshold, for all processes.
  ///
  /// - Throws: ``LogError``: `closed`, `inherited`.
  public func setLevel(_ level: Level) throws(LogError) {
    let operation = "set the level of the log"
    try use(operation) { muster_log_set_level($0, level.core) }
  }

  /// Sets the threshold of a log that this process need not log to, for all processes.
  ///
  /// - Throws: ``LogError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func setLevel(_ level: Level, of name: RegionName) throws(LogError) {
    let operation = "set the level of the log"
    let core = try LogCore.attach(operation, name)
    let status = muster_log_set_level(core.object, level.core)
    guard status == 0 else { throw LogError(operation, name.string, status: status) }
  }

  // MARK: Asking

  /// Who logs, and how far it was drained, at this moment.
  ///
  /// - Throws: ``LogError``: `closed`, `inherited`.
  public func state() throws(LogError) -> State {
    let operation = "look at the log"
    var state: State?
    try use(operation) { _ in
      switch State.of(core) {
      case .success(let found):
        state = found
        return 0
      case .failure(let failure): return failure.status
      }
    }
    return state!
  }

  /// Looks at a log without holding or changing it.
  ///
  /// - Throws: ``LogError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func look(_ name: RegionName) throws(LogError) -> State {
    let operation = "look at the log"
    var options = muster_log_options()
    options.flags = peek | name.flags
    let core = try LogCore(operation, name, options)
    switch State.of(core) {
    case .success(let state): return state
    case .failure(let failure): throw LogError(operation, name.string, status: failure.status)
    }
  }

  private func use(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(LogError) {
    let closed = LogError(operation, name, code: .closed)
    let status = try handle.use(or: { _ in closed }) { (object) throws(LogError) in body(object) }
    guard status == 0 else { throw failure(operation, status) }
  }

  private func failure(_ operation: String, _ status: Int32) -> LogError {
    switch status {
    case ESHUTDOWN: LogError(operation, name, code: .closed)
    case EPERM where handle.isInherited: LogError(operation, name, status: status, code: .inherited)
    default: LogError(operation, name, status: status)
    }
  }
}
