// SPDX-License-Identifier: Apache-2.0
import CMuster

/// Which records a reader or a drain gives. Of several things that are asked for a record has all.
///
/// What is told of lost or unreadable records comes whatever is asked for, but for that of another process.
public struct LogFilter: Hashable, Sendable {
  /// At least of this level.
  public var level: Log.Level
  /// Written by this process.
  public var pid: Int32?
  /// Since this time, and not before: since 1970.
  public var since: Duration?
  /// Before this time: since 1970.
  public var until: Duration?
  /// With each of these tags, of which there are 32 at most.
  public var tags: [String]
  /// With this correlation id.
  public var correlation: CorrelationID?
  /// With this very label.
  public var label: String?

  /// All records, unless something is asked for.
  public init(
    level: Log.Level = .trace, pid: Int32? = nil, since: Duration? = nil, until: Duration? = nil, tags: [String] = [],
    correlation: CorrelationID? = nil, label: String? = nil
  ) {
    self.level = level
    self.pid = pid
    self.since = since
    self.until = until
    self.tags = tags
    self.correlation = correlation
    self.label = label
  }

  /// Lends the filter to a call that copies what it points to.
  func withCore<Result>(_ body: (muster_log_filter) -> Result) -> Result {
    LogEntry.with { entry in
      var core = muster_log_filter()
      core.least = level.core
      core.pid = pid ?? 0
      core.from = since?.coreNanoseconds ?? 0
      core.until = until?.coreNanoseconds ?? 0
      for tag in tags { entry.add(tag: tag) }
      core.tags = entry.tags
      core.tag_count = UInt32(clamping: tags.count)
      var text = label.map { entry.text($0) } ?? muster_log_text()
      var bytes = correlation?.bytes ?? CorrelationID.none
      return withUnsafePointer(to: &text) { text in
        withUnsafePointer(to: &bytes.0) { bytes in
          core.label = label == nil ? nil : text
          core.correlation = correlation == nil ? nil : bytes
          return body(core)
        }
      }
    }
  }
}
