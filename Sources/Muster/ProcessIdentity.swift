// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The name of one process for good: its number, and when it was started. No other process ever has both, until the machine is started again.
///
/// A value that may be written down and sent: ``WatchedProcess`` finds the process by it, or that it has ended. Of this pid namespace.
public struct ProcessIdentity: Hashable, Sendable, Codable, BitwiseCopyable, CustomStringConvertible {
  /// Its number.
  public let pid: Int32
  /// Clock ticks since the machine's start: field 22 of `/proc/PID/stat`.
  public let start: UInt64

  /// One that is known from elsewhere.
  public init(pid: Int32, start: UInt64) {
    self.pid = pid
    self.start = start
  }

  /// That of this process.
  ///
  /// - Throws: ``ProcessError``: `system`, where `/proc` can't be read.
  public static func ofThisProcess() throws(ProcessError) -> ProcessIdentity {
    let this = try WatchedProcess(pid: getpid())
    defer { this.close() }
    return try this.identity()
  }

  /// "4711 (started at 123456)".
  public var description: String { "\(pid) (started at \(start))" }
}

extension AliveOwner {
  /// The process: ``WatchedProcess`` watches it by that.
  public var identity: ProcessIdentity { ProcessIdentity(pid: pid, start: start) }
}
