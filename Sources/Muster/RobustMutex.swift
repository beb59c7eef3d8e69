// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A mutex between processes that tells whoever comes next that its holder died.
///
/// ```swift
/// let mutex = try RobustMutex("books")                    // whoever comes first creates it
/// try await mutex.withLock(for: .seconds(5), repair: { dead in
///   books.restore()                                       // what process dead.pid left half done
/// }) {
///   books.move(3, from: .cash, to: .bank)
/// }
/// ```
///
/// When a holder dies, by whatever cause and at whatever instruction, the next one gets the lock together with the news.
/// Its closure `repair` runs first, with the lock held: if it returns, what the lock guards is whole, and the section
/// follows; if it throws, the lock is poisoned, and nobody gets it until ``reset()``. So no section ever begins on what
/// somebody left half changed. Who gives no `repair` can't say that anything was repaired: it gets `holderDied`, and the
/// lock is poisoned too, as by unlocking unrepaired in C.
///
/// A lock belongs to the thread that took it, so a section is a closure that does not suspend. It runs on the caller's own
/// thread, also in the form that is awaited: there the task waits until the mutex is free, and then takes it where it
/// runs. It goes to whoever is quickest. A section in a section of the same mutex is refused: `alreadyHeld`.
///
/// It is not named `Mutex`, after Synchronization's, which is for the threads of one process, guards a value of its own,
/// and knows of no death: files that use both would have to say each time which one they mean.
///
/// The object is one `muster_mutex` of C (muster/lock.h). It may be used from any thread, by any number at a time.
/// ``close()`` lets go of it, and so does the end of the last reference.
public final class RobustMutex: Sendable {
  /// Puts in order what a dead holder left; throws when it can't.
  public typealias Repair = (DeadHolder) throws -> Void

  /// The mutex's name.
  public let name: String
  let handle: Handle

  /// So long a thread that blocks waits in libc's lock, which looks on before it sleeps, and wakes one at a time. Who waits for
  /// longer sleeps at the word itself, where closing can end it.
  private static let quickly: Int64 = 1_000_000

  /// Opens a mutex; whoever comes first creates it. It waits for nobody, except for a second at most for a process that was
  /// stopped while removing the region.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a mutex that is created, whatever the umask.
  /// - Throws: ``LockError``: `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`, `invalidArgument`,
  ///   `system`.
  public init(
    _ name: String, mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(LockError) {
    var options = muster_mutex_options()
    options.flags = mode.flags
    options.mode = UInt32(permissions.rawValue)
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return Muster.withName(name) { muster_mutex_open($0, &options, &object) }
    }
    guard status == 0, let object else {
      throw LockError("open the mutex", name, status: status, mismatch: mismatch)
    }
    self.name = name
    self.handle = Handle(object) { muster_mutex_close($0) }
  }

  /// Lets go of the mutex; its name stays. Closing again does nothing. Waits in progress end, and throw `closed`; sections in
  /// progress end first.
  public func close() { handle.close() }

  // MARK: Locking

  /// Runs a section with the mutex locked. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters:
  ///   - deadline: how long to wait, `nil`: for ever.
  ///   - repair: puts in order what a dead holder left, before the section. Without it the caller can't.
  ///   - body: the section.
  /// - Returns: what the section returns.
  /// - Throws: what the section throws, the mutex being unlocked; ``LockError``: `holderDied`, `repairFailed`,
  ///   `poisoned`, `timedOut`, `cancelled`, `inherited`, `corrupt`, `closed`, `system`.
  public func withLock<Result>(
    until deadline: ContinuousClock.Instant? = nil, repair: Repair = DeadHolder.cannotRepair,
    _ body: () throws -> Result
  ) async throws -> Result {
    try await withLock(Deadline(deadline), repair, body)
  }

  /// Runs a section with the mutex locked, waiting for so long: as ``withLock(until:repair:_:)``.
  public func withLock<Result>(
    for timeout: Duration, repair: Repair = DeadHolder.cannotRepair,
    _ body: () throws -> Result
  ) async throws -> Result {
    try await withLock(Deadline(timeout), repair, body)
  }

  /// Runs a section with the mutex locked. Blocks the thread. This is the fast form, which spins a little before it sleeps.
  ///
  /// - Parameters: as of ``withLock(until:repair:_:)``.
  /// - Throws: as ``withLock(until:repair:_:)``; ``LockError`` `alreadyHeld`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withLockBlocking<Result>(
    until deadline: ContinuousClock.Instant? = nil, repair: Repair = DeadHolder.cannotRepair,
    _ body: () throws -> Result
  ) throws -> Result {
    try withLockBlocking(Deadline(deadline), repair, body)
  }

  /// Runs a section with the mutex locked, waiting for so long: as ``withLockBlocking(until:repair:_:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withLockBlocking<Result>(
    for timeout: Duration, repair: Repair = DeadHolder.cannotRepair,
    _ body: () throws -> Result
  ) throws -> Result {
    try withLockBlocking(Deadline(timeout), repair, body)
  }

  /// Runs a section with the mutex locked, if nobody holds it, this thread included. Doesn't wait.
  ///
  /// - Returns: what the section returns; `nil`: somebody holds it.
  /// - Throws: as ``withLock(until:repair:_:)``.
  public func withLockIfAvailable<Result>(
    repair: Repair = DeadHolder.cannotRepair, _ body: () throws -> Result
  ) throws -> Result? {
    try begin(Self.locking)
    defer { handle.end() }
    return try attempt(repair, body)
  }

  private static let locking = "lock the mutex"

  private func withLock<Result>(
    _ deadline: Deadline, _ repair: Repair, _ body: () throws -> Result
  ) async throws -> Result {
    try begin(Self.locking)
    defer { handle.end() }
    while true {
      if let result = try attempt(repair, body) { return result }
      try check(await handle.wait(MutexWait(handle.object, deadline: deadline)))
    }
  }

  private func withLockBlocking<Result>(
    _ deadline: Deadline, _ repair: Repair, _ body: () throws -> Result
  ) throws -> Result {
    try begin(Self.locking)
    defer { handle.end() }
    if let result = try attempt(repair, body) { return result }
    let status = muster_mutex_lock(handle.object, deadline.atMost(nanoseconds: Self.quickly))
    if status != ETIMEDOUT { return try section(status, repair, body) }
    while true {
      try check(handle.waitBlocking(MutexWait(handle.object, deadline: deadline)))
      if let result = try attempt(repair, body) { return result }
    }
  }

  /// Locks without waiting, and runs the section. `nil`: somebody holds it.
  private func attempt<Result>(_ repair: Repair, _ body: () throws -> Result) throws -> Result? {
    let status = muster_mutex_try(handle.object)
    return status == EBUSY ? nil : try section(status, repair, body)
  }

  private func section<Result>(_ status: Int32, _ repair: Repair, _ body: () throws -> Result) throws -> Result {
    guard status == 0 || status == EOWNERDEAD else { throw failure(Self.locking, status) }
    return try LockSection(
      operation: Self.locking, name: name, object: handle.object, repaired: muster_mutex_repaired,
      unlock: muster_mutex_unlock
    ) {
      var holder = muster_lock_holder()
      return muster_mutex_holder($0, &holder) == 0 ? holder.died : 0
    }.run(status, repair: repair, body)
  }

  /// A wait that ended otherwise than by the mutex being free.
  private func check(_ end: WaitEnd) throws(LockError) {
    switch end {
    case .status(0): return
    case .status(let status): throw failure(Self.locking, status)
    case .noThread(let status): throw LockError(Self.locking, name, status: status, code: .system)
    case .closed: throw LockError(Self.locking, name, code: .closed)
    case .cancelled: throw LockError(Self.locking, name, code: .cancelled)
    }
  }

  // MARK: What is known of it

  /// Who holds it, and whether what it guards is whole. Takes no lock.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public func state() throws(LockError) -> LockState {
    let operation = "ask the mutex"
    try begin(operation)
    defer { handle.end() }
    switch LockState.mutex(handle.object) {
    case .success(let state): return state
    case .failure(let core): throw failure(operation, core.status)
    }
  }

  /// Who holds it, or died holding it and has no successor yet. `nil`: nobody.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public var holder: LockHolder? { get throws(LockError) { try state().holder } }

  /// Whether nobody gets it until it is reset.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public var isPoisoned: Bool { get throws(LockError) { try state().condition == .poisoned } }

  /// Takes poison off: the next to lock is told of the death, and can repair. Does nothing when it is not poisoned.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public func reset() throws(LockError) {
    let operation = "reset the mutex"
    try begin(operation)
    defer { handle.end() }
    let status = muster_mutex_reset(handle.object)
    guard status == 0 else { throw failure(operation, status) }
  }

  // MARK: Using the object

  private func begin(_ operation: String) throws(LockError) {
    do {
      try handle.begin()
    } catch {
      throw LockError(operation, name, code: .closed)
    }
  }

  private func failure(_ operation: String, _ status: Int32) -> LockError {
    LockError(operation, name, status: status, code: status == EPERM && handle.isInherited ? .inherited : nil)
  }
}

/// Waits until the mutex is free, without locking it: the lock would be that of the thread that waits.
private final class MutexWait: PendingWait, @unchecked Sendable {
  private nonisolated(unsafe) let mutex: OpaquePointer

  init(_ mutex: OpaquePointer, deadline: Deadline) {
    self.mutex = mutex
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { muster_mutex_poll_free(mutex, set) }
}
