// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Who died holding a lock: what a closure that repairs is told.
public struct DeadHolder: Hashable, Sendable {
  /// Its process; `nil`: it died before it could note itself.
  public let pid: Int32?

  init(pid: Int32) { self.pid = pid == 0 ? nil : pid }

  /// The repair of who can't: the lock is poisoned, and the error is ``LockError/Code/holderDied``. It is what locking does
  /// without a closure that repairs.
  public static func cannotRepair(_ dead: DeadHolder) throws { throw NoRepair() }
}

/// Who holds a lock, or died holding it.
public struct LockHolder: Hashable, Sendable {
  /// Its process; `nil`: one that is just taking the lock, or died in that.
  public let pid: Int32?
  /// Its thread; 0 where that is not known.
  public let thread: UInt32
  /// When it took the lock, up to a second too early; time that the machine was suspended since is not counted. `nil` where it
  /// is not known.
  public let since: ContinuousClock.Instant?
  /// Whether it lives. A dead one holds nothing any more: it is there to be told.
  public let isAlive: Bool
  /// Of a reader: its place.
  public let place: Int?

  /// `nil`: nobody.
  init?(_ holder: muster_lock_holder, place: Int? = nil) {
    guard holder.state != .MUSTER_LOCK_FREE else { return nil }
    self.pid = holder.pid == 0 ? nil : holder.pid
    self.thread = holder.thread
    self.since =
      holder.since == 0 ? nil : .now - .nanoseconds(max(0, muster_clock_now() - holder.since))
    self.isAlive = holder.state == .MUSTER_LOCK_HELD
    self.place = place
  }
}

/// What can be asked of a lock, at one moment.
public struct LockState: Hashable, Sendable {
  /// What the lock knows of what it guards.
  public enum Condition: Hashable, Sendable {
    /// Nobody died on the way of changing it, or that was repaired.
    case whole
    /// A holder died, and nobody has repaired it yet.
    case unrepaired
    /// Somebody gave up repairing: nobody gets the lock until it is reset.
    case poisoned
  }

  /// What the lock knows of what it guards.
  public let condition: Condition
  /// Who holds it, or died holding it and has no successor yet; of a read-write lock: for writing, or waiting for readers
  /// to go. `nil`: nobody.
  public let holder: LockHolder?
  /// The process of the last that is known to have died holding it; `nil`: none.
  public let lastDeathPID: Int32?
  /// Of a read-write lock: who reads, and who died reading as long as nobody else takes its place, by place.
  public let readers: [LockHolder]
  /// Of a read-write lock: how many may hold it, or wait for it, at the same time. `nil`: it is a mutex.
  public let capacity: Int?

  /// That of a C mutex, or the status of asking.
  static func mutex(_ mutex: OpaquePointer) -> Result<LockState, CoreFailure> {
    var holder = muster_lock_holder()
    let status = muster_mutex_holder(mutex, &holder)
    return status == 0 ? .success(LockState(holder)) : .failure(CoreFailure(status: status))
  }

  /// That of a C read-write lock, or the status of asking.
  static func readWriteLock(_ lock: OpaquePointer) -> Result<LockState, CoreFailure> {
    var writer = muster_lock_holder()
    var set = muster_member_set()
    var status = muster_rwlock_holders(lock, &writer, &set)
    var readers: [LockHolder] = []
    let capacity = muster_rwlock_capacity(lock)
    for place in 0..<capacity where status == 0 {
      var reader = muster_lock_holder()
      status = muster_rwlock_reader(lock, place, &reader)
      // Who died while it waited did not read.
      if reader.since != 0, let reader = LockHolder(reader, place: Int(place)) { readers.append(reader) }
    }
    guard status == 0 else { return .failure(CoreFailure(status: status)) }
    return .success(LockState(writer, readers: readers, capacity: Int(capacity)))
  }

  private init(_ holder: muster_lock_holder, readers: [LockHolder] = [], capacity: Int? = nil) {
    self.condition =
      switch holder.condition {
      case .MUSTER_LOCK_POISONED: .poisoned
      case .MUSTER_LOCK_UNREPAIRED: .unrepaired
      // One who died holding it may have left anything, whether or not somebody has taken it since.
      default: holder.state == .MUSTER_LOCK_DEAD && capacity == nil ? .unrepaired : .whole
      }
    self.holder = LockHolder(holder)
    self.lastDeathPID = holder.died == 0 ? nil : holder.died
    self.readers = readers
    self.capacity = capacity
  }
}

extension LockState {
  /// Looks at a lock, of whichever kind, without holding or changing it.
  ///
  /// - Throws: ``LockError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func look(_ name: String) throws(LockError) -> LockState {
    switch lookAtMutex(name) {
    case .success(let state): return state
    case .failure(let core) where core.status != EPROTO: throw LockError(looking, name, status: core.status)
    case .failure: return try lookAtReadWriteLock(name)
    }
  }

  private static let looking = "look at the lock"

  private static func lookAtMutex(_ name: String) -> Result<LockState, CoreFailure> {
    var options = muster_mutex_options()
    options.flags = peek
    var object: OpaquePointer?
    let status = withName(name) { muster_mutex_open($0, &options, &object) }
    guard status == 0, let object else { return .failure(CoreFailure(status: status)) }
    defer { muster_mutex_close(object) }
    return mutex(object)
  }

  private static func lookAtReadWriteLock(_ name: String) throws(LockError) -> LockState {
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      var options = muster_rwlock_options()
      options.flags = peek
      options.mismatch = mismatch
      return withName(name) { muster_rwlock_open($0, &options, &object) }
    }
    guard status == 0, let object else { throw LockError(looking, name, status: status, mismatch: mismatch) }
    defer { muster_rwlock_close(object) }
    switch readWriteLock(object) {
    case .success(let state): return state
    case .failure(let core): throw LockError(looking, name, status: core.status)
    }
  }
}
