// SPDX-License-Identifier: Apache-2.0
import MusterCLI

/// What a checkpoint keeps, and who writes it.
struct CheckpointDetails: Equatable, Sendable, Encodable {
  /// One state, without its contents.
  struct State: Equatable, Sendable, Encodable {
    var sequence: UInt64
    var epoch: UInt64
    /// When it was committed: ISO 8601.
    var time: String
    var ageSeconds: Double
    /// Bytes.
    var length: Int
    /// CRC-32C, in hexadecimal.
    var checksum: String
    /// Whether the bytes are those of the checksum.
    var isWhole: Bool
    /// Of a roll-back: the sequence of the state whose contents these are.
    var restored: UInt64?
  }

  /// How many states before the last are kept.
  var history: Int
  /// The most bytes of a state.
  var capacity: Int
  /// 0: nobody has taken over yet.
  var epoch: UInt64
  /// The process that writes in this epoch, or that died as the writer; nil when it has released.
  var writer: Int32?
  var isWriterDead = false
  /// The newest first.
  var states: [State]
}

extension CheckpointDetails {
  var writerText: String { writer.map { "pid \($0)" + (isWriterDead ? ", dead" : ", alive") } ?? "nobody" }

  func lines() -> [String] {
    pairs([
      ("history", "\(history) before the last"), ("capacity", readableSize(UInt64(capacity))), ("epoch", "\(epoch)"),
      ("writer", writerText),
    ]) + table()
  }

  func table() -> [String] {
    guard !states.isEmpty else { return ["", "nothing was saved yet"] }
    var table = TextTable([
      ("SEQUENCE", .right), ("EPOCH", .right), ("AGE", .right), ("LENGTH", .right), ("CHECKSUM", .left),
      ("STATE", .left),
    ])
    for state in states {
      table.append([
        "\(state.sequence)", "\(state.epoch)", state.age, readableSize(UInt64(state.length)), state.checksum,
        state.soundness,
      ])
    }
    return [""] + table.lines()
  }
}

extension CheckpointDetails.State {
  var age: String { readableAge(Int64(ageSeconds * 1e9)) }

  var soundness: String { (isWhole ? "whole" : "torn") + (restored.map { ", from \($0)" } ?? "") }

  func lines() -> [String] {
    pairs([
      ("sequence", "\(sequence)"), ("epoch", "\(epoch)"), ("committed", "\(time), \(age) ago"),
      ("length", readableSize(UInt64(length))), ("checksum", checksum), ("state", soundness),
    ])
  }
}

/// A state's contents as a person can read them.
enum CheckpointContents {
  /// Nil where they are no UTF-8, or have control characters in them.
  static func text(_ bytes: [UInt8]) -> String? {
    guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
    let isPlain = text.unicodeScalars.allSatisfy { $0 == "\n" || $0 == "\t" || printable(String($0)) == String($0) }
    return isPlain ? text : nil
  }

  static func lines(_ bytes: [UInt8]) -> [String] {
    if bytes.isEmpty { return ["(empty)"] }
    guard let text = text(bytes) else { return hexLines(bytes) }
    return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  /// Sixteen bytes a line: the offset, the bytes, and what of them is ASCII.
  static func hexLines(_ bytes: [UInt8]) -> [String] {
    stride(from: 0, to: bytes.count, by: 16).map { offset in
      let row = bytes[offset..<min(offset + 16, bytes.count)]
      let numbers = row.map(hex).joined(separator: " ")
      let letters = row.map { (0x20...0x7e).contains($0) ? String(UnicodeScalar($0)) : "." }.joined()
      let blank = String(repeating: " ", count: 47 - numbers.count)
      return "\(padded(String(offset, radix: 16), 8))  \(numbers)\(blank)  |\(letters)|"
    }
  }

  static func hex(_ byte: UInt8) -> String { padded(String(byte, radix: 16), 2) }

  static func padded(_ digits: String, _ count: Int) -> String {
    String(repeating: "0", count: max(0, count - digits.count)) + digits
  }
}
