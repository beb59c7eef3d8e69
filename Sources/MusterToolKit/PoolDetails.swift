// What `muster show` tells of a pool.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

struct PoolDetails: Equatable, Sendable, Encodable {
  struct Owner: Equatable, Sendable, Encodable {
    var place: Int
    var state: MemberDetails.State
    var process: Int32
    /// Blocks that it owns, offered ones too.
    var blocks: Int
    var offered: Int
  }

  /// How many there are.
  var blocks: Int
  /// Bytes of each.
  var blockSize: Int
  var free: Int
  /// Those that somebody has, and does not offer.
  var owned: Int
  var offered: Int
  /// Those in the hands of a module that stands on the pool.
  var other: Int
  /// Those of members that have ended, which are to be taken back.
  var ended: Int
  /// How many members there can be.
  var places: Int
  var living: Int
  /// How often somebody has gone to sleep for want of a block.
  var waits: UInt32
  /// Those who have joined; of the ended, those who have blocks still.
  var owners: [Owner]
}

extension PoolDetails {
  init(_ state: Pool.State, _ owners: [Pool.Owner]) {
    blocks = state.blocks
    blockSize = state.blockSize
    free = state.free
    owned = state.owned
    offered = state.offered
    other = state.other
    ended = state.ended
    places = state.places
    living = state.living
    waits = state.waits
    self.owners = owners.filter { $0.state == .alive || $0.blocks > 0 }.compactMap(Owner.init)
  }

  func lines() -> [String] {
    let parts = [(owned, "owned"), (offered, "offered"), (other, "in other hands")].filter { $0.0 > 0 }
    let use = [(free, "free")] + parts
    return pairs([
      ("blocks", "\(blocks) of \(readableSize(UInt64(clamping: blockSize)))"),
      ("use", use.map { "\($0.0) \($0.1)" }.joined(separator: ", ")),
      ("ended", ended == 0 ? "nothing to take back" : "\(ended) to take back from the dead"),
      ("members", "\(living) of \(places)"), ("waits", "\(waits) for a block so far"),
    ]) + table()
  }

  private func table() -> [String] {
    guard !owners.isEmpty else { return ["", "nobody has joined"] }
    var table = TextTable([
      ("PLACE", .right), ("STATE", .left), ("PID", .right), ("BLOCKS", .right), ("OFFERED", .right),
    ])
    for owner in owners {
      table.append([
        "\(owner.place)", owner.state.rawValue, "\(owner.process)", "\(owner.blocks)", "\(owner.offered)",
      ])
    }
    return [""] + table.lines()
  }
}

extension PoolDetails.Owner {
  /// nil for a place in which nobody is or was.
  init?(_ owner: Pool.Owner) {
    switch owner.state {
    case .free: return nil
    case .alive: state = .alive
    case .left: state = .left
    case .dead: state = .dead
    }
    place = owner.member
    process = owner.pid
    blocks = owner.blocks
    offered = owner.offered
  }
}
