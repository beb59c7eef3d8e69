// What goes with an event: metadata of three sources, gone through without making one of them.
// SPDX-License-Identifier: Apache-2.0
import Logging
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct EventContext {
  let event: LogEvent
  let provided: Logger.Metadata
  let own: Logger.Metadata
  let correlation: CorrelationID?
  /// nil: what stands there is no correlation id, and a pair as any other.
  private let correlationKey: String?
  private let tagsKey: String?

  init(
    event: LogEvent, provided: Logger.Metadata, own: Logger.Metadata, correlationKey: String?, tagsKey: String?
  ) {
    self.event = event
    self.provided = provided
    self.own = own
    let explicit = event.metadata
    let found = correlationKey.flatMap { explicit?[$0] ?? provided[$0] ?? own[$0] }
    correlation = found.flatMap { CorrelationID(metadata: $0) }
    self.correlationKey = correlation == nil ? nil : correlationKey
    self.tagsKey = tagsKey
  }

  func pairs(_ add: (String, Log.Value) -> Void) {
    let explicit = event.metadata ?? [:]
    for (key, value) in own where explicit[key] == nil && provided[key] == nil { pair(key, value, add) }
    for (key, value) in provided where explicit[key] == nil { pair(key, value, add) }
    for (key, value) in explicit { pair(key, value, add) }
    if let error = event.error {
      add("error.message", .string("\(error)"))
      add("error.type", .string(String(reflecting: type(of: error))))
    }
    let source = event.source
    if !isModule(source, of: event.file) { add("source", .string(source)) }
  }

  private func pair(_ key: String, _ value: Logger.MetadataValue, _ add: (String, Log.Value) -> Void) {
    if key == correlationKey || key == tagsKey || (event.error != nil && Self.isOfError(key)) { return }
    add(key, Log.Value(metadata: value))
  }

  private static func isOfError(_ key: String) -> Bool { key == "error.message" || key == "error.type" }

  /// A file is "Module/File.swift".
  private func isModule(_ source: String, of file: String) -> Bool {
    var (file, source) = (file, source)
    return file.withUTF8 { file in
      source.withUTF8 { source in
        file.count > source.count && file[source.count] == UInt8(ascii: "/")
          && (source.isEmpty || memcmp(file.baseAddress!, source.baseAddress!, source.count) == 0)
      }
    }
  }

  func tags(_ add: (String) -> Void) {
    guard let tagsKey, let value = event.metadata?[tagsKey] ?? provided[tagsKey] ?? own[tagsKey] else { return }
    switch value {
    case .string(let tag): add(tag)
    case .array(let values): for value in values { add(value.text) }
    default: add(value.text)
    }
  }

  /// What would have been written.
  func record(label: String) -> LogRecord {
    var record = LogRecord.now(Log.Level(event.level), event.message.description, label: label)
    record.file = event.file
    record.function = event.function
    record.line = Int(clamping: event.line)
    record.correlation = correlation
    pairs { record.pairs.append(LogRecord.Pair($0, $1)) }
    tags { record.tags.append($0) }
    return record
  }
}

extension Logger.MetadataValue {
  fileprivate var text: String {
    switch self {
    case .string(let text): text
    case .stringConvertible(let value): value.description
    default: description
    }
  }
}

extension CorrelationID {
  /// Of text, or of something that is told as text, such as Foundation's UUID.
  fileprivate init?(metadata value: Logger.MetadataValue) {
    switch value {
    case .string(let text): self.init(text)
    case .stringConvertible(let value):
      if type(of: value) == CorrelationID.self {
        self = value as! CorrelationID
      } else {
        self.init(value.description)
      }
    default: return nil
    }
  }
}

extension Log.Value {
  /// Numbers and booleans as they are. Types are compared, which costs less than asking for a protocol.
  fileprivate init(metadata value: Logger.MetadataValue) {
    guard case .stringConvertible(let value) = value else {
      self = .string(value.text)
      return
    }
    let type: any Any.Type = type(of: value)
    if type == Int.self {
      self.init(value as! Int)
    } else if type == UInt.self {
      self.init(value as! UInt)
    } else if type == Double.self {
      self.init(value as! Double)
    } else if type == Bool.self {
      self.init(value as! Bool)
    } else if type == Int64.self {
      self.init(value as! Int64)
    } else if type == Int32.self {
      self.init(value as! Int32)
    } else if type == UInt64.self {
      self.init(value as! UInt64)
    } else if type == UInt32.self {
      self.init(value as! UInt32)
    } else if type == UInt16.self {
      self.init(value as! UInt16)
    } else if type == Int16.self {
      self.init(value as! Int16)
    } else if type == UInt8.self {
      self.init(value as! UInt8)
    } else if type == Int8.self {
      self.init(value as! Int8)
    } else if type == Float.self {
      self.init(Double(value as! Float))
    } else {
      self.init(value.description)
    }
  }
}
