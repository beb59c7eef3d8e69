// Locking a read-write lock for one section: join, lock, run, unlock, leave, all on one thread.
//
// The one thread is what makes a death right: the kernel marks the place and the writers' mutex of a thread when that thread
// has ended, so nobody is let in while the section may still be running. (Were they held by another thread of the process,
// such as the keeper, they could be marked while the one in the section is still on its way out.)
//
// Who has to wait in a task waits and runs on a thread of its own, since a writer holds the writers' mutex, and a reader is let
// in, while they wait; so neither can be finished on whichever thread the task goes on.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum ReadWriteAccess: Sendable {
  case read
  case write

  var operation: String {
    switch self {
    case .read: "take the read lock"
    case .write: "take the write lock"
    }
  }

  func attempt(_ lock: OpaquePointer) -> Int32 {
    switch self {
    case .read: muster_rwlock_try_read(lock)
    case .write: muster_rwlock_try_write(lock)
    }
  }

  func poll(_ lock: OpaquePointer, _ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    switch self {
    case .read: muster_rwlock_poll_read(lock, set)
    case .write: muster_rwlock_poll_write(lock, set)
    }
  }
}

extension RobustReadWriteLock {
  func visitNow<Result>(
    _ access: ReadWriteAccess, _ repair: Repair, _ body: () throws -> Result
  ) throws -> Result? {
    try begin(access.operation)
    defer { handle.end() }
    return try joined(access) { member in try attempt(access, member, repair, body) }
  }

  func visitBlocking<Result>(
    _ access: ReadWriteAccess, _ deadline: Deadline, _ repair: Repair, _ body: () throws -> Result
  ) throws -> Result {
    try begin(access.operation)
    defer { handle.end() }
    return try joined(access) { member in
      if let result = try attempt(access, member, repair, body) { return result }
      return try wait(ReadWriteWait(access, deadline: deadline), member, repair, body)
    }
  }

  func visit<Result: Sendable>(
    _ access: ReadWriteAccess, _ deadline: Deadline, _ repair: @escaping @Sendable (DeadHolder) throws -> Void,
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try begin(access.operation)
    defer { handle.end() }
    if let result = try joined(access, { member in try attempt(access, member, repair, body) }) { return result }
    let wait = ReadWriteWait(access, deadline: deadline)
    let outcome = await onOwnThread(wait) {
      try self.joined(access) { member in try self.wait(wait, member, repair, body) }
    }
    return try outcome.get()
  }

  /// Runs what waits on a thread of its own. The task goes on when it is done, so that the outcome is certain.
  private func onOwnThread<Result: Sendable>(
    _ wait: ReadWriteWait, _ body: @escaping @Sendable () throws -> Result
  ) async -> Swift.Result<Result, any Error> {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let status = Threads.start("muster-lock") {
          continuation.resume(returning: Swift.Result { try body() })
        }
        if status != 0 {
          let error = LockError(wait.access.operation, name, status: status, code: .system)
          continuation.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      wait.end(because: .cancelled)
    }
  }

  /// Takes a place for the calling thread, for as long as the body runs.
  private func joined<Result>(
    _ access: ReadWriteAccess, _ body: (OpaquePointer) throws -> Result
  ) throws -> Result {
    let region = muster_rwlock_region(handle.object)!
    var member: OpaquePointer?
    let status = muster_rwlock_attach(muster_region_payload(region), muster_region_size(region), &member)
    guard status == 0, let member else { throw LockError(access.operation, name, status: status) }
    // It holds nothing by then, and was opened here: this can't fail.
    defer { muster_rwlock_close(member) }
    return try body(member)
  }

  /// Locks without waiting, and runs the section. `nil`: somebody holds it.
  private func attempt<Result>(
    _ access: ReadWriteAccess, _ member: OpaquePointer, _ repair: Repair, _ body: () throws -> Result
  ) throws -> Result? {
    let status = access.attempt(member)
    return status == EBUSY ? nil : try section(access, status, member, repair, body)
  }

  /// Waits on the calling thread, and runs the section.
  private func wait<Result>(
    _ wait: ReadWriteWait, _ member: OpaquePointer, _ repair: Repair, _ body: () throws -> Result
  ) throws -> Result {
    wait.member = member
    handle.add(wait)
    let end = wait.runBlocking()
    handle.remove(wait)
    if case .status(let status) = end, status == 0 || (status == EOWNERDEAD && wait.access == .write) {
      return try section(wait.access, status, member, repair, body)
    }
    // Others wait for one who waits, until it says that it does so no longer.
    _ = muster_rwlock_unlock(member)
    switch end {
    case .status(let status): throw failure(wait.access, status, member)
    case .noThread(let status): throw LockError(wait.access.operation, name, status: status, code: .system)
    case .closed: throw LockError(wait.access.operation, name, code: .closed)
    case .cancelled: throw LockError(wait.access.operation, name, code: .cancelled)
    }
  }

  private func section<Result>(
    _ access: ReadWriteAccess, _ status: Int32, _ member: OpaquePointer, _ repair: Repair,
    _ body: () throws -> Result
  ) throws -> Result {
    guard status == 0 || (status == EOWNERDEAD && access == .write) else { throw failure(access, status, member) }
    return try LockSection(
      operation: access.operation, name: name, object: member, repaired: muster_rwlock_repaired,
      unlock: muster_rwlock_unlock, died: lastDeath
    ).run(status, repair: repair, body)
  }

  private func failure(_ access: ReadWriteAccess, _ status: Int32, _ member: OpaquePointer) -> LockError {
    LockError(access.operation, name, status: status, pid: status == EOWNERDEAD ? lastDeath(member) : 0)
  }
}

/// The process of the last that died writing; 0: not known.
private func lastDeath(_ lock: OpaquePointer) -> Int32 {
  var writer = muster_lock_holder()
  var readers = muster_member_set()
  return muster_rwlock_holders(lock, &writer, &readers) == 0 ? writer.died : 0
}

/// A wait for a read-write lock, on the thread that has joined.
final class ReadWriteWait: PendingWait, @unchecked Sendable {
  let access: ReadWriteAccess
  /// Set and used by the thread that waits.
  nonisolated(unsafe) var member: OpaquePointer?

  init(_ access: ReadWriteAccess, deadline: Deadline) {
    self.access = access
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { access.poll(member!, set) }
}
