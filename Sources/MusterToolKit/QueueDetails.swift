// What `muster queue show` and `muster show` tell of a queue.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct QueueDetails: Equatable, Sendable, Encodable {
  struct Level: Equatable, Sendable, Encodable {
    var level: Int
    var queued: Int
    var taken: Int
    var aside: Int
  }

  struct Entry: Equatable, Sendable, Encodable {
    enum State: String, Sendable, Encodable {
      case putting, queued, taken, returning, aside
    }

    var id: String
    var state: State
    var level: Int
    var attempts: Int
    /// Whether it is queued among those that came back.
    var hasReturned: Bool
    var size: Int
    /// Since it was put.
    var ageSeconds: Double?
    /// Who has it.
    var process: Int32?
    /// Whether the one who has it is dead, so that it will go back.
    var isProcessDead: Bool
    /// Of a job that is UTF-8, as far as it was asked for.
    var text: String?
    /// Of one that is not.
    var hex: String?
  }

  /// How many there can be.
  var jobs: Int
  /// Bytes that one has at most.
  var jobSize: Int
  var isFinished: Bool
  var free: Int
  var putting: Int
  var queued: Int
  var taken: Int
  var returning: Int
  var aside: Int
  /// Those in the hands of members that have ended, which will go back.
  var ended: Int
  /// After so many failures a job is set aside; nil: never.
  var attempts: Int?
  /// How many members there can be.
  var places: Int
  var living: Int
  /// How often somebody has gone to sleep for want of a job.
  var waits: UInt32
  /// Since the beginning.
  var put: UInt64
  /// How often one came back.
  var returned: UInt64
  var levels: [Level]
  /// Where they were asked for.
  var entries: [Entry]?
}

extension QueueDetails {
  init(_ state: JobQueue.State) {
    jobs = state.jobs
    jobSize = state.jobSize
    isFinished = state.isFinished
    free = state.free
    putting = state.putting
    queued = state.queued
    taken = state.taken
    returning = state.returning
    aside = state.aside
    ended = state.ended
    attempts = state.attempts
    places = state.places
    living = state.living
    waits = state.waits
    put = state.put
    returned = state.returned
    levels = state.levels.enumerated().map {
      Level(level: $0.offset, queued: $0.element.queued, taken: $0.element.taken, aside: $0.element.aside)
    }
  }

  func lines(limit: Int = 0) -> [String] {
    let others = [(putting, "being put"), (returning, "on the way back")].filter { $0.0 > 0 }
    let use = [(queued, "queued"), (taken, "taken"), (aside, "aside")] + others
    let limitText = attempts.map { "set aside after \($0)" } ?? "never set aside"
    return pairs([
      ("jobs", use.map { "\($0.0) \($0.1)" }.joined(separator: ", ") + (isFinished ? "; finished" : "")),
      ("room", "for \(free) more of \(jobs), \(readableSize(UInt64(clamping: jobSize))) each"),
      ("attempts", limitText), ("so far", "\(put) put, \(returned) came back"),
      ("ended", ended == 0 ? "nothing to put back" : "\(ended) to put back from the dead"),
      ("members", "\(living) of \(places)"), ("waits", "\(waits) for a job so far"),
    ]) + levelTable() + entryTable(limit)
  }

  private func levelTable() -> [String] {
    guard levels.count > 1 else { return [] }
    var table = TextTable([("LEVEL", .right), ("QUEUED", .right), ("TAKEN", .right), ("ASIDE", .right)])
    for level in levels { table.append(["\(level.level)", "\(level.queued)", "\(level.taken)", "\(level.aside)"]) }
    return [""] + table.lines()
  }

  private func entryTable(_ limit: Int) -> [String] {
    guard let entries, !entries.isEmpty, limit > 0 else { return [] }
    var table = TextTable([
      ("ID", .left), ("STATE", .left), ("LEVEL", .right), ("FAILED", .right), ("AGE", .right), ("PID", .right),
      ("JOB", .left),
    ])
    for entry in entries.prefix(limit) { table.append(entry.row()) }
    let left = entries.count - limit
    return [""] + table.lines() + (left > 0 ? ["and \(left) more"] : [])
  }
}

extension QueueDetails.Entry {
  init(_ entry: JobQueue.Entry) {
    id = "\(entry.id)"
    state =
      switch entry.use {
      case .putting: .putting
      case .taken: .taken
      case .returning: .returning
      case .aside: .aside
      default: .queued
      }
    level = entry.level
    attempts = entry.attempts
    hasReturned = entry.hasReturned
    size = entry.size
    ageSeconds = entry.age.map { Double($0.wholeNanoseconds / 1_000_000) / 1000 }
    process = entry.pid
    isProcessDead = entry.pid != nil && !entry.isMemberAlive
    text = String(validating: Self.whole(entry), as: UTF8.self)
    hex = text == nil ? entry.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() : nil
  }

  /// Without the beginning of a character that was cut off.
  private static func whole(_ entry: JobQueue.Entry) -> ArraySlice<UInt8> {
    let bytes = entry.bytes[...]
    guard bytes.count < entry.size, let start = bytes.suffix(4).lastIndex(where: { $0 & 0xc0 != 0x80 }) else {
      return bytes
    }
    return bytes[start] < 0x80 ? bytes : bytes[..<start]
  }

  private static let width = 48

  fileprivate func row() -> [String] {
    let age = ageSeconds.map { readableAge(Int64(clamping: Int($0)) * 1_000_000_000) } ?? "-"
    return [
      id, state.rawValue, "\(level)", "\(attempts)", age,
      process.map { "\($0)" + (isProcessDead ? " dead" : "") } ?? "",
      summary,
    ]
  }

  private var summary: String {
    let all = text.map(printable) ?? hex.map { "0x" + $0 } ?? ""
    return all.count > Self.width ? all.prefix(Self.width - 3) + "..." : all
  }
}
