// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A record of a log, copied out of it.
public struct LogRecord: Hashable, Sendable {
  /// What a record tells.
  public enum Kind: Hashable, Sendable {
    /// What somebody wrote.
    case written
    /// So many records of its place were overwritten before the reader came to them.
    case lost(UInt64)
    /// What a writer left at this place is no record.
    case unreadable
    /// The place's memory is corrupt; nothing more is read there.
    case corrupt
  }

  /// A key with its value.
  public struct Pair: Hashable, Sendable {
    /// The key.
    public let key: String
    /// The value.
    public let value: Log.Value

    /// A key with its value.
    public init(_ key: String, _ value: Log.Value) {
      self.key = key
      self.value = value
    }
  }

  /// What it tells. Of all but `written` the message says it in words, and the time is about when.
  public var kind = Kind.written
  /// How much it matters.
  public var level: Log.Level
  /// When it was written: since 1970, by the wall clock.
  public var time: Duration
  /// The process that wrote it; of what was lost, the one that wrote what follows.
  public var pid: Int32
  /// Its thread.
  public var thread: UInt32
  /// The place of the log.
  public var place = 0
  /// How many were written in this place before it.
  public var number: UInt64 = 0
  /// Whether something was too large, and cut or left out.
  public var isCut = false
  /// What happened.
  public var message: String
  /// Which part of the program.
  public var label: String?
  /// Where in the source.
  public var file: String?
  /// In which function.
  public var function: String?
  /// Told where `file` is.
  public var line: Int?
  /// What it belongs to.
  public var correlation: CorrelationID?
  /// Its tags.
  public var tags: [String] = []
  /// Keys with values, in the order in which they were written.
  public var pairs: [Pair] = []

  /// The value of the first pair with that key.
  public subscript(key: String) -> Log.Value? { pairs.first { $0.key == key }?.value }

  /// A record of this moment and this process that is in no log.
  package static func now(_ level: Log.Level, _ message: String, label: String) -> LogRecord {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return LogRecord(
      level: level, time: .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec), pid: getpid(), thread: 0,
      message: message, label: label.isEmpty ? nil : label)
  }

  private init(level: Log.Level, time: Duration, pid: Int32, thread: UInt32, message: String, label: String?) {
    self.level = level
    self.time = time
    self.pid = pid
    self.thread = thread
    self.message = message
    self.label = label
  }
}

extension LogRecord: CustomStringConvertible {
  /// The record as a line of text, without its end.
  public var description: String { formatted() }

  /// The record as a line, without its end. Control characters are written so that they do nothing to a terminal.
  public func formatted(_ format: LogFormat = .text) -> String {
    withCore { record in
      let size = muster_log_format_record(&record, format.rawValue, nil, 0)
      return String(unsafeUninitializedCapacity: size) { buffer in
        buffer.withMemoryRebound(to: CChar.self) {
          _ = muster_log_format_record(&record, format.rawValue, $0.baseAddress, size)
        }
        return max(0, size - 1)
      }
    }
  }
}

extension LogRecord {
  init(_ record: muster_log_record) {
    kind =
      switch record.kind {
      case .MUSTER_LOG_WRITTEN: .written
      case .MUSTER_LOG_LOST: .lost(record.lost)
      case .MUSTER_LOG_UNREADABLE: .unreadable
      default: .corrupt
      }
    level = Log.Level(record.level)
    time = .nanoseconds(record.time)
    pid = record.pid
    thread = record.thread
    place = Int(record.place)
    number = record.number
    isCut = record.cut != 0
    message = String(record.message)
    label = String(nonempty: record.label)
    file = String(nonempty: record.file)
    function = String(nonempty: record.function)
    line = record.file.size > 0 ? Int(record.line) : nil
    correlation = record.has_correlation != 0 ? CorrelationID(bytes: record.correlation) : nil
    tags = UnsafeBufferPointer(start: record.tags, count: Int(record.tag_count)).map { String($0) }
    pairs = UnsafeBufferPointer(start: record.pairs, count: Int(record.pair_count)).map {
      Pair(String($0.key, $0.key_size), Log.Value($0))
    }
  }

  /// As C has it, for the length of a call.
  private func withCore<Result>(_ body: (inout muster_log_record) -> Result) -> Result {
    LogEntry.with { entry in
      var record = muster_log_record()
      (record.kind, record.lost) =
        switch kind {
        case .written: (.MUSTER_LOG_WRITTEN, 0)
        case .lost(let count): (.MUSTER_LOG_LOST, count)
        case .unreadable: (.MUSTER_LOG_UNREADABLE, 0)
        case .corrupt: (.MUSTER_LOG_CORRUPT, 0)
        }
      record.level = level.core
      record.time = time.coreNanoseconds
      record.pid = pid
      record.thread = thread
      record.place = UInt32(clamping: place)
      record.number = number
      record.cut = isCut ? 1 : 0
      record.message = entry.text(message)
      record.label = entry.text(label ?? "")
      record.file = entry.text(file ?? "")
      record.function = entry.text(function ?? "")
      record.line = UInt32(clamping: line ?? 0)
      record.has_correlation = correlation == nil ? 0 : 1
      record.correlation = correlation?.bytes ?? CorrelationID.none
      for tag in tags.prefix(Int(MUSTER_LOG_TAGS_MAX)) { entry.add(tag: tag) }
      for pair in pairs.prefix(Int(MUSTER_LOG_PAIRS_MAX)) { entry.add(pair.key, pair.value) }
      (record.tags, record.tag_count) = (entry.tags, entry.fields.tag_count)
      (record.pairs, record.pair_count) = (entry.pairs, entry.fields.pair_count)
      return body(&record)
    }
  }
}
