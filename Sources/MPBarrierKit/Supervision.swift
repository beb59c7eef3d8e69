// SPDX-License-Identifier: Apache-2.0

/// What the process that starts workers does about what happens to them: events and the board in, decisions out. The clock
/// is an argument, so that tests need no waiting.
package struct Supervision: Sendable {
  /// How a worker process ended.
  package enum End: Equatable, Sendable {
    case exited(code: Int32, complaint: String)
    case signaled(Int32)
    case notStarted(String)
  }

  /// How long, after the first was told that the barrier is broken, the others may take until they are taken for stopped.
  static let grace: Int64 = 1_000_000_000
  /// Replacements in one run: a worker that can't live is not started for ever.
  static let replacementLimit = 64

  let plan: Plan
  let board: Board
  /// Those that this process starts.
  let workers: [Int]
  private let isProcessDead: @Sendable (Int32) -> Bool
  package private(set) var running: Set<Int>
  package private(set) var ending: Verdict.Ending?
  private var replacements = 0
  private let begun: Int64
  /// The last round that each worker of the whole run is known to have begun, by number less 1.
  private var current: [Int]

  package init(
    plan: Plan, board: Board, workers: [Int], now: Int64, isProcessDead: @escaping @Sendable (Int32) -> Bool
  ) {
    self.isProcessDead = isProcessDead
    self.plan = plan
    self.board = board
    self.workers = workers
    running = Set(workers)
    begun = now
    current = Array(repeating: 0, count: plan.parties)
  }

  /// A worker has ended. True: start another one in its place.
  package mutating func ended(_ worker: Int, _ end: End, now: Int64) -> Bool {
    running.remove(worker)
    defer { settle() }
    switch end {
    case .exited(0, _):
      board.giveUp(worker: worker)
      return false
    case .exited(_, let complaint), .notStarted(let complaint):
      board.giveUp(worker: worker)
      if ending == nil { ending = .failed(complaint.isEmpty ? "worker \(worker) failed" : complaint) }
      return false
    case .signaled:
      noteDeath(worker, now: now)
      let isOver = ending != nil || finished(worker) || isBroken
      guard plan.kind == .robust, plan.onDeath == .await, !isOver, replacements < Self.replacementLimit else {
        board.giveUp(worker: worker)
        return false
      }
      replacements += 1
      running.insert(worker)
      return true
    }
  }

  /// Time has passed: is it over?
  package mutating func looked(now: Int64) {
    guard ending == nil else { return }
    for index in current.indices {
      while current[index] < plan.rounds, board.lane(worker: index + 1, round: current[index] + 1).started != nil {
        current[index] += 1
      }
    }
    settle()
    guard ending == nil else { return }
    let lanes = current.enumerated().map { ($1, board.lane(worker: $0 + 1, round: $1)) }
    let told = lanes.compactMap { $1.outcome == .met ? nil : $1.left }
    if let first = told.min(), now - first > Self.grace {
      ending = .ended
    } else if now - lastMovement(lanes) > patience(lanes.map(\.0).max() ?? 0) {
      ending = .hung
    }
  }

  package mutating func interrupted(name: String, number: Int32) {
    if ending == nil { ending = .interrupted(name: name, number: number) }
  }

  package mutating func failed(_ line: String) {
    if ending == nil { ending = .failed(line) }
  }

  /// The run is over when no worker will come in any place any more. Who began or joined it sees it through to there, also
  /// when its own workers have ended.
  private mutating func settle() {
    guard ending == nil, running.isEmpty else { return }
    if (1...plan.parties).allSatisfy({ board.isGone(worker: $0) || isLost($0) }) { ending = .ended }
  }

  /// Started by a process that is no more.
  private func isLost(_ worker: Int) -> Bool {
    board.supervisor(worker: worker).map(isProcessDead) ?? false
  }

  /// The end has come: whoever still runs is about to be killed, and the other processes of the run are told so.
  package func giveUpAll(now: Int64) {
    for worker in running.sorted() {
      if case .interrupted = ending, workers.count < plan.parties { noteDeath(worker, now: now) }
      board.giveUp(worker: worker)
    }
  }

  /// The last time at which anything happened, or, for who is at work, the time at which that work ends.
  private func lastMovement(_ lanes: [(Int, Lane)]) -> Int64 {
    lanes.reduce(begun) { latest, entry in
      let (round, lane) = entry
      let begin = lane.restarted ?? lane.started
      let isWorking = lane.arrived == nil && !lane.isDead
      let workEnd = isWorking ? begin.map { $0 + plan.workTime(worker: lane.worker, round: round) } : nil
      return max(latest, lane.left ?? lane.arrived ?? workEnd ?? begin ?? 0, lane.died ?? 0)
    }
  }

  /// The workers at a robust barrier end their waits themselves; only when they don't is it for the supervisor to do.
  private func patience(_ round: Int) -> Int64 {
    let deadline = round == 0 ? plan.rollCallDeadline : plan.deadline
    return plan.kind == .posix ? deadline : deadline + Self.grace
  }

  private var isBroken: Bool {
    current.enumerated().contains {
      let outcome = board.lane(worker: $0 + 1, round: $1).outcome
      return outcome != nil && outcome != .met
    }
  }

  private func lastRound(_ worker: Int) -> Int {
    var round = current[worker - 1]
    while round < plan.rounds, board.lane(worker: worker, round: round + 1).started != nil { round += 1 }
    return round
  }

  private func finished(_ worker: Int) -> Bool {
    board.lane(worker: worker, round: plan.rounds).left != nil
  }

  /// A worker that left a round and began no other died in the next one.
  private func noteDeath(_ worker: Int, now: Int64) {
    let last = lastRound(worker)
    let lane = board.lane(worker: worker, round: last)
    if lane.left != nil {
      if last < plan.rounds { board.died(worker: worker, round: last + 1, at: now, asked: false) }
    } else if lane.died == nil || lane.restarted != nil {
      board.died(worker: worker, round: last, at: now, asked: false)
    }
  }
}
