// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Named shared memory, or a mapped file, of which every process sees one whole initialisation or none.
///
/// ```swift
/// let region = try Region("scores", size: 4096, kind: "SCOR") { bytes in
///   bytes.storeBytes(of: 1, as: UInt64.self)      // before anybody can see it
/// }
/// region.withUnsafeMutableBytes { bytes in ... }
/// ```
///
/// Any number of processes may race for a name: exactly one creates, the others attach to what it made. A process that
/// dies while creating holds nobody up. The name stays when all have let go of it, until somebody calls
/// ``remove(_:force:anyOwner:)``.
///
/// The object is one `muster_region` of C (muster/region.h). It may be used from any thread. ``close()`` lets go of
/// it, and so does the end of the last reference; memory that a closure of `withUnsafeBytes` is just using stays
/// mapped until it returns.
public final class Region: Sendable {
  /// What was opened.
  public let name: RegionName
  /// Bytes of the payload.
  public let size: Int
  /// Whether this handle created the region, rather than attach to it.
  public let isCreator: Bool
  /// Whether it is mapped read-only.
  public let isReadOnly: Bool
  private let handle: Handle
  private nonisolated(unsafe) let payload: UnsafeMutableRawPointer

  /// Opens a region to read and write.
  ///
  /// - Parameters:
  ///   - name: a name of shared memory, or ``RegionName/file(_:)``.
  ///   - size: bytes of the payload, at least 1 to create. 0, when attaching: as it is.
  ///   - kind: what the payload is; compared when attaching, unless it is ``RegionKind/any``.
  ///   - version: the version of the payload's layout; compared when attaching, unless the kind is `any`.
  ///   - layout: a number of yours for whatever else must agree; 0, when attaching: not compared.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a region that is created, whatever the umask.
  ///   - anyOwner: whether a region that belongs to another user is accepted.
  ///   - initialize: fills a new payload, which is all zeros, before any process can see it.
  /// - Throws: ``RegionError``: `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`, `inUse`,
  ///   `invalidArgument`, `system`.
  ///
  /// It waits for nobody, except for a second at most for a process that was stopped while removing this very region.
  public convenience init(
    _ name: RegionName, size: Int, kind: RegionKind = .any, version: UInt32 = 0, layout: UInt64 = 0,
    mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite], anyOwner: Bool = false,
    initialize: ((UnsafeMutableRawBufferPointer) -> Void)? = nil
  ) throws(RegionError) {
    var options = muster_region_options()
    options.flags = mode.flags | name.flags | (anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0)
    options.mode = UInt32(permissions.rawValue)
    options.kind = kind.rawValue
    options.version = version
    options.layout = layout
    options.size = UInt64(max(size, 0))
    try self.init(
      name, options, operation: mode == .attach ? "attach to the region" : "open the region", fill: initialize)
  }

  /// Attaches to a region that exists.
  ///
  /// - Parameters: as of ``init(_:size:kind:version:layout:mode:permissions:anyOwner:initialize:)``; `readOnly` maps
  ///   it so that a store is a fault.
  /// - Throws: ``RegionError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `inUse`, `invalidArgument`,
  ///   `system`.
  public static func attach(
    _ name: RegionName, size: Int = 0, kind: RegionKind = .any, version: UInt32 = 0, layout: UInt64 = 0,
    readOnly: Bool = false, anyOwner: Bool = false
  ) throws(RegionError) -> Region {
    try Region(name, attachOptions(name, size, kind, version, layout, readOnly, anyOwner), operation: attachOperation)
  }

  /// Attaches to a region, waiting for its name to appear. Blocks the thread.
  ///
  /// - Parameters: as of ``attach(_:size:kind:version:layout:readOnly:anyOwner:)``; `deadline`: how long to wait,
  ///   `nil`: for ever.
  /// - Throws: ``RegionError``: `timedOut`, and as `attach`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public static func attachBlocking(
    _ name: RegionName, size: Int = 0, kind: RegionKind = .any, version: UInt32 = 0, layout: UInt64 = 0,
    readOnly: Bool = false, anyOwner: Bool = false, until deadline: ContinuousClock.Instant?
  ) throws(RegionError) -> Region {
    var options = attachOptions(name, size, kind, version, layout, readOnly, anyOwner)
    // At least a look, which is not taken for one that does not want to wait.
    options.deadline = max(1, Deadline(deadline))
    return try Region(name, options, operation: attachOperation)
  }

  /// Attaches to a region, waiting for its name to appear. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters: as of ``attach(_:size:kind:version:layout:readOnly:anyOwner:)``; `deadline`: how long to wait,
  ///   `nil`: for ever.
  /// - Throws: ``RegionError``: `timedOut`, `cancelled` when the task was, and as `attach`.
  public static func attach(
    _ name: RegionName, size: Int = 0, kind: RegionKind = .any, version: UInt32 = 0, layout: UInt64 = 0,
    readOnly: Bool = false, anyOwner: Bool = false, until deadline: ContinuousClock.Instant?
  ) async throws(RegionError) -> Region {
    let outcome = Box<Swift.Result<Region, RegionError>>()
    let deadline = Deadline(deadline)
    let stop = Doorbell()
    let end = await OwnThread.wait(stop: { stop.ring() }) {
      outcome.value = lookUntil(deadline, stop) { () throws(RegionError) in
        let options = attachOptions(name, size, kind, version, layout, readOnly, anyOwner)
        return try Region(name, options, operation: attachOperation)
      }
      return outcome.value != nil ? 0 : stop.count != 0 ? ECANCELED : ETIMEDOUT
    }
    switch end {
    case .noThread(let status): throw RegionError(attachOperation, name.string, status: status, code: .system)
    case .status(ETIMEDOUT): throw RegionError(attachOperation, name.string, status: ETIMEDOUT)
    case .status: return try outcome.value!.get()
    default: throw RegionError(attachOperation, name.string, code: .cancelled)
    }
  }

  /// Attaches as soon as the name is there. A name is no word to sleep at: it is looked for, as the C core does. `nil`:
  /// the deadline passed, or it was stopped.
  private static func lookUntil(
    _ deadline: Deadline, _ stop: Doorbell, _ attach: () throws(RegionError) -> Region
  ) -> Swift.Result<Region, RegionError>? {
    var pause: Int64 = 20_000
    while true {
      do throws(RegionError) {
        return .success(try attach())
      } catch {
        // Who removes or renews it may be stopped: that is waited for as long as the name is.
        let mayCome = error.code == .notFound || (error.code == .inUse && !deadline.hasPassed)
        if !mayCome { return .failure(error) }
      }
      if deadline.hasPassed || stop.waitBlocking(after: 0, deadline: deadline.atMost(nanoseconds: pause)) { return nil }
      pause = min(pause * 2, 2_560_000)
    }
  }

  private static let attachOperation = "attach to the region"

  private static func attachOptions(
    _ name: RegionName, _ size: Int, _ kind: RegionKind, _ version: UInt32, _ layout: UInt64, _ readOnly: Bool,
    _ anyOwner: Bool
  ) -> muster_region_options {
    var options = muster_region_options()
    options.flags =
      UInt32(.MUSTER_REGION_ATTACH) | name.flags | (readOnly ? UInt32(.MUSTER_REGION_READ_ONLY) : 0)
      | (anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0)
    options.kind = kind.rawValue
    options.version = version
    options.layout = layout
    options.size = UInt64(max(size, 0))
    return options
  }

  private init(
    _ name: RegionName, _ options: muster_region_options, operation: String,
    fill: ((UnsafeMutableRawBufferPointer) -> Void)? = nil
  ) throws(RegionError) {
    var options = options
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = name.withCString { cName in
      withUnsafeMutablePointer(to: &mismatch) { mismatch in
        options.mismatch = mismatch
        guard let fill else { return muster_region_open(cName, &options, &object) }
        return withUnsafePointer(to: fill) { fill in
          options.initialize = { payload, size, context in
            let fill = context!.assumingMemoryBound(to: ((UnsafeMutableRawBufferPointer) -> Void).self)
            fill.pointee(UnsafeMutableRawBufferPointer(start: payload, count: size))
            return 0
          }
          options.context = UnsafeMutableRawPointer(mutating: fill)
          return muster_region_open(cName, &options, &object)
        }
      }
    }
    guard status == 0, let object else { throw RegionError(operation, name.string, status: status, mismatch: mismatch) }
    self.name = name
    self.size = muster_region_size(object)
    self.isCreator = muster_region_created(object) != 0
    self.isReadOnly = options.flags & UInt32(.MUSTER_REGION_READ_ONLY) != 0
    self.payload = muster_region_payload(object)
    self.handle = Handle(object) { muster_region_close($0) }
  }

  /// Unmaps the region and lets go of it; the name stays. Closing again does nothing. Every later use throws `closed`.
  ///
  /// Closures of `withUnsafeBytes` and the like that run meanwhile on other threads end first.
  public func close() { handle.close() }

  /// Whether the name still leads to this region, and not to another one or to nothing.
  ///
  /// - Throws: ``RegionError``: `closed`, `system`.
  public func isCurrent() throws(RegionError) -> Bool {
    let status = try use("look up the region") { (object) throws(RegionError) in muster_region_current(object) }
    if status == ESTALE { return false }
    guard status == 0 else { throw RegionError("look up the region", name.string, status: status) }
    return true
  }

  /// Makes a file's contents durable: `msync(2)`, then `fsync(2)` of the file and of its folder. For shared memory
  /// there is nothing to do. Blocks the thread until the disk has it.
  ///
  /// - Throws: ``RegionError``: `closed`, `system`.
  public func synchronizeBlocking() throws(RegionError) {
    let status = try use("synchronize the region") { (object) throws(RegionError) in muster_region_sync(object) }
    guard status == 0 else { throw RegionError("synchronize the region", name.string, status: status) }
  }

  /// Lends the payload to a closure, to read.
  ///
  /// Other processes may be writing to it at any time: what several threads or processes use at a time belongs into
  /// atomics. What is read is input: check it before relying on it.
  ///
  /// - Throws: ``RegionError`` `closed`, or what the closure throws. Memory that another process cut off by truncating
  ///   the file is a `SIGBUS`.
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    try begin()
    defer { handle.end() }
    return try body(UnsafeRawBufferPointer(start: payload, count: size))
  }

  /// Lends the payload to a closure, to read and write. It is aligned to 256 bytes.
  ///
  /// - Precondition: the region is not mapped read-only.
  /// - Throws: ``RegionError`` `closed`, or what the closure throws.
  public func withUnsafeMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) throws -> Result
  {
    precondition(!isReadOnly, "“\(name)” is mapped read-only")
    try begin()
    defer { handle.end() }
    return try body(UnsafeMutableRawBufferPointer(start: payload, count: size))
  }

  /// Lends the payload to a closure as a span, to read. For payloads that nobody changes any more: a span takes what
  /// it covers for constant.
  ///
  /// - Throws: ``RegionError`` `closed`, or what the closure throws.
  public func withSpan<Result>(_ body: (RawSpan) throws -> Result) throws -> Result {
    try withUnsafeBytes { try body(RawSpan(_unsafeBytes: $0)) }
  }

  private func begin() throws(RegionError) {
    do {
      try handle.begin()
    } catch {
      throw RegionError("use the region", name.string, code: .closed)
    }
  }

  private func use(
    _ operation: String, _ body: (OpaquePointer) throws(RegionError) -> Int32
  ) throws(RegionError) -> Int32 {
    try handle.use(or: { _ in RegionError(operation, name.string, code: .closed) }, body)
  }
}

/// A place for what a closure on another thread makes, read when that thread is done.
final class Box<Value>: @unchecked Sendable {
  var value: Value?
}
