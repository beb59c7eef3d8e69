// What both kinds of lock do once the calling thread has got one: repair it where that is needed, run the section, unlock.
//
// All of it in one call that does not suspend: the lock is the thread's, and a task may go on on another one after each
// `await`.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct LockSection {
  /// A clause that goes on "Can't ...".
  let operation: String
  let name: String
  let object: OpaquePointer
  let repaired: (OpaquePointer) -> Int32
  let unlock: (OpaquePointer) -> Int32
  /// The process of the last that died holding it; 0: not known.
  let died: (OpaquePointer) -> Int32

  /// - Parameters:
  ///   - status: what locking gave: 0, or `EOWNERDEAD`, with the lock.
  ///   - repair: puts in order what a dead holder left.
  /// - Throws: ``LockError``, or what the body throws. In each case the lock is unlocked; poisoned, if it is not
  ///   repaired.
  func run<Result>(
    _ status: Int32, repair: (DeadHolder) throws -> Void, _ body: () throws -> Result
  ) throws -> Result {
    if status == EOWNERDEAD { try mend(repair) }
    let result: Result
    do {
      result = try body()
    } catch {
      _ = unlock(object)
      throw error
    }
    let unlocked = unlock(object)
    guard unlocked == 0 else { throw LockError("unlock", name, status: unlocked) }
    return result
  }

  private func mend(_ repair: (DeadHolder) throws -> Void) throws(LockError) {
    let pid = died(object)
    let status: Int32
    do {
      try repair(DeadHolder(pid: pid))
      status = repaired(object)
    } catch {
      _ = unlock(object)
      if error is NoRepair { throw LockError(operation, name, status: EOWNERDEAD, pid: pid, poisons: true) }
      throw LockError(operation, name, status: EOWNERDEAD, code: .repairFailed, pid: pid, reason: "\(error)")
    }
    if status == 0 { return }
    _ = unlock(object)
    throw LockError(operation, name, status: status)
  }
}

/// What who has no closure that repairs throws in its stead.
struct NoRepair: Error {}
