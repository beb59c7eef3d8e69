// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a new writer of a seqlock, or of a counter region, found.
public struct SeqlockPredecessor: Hashable, Sendable {
  /// The number of the newest whole write; 0: there was none.
  public let sequence: UInt64
  /// The process of the writer before, if it died without releasing its claim.
  public let diedPID: Int32?

  init(_ found: muster_seqlock_claimant) {
    self.sequence = found.sequence
    self.diedPID = found.died == 0 ? nil : found.pid
  }
}

/// Who writes a seqlock, or a counter region.
public enum SeqlockWriter: Hashable, Sendable {
  /// Nobody has the claim.
  case none
  /// That process has the claim, and lives. 0: one that is just claiming, and not yet known.
  case alive(pid: Int32)
  /// That process had the claim, and died. 0: one that died while it was claiming.
  case dead(pid: Int32)

  init(_ writer: (status: Int32, pid: Int32)) {
    switch writer.status {
    case 0: self = .alive(pid: writer.pid)
    case EOWNERDEAD: self = .dead(pid: writer.pid)
    default: self = .none
    }
  }
}
