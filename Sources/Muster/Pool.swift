// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Fixed blocks of shared memory, which any member of any process allocates and frees without a lock. Each has one owner at
/// each moment, and those of one who dies come back: no death loses a block.
///
/// ```swift
/// let pool = try Pool("messages", blockSize: 512, blocks: 1024, members: 16)
/// var block = try await pool.allocate()                // freed at its end, unless somebody else gets it
/// try block.withUnsafeMutableBytes { fill($0) }
/// let name = block.name
/// try block.give(to: receiver)                         // it is the receiver's from here on, whoever dies
/// try await writer.write(name.bytes)                   // and this tells which
///
/// let block = try pool.adopt(PoolBlockName(reader.next().bytes)!)      // in the receiver
/// ```
///
/// Opening is joining: the object is a member from then until it is closed, or its process ends; all blocks that it owns then go
/// back. Whom one knows one gives to (``PoolBlock/give(to:)``), and it owns the block at once. What is for whoever comes first
/// is offered (``PoolBlock/offer()``) and taken (``take(_:)``).
///
/// Any number of tasks and threads may use the object. The C functions are in muster/pool.h; how it works and why it is right
/// stands in the repository's docs/pool.md.
public final class Pool: Sendable {
  /// The pool's name, or the path of its file.
  public var name: String { core.name }
  /// Usable bytes of each block: what was asked for, rounded up to 16, from 64 on to 64.
  public var blockSize: Int { core.blockSize }
  /// How many blocks there are.
  public var blocks: Int { core.blocks }
  /// How many members there can be.
  public var places: Int { core.places }
  /// The place of this member, by which others give to it.
  public var member: Int { core.member }
  let core: PoolCore

  /// Opens a pool and becomes a member; whoever comes first creates it.
  ///
  /// What a dead one left in the place that it gets is taken back first. It waits for nobody, except for a second at most for a
  /// process that was stopped while removing the region, or while joining in the last free place.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file. After a restart of the machine, or when nobody held it, all blocks are free.
  ///   - blockSize: bytes of a block, 16 to 1 GiB. `nil`, when attaching: as it is.
  ///   - blocks: how many, 1 to 2^24. `nil`, when attaching: as it is.
  ///   - members: how many there can be at a time, 1 to 256. `nil`, when attaching: as it is.
  ///   - layout: what the blocks mean, as a number of yours; 0, when attaching: not compared.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a pool that is created, whatever the umask.
  /// - Throws: ``PoolError``: `full`, `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public init(
    _ name: RegionName, blockSize: Int?, blocks: Int?, members: Int?, layout: UInt64 = 0,
    mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(PoolError) {
    var options = muster_pool_options()
    options.block_size = Self.number(blockSize)
    options.blocks = Self.number(blocks)
    options.members = Self.number(members)
    options.layout = layout
    options.flags = mode.flags | name.flags
    options.permissions = UInt32(permissions.rawValue)
    core = try PoolCore("open the pool", name, options)
  }

  /// Becomes a member of a pool that exists, whatever its numbers are.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - layout: compared, unless it is 0.
  /// - Throws: ``PoolError``: `full`, `mismatch`, `notFound`, `corrupt`, `permissionDenied`, `system`.
  public static func attach(_ name: RegionName, layout: UInt64 = 0) throws(PoolError) -> Pool {
    try Pool(name, blockSize: nil, blocks: nil, members: nil, layout: layout, mode: .attach)
  }

  /// 0 is "as it is" to C, and no number of anything: what is given is never that.
  private static func number(_ given: Int?) -> UInt32 {
    guard let given else { return 0 }
    return given > 0 ? UInt32(exactly: given) ?? .max : .max
  }

  // Not left to the end of `core`: the thread that a wait was handed to lets go of it a little later than the task goes on.
  deinit { close() }

  /// Leaves, which frees all blocks of this member, and lets go of the pool; its name stays. Closing again does nothing.
  ///
  /// A task that waits for a block throws `closed`. A closure that was lent a block ends first, and the membership with
  /// it.
  public func close() { core.handle.close() }

  // MARK: Allocating

  /// A block. Waits for one if it must: the task does, no thread of the cooperative pool.
  ///
  /// Who waits longest is not served first. A death of a member that owns blocks ends the wait, as its blocks come back.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever. `.now` never waits.
  /// - Throws: ``PoolError``: `timedOut`, `cancelled`, `inherited`, `closed`.
  public func allocate(until deadline: ContinuousClock.Instant? = nil) async throws(PoolError) -> PoolBlock {
    if let block = try allocateIfAvailable() { return block }
    try begin()
    defer { core.handle.end() }
    let wait = PoolWait(core, deadline: Deadline(deadline))
    return try block(of: wait, await core.handle.wait(wait))
  }

  /// A block. Waits for one if it must, and blocks the thread: the fast form, which spins a little before it sleeps.
  ///
  /// - Parameter deadline: as of ``allocate(until:)``.
  /// - Throws: as ``allocate(until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func allocateBlocking(until deadline: ContinuousClock.Instant? = nil) throws(PoolError) -> PoolBlock {
    if let block = try allocateIfAvailable() { return block }
    try begin()
    defer { core.handle.end() }
    let deadline = Deadline(deadline)
    if deadline != .now, let block = try spin() { return block }
    let wait = PoolWait(core, deadline: deadline)
    return try block(of: wait, core.handle.waitBlocking(wait))
  }

  /// A block, or `nil`: none is free, and nobody has died whose blocks could be taken back. Doesn't wait.
  ///
  /// - Throws: ``PoolError``: `inherited`, `closed`.
  public func allocateIfAvailable() throws(PoolError) -> PoolBlock? {
    var found = PoolFound()
    let status = core.step { core.allocate($0, &found) }
    return status == ENOSPC ? nil : try made(Self.allocating, status, found)
  }

  private static let allocating = "allocate from the pool"

  /// By a deadline that has passed C spins, and does not sleep.
  private func spin() throws(PoolError) -> PoolBlock? {
    var found = PoolFound()
    let status = core.step { core.allocateSpinning($0, &found) }
    return status == ETIMEDOUT ? nil : try made(Self.allocating, status, found)
  }

  private func begin() throws(PoolError) {
    do {
      try core.handle.begin()
    } catch {
      throw PoolError(Self.allocating, name, code: .closed)
    }
  }

  private func block(of wait: PoolWait, _ end: WaitEnd) throws(PoolError) -> PoolBlock {
    switch end {
    case .status(let status): return try made(Self.allocating, status, wait.found)
    case .noThread(let status): throw PoolError(Self.allocating, name, status: status, code: .system)
    case .closed: throw PoolError(Self.allocating, name, code: .closed)
    case .cancelled: throw PoolError(Self.allocating, name, code: .cancelled)
    }
  }

  /// The object for what was found.
  private func made(
    _ operation: String, _ status: Int32, _ found: PoolFound, asked block: PoolBlockName? = nil
  ) throws(PoolError) -> PoolBlock {
    guard status == 0, let place = found.place else { throw core.failure(operation, status, block) }
    return PoolBlock(self, PoolBlockName(rawValue: found.name), at: place)
  }

  // MARK: What others hand over

  /// Takes a block that somebody offers, which is this member's then.
  ///
  /// - Returns: the block, or `nil`: another was first, or its owner does not offer it, or no more.
  /// - Throws: ``PoolError``: `stale` (it was freed, also because its offerer died), `notOffered` (it is this member's own),
  ///   `invalidArgument` (there is no such block), `inherited`, `closed`.
  public func take(_ block: PoolBlockName) throws(PoolError) -> PoolBlock? {
    let operation = "take a block of the pool"
    return try taken(operation, block) { muster_pool_take($0, block.rawValue) }
  }

  /// Takes back the offer of a block of this member.
  ///
  /// - Returns: the block, or `nil`: somebody has taken it.
  /// - Throws: ``PoolError``: `notOffered` (it is this member's, and not offered), `invalidArgument`, `inherited`, `closed`.
  public func withdraw(_ block: PoolBlockName) throws(PoolError) -> PoolBlock? {
    let operation = "withdraw a block of the pool"
    return try taken(operation, block) { pool in
      let status = muster_pool_withdraw(pool, block.rawValue)
      // Whoever took it may have freed it by now.
      return status == ESTALE ? EBUSY : status
    }
  }

  private func taken(
    _ operation: String, _ block: PoolBlockName, _ take: (OpaquePointer) -> Int32
  ) throws(PoolError) -> PoolBlock? {
    var found = PoolFound()
    let status = core.step { pool in
      let status = take(pool)
      guard status == 0 else { return status }
      // One that was adopted between these two steps has its object.
      return core.hold(pool, block, &found) == 0 ? 0 : EBUSY
    }
    return status == EBUSY ? nil : try made(operation, status, found, asked: block)
  }

  /// A block that is this member's already: it was given to it, or let be by ``PoolBlock/detach()``.
  ///
  /// - Throws: ``PoolError``: `notOwner` (another's), `stale` (freed), `offered` (by this member: ``withdraw(_:)`` has it back), `inUse`
  ///   (there is a ``PoolBlock`` for it), `invalidArgument` (there is no such block), `inherited`, `closed`.
  public func adopt(_ block: PoolBlockName) throws(PoolError) -> PoolBlock {
    let operation = "adopt a block of the pool"
    var found = PoolFound()
    let status = core.step { core.hold($0, block, &found) }
    switch status {
    case EEXIST: throw PoolError(operation, name, code: .inUse, block: block)
    case EALREADY: throw PoolError(operation, name, code: .offered, block: block)
    default: return try made(operation, status, found, asked: block)
    }
  }

  /// Takes back the blocks of all members that have died or left. Who allocates does so by itself, as soon as nothing is free: this
  /// is for who wants to know at once.
  ///
  /// - Returns: how many this call took back.
  /// - Throws: ``PoolError``: `inherited`, `closed`.
  @discardableResult
  public func reclaim() throws(PoolError) -> Int {
    var count: UInt32 = 0
    try core.check("reclaim blocks of the pool") { muster_pool_reclaim($0, &count) }
    return Int(count)
  }

  // MARK: Asking

  private static let asking = "ask the pool"

  /// How many blocks are in which use, and how many members live. Goes over all blocks.
  ///
  /// - Throws: ``PoolError``: `inherited`, `closed`.
  public func state() throws(PoolError) -> State {
    var state = muster_pool_state()
    try core.check(Self.asking) { muster_pool_look($0, &state) }
    return State(state)
  }

  /// All who have joined, in the order of their places, and what is theirs. Goes over all blocks.
  ///
  /// - Throws: ``PoolError``: `inherited`, `closed`.
  public func owners() throws(PoolError) -> [Owner] {
    var owners: [Owner] = []
    try core.check(Self.asking) { Owner.all(of: $0, &owners) }
    return owners
  }

  /// The blocks that a member owns. Those that come and go meanwhile may be told or not.
  ///
  /// - Parameter member: its place; this one's own: ``member``.
  /// - Throws: ``PoolError``: `invalidArgument` (there is no such place), `inherited`, `closed`.
  public func blocks(of member: Int) throws(PoolError) -> [PoolBlockName] {
    let place = UInt32(exactly: member) ?? .max
    var names: [PoolBlockName] = []
    try core.check(Self.asking) { pool in
      var cursor: UInt32 = 0
      while true {
        var name = muster_pool_block(0)
        let status = muster_pool_next(pool, place, &cursor, &name)
        if status != 0 { return status == ENOENT ? 0 : status }
        names.append(PoolBlockName(rawValue: name))
      }
    }
    return names
  }

  /// What is known of a block.
  ///
  /// - Throws: ``PoolError``: `stale` (freed since it had that name), `invalidArgument` (there is no such block), `inherited`,
  ///   `closed`.
  public func state(of block: PoolBlockName) throws(PoolError) -> BlockState {
    var state = muster_pool_block_state()
    try core.check(Self.asking, block) { muster_pool_look_block($0, block.rawValue, &state) }
    return BlockState(state)
  }
}
