// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What is known of one state that a checkpoint keeps: C's `muster_checkpoint_info`.
public struct CheckpointRecord: Hashable, Sendable {
  /// The number of its commit, from 1. Each commit, by whichever writer, has the next. A sequence may come again after a
  /// power cut, for a state that was not durable; with its epoch it does not.
  public let sequence: UInt64
  /// The epoch of the writer that committed it.
  public let epoch: UInt64
  /// When it was committed: since 1970, by the wall clock of that time.
  public let time: Duration
  /// Bytes.
  public let length: Int
  /// CRC-32C of its bytes.
  public let checksum: UInt32
  /// Of a roll-back: the sequence of the state whose contents these are again.
  public let restored: UInt64?
  /// Whether its bytes are those of the checksum. Only ``Checkpoint/records()`` tells of one that is not: it can't be
  /// read.
  public let isWhole: Bool

  init(_ info: muster_checkpoint_info) {
    self.sequence = info.sequence
    self.epoch = info.epoch
    self.time = .nanoseconds(info.time)
    self.length = Int(info.length)
    self.checksum = info.checksum
    self.restored = info.restored == 0 ? nil : info.restored
    self.isWhole = info.whole != 0
  }
}

/// Who writes a checkpoint in its present epoch.
public enum CheckpointWriter: Hashable, Sendable {
  /// The writer has released, or is just taking over, or there was none.
  case none
  /// That process is the writer, and lives; it may be stopped.
  case alive(pid: Int32)
  /// That process was the writer, and died.
  case dead(pid: Int32)

  init(status: Int32, pid: Int32) {
    switch status {
    case 0: self = .alive(pid: pid)
    case EOWNERDEAD: self = .dead(pid: pid)
    default: self = .none
    }
  }

  var pid: Int32 {
    switch self {
    case .none: 0
    case .alive(let pid), .dead(let pid): pid
    }
  }
}

/// What a writer got by taking over.
public struct CheckpointTakeOver: Hashable, Sendable {
  /// The epoch that began: whoever wrote in an older one is refused from here on.
  public let epoch: UInt64
  /// Who was the writer just before. One that is `alive` was fenced, and is told at its next commit.
  public let predecessor: CheckpointWriter
}
