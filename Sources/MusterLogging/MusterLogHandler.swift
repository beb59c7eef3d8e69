// SPDX-License-Identifier: Apache-2.0
public import Logging
public import Muster

/// Writes what is logged by swift-log into a ``Muster/Log``: in shared memory, where it is still there after a `SIGKILL`.
///
/// ```swift
/// let log = try Log("app")
/// LoggingSystem.bootstrap { MusterLogHandler(label: $0, log: log) }
///
/// Logger(label: "net").info("listens", metadata: ["port": .stringConvertible(80)])
/// ```
///
/// **What becomes of what.** The label, the file, the function and the line are those of the record. Metadata become pairs:
/// of the handler, then of the provider, then of the statement, the later ones in the place of the earlier. A number or a
/// boolean that is `.stringConvertible` stays one; arrays and dictionaries are text, as swift-log prints them. An error
/// becomes `error.message` and `error.type`, as of swift-log's own handlers. A source that is not the module in which the
/// file is becomes the pair `source`. Two keys stand for something of a record's own:
/// - ``correlationKey`` ("correlation-id"): a UUID, as text or as anything whose description is one, is the record's
///   correlation id. What is no UUID is a pair as any other.
/// - ``tagsKey`` ("tags"): an array is the record's tags, anything else is one tag.
///
/// **Levels.** A record is written if its level reaches both that of its `Logger`, which is `trace` unless it is set, and the
/// threshold of the log, which any process can change at run time (`muster log level app debug`). ``logLevel`` is the higher
/// of the two, so that swift-log does not even make what the log would not take.
///
/// **When a record can't be written**, since the log was closed, or is corrupt, it goes to standard error as a line of
/// text, unless ``Fallback/none`` is asked for, and ``unwritten`` counts it. Nothing traps and nothing waits: what standard
/// error does not take at once is dropped. A log is never full: new records take the place of the oldest.
///
/// **A forked child** opens the log and joins anew, by itself, at its first record; it is another of the log's writers then.
/// Where it can't (no place is left), its records go the same way as those of a closed log.
///
/// Nothing is allocated for a record, but by what makes its message and its metadata, by a source that is given, and by
/// descriptions of what is neither a string nor a number nor a boolean.
public struct MusterLogHandler: LogHandler {
  /// Where records go that can't be written to the log.
  public enum Fallback: Hashable, Sendable {
    /// To standard error, as lines of text; what it does not take at once is dropped.
    case standardError
    /// Nowhere.
    case none
  }

  /// The metadata of this handler.
  public var metadata: Logger.Metadata = [:]
  /// What gives metadata at each statement.
  public var metadataProvider: Logger.MetadataProvider?
  /// The key of metadata that is the correlation id of a record; `nil`: none is.
  public var correlationKey: String? = "correlation-id"
  /// The key of metadata that is the tags of a record; `nil`: none is.
  public var tagsKey: String? = "tags"

  private let label: String
  private let log: Log
  private let fallback: Fallback
  private var ownLevel = Logger.Level.trace

  /// A handler that writes to a log.
  ///
  /// - Parameters:
  ///   - label: that of the `Logger`.
  ///   - log: where to write; one for all handlers.
  ///   - metadataProvider: what gives metadata at each statement.
  ///   - fallback: where records go that can't be written.
  public init(
    label: String, log: Log, metadataProvider: Logger.MetadataProvider? = LoggingSystem.metadataProvider,
    fallback: Fallback = .standardError
  ) {
    self.label = label
    self.log = log
    self.metadataProvider = metadataProvider
    self.fallback = fallback
  }

  /// How many records of this process could not be written to their log, of all handlers.
  public static var unwritten: Int { LastResort.count }

  /// The higher of this handler's level, `trace` unless it is set, and the log's threshold.
  public var logLevel: Logger.Level {
    get { max(ownLevel, Logger.Level(log.level)) }
    set { ownLevel = newValue }
  }

  /// One of the metadata.
  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  /// Writes a record.
  public func log(event: LogEvent) {
    let context = EventContext(
      event: event, provided: metadataProvider?.get() ?? [:], own: metadata, correlationKey: correlationKey,
      tagsKey: tagsKey)
    if write(event, context, to: log) || log.ofChild.map({ write(event, context, to: $0) }) == true { return }
    LastResort.take(context.record(label: label), isShown: fallback == .standardError)
  }

  private func write(_ event: LogEvent, _ context: EventContext, to log: Log) -> Bool {
    log.put(
      Log.Level(event.level), event.message.description, label: label, file: event.file, function: event.function,
      line: event.line, correlation: context.correlation
    ) { entry in
      context.pairs { entry.add($0, $1) }
      context.tags { entry.add(tag: $0) }
    } == 0
  }
}

extension Logger.Level {
  /// Of a threshold; `off` has no counterpart, and what comes all the same is refused by the log.
  fileprivate init(_ level: Log.Level) {
    self =
      switch level {
      case .trace: .trace
      case .debug: .debug
      case .info: .info
      case .notice: .notice
      case .warning: .warning
      case .error: .error
      case .critical, .off: .critical
      }
  }
}

extension Log.Level {
  init(_ level: Logger.Level) {
    self =
      switch level {
      case .trace: .trace
      case .debug: .debug
      case .info: .info
      case .notice: .notice
      case .warning: .warning
      case .error: .error
      case .critical: .critical
      }
  }
}
