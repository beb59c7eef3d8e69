// What `muster show` tells of a ring.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

struct RingDetails: Equatable, Sendable, Encodable {
  struct Reader: Equatable, Sendable, Encodable {
    var place: Int
    var process: Int32
    /// Bytes from what it has read to the end.
    var lag: UInt64
  }

  /// `lossless` or `latest`.
  var mode: String
  /// Bytes for records.
  var capacity: Int
  var largestRecord: Int
  /// The process that writes, or that died as the writer; nil when nobody does.
  var writer: Int32?
  var isWriterDead = false
  /// How many records have been committed.
  var records: UInt64
  /// Bytes from the beginning of all to the end.
  var position: UInt64
  /// The living ones; those that are read-only are not known.
  var readers: [Reader]
}

extension RingDetails {
  init(_ state: Ring.State) {
    mode = state.delivery == .lossless ? "lossless" : "latest"
    capacity = state.capacity
    largestRecord = state.largestRecord
    switch state.writer {
    case .none: writer = nil
    case .alive(let pid): writer = pid
    case .dead(let pid):
      writer = pid
      isWriterDead = true
    }
    records = state.end.number
    position = state.end.position
    readers = state.readers.map { Reader(place: $0.index, process: $0.pid, lag: $0.lag) }
  }

  func lines() -> [String] {
    let bytes = UInt64(clamping: capacity)
    return pairs([
      ("mode", mode),
      ("bytes", "\(readableSize(bytes)), records up to \(readableSize(UInt64(clamping: largestRecord)))"),
      ("writer", writer.map { "pid \($0)" + (isWriterDead ? ", dead" : "") } ?? "nobody"),
      ("records", "\(records) so far, \(readableSize(position))"),
    ]) + table()
  }

  private func table() -> [String] {
    guard !readers.isEmpty else { return ["", "nobody reads"] }
    var table = TextTable([("PLACE", .right), ("PID", .right), ("LAG", .right)])
    for reader in readers { table.append(["\(reader.place)", "\(reader.process)", readableSize(reader.lag)]) }
    return [""] + table.lines()
  }
}
