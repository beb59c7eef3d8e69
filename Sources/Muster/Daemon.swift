// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A daemon of a ``Root``, as its body has it: its own process, its state, and the sight of all others.
///
/// It is the process's that the root forked, and of one thread. A transaction, which is another process, can read by it, not change.
public final class Daemon<State: SharedPayload> {
  let core: OpaquePointer
  let root: String
  private let number: UInt32
  private let pid = getpid()
  /// What it was declared as.
  public let name: String

  init(core: OpaquePointer, root: String, number: UInt32, name: String) {
    self.core = core
    self.root = root
    self.number = number
    self.name = name
  }

  /// How this process came to be, and what is in its state.
  public var start: DaemonStart { DaemonStart(muster_daemon_how(core).pointee) }

  // MARK: Its state

  /// A copy of its state.
  public var state: State { pointer.pointee }

  /// Looks at its state in place, without copying it.
  public func withState<Result>(_ body: (borrowing State) throws -> Result) rethrows -> Result {
    try InPlace.look(pointer, body)
  }

  /// Changes its state. Others read it as it was before, or as it is after: never half of it.
  ///
  /// There is one copy of it, changed in place: what `body` has stored when it throws is stored, and a death in it leaves the state half
  /// changed, which the successor is told (``DaemonStart/wasChanging``). What shall be undone then belongs into
  /// ``transaction(timeout:tries:_:)``.
  ///
  /// - Returns: what `body` returns.
  /// - Throws: what `body` throws; ``RootError``: `changing` (within a change), `transactionRuns`, `inherited`.
  public func change<Result>(_ body: (inout State) throws -> Result) throws -> Result {
    let operation = "change the state of the daemon"
    try check(operation, muster_daemon_change_begin(core), [EALREADY: .changing])
    let result: Result
    do {
      result = try body(&pointer.pointee)
    } catch {
      try check(operation, muster_daemon_change_end(core))
      throw error
    }
    try check(operation, muster_daemon_change_end(core))
    return result
  }

  /// Keeps the state as it is now as its newest checkpoint.
  ///
  /// - Throws: ``RootError``: `notDeclared` (it declared no checkpoints), `changing`, `corrupt`, `inherited`.
  public func save() throws(RootError) {
    let status = muster_daemon_save(core)
    try check(
      "save the state of the daemon", status, [EBUSY: .changing],
      reason: status == ENOTSUP ? "it was declared without checkpoints" : nil)
  }

  private var pointer: UnsafeMutablePointer<State> {
    muster_daemon_state(core).assumingMemoryBound(to: State.self)
  }

  // MARK: The others

  /// A copy of a daemon's state, as one moment had it.
  ///
  /// - Parameters:
  ///   - other: another one, or itself.
  ///   - patience: how long to try again while it is being changed; `nil`: not at all.
  /// - Throws: ``RootError``: `changing`, `timedOut`, `undeclared`, `corrupt`.
  public func read<Other>(
    _ other: DaemonReference<Other>, within patience: Duration? = nil
  ) throws(RootError) -> Other {
    try withUnsafeTemporaryAllocation(of: Other.self, capacity: 1) { (copy) throws(RootError) in
      try read(other, 0, copy.baseAddress!, MemoryLayout<Other>.size, patience)
      return copy[0]
    }
  }

  /// A copy of one field of a daemon's state, as one moment had it: ``read(_:within:)``, where the whole would be much to copy.
  ///
  /// - Parameter field: a stored property.
  /// - Throws: as ``read(_:within:)``; `invalidArgument`: it is no stored property.
  public func read<Other, Field: SharedPayload>(
    _ other: DaemonReference<Other>, _ field: KeyPath<Other, Field>, within patience: Duration? = nil
  ) throws(RootError) -> Field {
    guard let offset = MemoryLayout<Other>.offset(of: field) else {
      throw RootError(
        Self.reading, root, daemon: other.name, status: EINVAL, reason: "what was asked for is no stored property")
    }
    return try withUnsafeTemporaryAllocation(of: Field.self, capacity: 1) { (copy) throws(RootError) in
      try read(other, offset, copy.baseAddress!, MemoryLayout<Field>.size, patience)
      return copy[0]
    }
  }

  /// Copies a daemon's state, as one moment had it, to where the caller has room: for states that a stack has none for.
  ///
  /// - Parameter copy: is of no use after an error.
  /// - Throws: as ``read(_:within:)``.
  public func read<Other>(
    _ other: DaemonReference<Other>, into copy: inout Other, within patience: Duration? = nil
  ) throws(RootError) {
    try withUnsafeMutablePointer(to: &copy) { (copy) throws(RootError) in
      try read(other, 0, copy, MemoryLayout<Other>.size, patience)
    }
  }

  private static var reading: String { "read the state of the daemon" }

  private func read<Other>(
    _ other: DaemonReference<Other>, _ offset: Int, _ to: UnsafeMutableRawPointer, _ size: Int, _ patience: Duration?
  ) throws(RootError) {
    let index = try index(of: other, Self.reading)
    let status =
      patience.map { muster_daemon_read_until(core, index, UInt64(offset), to, UInt64(size), Deadline($0)) }
      ?? muster_daemon_read(core, index, UInt64(offset), to, UInt64(size))
    guard status == 0 else { throw RootError(Self.reading, root, daemon: other.name, status: status) }
  }

  private func index<Other>(of other: DaemonReference<Other>, _ operation: String) throws(RootError) -> UInt32 {
    guard let index = other.index(in: number) else {
      throw RootError(operation, root, daemon: other.name, code: .undeclared)
    }
    return index
  }

  /// What is known of a daemon: its process, restarts, heartbeat and transactions.
  ///
  /// - Throws: ``RootError``: `undeclared`, `changing` (the root was quicker each of many times).
  public func look<Other>(at other: DaemonReference<Other>) throws(RootError) -> DaemonStatus {
    let operation = "look at the daemon"
    let index = try index(of: other, operation)
    var status = muster_daemon_status()
    let error = muster_daemon_look(core, index, &status)
    guard error == 0 else { throw RootError(operation, root, daemon: other.name, status: error) }
    return DaemonStatus(status, now: muster_clock_now())
  }

  // MARK: Its life

  /// Says that it lives: two stores. ``pause(for:)`` does so by itself.
  public func beat() { muster_daemon_beat(core) }

  /// From here on the stop signal doesn't end the process, but makes ``isStopping`` true, and pauses end.
  ///
  /// - Throws: ``RootError``: `inherited`; `invalidArgument`: it was declared with a stop signal that can't be caught.
  public func catchStop() throws(RootError) {
    var status = muster_daemon_catch_stop(core)
    if status == EPERM, pid == getpid() { status = EINVAL }
    try check(
      "catch the stop signal of the daemon", status,
      reason: status == EINVAL ? "it was declared with one that no process can catch" : nil)
  }

  /// Whether it is to stop: after ``catchStop()`` alone.
  public var isStopping: Bool { muster_daemon_stopping(core) != 0 }

  /// Sleeps, and beats meanwhile. It may be shorter when a signal was handled.
  ///
  /// - Returns: `false`, at once, when it is to stop (``catchStop()``).
  @discardableResult
  public func pause(for time: Duration) -> Bool { muster_daemon_pause(core, Deadline(time)) != ECANCELED }

  func check(
    _ operation: String, _ status: Int32, _ codes: [Int32: RootError.Code] = [:], reason: String? = nil
  ) throws(RootError) {
    guard status != 0 else { return }
    let code = codes[status] ?? (status == EPERM ? .inherited : nil)
    let begun = code == .changing ? "a change of it is under way" : nil
    throw RootError(operation, root, daemon: name, status: status, code: code, reason: reason ?? begun)
  }
}
