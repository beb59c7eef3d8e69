// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The members that take part in something, each with a lock that the kernel lets go of when the member dies.
///
/// ```swift
/// let group = try Group("crew", capacity: 8)
/// let place = try group.join()
/// var seen = group.roster
/// while true {
///   seen = try await group.waitForChange(since: seen)      // somebody joined, left or died
///   for member in try group.members() where member.state == .dead { ... }
/// }
/// ```
///
/// A dead member's place stays dead, so that all can ask who died, until somebody joins in it or it is freed. A joiner
/// takes a free place first. A Swift process joins on a thread of its own that lives as long as the process, so the
/// death of a member is the death of its process. A membership is not inherited over fork.
///
/// The object is one `muster_group` of C (muster/group.h) and one membership at most. It may be used from any thread.
/// ``close()`` leaves, and so does the end of the last reference.
public final class Group: Sendable {
  /// The group's name.
  public let name: String
  /// How many places there are, 1 to 256.
  public let capacity: Int
  let handle: Handle
  /// Joining and leaving change what a poll reads.
  private let lock = Lock()

  /// Opens a group; whoever comes first creates it. Doesn't join.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - capacity: places, 1 to 256. `nil`, when attaching: as it is.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a group that is created, whatever the umask.
  /// - Throws: ``GroupError``: `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public convenience init(
    _ name: String, capacity: Int?, mode: OpenMode = .createOrAttach,
    permissions: FilePermissions = [.ownerReadWrite]
  ) throws(GroupError) {
    var options = muster_group_options()
    options.capacity = UInt32(clamping: capacity ?? 0)
    options.flags = mode.flags
    options.mode = UInt32(permissions.rawValue)
    guard capacity.map({ 1...Int(MUSTER_GROUP_CAPACITY_MAX) ~= $0 }) ?? (mode == .attach) else {
      throw GroupError(Self.opening, name, status: EINVAL)
    }
    try self.init(name, options)
  }

  private static let opening = "open the group"

  private init(_ name: String, _ options: muster_group_options) throws(GroupError) {
    var options = options
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return Muster.withName(name) { muster_group_open($0, &options, &object) }
    }
    guard status == 0, let object else { throw GroupError(Self.opening, name, status: status, mismatch: mismatch) }
    self.name = name
    self.capacity = Int(muster_group_capacity(object))
    let lock = self.lock
    self.handle = Handle(object) { object in
      nonisolated(unsafe) let group = object
      _ = try? Keeper.shared.run { lock.withLock { muster_group_leave(group) } }
    } letGo: { object in
      // On the thread that joined. Should it not be there, nobody has joined.
      nonisolated(unsafe) let group = object
      _ = (try? Keeper.shared.run { muster_group_close(group) }) ?? muster_group_close(group)
    }
  }

  /// Looks at a group without holding or changing it: its places, in order.
  ///
  /// - Throws: ``GroupError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func look(_ name: String) throws(GroupError) -> [Member] {
    var options = muster_group_options()
    options.flags = peek
    let group = try Group(name, options)
    defer { group.close() }
    return try group.members()
  }

  /// Joins, in a free place, else in a dead one or in one that was left. It waits for nobody, except for a second at
  /// most for a process that was stopped while joining in the last free place.
  ///
  /// - Returns: the place, from 0.
  /// - Throws: ``GroupError``: `alreadyJoined`, `full`, `mismatch` (another libc or pid namespace), `corrupt`,
  ///   `closed`, `system`.
  @discardableResult
  public func join() throws(GroupError) -> Int {
    var place: UInt32 = 0
    try onKeeper("join the group") { muster_group_join($0, &place) }
    return Int(place)
  }

  /// Leaves. The place is `left`, which the others can tell from a death.
  ///
  /// - Throws: ``GroupError``: `invalidArgument` when it has not joined, `closed`.
  public func leave() throws(GroupError) { try onKeeper("leave the group") { muster_group_leave($0) } }

  /// Leaves, if it has joined, and lets go of the group; its name stays. Closing again does nothing. Waits in progress
  /// end, and throw `closed`.
  public func close() { handle.close() }

  /// A number that changes with every join and leave, and with every death that somebody noticed. It wraps around;
  /// only compare it for being another. 0 when closed.
  public var roster: UInt32 {
    do throws(GroupError) {
      return try use("ask the group") { muster_group_roster($0) }
    } catch {
      return 0
    }
  }

  /// All places, in order. Sees a death as soon as the kernel has marked it.
  ///
  /// - Throws: ``GroupError``: `closed`, `system`.
  public func members() throws(GroupError) -> [Member] {
    switch try use("ask the group", { Member.all(of: $0) }) {
    case .success(let members): return members
    case .failure(let core): throw failure("ask the group", core.status)
    }
  }

  /// What is known of one place.
  ///
  /// - Throws: ``GroupError``: `invalidArgument` for a place that is not there, `closed`.
  public func member(_ index: Int) throws(GroupError) -> Member {
    var member = muster_member()
    let place = UInt32(exactly: index) ?? .max
    try check("ask the group") { muster_group_member($0, place, &member) }
    return Member(index, member)
  }

  /// Frees the places of the dead and of those who left.
  ///
  /// - Throws: ``GroupError``: `mismatch` (another libc), `closed`.
  public func freeDead() throws(GroupError) { try check("free places of the group") { muster_group_free_dead($0) } }

  /// Waits until the roster is another than `seen`. Blocks the thread.
  ///
  /// - Parameters:
  ///   - seen: the ``roster`` that the caller has acted on.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Returns: the roster as it is now.
  /// - Throws: ``GroupError``: `timedOut`, `inherited`, `closed`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitForChangeBlocking(
    since seen: UInt32, until deadline: ContinuousClock.Instant? = nil
  ) throws(GroupError) -> UInt32 {
    try begin(Self.waiting)
    defer { handle.end() }
    let wait = GroupWait(self, since: seen, deadline: Deadline(deadline))
    return try finish(handle.waitBlocking(wait))
  }

  /// Waits until the roster is another than `seen`. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters:
  ///   - seen: the ``roster`` that the caller has acted on.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Returns: the roster as it is now.
  /// - Throws: ``GroupError``: `timedOut`, `cancelled` when the task was, `inherited`, `closed`.
  @discardableResult
  public func waitForChange(
    since seen: UInt32, until deadline: ContinuousClock.Instant? = nil
  ) async throws(GroupError) -> UInt32 {
    try begin(Self.waiting)
    defer { handle.end() }
    return try finish(await handle.wait(GroupWait(self, since: seen, deadline: Deadline(deadline))))
  }

  private static let waiting = "wait for a change of the group"

  private func finish(_ end: WaitEnd) throws(GroupError) -> UInt32 {
    switch end {
    case .status(0): return muster_group_roster(handle.object)
    case .status(let status): throw failure(Self.waiting, status)
    case .noThread(let status): throw GroupError(Self.waiting, name, status: status, code: .system)
    case .closed: throw GroupError(Self.waiting, name, code: .closed)
    case .cancelled: throw GroupError(Self.waiting, name, code: .cancelled)
    }
  }

  func poll(since seen: UInt32, _ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    lock.withLock { muster_group_poll(handle.object, seen, set) }
  }

  /// Ends a wait that has polled: other sleepers may have relied on its watch. A deadline that is past never sleeps.
  func endPolling(since seen: UInt32) -> Int32 {
    lock.withLock { muster_group_wait(handle.object, seen, .now) }
  }

  // MARK: Using the object

  private func begin(_ operation: String) throws(GroupError) {
    do {
      try handle.begin()
    } catch {
      throw GroupError(operation, name, code: .closed)
    }
  }

  private func use<Result>(_ operation: String, _ body: (OpaquePointer) -> Result) throws(GroupError) -> Result {
    try begin(operation)
    defer { handle.end() }
    return body(handle.object)
  }

  private func check(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(GroupError) {
    let status = try use(operation, body)
    guard status == 0 else { throw failure(operation, status) }
  }

  private func failure(_ operation: String, _ status: Int32) -> GroupError {
    GroupError(operation, name, status: status, code: status == EPERM && handle.isInherited ? .inherited : nil)
  }

  private func onKeeper(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(GroupError) {
    try begin(operation)
    defer { handle.end() }
    let status: Int32
    do throws(ThreadFailure) {
      // Asked under the lock: who closes meanwhile leaves under it, and nothing may join after that.
      status = try Keeper.shared.run { lock.withLock { handle.isClosed ? ESHUTDOWN : body(handle.object) } }
    } catch {
      throw GroupError(operation, name, status: error.status, code: .system)
    }
    if status == ESHUTDOWN { throw GroupError(operation, name, code: .closed) }
    guard status == 0 else { throw failure(operation, status) }
  }
}

final class GroupWait: PendingWait, @unchecked Sendable {
  private let group: Group
  private let seen: UInt32

  init(_ group: Group, since seen: UInt32, deadline: Deadline) {
    self.group = group
    self.seen = seen
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { byOthers(group.poll(since: seen, set)) }
  override func giveUp() -> Int32 { byOthers(group.endPolling(since: seen)) }

  /// The change may be that this very object has left because it was closed. A wait is told of that before, but may have been asked whether it
  /// is to end before that. The leaving and the look at the roster are under one lock: who sees the one finds the reason.
  private func byOthers(_ status: Int32) -> Int32 { status == 0 && reason == .closed ? ECANCELED : status }
}

/// Flags that look at a region without holding it.
let peek = UInt32([.MUSTER_REGION_ATTACH, .MUSTER_REGION_READ_ONLY, .MUSTER_REGION_PEEK, .MUSTER_REGION_ANY_OWNER])
