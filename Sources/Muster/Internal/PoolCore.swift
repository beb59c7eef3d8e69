// What a pool and its blocks have in common: the C handle, the membership, and which blocks have an object.
//
// Any number of threads allocate, free and hand on by the one handle, each in a step of the membership (SharedMembership.swift);
// joining and leaving are the keeper's thread's. The handle's memory is in use as long as the place is held, and by whoever waits.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class PoolCore: Sendable {
  /// The status of a step that was not made, since the pool is closed.
  static let closed = ESHUTDOWN

  let name: String
  let blockSize: Int
  let blocks: Int
  let places: Int
  let member: Int
  let place: SharedPlace
  let handle: Handle
  let membership: SharedMembership
  private let held: HeldBlocks

  /// Opens a handle that has not joined.
  static func open(
    _ operation: String, _ name: RegionName, _ options: inout muster_pool_options
  ) throws(PoolError) -> OpaquePointer {
    var object: OpaquePointer?
    var mismatch = muster_mismatch()
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      defer { options.mismatch = nil }
      return name.withCString { muster_pool_open($0, &options, &object) }
    }
    guard status == 0, let object else { throw PoolError(operation, name.string, status: status, mismatch: mismatch) }
    return object
  }

  init(_ operation: String, _ name: RegionName, _ options: muster_pool_options) throws(PoolError) {
    var options = options
    // Here, since it may have to wait; the keeper must not be held up by one object's region.
    let pool = try Self.open(operation, name, &options)
    let shape = PoolShape(pool, options)
    guard let held = HeldBlocks(count: shape.blocks) else {
      muster_pool_close(pool)
      throw PoolError(operation, name.string, status: ENOMEM)
    }
    do throws(SharedPlace.Refusal) {
      member = try SharedPlace.join { muster_pool_join(pool, $0) }
    } catch {
      muster_pool_close(pool)
      throw PoolError(operation, name.string, status: error.status, code: error.isOurs ? nil : .system)
    }
    place = SharedPlace(
      pool, group: muster_pool_group(pool), leave: { muster_pool_leave($0) }, close: { muster_pool_close($0) })
    handle = place.handle
    membership = place.membership
    self.name = name.string
    self.blockSize = shape.blockSize
    self.blocks = shape.blocks
    self.places = shape.places
    self.held = held
  }

  // MARK: Steps

  /// A call of the C core that is over at once.
  @inline(__always)
  func step(_ body: (OpaquePointer) -> Int32) -> Int32 {
    guard membership.begin() else { return Self.closed }
    defer { membership.end() }
    return body(handle.object)
  }

  func check(
    _ operation: String, _ block: PoolBlockName? = nil, _ body: (OpaquePointer) -> Int32
  ) throws(PoolError) {
    let status = step(body)
    guard status == 0 else { throw failure(operation, status, block) }
  }

  /// What the C core said.
  func failure(
    _ operation: String, _ status: Int32, _ block: PoolBlockName? = nil, member: Int? = nil
  ) -> PoolError {
    let code: PoolError.Code? =
      switch status {
      case Self.closed: .closed
      case EPERM where handle.isInherited: .inherited
      case EBUSY where block != nil: .notOwner
      default: nil
      }
    if code == .closed { return PoolError(operation, name, code: .closed, block: block) }
    return PoolError(operation, name, status: status, code: code, block: block, member: member)
  }

  // MARK: Blocks

  /// Allocates for an object that is to be made: 0, ENOSPC, EPERM.
  func allocate(_ pool: OpaquePointer, _ found: inout PoolFound) -> Int32 {
    var status = muster_pool_alloc(pool, &found.name)
    // One that has an object was adopted between these two steps, by somebody who knew its name before it had one.
    while status == 0, !held.begin(found.name) { status = muster_pool_alloc(pool, &found.name) }
    return status == 0 ? muster_pool_get(pool, found.name, &found.place) : status
  }

  /// What an object had: its block is free, unless it is not this member's any more.
  func free(_ block: PoolBlockName) {
    _ = step { muster_pool_free($0, block.rawValue) }
    held.end(block.rawValue)
  }

  /// What an object had is somebody else's now, or nobody's in particular.
  func letGo(_ block: PoolBlockName) { held.end(block.rawValue) }

  /// A block that is this member's already, for an object that is to be made: 0; EEXIST: it has one; EALREADY: it is offered;
  /// ESTALE, EBUSY, EINVAL, EPERM.
  func hold(_ pool: OpaquePointer, _ block: PoolBlockName, _ found: inout PoolFound) -> Int32 {
    found.name = block.rawValue
    let status = muster_pool_get(pool, block.rawValue, &found.place)
    guard status == 0 else { return status }
    guard held.begin(block.rawValue) else { return EEXIST }
    // Once more, as the object that it had may have been in the midst of freeing or offering it.
    let still = isWhollyOurs(pool, block)
    if still != 0 { held.end(block.rawValue) }
    return still
  }

  private func isWhollyOurs(_ pool: OpaquePointer, _ block: PoolBlockName) -> Int32 {
    var state = muster_pool_block_state()
    let status = muster_pool_look_block(pool, block.rawValue, &state)
    guard status == 0 else { return status }
    guard state.member == UInt32(member), state.alive != 0 else { return EBUSY }
    return state.use == .MUSTER_POOL_OFFERED ? EALREADY : state.use == .MUSTER_POOL_OWNED ? 0 : EBUSY
  }

  /// As `allocate`, after having waited for a moment without sleeping: by a deadline that has passed C does not sleep.
  /// ETIMEDOUT: there was nothing.
  func allocateSpinning(_ pool: OpaquePointer, _ found: inout PoolFound) -> Int32 {
    let status = muster_pool_alloc_wait(pool, 1, &found.name)
    guard status == 0 else { return status }
    return held.begin(found.name) ? muster_pool_get(pool, found.name, &found.place) : ETIMEDOUT
  }

  // MARK: Waiting

  /// For tests.
  var watchCount: Int { place.watchCount }
}

/// The numbers that a pool was made with.
struct PoolShape {
  let blockSize: Int
  let blocks: Int
  let places: Int

  init(_ pool: OpaquePointer, _ options: muster_pool_options) {
    blockSize = Int(muster_pool_block_size(pool))
    places = Int(muster_group_capacity(muster_pool_group(pool)))
    guard options.blocks == 0 else {
      blocks = Int(options.blocks)
      return
    }
    // It goes over all blocks, hence only where the number was not given.
    var state = muster_pool_state()
    _ = muster_pool_look(pool, &state)
    blocks = Int(state.blocks)
  }
}

/// A block that was got, and is to have an object.
struct PoolFound {
  var name = muster_pool_block(0)
  var place: UnsafeMutableRawPointer?
}

/// Waits until it has allocated a block.
final class PoolWait: WatchingWait, @unchecked Sendable {
  private static let turns = 64
  /// How soon to look again where others were quicker each time.
  private static let crowded: Int64 = 1_000_000

  private let core: PoolCore
  private(set) var found = PoolFound()

  init(_ core: PoolCore, deadline: Deadline) {
    self.core = core
    super.init(core.place, deadline: deadline)
  }

  override func look(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { core.step { look($0, set) } }

  private func look(_ pool: OpaquePointer, _ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    for _ in 0..<Self.turns {
      let status = muster_pool_poll(pool, set)
      guard status == 0 else { return status }
      let got = core.allocate(pool, &found)
      if got != ENOSPC { return got }
    }
    set.pointee.count = 0
    set.pointee.recheck = muster_deadline_after(Self.crowded)
    return EAGAIN
  }
}
