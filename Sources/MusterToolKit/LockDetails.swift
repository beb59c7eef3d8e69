// SPDX-License-Identifier: Apache-2.0
import MusterCLI

/// What `muster show` tells of a mutex, or of a read-write lock.
struct LockDetails: Equatable, Sendable, Encodable {
  struct Holder: Equatable, Sendable, Encodable {
    enum State: String, Sendable, Encodable {
      case alive, dead
    }

    /// Of a reader.
    var place: Int?
    var state: State
    /// nil: it was just taking the lock.
    var process: Int32?
    var thread: UInt32
    /// Since it took the lock, or had taken it when it died; nil: not known.
    var heldSeconds: Double?
  }

  enum Condition: String, Sendable, Encodable {
    case whole, unrepaired, poisoned
  }

  /// Of a read-write lock: how many may hold it or wait for it; nil for a mutex.
  var capacity: Int?
  var condition: Condition
  /// Of a read-write lock the writer.
  var holder: Holder?
  /// The last that is known to have died holding it.
  var lastDeath: Int32?
  var readers: [Holder]

  func lines() -> [String] {
    let died = lastDeath.map { [("died", "pid \($0) was the last to die holding it")] } ?? []
    guard let capacity else {
      return pairs([("lock", "mutex"), ("holder", Self.text(holder)), ("condition", conditionText)] + died)
    }
    return pairs(
      [
        ("lock", "read-write"), ("capacity", "\(capacity)"), ("writer", Self.text(holder)),
        ("condition", conditionText),
      ] + died) + table()
  }

  private var conditionText: String {
    switch condition {
    case .whole: "whole"
    case .unrepaired: "unrepaired: the next to lock is told"
    case .poisoned: "poisoned, until it is reset"
    }
  }

  private static func text(_ holder: Holder?) -> String {
    guard let holder else { return "nobody" }
    let who = holder.process.map { "pid \($0)" } ?? "one that is not known yet"
    return who + (holder.state == .dead ? ", dead" : "") + (holder.heldSeconds.map { ", \(Self.text($0)) ago" } ?? "")
  }

  private static func text(_ seconds: Double) -> String { readableAge(Int64(seconds) * 1_000_000_000) }

  private func table() -> [String] {
    guard !readers.isEmpty else { return ["", "nobody reads"] }
    var table = TextTable([("PLACE", .right), ("STATE", .left), ("PID", .right), ("THREAD", .right), ("SINCE", .right)])
    for reader in readers {
      table.append([
        reader.place.map { "\($0)" } ?? "", reader.state.rawValue, reader.process.map { "\($0)" } ?? "",
        "\(reader.thread)", reader.heldSeconds.map { Self.text($0) } ?? "",
      ])
    }
    return [""] + table.lines()
  }
}
