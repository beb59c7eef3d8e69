// SPDX-License-Identifier: Apache-2.0
import MusterCLI

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What `muster ls` tells of a region.
struct RegionEntry: Equatable, Sendable {
  var name: String
  /// Four letters that name what it holds.
  var kind: String
  /// Bytes of what it holds.
  var size: UInt64
  /// Bytes of memory or disk that it takes, with its header.
  var fileSize: UInt64
  var userID: UInt32
  var userName: String?
  var mode: UInt32
  var creator: Int32
  /// Whether at least one process holds it; what nobody holds is stale.
  var isHeld: Bool
  /// Nanoseconds since 1970.
  var created: Int64

  var owner: String { userName ?? String(userID) }

  func age(now: Int64) -> Int64 { max(0, now - created) }

  /// The kinds of the toolkit by their names; the letters themselves for a kind of somebody's own.
  var kindName: String { Self.kindNames[kind] ?? printable(kind) }

  static let kindNames = [
    "BARR": "barrier", "PSXB": "posix-barrier", "GRUP": "group", "SEQL": "counters", "MPBB": "mpbarrier-board",
    "LOCK": "lock",
    "CKPT": "checkpoint",
    "RING": "ring",
    "POOL": "pool",
    "QUEU": "queue",
    "TRAC": "trace",
    "LOGS": "log",
    "ROOT": "root",
    "PAIR": "pair",
  ]

  /// In the order of their names, as `ls` shows them.
  static func table(_ entries: [RegionEntry], now: Int64) -> [String] {
    var table = TextTable([
      ("KIND", .left), ("SIZE", .right), ("OWNER", .left), ("STATE", .left), ("AGE", .right), ("NAME", .left),
    ])
    for entry in entries.sorted(by: { $0.name < $1.name }) {
      table.append([
        entry.kindName, readableSize(entry.size), printable(entry.owner), entry.isHeld ? "held" : "stale",
        readableAge(entry.age(now: now)), printable(entry.name),
      ])
    }
    return table.lines()
  }
}

/// What `--json` prints of a region.
struct RegionReport: Encodable, Sendable {
  var name: String
  var kind: String
  var kindCode: String
  var size: UInt64
  var fileSize: UInt64
  var owner: String
  var userID: UInt32
  var mode: String
  var creator: Int32
  var isHeld: Bool
  var created: String
  var ageSeconds: Double

  init(_ entry: RegionEntry, now: Int64) {
    name = entry.name
    kind = entry.kindName
    kindCode = entry.kind
    size = entry.size
    fileSize = entry.fileSize
    owner = entry.owner
    userID = entry.userID
    mode = octal(entry.mode)
    creator = entry.creator
    isHeld = entry.isHeld
    created = timeText(entry.created)
    ageSeconds = Double(entry.age(now: now) / 1_000_000) / 1000
  }
}

/// `0600`.
func octal(_ mode: UInt32) -> String {
  let digits = String(mode & 0o7777, radix: 8)
  return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}

/// The first unit of an age is enough for a table: `3 s`, `12 min`, `4 d`.
func readableAge(_ nanoseconds: Int64) -> String {
  let seconds = max(0, nanoseconds / 1_000_000_000)
  return Duration.seconds(
    seconds < 60
      ? seconds : seconds < 3600 ? seconds / 60 * 60 : seconds < 86400 ? seconds / 3600 * 3600 : seconds / 86400 * 86400
  ).readable().replacing("0 ns", with: "0 s", maxReplacements: seconds == 0 ? 1 : 0)
}

/// ISO 8601, in UTC, with whole seconds.
func timeText(_ nanoseconds: Int64) -> String {
  Date(timeIntervalSince1970: Double(nanoseconds / 1_000_000_000)).ISO8601Format()
}
