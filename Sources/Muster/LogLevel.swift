// SPDX-License-Identifier: Apache-2.0
import CMuster

extension Log {
  /// How much a record matters. The levels are those of swift-log, and `off`, which is a threshold alone.
  public enum Level: UInt32, Hashable, Sendable, Comparable, CaseIterable, Codable, LosslessStringConvertible {
    /// Where the program comes along.
    case trace
    /// What helps to find an error.
    case debug
    /// What may be of interest.
    case info
    /// What is of interest, and no error.
    case notice
    /// What is no error yet.
    case warning
    /// What went wrong.
    case error
    /// What somebody should look at now.
    case critical
    /// As a threshold: nothing is logged. No record has this level.
    case off

    var core: muster_log_level { muster_log_level(rawValue: rawValue)! }

    /// One that C's header does not know counts as what it is above: nothing reaches it.
    init(_ level: muster_log_level) { self = Level(rawValue: level.rawValue) ?? .off }

    /// Of a name, in whatever case: "info", "WARNING".
    public init?(_ description: String) {
      var level = muster_log_level.MUSTER_LOG_OFF
      guard withName(description, { muster_log_level_of($0, &level) }) == 0 else { return nil }
      self.init(level)
    }

    /// "info" and so on.
    public var description: String { String(cString: muster_log_level_name(core)) }

    /// By how much they matter.
    public static func < (one: Level, other: Level) -> Bool { one.rawValue < other.rawValue }
  }
}
