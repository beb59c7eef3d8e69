// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What is known of one place of a group, or of a barrier.
public struct Member: Hashable, Sendable {
  /// What the place is now.
  public enum State: Hashable, Sendable {
    /// Nobody has joined here, or the place was freed.
    case free
    /// Somebody has joined, and lives.
    case alive
    /// Who was here left on its own.
    case left
    /// Who was here died as a member.
    case dead
  }

  /// The number of the place, from 0.
  public let index: Int
  /// What the place is now.
  public let state: State
  /// The process that joined here last; 0: none yet.
  public let pid: Int32
  /// When that process started: clock ticks since the machine's start, field 22 of `/proc/PID/stat`.
  public let start: UInt64
  /// How many have joined here so far.
  public let incarnation: UInt32
  /// The thread that joined. Of a Swift process it is the one that keeps all its liveness locks.
  public let thread: UInt32

  init(_ index: Int, _ member: muster_member) {
    self.index = index
    self.pid = member.pid
    self.start = member.start
    self.incarnation = member.incarnation
    self.thread = member.thread
    switch member.state {
    case .MUSTER_MEMBER_ALIVE: self.state = .alive
    case .MUSTER_MEMBER_LEFT: self.state = .left
    case .MUSTER_MEMBER_DEAD: self.state = .dead
    default: self.state = .free
    }
  }

  /// All members of a C group, or the status of the first that can't be read.
  static func all(of group: OpaquePointer) -> Result<[Member], CoreFailure> {
    var members: [Member] = []
    for index in 0..<muster_group_capacity(group) {
      var member = muster_member()
      let status = muster_group_member(group, index, &member)
      guard status == 0 else { return .failure(CoreFailure(status: status)) }
      members.append(Member(Int(index), member))
    }
    return .success(members)
  }
}

/// What the C core said, before it is told with a name.
struct CoreFailure: Error {
  var status: Int32
}
