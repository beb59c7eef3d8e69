// SPDX-License-Identifier: Apache-2.0
import CMuster

/// The owner that an Alive file names.
public struct AliveOwner: Hashable, Sendable {
  /// Its process id, in its own pid namespace.
  public let pid: Int32
  /// When that process started: clock ticks since the machine's start, field 22 of `/proc/PID/stat`. With `pid` it
  /// names the process for good, also when the number is used again.
  public let start: UInt64
  /// When it acquired the file: since 1970, by the wall clock of that time.
  public let since: Duration

  /// `nil` where the file does not tell.
  init?(_ found: muster_alive_found) {
    guard found.pid != 0 else { return nil }
    self.pid = found.pid
    self.start = found.start
    self.since = .nanoseconds(found.since)
  }
}

/// What stands at the path of an Alive file. The owner is `nil` where the file does not tell, because it was cut
/// short.
public enum AliveFound: Hashable, Sendable {
  /// No file: there never was an owner, or the last one ended cleanly.
  case nothing
  /// A file that nobody holds: its owner crashed, or was killed.
  case crash(AliveOwner?)
  /// The same, from before the machine was last started.
  case reboot(AliveOwner?)
  /// Somebody holds it: alive.
  case held(AliveOwner?)

  init(_ found: muster_alive_found) {
    switch found.kind {
    case .MUSTER_ALIVE_CRASH: self = .crash(AliveOwner(found))
    case .MUSTER_ALIVE_REBOOT: self = .reboot(AliveOwner(found))
    case .MUSTER_ALIVE_HELD: self = .held(AliveOwner(found))
    default: self = .nothing
    }
  }

  /// The owner that the file names.
  public var owner: AliveOwner? {
    switch self {
    case .nothing: nil
    case .crash(let owner), .reboot(let owner), .held(let owner): owner
    }
  }

  /// Whether the last owner ended without releasing the file.
  public var isUnexpectedShutdown: Bool {
    switch self {
    case .crash, .reboot: true
    case .nothing, .held: false
    }
  }
}
