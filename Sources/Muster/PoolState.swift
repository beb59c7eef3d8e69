// SPDX-License-Identifier: Apache-2.0
import CMuster

extension Pool {
  /// What a block is in the midst of.
  public enum Use: Hashable, Sendable {
    /// A member has it.
    case owned
    /// A member has it, and anybody may take it.
    case offered
    /// A module that stands on the pool has it.
    case other
  }

  /// A block as it is at a moment.
  public struct BlockState: Hashable, Sendable {
    /// What it is in the midst of.
    public let use: Use
    /// The place of its owner; `nil`: nobody's.
    public let member: Int?
    /// Whether that owner lives. What a dead one has is taken back.
    public let isOwnerAlive: Bool

    init(_ state: muster_pool_block_state) {
      self.use =
        switch state.use {
        case .MUSTER_POOL_OFFERED: .offered
        case .MUSTER_POOL_OTHER: .other
        default: .owned
        }
      self.member = state.member == .max ? nil : Int(state.member)
      self.isOwnerAlive = state.alive != 0
    }
  }

  /// One of those who have joined, and what is theirs.
  public struct Owner: Hashable, Sendable {
    /// Its place, by which others give to it.
    public let member: Int
    /// Whether it lives.
    public let state: Member.State
    /// Its process.
    public let pid: Int32
    /// How many blocks it owns, offered ones too; of one that has ended, those that are to be taken back.
    public let blocks: Int
    /// How many of them it offers.
    public let offered: Int

    init(_ member: Int, _ owner: muster_pool_owner) {
      self.member = member
      switch owner.state {
      case .MUSTER_MEMBER_ALIVE: self.state = .alive
      case .MUSTER_MEMBER_LEFT: self.state = .left
      case .MUSTER_MEMBER_DEAD: self.state = .dead
      default: self.state = .free
      }
      self.pid = owner.pid
      self.blocks = Int(owner.blocks)
      self.offered = Int(owner.offered)
    }
  }

  /// A pool as it is at a moment; of a pool that is in use, each block at another.
  public struct State: Hashable, Sendable {
    /// Usable bytes of each block.
    public let blockSize: Int
    /// How many blocks there are.
    public let blocks: Int
    /// How many members there can be.
    public let places: Int
    /// How many members live.
    public let living: Int
    /// How many blocks are free.
    public let free: Int
    /// How many are owned, and not offered.
    public let owned: Int
    /// How many are offered.
    public let offered: Int
    /// How many are in the hands of a module that stands on the pool.
    public let other: Int
    /// Of those that are not free, how many are of members that have ended, and are to be taken back.
    public let ended: Int
    /// How often somebody has gone to sleep for want of a block. Wraps around.
    public let waits: UInt32

    init(_ state: muster_pool_state) {
      blockSize = Int(state.block_size)
      blocks = Int(state.blocks)
      places = Int(state.members)
      living = Int(state.living)
      free = Int(state.free)
      owned = Int(state.owned)
      offered = Int(state.offered)
      other = Int(state.other)
      ended = Int(state.ended)
      waits = state.waits
    }
  }

  /// Looks at a pool without joining, holding or changing it: its state, and all who have joined, in the order of their places.
  ///
  /// - Throws: ``PoolError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func look(_ name: RegionName) throws(PoolError) -> (state: State, owners: [Owner]) {
    let operation = "look at the pool"
    var options = muster_pool_options()
    options.flags = peek | name.flags
    let pool = try PoolCore.open(operation, name, &options)
    defer { muster_pool_close(pool) }
    var state = muster_pool_state()
    var owners: [Owner] = []
    var status = muster_pool_look(pool, &state)
    if status == 0 { status = Owner.all(of: pool, &owners) }
    guard status == 0 else { throw PoolError(operation, name.string, status: status) }
    return (State(state), owners)
  }
}

extension Pool.Owner {
  /// Those of a C pool, or the status of what can't be read.
  static func all(of pool: OpaquePointer, _ owners: inout [Pool.Owner]) -> Int32 {
    var all = [muster_pool_owner](
      repeating: muster_pool_owner(), count: Int(muster_group_capacity(muster_pool_group(pool))))
    let status = muster_pool_look_owners(pool, &all, UInt32(all.count))
    guard status == 0 else { return status }
    // Nobody has ever joined in the others.
    for (place, owner) in all.enumerated() where owner.pid != 0 { owners.append(Pool.Owner(place, owner)) }
    return 0
  }
}
