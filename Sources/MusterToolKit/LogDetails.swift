// What `muster show` tells of a log.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

struct LogDetails: Equatable, Sendable, Encodable {
  struct Writer: Equatable, Sendable, Encodable {
    var place: Int
    /// `alive`, `left`, `dead` or `corrupt`.
    var state: String
    var process: Int32?
    /// How many were written in the place, by all who ever were there.
    var records: UInt64
    /// Nanoseconds since the last of them, or since it joined.
    var idle: Int64
  }

  struct Drain: Equatable, Sendable, Encodable {
    /// The process that drains, or that died draining; nil when nobody does.
    var process: Int32?
    var isDead = false
    /// Written so far, by all drains.
    var records: UInt64
    /// Overwritten before a drain came to them.
    var lost: UInt64
    /// The number of the present file, and its bytes.
    var file: UInt64?
    var length: UInt64
    /// Bytes that are to be written again, or still.
    var staged: Int
  }

  var places: Int
  /// Of each place.
  var bytes: Int
  var largestRecord: Int
  var level: String
  var drain: Drain
  /// Those in places that anybody ever was in.
  var writers: [Writer]
}

extension LogDetails {
  init(_ state: Log.State, now: Int64) {
    places = state.places
    bytes = state.bytes
    largestRecord = state.largestRecord
    level = "\(state.level)"
    drain = Drain(state.drain)
    writers = state.writers.map {
      let life =
        switch $0.life {
        case .alive: "alive"
        case .left: "left"
        case .dead: "dead"
        case .corrupt: "corrupt"
        }
      return Writer(
        place: $0.place, state: life, process: $0.pid, records: $0.records,
        idle: max(0, now - $0.touched.wholeNanoseconds))
    }
  }

  func lines() -> [String] {
    let size = readableSize(UInt64(clamping: bytes))
    let alive = writers.count { $0.state == "alive" }
    return pairs([
      ("places", "\(places) of \(size), records up to \(readableSize(UInt64(clamping: largestRecord)))"),
      ("level", level), ("writers", "\(alive)"),
      ("records", "\(writers.reduce(0) { $0 + $1.records }) so far"),
      ("drain", drain.who), ("drained", drain.what),
    ]) + table()
  }

  private func table() -> [String] {
    guard !writers.isEmpty else { return ["", "nobody has logged"] }
    var table = TextTable([
      ("PLACE", .right), ("STATE", .left), ("PID", .right), ("RECORDS", .right), ("IDLE", .right),
    ])
    for writer in writers {
      table.append([
        "\(writer.place)", writer.state, writer.process.map { "\($0)" } ?? "-", "\(writer.records)",
        readableAge(writer.idle),
      ])
    }
    return [""] + table.lines()
  }
}

extension LogDetails.Drain {
  init(_ state: Log.DrainState) {
    switch state.life {
    case .none: process = nil
    case .alive(let pid): process = pid ?? 0
    case .dead(let pid):
      process = pid ?? 0
      isDead = true
    }
    records = state.records
    lost = state.lost
    file = state.file
    length = state.length
    staged = state.staged
  }

  fileprivate var who: String { process.map { "pid \($0)" + (isDead ? ", dead" : "") } ?? "nobody" }

  fileprivate var what: String {
    var text = "\(records) record\(records == 1 ? "" : "s")"
    if lost > 0 { text += ", \(lost) lost" }
    if let file { text += ", file \(file) with \(readableSize(length))" }
    if staged > 0 { text += ", \(readableSize(UInt64(clamping: staged))) not written yet" }
    return text
  }
}
