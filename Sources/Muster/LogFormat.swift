// SPDX-License-Identifier: Apache-2.0
import CMuster

/// How records are written as lines.
public struct LogFormat: OptionSet, Hashable, Sendable {
  /// As in C.
  public let rawValue: UInt32

  /// As in C.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Time, level, process and thread, label, message, pairs, tags, correlation id, and where in the source.
  public static let text: LogFormat = []
  /// A JSON object; the repository's docs/log.md names its members.
  public static let json = LogFormat(.MUSTER_LOG_FORMAT_JSON)
  /// Of text: the level in the colours of a terminal. Not for files.
  public static let coloured = LogFormat(.MUSTER_LOG_FORMAT_COLOUR)
  /// Times of the local time zone, not of UTC.
  public static let localTime = LogFormat(.MUSTER_LOG_FORMAT_LOCAL)

  private init(_ format: muster_log_format) { self.init(rawValue: format.rawValue) }
}
