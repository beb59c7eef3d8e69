// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The robust barrier: processes that may die meet, phase after phase, and none waits for the dead.
///
/// ```swift
/// let crew = try Barrier("crew", parties: 4)            // whoever comes first creates it
/// let arrival = try await crew.wait(until: .now + .seconds(5))
/// if arrival.isSerial { ... }                           // at most one of the four
/// ```
///
/// Opening joins: the process takes one of the places, with a lock that the kernel lets go of when it dies. All
/// parties must arrive before anybody is released, also those that have not joined yet. What a death means is chosen
/// at creation: ``OnDeath``. Names and meanings are those of Java's `CyclicBarrier` and `Phaser` and of Python's
/// `threading.Barrier`.
///
/// An object is one member. Arriving and waiting is for one task at a time (others get `inUse`); the other calls may
/// be made from anywhere, meanwhile too. Several objects of one process are several members: the death of the process
/// is the death of all.
///
/// Who waits ends by the release, by its deadline, by a death, by ``abort()`` or ``reset()``, or by the cancellation
/// of its task. A waiter that gives up, because its deadline passed or its task was cancelled, has arrived but won't
/// go on: so it breaks the barrier, and the others get `broken`. That is how an interrupted waiter is treated by Java
/// and Python.
///
/// The object is one `muster_barrier` of C (muster/barrier.h). Closing it without ``arriveAndDrop()``, and letting go
/// of the last reference, are deaths to the others.
public final class Barrier: Sendable {
  /// The barrier's name.
  public let name: String
  /// This object's place, from 0; `nil` for an observer.
  public let member: Int?
  let handle: Handle
  let membership: Membership
  private let action: Action?

  /// The action, and what it threw.
  final class Action: Sendable {
    /// What tells the C core that the action failed. The wait then returns it; nothing else does.
    static let failed = ENOEXEC
    private let body: @Sendable () throws -> Void
    private let thrown = Guarded<String?>(nil)

    init(_ body: @escaping @Sendable () throws -> Void) { self.body = body }

    var failure: String? { thrown.value }

    func run() -> Int32 {
      do {
        try body()
        return 0
      } catch {
        thrown.value = "\(error)"
        return Self.failed
      }
    }
  }

  /// Opens a barrier and joins; whoever comes first creates it.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - parties: how many have to arrive, 1 to 256. `nil`, when attaching: as it is.
  ///   - onDeath: what the death of a member means; compared when attaching, unless `parties` is `nil`.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a barrier that is created, whatever the umask.
  ///   - action: run, if this member is the last to arrive, before anyone is released, on the thread that arrives or
  ///     on one of Muster's. If it throws, the barrier breaks; if the process dies in it too.
  ///
  /// It waits for nobody, except for a second at most for a process that was stopped while removing the region or while
  /// joining in the last free place.
  ///
  /// - Throws: ``BarrierError``: `full`; `memberDied` or `broken` when all that is left are places of the dead, and
  ///   the policy is to break: reset first (``observe(_:)``); `mismatch`, `alreadyExists`, `notFound`, `corrupt`,
  ///   `permissionDenied`, `invalidArgument`, `system`.
  public convenience init(
    _ name: String, parties: Int?, onDeath: OnDeath = .break, mode: OpenMode = .createOrAttach,
    permissions: FilePermissions = [.ownerReadWrite], action: (@Sendable () throws -> Void)? = nil
  ) throws(BarrierError) {
    guard parties.map({ 1...Int(MUSTER_BARRIER_PARTIES_MAX) ~= $0 }) ?? (mode == .attach) else {
      throw BarrierError(Self.opening, name, status: EINVAL)
    }
    var options = muster_barrier_options()
    options.parties = UInt32(parties ?? 0)
    options.on_death = onDeath.core
    options.flags = mode.flags
    options.mode = UInt32(permissions.rawValue)
    try self.init(name, options, action.map { Action($0) })
  }

  /// Attaches to a barrier that exists without joining: to ask, ``abort()``, ``reset()``, and wait for phases of
  /// others.
  ///
  /// - Throws: ``BarrierError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `invalidArgument`, `system`.
  public static func observe(_ name: String) throws(BarrierError) -> Barrier {
    var options = muster_barrier_options()
    options.flags = UInt32(.MUSTER_REGION_ATTACH)
    options.observe = 1
    return try Barrier(name, options, nil)
  }

  /// Looks at a barrier without holding or changing it: its state, and its places in order.
  ///
  /// - Throws: ``BarrierError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func look(_ name: String) throws(BarrierError) -> (state: State, members: [Member]) {
    var options = muster_barrier_options()
    options.flags = peek
    options.observe = 1
    let barrier = try Barrier(name, options, nil)
    defer { barrier.close() }
    return (try barrier.state(), try barrier.members())
  }

  private static let opening = "open the barrier"

  private init(_ name: String, _ options: muster_barrier_options, _ action: Action?) throws(BarrierError) {
    var options = options
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    if let action {
      options.action = { Unmanaged<Action>.fromOpaque($0!).takeUnretainedValue().run() }
      // The handle's closure below keeps it as long as C may call it.
      options.context = Unmanaged.passUnretained(action).toOpaque()
    }
    // The region is opened by an observer, here, since that may have to wait. Then the member joins in it, on the thread
    // that keeps the process's memberships, and which must not be held up by one object's region.
    let observes = options.observe != 0
    options.observe = 1
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return withName(name) { muster_barrier_open($0, &options, &object) }
    }
    guard status == 0, let observer = object else {
      throw BarrierError(Self.opening, name, status: status, mismatch: mismatch)
    }
    options.observe = 0
    options.mismatch = nil
    let barrier = observes ? observer : try Self.join(name, observer, options)
    let member = muster_barrier_member(barrier)
    nonisolated(unsafe) let opened = observer
    nonisolated(unsafe) let joined = barrier
    let membership = Membership { muster_group_leave(muster_barrier_group(joined)) }
    self.name = name
    self.member = member == .max ? nil : Int(member)
    self.action = action
    self.membership = membership
    self.handle = Handle(barrier) { _ in
      membership.leave()
    } letGo: { object in
      nonisolated(unsafe) let barrier = object
      withExtendedLifetime(action) {
        // The keeper runs: the barrier was joined there.
        if !observes { _ = try? Keeper.shared.run { muster_barrier_close(barrier) } }
        _ = muster_barrier_close(opened)
      }
    }
  }

  /// Joins in the region that an observer has opened.
  private static func join(
    _ name: String, _ observer: OpaquePointer, _ options: muster_barrier_options
  ) throws(BarrierError) -> OpaquePointer {
    var options = options
    var object: OpaquePointer?
    let region = muster_barrier_region(observer)!
    var failure: BarrierError
    do throws(ThreadFailure) {
      let status = try Keeper.shared.run {
        muster_barrier_attach(muster_region_payload(region), muster_region_size(region), &options, &object)
      }
      if let object { return object }
      failure = BarrierError(opening, name, status: status)
    } catch {
      failure = BarrierError(opening, name, status: error.status, code: .system)
    }
    muster_barrier_close(observer)
    throw failure
  }

  /// Leaves, which the others take for a death unless this member has dropped out, and lets go of the barrier; its
  /// name stays. Closing again does nothing.
  ///
  /// A task that waits goes on, and throws `closed`. What blocks a thread, which is `waitBlocking` or an action that
  /// runs, ends first, and the membership with it: ``abort()`` ends such a wait.
  public func close() { handle.close() }

  /// Arrives without waiting. The last to arrive runs its action here.
  ///
  /// - Returns: the phase to wait for, with the arrival index.
  /// - Throws: ``BarrierError``: `alreadyArrived`, `placeHasArrived`, `broken`, `actionFailed`, `invalidArgument` (an
  ///   observer, or dropped out), `inUse`, `corrupt`, `closed`.
  @discardableResult
  public func arrive() throws(BarrierError) -> Arrival {
    let (status, result) = try step(Self.arriving) { muster_barrier_arrive($0, $1) }
    return try arrived(Self.arriving, status, result)
  }

  private static let arriving = "arrive at the barrier"

  /// Arrives, and lowers the parties by one from the next phase on. This member can wait for the phase that it arrived
  /// at, then close.
  ///
  /// - Returns: the phase that was arrived at.
  /// - Throws: ``BarrierError``: as ``arrive()``.
  @discardableResult
  public func arriveAndDrop() throws(BarrierError) -> Arrival {
    let operation = "drop out of the barrier"
    let (status, result) = try step(operation) { muster_barrier_arrive_and_drop($0, $1) }
    return try arrived(operation, status, result)
  }

  /// Whether a phase that this member arrived at is over. Doesn't wait; but where it finds that the last arrival was made
  /// by one who died before the action, it runs this member's action, here.
  ///
  /// - Returns: what it came to, or `nil`: it goes on.
  /// - Throws: ``BarrierError``: `memberDied`, `aborted`, `broken`, `invalidArgument` (a phase yet to come), `inUse`,
  ///   `corrupt`, `closed`.
  public func poll(phase: UInt32) throws(BarrierError) -> Arrival? {
    let operation = "look at the barrier"
    let (status, result) = try step(operation) { muster_barrier_try_wait($0, phase, $1) }
    return status == EAGAIN ? nil : try arrival(operation, status, result)
  }

  /// Breaks the barrier: who waits gets `aborted`, who comes `broken`, until ``reset()``. Does nothing when it is
  /// broken already.
  ///
  /// - Throws: ``BarrierError``: `corrupt`, `closed`.
  public func abort() throws(BarrierError) { try check("abort the barrier") { muster_barrier_abort($0) } }

  /// Makes the barrier usable again, broken or not: who waits gets `aborted`, the parties stay as many as they are,
  /// the places of the dead and of those who left are free.
  ///
  /// - Throws: ``BarrierError``: `mismatch` (another libc), `corrupt`, `closed`.
  public func reset() throws(BarrierError) { try check("reset the barrier") { muster_barrier_reset($0) } }

  /// The present state, at one moment.
  ///
  /// - Throws: ``BarrierError``: `corrupt`, `closed`.
  public func state() throws(BarrierError) -> State {
    var state = muster_barrier_state()
    try check("ask the barrier") { muster_barrier_state_get($0, &state) }
    return State(state)
  }

  /// The places, in order: who they are, and who of them lives.
  ///
  /// - Throws: ``BarrierError``: `closed`, `system`.
  public func members() throws(BarrierError) -> [Member] {
    switch try use("ask the barrier", { Member.all(of: muster_barrier_group($0)) }) {
    case .success(let members): return members
    case .failure(let core): throw failure("ask the barrier", core.status)
    }
  }

  // MARK: Using the object

  var hasAction: Bool { action != nil }

  func begin(_ operation: String, exclusive: Bool = false) throws(BarrierError) {
    do {
      try handle.begin(exclusive: exclusive)
    } catch {
      throw BarrierError(operation, name, code: error == .taken ? .inUse : .closed)
    }
  }

  private func use<Result>(
    _ operation: String, exclusive: Bool = false, _ body: (OpaquePointer) -> Result
  ) throws(BarrierError) -> Result {
    try begin(operation, exclusive: exclusive)
    defer { handle.end(exclusive: exclusive) }
    return body(handle.object)
  }

  private func check(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(BarrierError) {
    let status = try use(operation, body)
    guard status == 0 else { throw failure(operation, status) }
  }

  private func failure(_ operation: String, _ status: Int32, member: Member? = nil) -> BarrierError {
    let isInherited = status == EPERM && handle.isInherited
    return BarrierError(operation, name, status: status, code: isInherited ? .inherited : nil, member: member)
  }

  private func step(
    _ operation: String, _ body: (OpaquePointer, UnsafeMutablePointer<muster_barrier_result>) -> Int32
  ) throws(BarrierError) -> (status: Int32, result: muster_barrier_result) {
    var result = muster_barrier_result()
    try begin(operation, exclusive: true)
    defer { handle.end(exclusive: true) }
    let status = membership.step { body(handle.object, &result) }
    return (status, result)
  }

  /// What arriving came to.
  private func arrived(
    _ operation: String, _ status: Int32, _ result: muster_barrier_result
  ) throws(BarrierError) -> Arrival {
    if status == EAGAIN { throw BarrierError(operation, name, status: status, code: .placeHasArrived) }
    return try arrival(operation, status, result)
  }

  /// What the C core returned, as a value or an error.
  func arrival(_ operation: String, _ status: Int32, _ result: muster_barrier_result) throws(BarrierError) -> Arrival {
    guard status != 0 else { return Arrival(result) }
    if status == Action.failed, let reason = action?.failure {
      throw BarrierError(operation, name, code: .actionFailed, reason: reason)
    }
    var culprit: Member?
    if (status == EOWNERDEAD || status == ENOTRECOVERABLE) && result.culprit != .max {
      culprit = try? member(at: result.culprit)
    }
    throw failure(operation, status, member: culprit)
  }

  private func member(at place: UInt32) throws(BarrierError) -> Member {
    var member = muster_member()
    // Whatever can't be said of it, it has its number.
    let status = try use("ask the barrier") { muster_group_member(muster_barrier_group($0), place, &member) }
    return Member(Int(place), status == 0 ? member : muster_member())
  }
}
