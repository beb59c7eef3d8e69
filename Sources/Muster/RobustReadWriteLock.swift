// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A read-write lock between processes: readers that die are counted out, and whoever comes after a dead writer is told.
///
/// ```swift
/// let lock = try RobustReadWriteLock("books", capacity: 16)        // whoever comes first creates it
/// let sum = try await lock.withReadLock(for: .seconds(5)) { books.sum }
/// try await lock.withWriteLock(for: .seconds(5), repair: { dead in books.restore() }) {
///   books.move(3, from: .cash, to: .bank)
/// }
/// ```
///
/// A death in a write section is told to the next writer: its closure `repair` runs first, with the lock held, and if it
/// throws, the lock is poisoned until ``reset()``; without it the writer gets `holderDied`, and the lock is poisoned too.
/// Readers wait while somebody who lives repairs; where nobody does, they get `holderDied`, and the lock stays as it was.
/// So no section, of readers or writers, ever begins on what somebody left half changed.
///
/// Neither side starves: readers that come while a writer waits or writes wait themselves, and a writer that ends lets in
/// all who wait, before the next writer. It is not recursive: a section that reads in one that reads may wait for a writer
/// that waits for it.
///
/// A lock belongs to a thread, and here to a member with a place: each section, and each wait for one, takes a place on the
/// thread that runs it, and gives it back at the end. So the capacity says how many may read, write or wait at the same time,
/// in all processes together; one more gets `full`. The forms that block, and those that don't wait, run the section on the
/// caller's own thread; those that are awaited do where the lock is free, and else on a thread of Muster's, which is why
/// their closures are `@Sendable`.
///
/// The object is one `muster_rwlock` of C (muster/lock.h) that observes, and one for each section. It may be used from any
/// thread, by any number at a time. ``close()`` lets go of it, and so does the end of the last reference.
public final class RobustReadWriteLock: Sendable {
  /// Puts in order what a dead writer left; throws when it can't.
  public typealias Repair = (DeadHolder) throws -> Void

  /// The lock's name.
  public let name: String
  /// How many may hold it, or wait for it, at the same time, 1 to 256.
  public let capacity: Int
  let handle: Handle

  /// Opens a lock; whoever comes first creates it. It waits for nobody, except for a second at most for a process that was
  /// stopped while removing the region.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - capacity: how many may hold it, or wait for it, at the same time, in all processes together, 1 to 256. Writers look
  ///     at each place. `nil`, when attaching: as it is.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a lock that is created, whatever the umask.
  /// - Throws: ``LockError``: `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`, `invalidArgument`,
  ///   `system`.
  public init(
    _ name: String, capacity: Int?, mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(LockError) {
    let operation = "open the read-write lock"
    guard capacity.map({ 1...Int(MUSTER_RWLOCK_CAPACITY_MAX) ~= $0 }) ?? (mode == .attach) else {
      throw LockError(operation, name, status: EINVAL)
    }
    var options = muster_rwlock_options()
    options.capacity = UInt32(capacity ?? 0)
    options.flags = mode.flags
    options.mode = UInt32(permissions.rawValue)
    options.observe = 1
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return Muster.withName(name) { muster_rwlock_open($0, &options, &object) }
    }
    guard status == 0, let object else { throw LockError(operation, name, status: status, mismatch: mismatch) }
    self.name = name
    self.capacity = Int(muster_rwlock_capacity(object))
    self.handle = Handle(object) { muster_rwlock_close($0) }
  }

  /// Lets go of the lock; its name stays. Closing again does nothing. Waits in progress end, and throw `closed`; sections in
  /// progress end first.
  public func close() { handle.close() }

  // MARK: Reading

  /// Runs a section with the lock held for reading. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters:
  ///   - deadline: how long to wait, `nil`: for ever.
  ///   - body: the section; on the task's thread, or on one of Muster's where the lock had to be waited for.
  /// - Returns: what the section returns.
  /// - Throws: what the section throws, the lock being unlocked; ``LockError``: `holderDied` (a writer died, and nobody
  ///   who lives is repairing), `poisoned`, `full`, `timedOut`, `cancelled`, `inherited`, `corrupt`, `closed`, `system`.
  public func withReadLock<Result: Sendable>(
    until deadline: ContinuousClock.Instant? = nil, _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await visit(.read, Deadline(deadline), DeadHolder.cannotRepair, body)
  }

  /// Runs a section with the lock held for reading, waiting for so long: as ``withReadLock(until:_:)``.
  public func withReadLock<Result: Sendable>(
    for timeout: Duration, _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await visit(.read, Deadline(timeout), DeadHolder.cannotRepair, body)
  }

  /// Runs a section with the lock held for reading. Blocks the thread.
  ///
  /// - Parameters: as of ``withReadLock(until:_:)``; the section runs on the caller's thread.
  /// - Throws: as ``withReadLock(until:_:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withReadLockBlocking<Result>(
    until deadline: ContinuousClock.Instant? = nil, _ body: () throws -> Result
  ) throws -> Result {
    try visitBlocking(.read, Deadline(deadline), DeadHolder.cannotRepair, body)
  }

  /// Runs a section with the lock held for reading, waiting for so long: as ``withReadLockBlocking(until:_:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withReadLockBlocking<Result>(for timeout: Duration, _ body: () throws -> Result) throws -> Result {
    try visitBlocking(.read, Deadline(timeout), DeadHolder.cannotRepair, body)
  }

  /// Runs a section with the lock held for reading, if no writer holds it or waits for it. Doesn't wait.
  ///
  /// - Returns: what the section returns; `nil`: a writer holds it, or waits.
  /// - Throws: as ``withReadLock(until:_:)``.
  public func withReadLockIfAvailable<Result>(_ body: () throws -> Result) throws -> Result? {
    try visitNow(.read, DeadHolder.cannotRepair, body)
  }

  // MARK: Writing

  /// Runs a section with the lock held for writing. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters:
  ///   - deadline: how long to wait, `nil`: for ever.
  ///   - repair: puts in order what a dead writer left, before the section. Without it the caller can't.
  ///   - body: the section; on the task's thread, or on one of Muster's where the lock had to be waited for.
  /// - Returns: what the section returns.
  /// - Throws: what the section throws, the lock being unlocked; ``LockError``: `holderDied`, `repairFailed`,
  ///   `poisoned`, `full`, `timedOut`, `cancelled`, `inherited`, `corrupt`, `closed`, `system`.
  public func withWriteLock<Result: Sendable>(
    until deadline: ContinuousClock.Instant? = nil,
    repair: @escaping @Sendable (DeadHolder) throws -> Void = DeadHolder.cannotRepair,
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await visit(.write, Deadline(deadline), repair, body)
  }

  /// Runs a section with the lock held for writing, waiting for so long: as ``withWriteLock(until:repair:_:)``.
  public func withWriteLock<Result: Sendable>(
    for timeout: Duration, repair: @escaping @Sendable (DeadHolder) throws -> Void = DeadHolder.cannotRepair,
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await visit(.write, Deadline(timeout), repair, body)
  }

  /// Runs a section with the lock held for writing. Blocks the thread.
  ///
  /// - Parameters: as of ``withWriteLock(until:repair:_:)``; the section runs on the caller's thread.
  /// - Throws: as ``withWriteLock(until:repair:_:)``; ``LockError`` `alreadyHeld`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withWriteLockBlocking<Result>(
    until deadline: ContinuousClock.Instant? = nil, repair: Repair = DeadHolder.cannotRepair,
    _ body: () throws -> Result
  ) throws -> Result {
    try visitBlocking(.write, Deadline(deadline), repair, body)
  }

  /// Runs a section with the lock held for writing, waiting for so long: as
  /// ``withWriteLockBlocking(until:repair:_:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withWriteLockBlocking<Result>(
    for timeout: Duration, repair: Repair = DeadHolder.cannotRepair,
    _ body: () throws -> Result
  ) throws -> Result {
    try visitBlocking(.write, Deadline(timeout), repair, body)
  }

  /// Runs a section with the lock held for writing, if nobody holds it. Doesn't wait.
  ///
  /// - Returns: what the section returns; `nil`: somebody holds it.
  /// - Throws: as ``withWriteLock(until:repair:_:)``.
  public func withWriteLockIfAvailable<Result>(
    repair: Repair = DeadHolder.cannotRepair, _ body: () throws -> Result
  ) throws -> Result? {
    try visitNow(.write, repair, body)
  }

  // MARK: What is known of it

  /// Who writes and who reads, and whether what it guards is whole. Takes no lock.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public func state() throws(LockError) -> LockState {
    let operation = "ask the read-write lock"
    try begin(operation)
    defer { handle.end() }
    switch LockState.readWriteLock(handle.object) {
    case .success(let state): return state
    case .failure(let core): throw LockError(operation, name, status: core.status)
    }
  }

  /// Whether nobody gets it until it is reset.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public var isPoisoned: Bool { get throws(LockError) { try state().condition == .poisoned } }

  /// Takes poison off: the next writer is told of the death, and can repair. Does nothing when it is not poisoned.
  ///
  /// - Throws: ``LockError``: `inherited`, `closed`.
  public func reset() throws(LockError) {
    let operation = "reset the read-write lock"
    try begin(operation)
    defer { handle.end() }
    let status = muster_rwlock_reset(handle.object)
    guard status == 0 else { throw LockError(operation, name, status: status) }
  }

  /// Begins a use, by the process that opened the object: in a forked child its memory would be there to lock in all the same.
  func begin(_ operation: String) throws(LockError) {
    if handle.isInherited { throw LockError(operation, name, status: EPERM, code: .inherited) }
    do {
      try handle.begin()
    } catch {
      throw LockError(operation, name, code: .closed)
    }
  }
}
