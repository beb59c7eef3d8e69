// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A flight recorder: what each thread or actor did last, in shared memory, read after a crash.
///
/// ```swift
/// let trace = try Trace("crew")                               // whoever comes first creates it
/// let work = try trace.name("work")
/// let recorder = try trace.join(label: "reader")              // one for each that records
/// recorder.span(work, id: job) { handle(job) }
///
/// let seen = try Trace.look("crew")                           // another process, later
/// for event in try seen.events() { print(event) }
/// try seen.export(to: file)                                   // for ui.perfetto.dev
/// ```
///
/// Recording takes no lock and makes no system call; it costs what reading the clock costs. Of each recorder the newest
/// events are kept, and stay there however its process ends. ``freeze()`` by any process stops all recorders of the trace,
/// so that the record of an incident is not overwritten; ``watch(until:)`` does it at a death.
///
/// The object is one `muster_trace` of C (muster/trace.h). It may be used from any thread, by any number at a time.
/// ``close()`` lets go of it, and so does the end of the last reference; recorders that have joined keep what they need.
public final class Trace: Sendable {
  /// The trace's name, or the path of its file.
  public let name: String
  /// What it was made with.
  public let shape: Shape
  let handle: Handle

  /// Opens a trace; whoever comes first creates it. What an earlier, dead generation of processes recorded is there.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - shape: how many recorders, events and names a new one has. One that is there has to be the same.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a trace that is created, whatever the umask.
  /// - Throws: ``TraceError``: `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `noCounter`, `system`.
  public convenience init(
    _ name: RegionName, shape: Shape = Shape(), mode: OpenMode = .createOrAttach,
    permissions: FilePermissions = [.ownerReadWrite]
  ) throws(TraceError) {
    var options = muster_trace_options()
    options.shape = shape.core
    options.flags = mode.flags | name.flags
    options.permissions = UInt32(permissions.rawValue)
    try self.init("open the trace", name, options)
  }

  /// Attaches to a trace as it is, to record, to freeze or to thaw it.
  ///
  /// - Throws: ``TraceError``: `notFound`, `mismatch` (no trace), `corrupt`, `permissionDenied`, `system`.
  public static func attach(_ name: RegionName) throws(TraceError) -> Trace {
    var options = muster_trace_options()
    options.flags = UInt32(.MUSTER_REGION_ATTACH) | name.flags
    return try Trace("attach to the trace", name, options)
  }

  /// Attaches to a trace to read it, without holding or changing it: also one of another user's.
  ///
  /// - Throws: ``TraceError``: `notFound`, `mismatch` (no trace), `corrupt`, `permissionDenied`, `system`.
  public static func look(_ name: RegionName) throws(TraceError) -> Trace {
    var options = muster_trace_options()
    options.flags = peek | name.flags
    return try Trace("look at the trace", name, options)
  }

  private init(_ operation: String, _ name: RegionName, _ given: muster_trace_options) throws(TraceError) {
    var options = given
    var object: OpaquePointer?
    var mismatch = muster_mismatch()
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return name.withCString { muster_trace_open($0, &options, &object) }
    }
    guard status == 0, let object else {
      throw TraceError(operation, name.string, status: status, mismatch: mismatch)
    }
    var state = muster_trace_state()
    muster_trace_look(object, &state)
    self.name = name.string
    shape = Shape(state.shape)
    handle = Handle(object) { muster_trace_close($0) }
  }

  /// Lets go of the trace; its name and what was recorded stay. Closing again does nothing. Waits in progress end, and
  /// throw `closed`; recorders go on until they are closed.
  public func close() { handle.close() }

  // MARK: Recording

  /// The number of a name, which is found, or added: ask once, keep it. Names are cut to 55 bytes.
  ///
  /// - Returns: the name; ``Name/other`` where there is no room for another one.
  /// - Throws: ``TraceError``: `permissionDenied` (one that only looks, and the name is not there), `invalidArgument`
  ///   (no text), `closed`.
  public func name(_ text: String) throws(TraceError) -> Name {
    var number: UInt16 = 0
    let status = try use("name an event of the trace") { trace in
      Muster.withName(text) { muster_trace_name(trace, $0, &number) }
    }
    guard status == 0 || status == EOVERFLOW else { throw failure("name an event of the trace", status) }
    return Name(rawValue: number)
  }

  /// Gives a recorder, which is somebody's alone until it is closed.
  ///
  /// - Parameter label: what to call it in an export; cut to 31 bytes.
  /// - Throws: ``TraceError``: `full`, `frozen`, `mismatch`, `noCounter`, `permissionDenied`, `inherited`, `closed`,
  ///   `system`.
  public func join(label: String) throws(TraceError) -> TraceRecorder { try TraceRecorder(self, label: label) }

  /// Stops all recorders of the trace, in every process.
  ///
  /// - Returns: whether this call did it; else it was frozen already.
  /// - Throws: ``TraceError``: `permissionDenied`, `closed`.
  @discardableResult
  public func freeze() throws(TraceError) -> Bool { try set("freeze the trace", muster_trace_freeze) }

  /// Lets all record again.
  ///
  /// - Returns: whether this call did it; else it was not frozen.
  /// - Throws: ``TraceError``: `permissionDenied`, `closed`.
  @discardableResult
  public func thaw() throws(TraceError) -> Bool { try set("thaw the trace", muster_trace_thaw) }

  private func set(_ operation: String, _ change: (OpaquePointer) -> Int32) throws(TraceError) -> Bool {
    let status = try use(operation, change)
    guard status == 0 || status == EALREADY else { throw failure(operation, status) }
    return status == 0
  }

  // MARK: Reading

  /// The text of a name; "?" where there is none.
  ///
  /// - Throws: ``TraceError``: `closed`.
  public func text(of name: Name) throws(TraceError) -> String {
    try use("ask the trace") { Self.text($0, name.rawValue) }
  }

  /// What was recorded by now, in the order of time. It is read as it is asked for; what is overwritten meanwhile is
  /// told by ``Event/lost``.
  ///
  /// - Parameter recorder: of one alone; `nil`: of all.
  /// - Throws: ``TraceError``: `invalidArgument` (no such recorder), `closed`, `system`.
  public func events(of recorder: Int? = nil) throws(TraceError) -> TraceEvents {
    try TraceEvents(self, recorder)
  }

  /// How things stand.
  ///
  /// - Throws: ``TraceError``: `closed`.
  public func state() throws(TraceError) -> State {
    try use("look at the trace") { trace in
      var state = muster_trace_state()
      muster_trace_look(trace, &state)
      return State(state)
    }
  }

  /// The recorders that somebody has, or had.
  ///
  /// - Throws: ``TraceError``: `closed`.
  public func recorders() throws(TraceError) -> [RecorderState] {
    try use("look at the trace") { trace in
      (0..<shape.recorders).compactMap { index in
        var info = muster_trace_recorder_info()
        guard muster_trace_look_recorder(trace, UInt32(index), &info) == 0 else { return nil }
        return RecorderState(index: index, info)
      }
    }
  }

  /// Writes all that was recorded as JSON in the Trace Event Format, which ui.perfetto.dev and chrome://tracing show.
  /// Blocks the thread as far as the descriptor does.
  ///
  /// - Throws: ``TraceError``: `system` (what `write(2)` said), `closed`.
  public func export(to descriptor: FileDescriptor) throws(TraceError) {
    let operation = "export the trace"
    let status = try use(operation) { muster_trace_export($0, descriptor.rawValue) }
    guard status == 0 else { throw TraceError(operation, name, status: status, code: .system) }
  }

  static func text(_ trace: OpaquePointer, _ name: UInt16) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MUSTER_TRACE_NAME_SIZE)) { text in
      _ = muster_trace_name_text(trace, name, text.baseAddress!)
      return String(cString: text.baseAddress!)
    }
  }

  // MARK: The watch

  /// Waits until one that records dies, and freezes the trace at once. The task waits, no thread of the cooperative
  /// pool does. Each death since the trace was opened is told once, also one before the call.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: the recorder of who died; `nil`: somebody else has frozen the trace.
  /// - Throws: ``TraceError``: `timedOut`, `cancelled`, `inUse` (another task watches), `permissionDenied`, `inherited`,
  ///   `closed`, `system`.
  public func watch(until deadline: ContinuousClock.Instant? = nil) async throws(TraceError) -> Int? {
    try beginWatch()
    defer { handle.end(exclusive: true) }
    let wait = TraceWatch(handle.object, deadline: Deadline(deadline))
    return try ended(await handle.wait(wait), wait)
  }

  /// The same, blocking the thread.
  ///
  /// - Throws: as ``watch(until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func watchBlocking(until deadline: ContinuousClock.Instant? = nil) throws(TraceError) -> Int? {
    try beginWatch()
    defer { handle.end(exclusive: true) }
    let wait = TraceWatch(handle.object, deadline: Deadline(deadline))
    return try ended(handle.waitBlocking(wait), wait)
  }

  private static let watching = "watch the trace"

  private func beginWatch() throws(TraceError) {
    do {
      try handle.begin(exclusive: true)
    } catch {
      throw TraceError(Self.watching, name, code: error == .closed ? .closed : .inUse)
    }
  }

  private func ended(_ end: WaitEnd, _ wait: TraceWatch) throws(TraceError) -> Int? {
    switch end {
    case .status(EOWNERDEAD): return Int(wait.died)
    case .status(ECANCELED): return nil
    case .status(let status): throw failure(Self.watching, status)
    case .noThread(let status): throw TraceError(Self.watching, name, status: status, code: .system)
    case .closed: throw TraceError(Self.watching, name, code: .closed)
    case .cancelled: throw TraceError(Self.watching, name, code: .cancelled)
    }
  }

  /// Whether somebody waits, for tests.
  var isWatched: Bool { handle.waitCount > 0 }

  // MARK: Using the object

  func use<Result>(_ operation: String, _ body: (OpaquePointer) -> Result) throws(TraceError) -> Result {
    try handle.use(or: { _ in TraceError(operation, name, code: .closed) }) { trace throws(TraceError) in body(trace) }
  }

  func failure(_ operation: String, _ status: Int32) -> TraceError {
    TraceError(operation, name, status: status, code: status == EPERM && handle.isInherited ? .inherited : nil)
  }
}

private final class TraceWatch: PendingWait, @unchecked Sendable {
  private nonisolated(unsafe) let trace: OpaquePointer
  private(set) var died: UInt32 = 0

  init(_ trace: OpaquePointer, deadline: Deadline) {
    self.trace = trace
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    muster_trace_poll_watch(trace, &died, set)
  }
}
