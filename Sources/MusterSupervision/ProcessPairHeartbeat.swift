// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

/// How the primary tells its backup that it is well. A death is told at once whatever the way is, by the kernel; the heartbeat is for a primary
/// that lives and does not work.
///
/// The C module is muster/heartbeat.h, where the ways are compared.
public struct ProcessPairHeartbeat: Hashable, Sendable, CustomStringConvertible {
  let kind: muster_heartbeat_kind
  let folder: FilePath?

  /// A cell in the pair's shared memory: no system call.
  public static let sharedMemory = ProcessPairHeartbeat(kind: .MUSTER_HEARTBEAT_MEMORY, folder: nil)
  /// Datagrams to 127.0.0.1.
  public static let udp = ProcessPairHeartbeat(kind: .MUSTER_HEARTBEAT_UDP, folder: nil)
  /// A POSIX message queue.
  public static let messageQueue = ProcessPairHeartbeat(kind: .MUSTER_HEARTBEAT_QUEUE, folder: nil)
  /// Real-time signals, each with a value. Other threads of the backup must have them blocked.
  public static let signals = ProcessPairHeartbeat(kind: .MUSTER_HEARTBEAT_SIGNAL, folder: nil)
  /// A file, told by its contents. `folder`: where it is; `nil`: `/dev/shm`.
  public static func file(in folder: FilePath? = nil) -> ProcessPairHeartbeat {
    ProcessPairHeartbeat(kind: .MUSTER_HEARTBEAT_FILE, folder: folder)
  }

  /// Whether it is the same way, and the same folder.
  public static func == (one: Self, other: Self) -> Bool {
    one.kind.rawValue == other.kind.rawValue && one.folder == other.folder
  }

  /// As `==` has it.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(kind.rawValue)
    hasher.combine(folder)
  }

  /// "shared memory", "a file"...
  public var description: String { Self.phrase(UInt64(kind.rawValue)) }

  static func phrase(_ kind: UInt64) -> String {
    switch muster_heartbeat_kind(rawValue: UInt32(truncatingIfNeeded: kind)) {
    case .MUSTER_HEARTBEAT_MEMORY: "shared memory"
    case .MUSTER_HEARTBEAT_FILE: "a file"
    case .MUSTER_HEARTBEAT_UDP: "UDP"
    case .MUSTER_HEARTBEAT_QUEUE: "a message queue"
    case .MUSTER_HEARTBEAT_SIGNAL: "signals"
    default: "unknown"
    }
  }
}
