// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Writes a log's records, in the order of time, to a descriptor or to files that rotate.
///
/// ```swift
/// let drain = try LogDrain("app", to: .files(in: "/var/log/app", rotateBytes: 10 << 20, keepFiles: 8))
/// try await drain.run()          // until the task is cancelled; the last records are written before it returns
/// ```
///
/// One at a time drains a log. When the drain dies, at whatever instruction, the next one goes on where it was: each record
/// is in the files once. To a descriptor, what it was just writing when it was killed is repeated. How that is, and what
/// files are named, stands in the repository's docs/log.md.
///
/// Its place belongs to the process, and ends with it or with ``close()``. Draining is for one task at a time (others get
/// `inUse`).
public final class LogDrain: Sendable {
  /// Where records go.
  public struct Destination: Sendable {
    enum Kind: Sendable {
      case descriptor(Int32)
      case files(Files)
    }

    let kind: Kind

    /// A descriptor, which stays the caller's, open for as long as the drain is.
    public static func descriptor(_ descriptor: FileDescriptor) -> Destination {
      Destination(kind: .descriptor(descriptor.rawValue))
    }

    /// Files in a folder, which must exist: NAME-000001.log and so on; NAME.log leads to the present one.
    ///
    /// - Parameters:
    ///   - folder: where they are.
    ///   - name: how their names begin; at most 200 bytes, without a slash. `nil`: the last part of the log's name. A
    ///     name in a folder is for one log.
    ///   - rotateBytes: a new file is begun when the present one has so many; `nil`: not by size.
    ///   - rotateEvery: and at each multiple of this since 1970, in seconds: 86,400 s is midnight UTC. `nil`: not by time.
    ///   - keepFiles: so many at most, with the present one. `nil`: all.
    ///   - keepFor: files last written longer ago are deleted, in seconds. `nil`: none are.
    ///   - permissions: of new files.
    ///   - durably: whether each batch is on the disk before it counts as written (fdatasync).
    public static func files(
      in folder: FilePath, name: String? = nil, rotateBytes: UInt64? = nil, rotateEvery: Duration? = nil,
      keepFiles: Int? = nil, keepFor: Duration? = nil, permissions: FilePermissions = [.ownerReadWrite],
      durably: Bool = false
    ) -> Destination {
      Destination(
        kind: .files(
          Files(
            folder: folder, name: name, rotateBytes: rotateBytes, rotateEvery: rotateEvery, keepFiles: keepFiles,
            keepFor: keepFor, permissions: permissions, durably: durably)))
    }
  }

  struct Files: Sendable {
    var folder: FilePath
    var name: String?
    var rotateBytes: UInt64?
    var rotateEvery: Duration?
    var keepFiles: Int?
    var keepFor: Duration?
    var permissions: FilePermissions
    var durably: Bool
  }

  /// The log's name, or the path of its file.
  public let name: String
  let handle: Handle
  /// While the drain is open.
  private let core: Guarded<LogCore?>

  /// Opens a log that exists, and becomes its drain.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - destination: where the records go.
  ///   - format: how they are written.
  ///   - filter: which; the others count as drained.
  ///   - holdBack: as of a reader.
  /// - Throws: ``LogError``: `hasDrain` with its process; `notFound` (also the folder), `mismatch`, `corrupt`,
  ///   `permissionDenied` (also of the folder), `invalidArgument`, `overtaken`, `system`.
  public init(
    _ name: RegionName, to destination: Destination, format: LogFormat = .text, filter: LogFilter = LogFilter(),
    holdBack: Duration = .milliseconds(5)
  ) throws(LogError) {
    let operation = "drain the log"
    let core = try LogCore.attach(operation, name)
    var pid: Int32 = 0
    var drain: OpaquePointer?
    let status: Int32
    do throws(ThreadFailure) {
      status = try destination.withCore(of: name) { options in
        options.format = format.rawValue
        options.hold = holdBack == .zero ? -1 : max(1, holdBack.coreNanoseconds)
        return filter.withCore { filter in
          options.filter = filter
          let shown = options
          return Result { () throws(ThreadFailure) in
            try Keeper.disk.run {
              var options = shown
              return muster_log_drain_open(core.object, &options, &drain, &pid)
            }
          }
        }
      }.get()
    } catch {
      throw LogError(operation, name.string, status: error.status, code: .system)
    }
    guard status == 0, let drain else {
      let code: LogError.Code? = status == EBUSY ? .hasDrain : status == EAGAIN ? .overtaken : nil
      throw LogError(operation, name.string, status: status, code: code, pid: pid)
    }
    self.name = name.string
    let kept = Guarded<LogCore?>(core)
    self.core = kept
    self.handle = Handle(drain) { drain in
      // The keeper runs: the drain was opened there.
      _ = try? Keeper.disk.run { muster_log_drain_close(drain) }
      kept.value = nil
    }
  }

  deinit { close() }

  /// Stops draining, and lets go of the log; another process may drain it then. Closing again does nothing. ``run(onFailure:)``
  /// throws `closed`; what it is just writing is written first, and the place is given up after that. Records that are not
  /// written yet stay in the log: who wants them written cancels the task that drains, and closes then.
  public func close() { handle.close() }

  /// Drains until the task is cancelled, writes the rest, and returns. The writing is done on a thread of its own.
  ///
  /// A descriptor that blocks, such as a pipe that nobody reads from, holds up the end as well; a non-blocking one that takes
  /// nothing does so for a second at most. What is not written then is the next drain's.
  ///
  /// - Parameter onFailure: what to do when something can't be written, such as on a full disk: after how long to try again,
  ///   or `nil` to throw. Called on the thread that writes. Nothing is lost meanwhile but what writers overwrite, and that
  ///   is told.
  /// - Throws: ``LogError``: `system` with its ``LogError/errno`` and what else was not to be tried again; `inUse`,
  ///   `inherited`, `closed`. After all but the last it can be called again.
  public func run(
    onFailure: @escaping @Sendable (LogError) -> Duration? = { _ in nil }
  ) async throws(LogError) {
    try begin(Self.draining)
    defer { handle.end(exclusive: true) }
    let wait = DrainWait(self, onFailure)
    handle.add(wait)
    defer { handle.remove(wait) }
    let end = await OwnThread.wait {
      wait.end(because: .cancelled)
    } _: {
      wait.run()
    }
    switch end {
    case .status(0): return
    case .status(let status): throw failure(status)
    case .noThread(let status): throw LogError(Self.draining, name, status: status, code: .system)
    case .closed, .cancelled: throw LogError(Self.draining, name, code: .closed)
    }
  }

  /// Writes all that is in the log by now, on a thread of its own.
  ///
  /// - Returns: how many records.
  /// - Throws: ``LogError``: as ``run(onFailure:)``.
  @discardableResult
  public func drainAll() async throws(LogError) -> UInt64 {
    try begin(Self.draining)
    defer { handle.end(exclusive: true) }
    let count = Guarded<UInt64>(0)
    let end = await OwnThread.wait {
    } _: {
      var records: UInt64 = 0
      defer { count.value = records }
      return self.writeRest(&records)
    }
    if case .noThread(let status) = end { throw LogError(Self.draining, name, status: status, code: .system) }
    if case .status(let status) = end, status != 0 { throw failure(status) }
    return count.value
  }

  /// Writes all that is in the log by now. Blocks the thread.
  ///
  /// - Returns: how many records.
  /// - Throws: ``LogError``: as ``run(onFailure:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func drainAllBlocking() throws(LogError) -> UInt64 {
    try begin(Self.draining)
    defer { handle.end(exclusive: true) }
    var records: UInt64 = 0
    let status = writeRest(&records)
    guard status == 0 else { throw failure(status) }
    return records
  }

  /// The file that is being written; `nil`: there is none, or none yet.
  ///
  /// - Throws: ``LogError``: `inUse`, `closed`.
  public func path() throws(LogError) -> FilePath? {
    try begin("ask the drain of the log")
    defer { handle.end(exclusive: true) }
    return muster_log_drain_path(handle.object).map { FilePath(platformString: $0) }
  }

  // MARK: Steps

  private static let draining = "drain the log"
  /// So long a descriptor that takes nothing is waited for at the end.
  private static let grace: Int64 = 1_000_000_000
  private static let all = muster_log_drain_flags.MUSTER_LOG_DRAIN_ALL.rawValue
  /// The least that a record takes in its ring.
  private static let leastRecord = 40

  /// Writes all that is there, also what would be held back. Others may go on writing: as many records as the log can have
  /// at a time are enough, since the oldest come first.
  fileprivate func writeRest(_ records: inout UInt64) -> Int32 {
    guard let core = core.value else { return EINVAL }
    let state = core.look()
    let most = UInt64(state.places) * UInt64(state.bytes) / UInt64(Self.leastRecord)
    let end = muster_deadline_after(Self.grace)
    while records < most {
      var written: UInt64 = 0
      let status = muster_log_drain_step(handle.object, Self.all, &written)
      records += written
      guard status != 0 else { continue }
      guard status == EAGAIN else { return status }
      var drain = muster_log_drain_state()
      guard muster_log_look_drain(core.object, &drain) == 0, drain.staged > 0 else { return 0 }
      // The descriptor takes no more by now.
      if muster_log_drain_wait(handle.object, end) == ETIMEDOUT { return ETIMEDOUT }
    }
    return 0
  }

  private func begin(_ operation: String) throws(LogError) {
    do {
      try handle.begin(exclusive: true)
    } catch {
      throw LogError(operation, name, code: error == .taken ? .inUse : .closed)
    }
  }

  fileprivate func failure(_ status: Int32) -> LogError {
    switch status {
    case EPERM where handle.isInherited: LogError(Self.draining, name, status: status, code: .inherited)
    case EBADMSG, ETIMEDOUT: LogError(Self.draining, name, status: status)
    // What the system said of a file is no reason of the log's.
    default: LogError(Self.draining, name, status: status, code: .system, reason: Self.reason(status))
    }
  }

  private static func reason(_ status: Int32) -> String? {
    switch status {
    case ENOENT: "the folder of its files was removed"
    case EOVERFLOW: "a file in its folder has the highest number that there can be"
    case EEXIST: "others make files of the same names in its folder"
    default: nil
    }
  }
}

/// Draining as a wait that is over when something can't be written: its look at whether there is something writes it.
private final class DrainWait: PendingWait, @unchecked Sendable {
  private let drain: LogDrain
  private let onFailure: @Sendable (LogError) -> Duration?
  /// After a failure: when to try again.
  private var pausedUntil = Deadline.now

  init(_ drain: LogDrain, _ onFailure: @escaping @Sendable (LogError) -> Duration?) {
    self.drain = drain
    self.onFailure = onFailure
    super.init(deadline: .never)
  }

  /// Drains until it is to end. `ECANCELED`: it was closed.
  func run() -> Int32 {
    switch runBlocking() {
    case .status(let status), .noThread(let status): return status
    case .closed: return ECANCELED
    case .cancelled:
      var records: UInt64 = 0
      return drain.writeRest(&records)
    }
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    while true {
      set.pointee.count = 0
      set.pointee.recheck = pausedUntil.hasPassed ? .never : pausedUntil
      // An end that is asked for doesn't wait until nobody writes any more.
      guard pausedUntil.hasPassed, reason == nil else { return EAGAIN }
      var status = muster_log_drain_step(drain.handle.object, 0, nil)
      if status == EAGAIN { status = muster_log_drain_poll(drain.handle.object, set) }
      if status == 0 { continue }
      if status == EAGAIN { return EAGAIN }
      guard let pause = onFailure(drain.failure(status)) else { return status }
      pausedUntil = Deadline(max(pause, .milliseconds(1)))
    }
  }
}

extension LogDrain.Destination {
  /// Lends the options to a call.
  fileprivate func withCore<Result>(
    of log: RegionName, _ body: (inout muster_log_drain_options) -> Result
  ) -> Result {
    var options = muster_log_drain_options()
    switch kind {
    case .descriptor(let descriptor):
      options.descriptor = descriptor
      return body(&options)
    case .files(let files):
      options.rotate_bytes = files.rotateBytes ?? 0
      options.rotate_seconds = files.rotateEvery.map { seconds($0) } ?? 0
      options.keep_files = files.keepFiles.map { UInt32(clamping: $0) } ?? 0
      options.keep_seconds = files.keepFor.map { seconds($0) } ?? 0
      options.permissions = UInt32(files.permissions.rawValue)
      options.flags = files.durably ? muster_log_drain_flags.MUSTER_LOG_DRAIN_SYNC.rawValue : 0
      let name = files.name ?? FilePath(log.string).lastComponent?.string ?? log.string
      return files.folder.withPlatformString { folder in
        name.withCString { name in
          options.folder = folder
          options.name = name
          return body(&options)
        }
      }
    }
  }

  /// Whole ones, and one at least.
  private func seconds(_ duration: Duration) -> Int64 { max(1, duration.components.seconds) }
}
