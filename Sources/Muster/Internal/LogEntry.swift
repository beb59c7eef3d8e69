// What goes with a record, gathered where the C core can read it: strings of Swift have no address that lasts.
//
// Each thread has one arena, made at its first record, so that gathering allocates nothing. Who gathers while this thread
// gathers already (a description that logs itself) gets an arena for that time. An arena holds more than a record may have:
// what does not fit into it would not fit into the record, and is marked there as cut.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private final class LogArena {
  static let bytes = 1 << 16
  static let pairs = Int(MUSTER_LOG_PAIRS_MAX)
  static let tags = Int(MUSTER_LOG_TAGS_MAX)

  let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: LogArena.bytes)
  let pairs = UnsafeMutablePointer<muster_log_pair>.allocate(capacity: LogArena.pairs)
  let tags = UnsafeMutablePointer<muster_log_text>.allocate(capacity: LogArena.tags)
  var isBusy = false

  deinit {
    bytes.deallocate()
    pairs.deallocate()
    tags.deallocate()
  }

  /// That of this thread; nil: it has none, and gets none.
  static var own: LogArena? {
    guard let key else { return nil }
    if let seen = pthread_getspecific(key) { return Unmanaged<LogArena>.fromOpaque(seen).takeUnretainedValue() }
    let made = Unmanaged.passRetained(LogArena())
    guard pthread_setspecific(key, made.toOpaque()) == 0 else {
      made.release()
      return nil
    }
    return made.takeUnretainedValue()
  }

  private static let key: pthread_key_t? = {
    var key = pthread_key_t()
    let status = pthread_key_create(&key) { Unmanaged<LogArena>.fromOpaque($0!).release() }
    return status == 0 ? key : nil
  }()
}

/// Pairs and tags of a record. Valid within the call that it was given to.
package struct LogEntry: ~Copyable {
  private let arena: LogArena
  private var used = 0
  private var pairCount: UInt32 = 0
  private var tagCount: UInt32 = 0

  private init(_ arena: LogArena) { self.arena = arena }

  static func with<Result>(_ body: (inout LogEntry) -> Result) -> Result {
    guard let own = LogArena.own, !own.isBusy else {
      var entry = LogEntry(LogArena())
      return body(&entry)
    }
    own.isBusy = true
    defer { own.isBusy = false }
    var entry = LogEntry(own)
    return body(&entry)
  }

  package mutating func add(_ key: String, _ value: Log.Value) {
    pairCount &+= 1
    guard pairCount <= LogArena.pairs else { return }
    let (type, bits) = value.core
    let name = text(key)
    var pair = muster_log_pair()
    pair.key = name.bytes
    pair.key_size = name.size
    pair.type = type
    pair.bits = bits
    if case .string(let string) = value {
      let text = text(string)
      pair.text = text.bytes
      pair.text_size = text.size
    }
    (arena.pairs + Int(pairCount - 1)).initialize(to: pair)
  }

  package mutating func add(tag: String) {
    tagCount &+= 1
    guard tagCount <= LogArena.tags else { return }
    (arena.tags + Int(tagCount - 1)).initialize(to: text(tag))
  }

  /// A copy, as much of it as there is room for.
  mutating func text(_ string: String) -> muster_log_text {
    let start = arena.bytes + used
    let room = LogArena.bytes - used
    var string = string
    let size = string.withUTF8 { bytes in
      let size = min(bytes.count, room)
      if size > 0 { start.update(from: bytes.baseAddress!, count: size) }
      return size
    }
    used += size
    return muster_log_text(
      bytes: UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self), size: UInt32(size), reserved: 0)
  }

  // MARK: As C has them

  var tags: UnsafePointer<muster_log_text> { UnsafePointer(arena.tags) }
  var pairs: UnsafePointer<muster_log_pair> { UnsafePointer(arena.pairs) }

  /// The fields so far. More than there may be are counted, so that the record is marked.
  var fields: muster_log_fields {
    var fields = muster_log_fields()
    fields.pairs = pairs
    fields.pair_count = pairCount
    fields.tags = tags
    fields.tag_count = tagCount
    return fields
  }
}

extension String {
  /// What C points to; what is no UTF-8 becomes U+FFFD.
  init(_ bytes: UnsafePointer<CChar>?, _ size: UInt32) {
    self =
      UnsafeRawPointer(bytes).map {
        String(decoding: UnsafeRawBufferPointer(start: $0, count: Int(size)), as: UTF8.self)
      } ?? ""
  }

  init(_ text: muster_log_text) { self.init(text.bytes, text.size) }

  /// Nothing for what has no size.
  init?(nonempty text: muster_log_text) {
    guard text.size > 0 else { return nil }
    self.init(text)
  }
}

extension CorrelationID {
  static let none: Bytes = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}
