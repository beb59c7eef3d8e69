// SPDX-License-Identifier: Apache-2.0
import MusterCLI

/// What `muster show` tells of what a region holds.
enum ObjectDetails: Equatable, Sendable {
  case barrier(BarrierDetails)
  case group(capacity: Int, members: [MemberDetails])
  case counters(CounterDetails)
  case lock(LockDetails)
  case checkpoint(CheckpointDetails)
  case ring(RingDetails)
  case pool(PoolDetails)
  case queue(QueueDetails)
  case trace(TraceDetails)
  case log(LogDetails)
  case root(RootDetails)
  case pair(PairDetails)
  /// Of a kind that has no more to tell, or that can't be read; `note` says why.
  case other(note: String?)
}

struct MemberDetails: Equatable, Sendable, Encodable {
  enum State: String, Sendable, Encodable {
    case alive, left, dead
  }

  var place: Int
  var state: State
  var process: Int32
  var thread: UInt32
  /// How many have joined in this place so far.
  var incarnation: UInt32
}

struct BarrierDetails: Equatable, Sendable, Encodable {
  var parties: Int
  var arrived: Int
  var phase: Int
  var onDeath: String
  /// `timed-out`, `aborted`, `death`, `action`; nil when it is whole.
  var broken: String?
  /// The place of the member that it is broken by.
  var culprit: Int?
  var isInAction: Bool
  var members: [MemberDetails]

  var brokenText: String {
    let who = culprit.map { " of place \($0)" } ?? ""
    switch broken {
    case nil: return "no"
    case "timed-out": return "by the deadline\(who)"
    case "death": return "by the death\(who)"
    case "action": return "in the action\(who)"
    case "aborted": return "by abort"
    case let other?: return other
    }
  }
}

struct CounterDetails: Equatable, Sendable, Encodable {
  struct Value: Equatable, Sendable, Encodable {
    var index: Int
    var label: String?
    var value: UInt64
  }

  /// How many writes there have been.
  var sequence: UInt64
  /// The process that writes, or that died as the writer; nil when nobody does.
  var writer: Int32?
  var isWriterDead = false
  var values: [Value]
}

extension ObjectDetails {
  /// Lines below the region's own.
  func lines() -> [String] {
    switch self {
    case .barrier(let barrier):
      return pairs([
        ("parties", "\(barrier.parties)"), ("on death", barrier.onDeath), ("phase", "\(barrier.phase)"),
        ("arrived", "\(barrier.arrived) of \(barrier.parties)" + (barrier.isInAction ? ", the action runs" : "")),
        ("broken", barrier.brokenText),
      ]) + MemberDetails.table(barrier.members)
    case .group(let capacity, let members):
      let alive = members.count { $0.state == .alive }
      return pairs([("capacity", "\(capacity)"), ("alive", "\(alive)")]) + MemberDetails.table(members)
    case .counters(let counters):
      return pairs([
        ("writes", "\(counters.sequence)"), ("writer", counters.writerText),
      ]) + counters.table()
    case .lock(let lock):
      return lock.lines()
    case .checkpoint(let checkpoint):
      return checkpoint.lines()
    case .ring(let ring): return ring.lines()
    case .pool(let pool): return pool.lines()
    case .queue(let queue): return queue.lines()
    case .trace(let trace): return trace.lines()
    case .log(let log): return log.lines()
    case .root(let root): return root.lines()
    case .pair(let pair): return pair.lines()
    case .other(let note):
      return note.map { [$0] } ?? []
    }
  }
}

extension MemberDetails {
  static func table(_ members: [MemberDetails]) -> [String] {
    guard !members.isEmpty else { return ["", "nobody has joined"] }
    var table = TextTable([("PLACE", .right), ("STATE", .left), ("PID", .right), ("THREAD", .right), ("JOINS", .right)])
    for member in members {
      table.append([
        "\(member.place)", member.state.rawValue, "\(member.process)", "\(member.thread)", "\(member.incarnation)",
      ])
    }
    return [""] + table.lines()
  }
}

extension CounterDetails {
  var writerText: String {
    writer.map { "pid \($0)" + (isWriterDead ? ", dead" : "") } ?? "nobody"
  }

  func table() -> [String] {
    var table = TextTable([("INDEX", .right), ("LABEL", .left), ("VALUE", .right)])
    for value in values { table.append(["\(value.index)", printable(value.label ?? ""), "\(value.value)"]) }
    return [""] + table.lines()
  }
}

/// `name   value` lines, the values under each other.
func pairs(_ pairs: [(String, String)]) -> [String] {
  let width = 10
  return pairs.map { $0.0 + String(repeating: " ", count: max(1, width - $0.0.count)) + $0.1 }
}

/// What `show --json` prints: the region, and the one of the others that it holds.
struct ShowReport: Encodable, Sendable {
  struct Group: Encodable, Sendable {
    var capacity: Int
    var members: [MemberDetails]
  }

  var region: RegionReport
  var barrier: BarrierDetails?
  var group: Group?
  var counters: CounterDetails?
  var lock: LockDetails?
  var checkpoint: CheckpointDetails?
  var ring: RingDetails?
  var pool: PoolDetails?
  var queue: QueueDetails?
  var trace: TraceDetails?
  var log: LogDetails?
  var root: RootDetails?
  var pair: PairDetails?
  var note: String?

  init(_ entry: RegionEntry, _ details: ObjectDetails, now: Int64) {
    region = RegionReport(entry, now: now)
    switch details {
    case .barrier(let barrier): self.barrier = barrier
    case .group(let capacity, let members): group = Group(capacity: capacity, members: members)
    case .counters(let counters): self.counters = counters
    case .lock(let lock): self.lock = lock
    case .checkpoint(let checkpoint): self.checkpoint = checkpoint
    case .ring(let ring): self.ring = ring
    case .pool(let pool): self.pool = pool
    case .queue(let queue): self.queue = queue
    case .trace(let trace): self.trace = trace
    case .log(let log): self.log = log
    case .root(let root): self.root = root
    case .pair(let pair): self.pair = pair
    case .other(let note): self.note = note
    }
  }
}

extension RegionEntry {
  /// The region's own lines of `show`.
  func lines(now: Int64) -> [String] {
    pairs([
      ("name", printable(name)), ("kind", kindName),
      ("size", "\(readableSize(size)), \(readableSize(fileSize)) in memory"),
      ("owner", "\(printable(owner)), mode \(octal(mode))"), ("state", isHeld ? "held" : "stale: nobody holds it"),
      (
        "created",
        "\(timeText(created)), \(Duration.nanoseconds(age(now: now)).readable()) ago, by pid \(creator)"
      ),
    ])
  }
}
