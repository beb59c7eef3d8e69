// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// Where things lie on the board, in bytes. The board is a region beside the barrier's: `NAME.board`.
package enum BoardLayout {
  static let headerWords = 16
  static let slotWords = 16
  static let recordWords = 8
  static let recordBytes = recordWords * 8

  /// The header and the slots of the workers.
  static func fixedBytes(parties: Int) -> Int {
    (headerWords + parties * slotWords) * 8
  }

  /// A record for each worker in each round; round 0 is the roll call.
  package static func bytes(parties: Int, rounds: Int) -> Int {
    fixedBytes(parties: parties) + parties * (rounds + 1) * recordBytes
  }

  enum Header: Int {
    case parties, rounds, kind, onDeath, workMinimum, workMaximum, seed, deadline
  }

  /// Of a worker's place. Written by the process that starts the worker, but for `barrierPlace`.
  enum Slot: Int {
    /// The process that starts workers in this place: 0 nobody yet.
    case supervisor
    /// 1 when no worker will come in this place any more.
    case isGone
    /// The member's place in the barrier, plus 1. Written by the worker.
    case barrierPlace
  }

  /// Of a worker in a round. Written by the worker alone; the process that started it writes `died` after its death.
  enum Record: Int {
    case started, arrived, left, outcome, died, deathWasAsked, restarted, stopped
  }
}

/// What the processes of a run tell each other besides meeting: the plan, who takes which place, and each round's times.
///
/// It lies in shared memory as 64-bit atomics, so that what a worker noted stays readable when the next instruction kills it.
/// Every word has one writer at a time, no lock is needed, and readers check what they read: the plan is copied once
/// and bounds the rest.
package struct Board: @unchecked Sendable {
  private typealias Word = Atomic<Int64>

  private let words: UnsafeMutablePointer<Word>
  private let wordCount: Int
  package let parties: Int
  package let rounds: Int

  package struct Corrupt: Error, CustomStringConvertible {
    package let description = "the board of this barrier is corrupt"
  }

  /// Writes the plan onto zeroed memory that nobody else sees yet.
  package static func lay(_ plan: Plan, on memory: UnsafeMutableRawBufferPointer) {
    precondition(memory.count >= BoardLayout.bytes(parties: plan.parties, rounds: plan.rounds))
    func put(_ field: BoardLayout.Header, _ value: Int64) {
      memory.storeBytes(of: value, toByteOffset: field.rawValue * 8, as: Int64.self)
    }
    put(.parties, Int64(plan.parties))
    put(.rounds, Int64(plan.rounds))
    put(.kind, Int64(BarrierKind.allCases.firstIndex(of: plan.kind) ?? 0))
    put(.onDeath, Int64(DeathPolicy.allCases.firstIndex(of: plan.onDeath) ?? 0))
    put(.workMinimum, plan.work.minimum)
    put(.workMaximum, plan.work.maximum)
    put(.seed, Int64(bitPattern: plan.seed))
    put(.deadline, plan.deadline)
  }

  /// Reads a board from memory, which must stay mapped as long as the board is used.
  package init(memory: UnsafeMutableRawBufferPointer) throws(Corrupt) {
    guard let base = memory.baseAddress, memory.count >= BoardLayout.headerWords * 8 else { throw Corrupt() }
    words = base.assumingMemoryBound(to: Word.self)
    wordCount = memory.count / 8
    let parties = words[BoardLayout.Header.parties.rawValue].load(ordering: .relaxed)
    let rounds = words[BoardLayout.Header.rounds.rawValue].load(ordering: .relaxed)
    guard (1...Int64(Plan.partiesLimit)).contains(parties), (1...Int64(Plan.boardLimit)).contains(rounds),
      BoardLayout.bytes(parties: Int(parties), rounds: Int(rounds)) <= memory.count
    else { throw Corrupt() }
    self.parties = Int(parties)
    self.rounds = Int(rounds)
  }

  /// The plan that the first to come wrote.
  package func plan(name: String) throws(Corrupt) -> Plan {
    let kind = header(.kind)
    let policy = header(.onDeath)
    let limit = Int64(WorkRange.limit) * 1000
    guard BarrierKind.allCases.indices.contains(Int(kind)), DeathPolicy.allCases.indices.contains(Int(policy)),
      header(.workMinimum) >= 0, header(.workMinimum) <= header(.workMaximum), header(.workMaximum) <= limit,
      header(.deadline) > 0
    else { throw Corrupt() }
    var work = WorkRange.standard
    work.minimum = header(.workMinimum)
    work.maximum = header(.workMaximum)
    return Plan(
      name: name, parties: parties, rounds: rounds, kind: BarrierKind.allCases[Int(kind)],
      onDeath: DeathPolicy.allCases[Int(policy)], work: work, seed: UInt64(bitPattern: header(.seed)),
      deadline: header(.deadline))
  }

  private func header(_ field: BoardLayout.Header) -> Int64 {
    words[field.rawValue].load(ordering: .relaxed)
  }

  private func slot(_ worker: Int, _ field: BoardLayout.Slot) -> UnsafeMutablePointer<Word> {
    precondition((1...parties).contains(worker))
    return words + BoardLayout.headerWords + (worker - 1) * BoardLayout.slotWords + field.rawValue
  }

  private func record(_ worker: Int, _ round: Int, _ field: BoardLayout.Record) -> UnsafeMutablePointer<Word> {
    precondition((1...parties).contains(worker) && (0...rounds).contains(round))
    let records = BoardLayout.headerWords + parties * BoardLayout.slotWords
    return words + records + (round * parties + worker - 1) * BoardLayout.recordWords + field.rawValue
  }

  // MARK: Places

  /// Takes `count` places for workers that process `supervisor` starts: free ones, and those of a process that is no more. All
  /// or none: nil when there are not so many.
  package func claim(_ count: Int, supervisor: Int32, isProcessDead: (Int32) -> Bool) -> [Int]? {
    var claimed: [Int] = []
    for worker in 1...parties where claimed.count < count {
      let word = slot(worker, .supervisor)
      let holder = word.pointee.load(ordering: .acquiring)
      let isGone = slot(worker, .isGone).pointee.load(ordering: .acquiring) != 0
      guard holder == 0 || (!isGone && isProcessDead(Int32(truncatingIfNeeded: holder))) else { continue }
      if word.pointee.compareExchange(expected: holder, desired: Int64(supervisor), ordering: .acquiringAndReleasing)
        .exchanged
      {
        claimed.append(worker)
      }
    }
    if claimed.count == count { return claimed }
    for worker in claimed { slot(worker, .supervisor).pointee.store(0, ordering: .releasing) }
    return nil
  }

  /// How many places somebody has taken.
  package var claimed: Int {
    (1...parties).count { slot($0, .supervisor).pointee.load(ordering: .acquiring) != 0 }
  }

  /// The process that starts workers in this place, if any has taken it.
  package func supervisor(worker: Int) -> Int32? {
    let holder = slot(worker, .supervisor).pointee.load(ordering: .acquiring)
    return holder == 0 ? nil : Int32(truncatingIfNeeded: holder)
  }

  /// No worker will come in this place any more.
  package func giveUp(worker: Int) {
    slot(worker, .isGone).pointee.store(1, ordering: .releasing)
  }

  package func isGone(worker: Int) -> Bool {
    slot(worker, .isGone).pointee.load(ordering: .acquiring) != 0
  }

  package func joined(worker: Int, barrierPlace: Int) {
    slot(worker, .barrierPlace).pointee.store(Int64(barrierPlace) + 1, ordering: .releasing)
  }

  /// Which worker has, or had, a place in the barrier.
  package func worker(barrierPlace: Int) -> Int? {
    (1...parties).first { slot($0, .barrierPlace).pointee.load(ordering: .acquiring) == Int64(barrierPlace) + 1 }
  }

  // MARK: Times

  private func note(_ worker: Int, _ round: Int, _ field: BoardLayout.Record, _ value: Int64) {
    record(worker, round, field).pointee.store(value, ordering: .releasing)
  }

  /// Work begins, or begins anew in the place of a worker that died in this round.
  package func started(worker: Int, round: Int, at time: Int64) {
    let isAnew = record(worker, round, .started).pointee.load(ordering: .relaxed) != 0
    note(worker, round, isAnew ? .restarted : .started, time)
  }

  package func arrived(worker: Int, round: Int, at time: Int64) {
    note(worker, round, .arrived, time)
  }

  package func left(worker: Int, round: Int, at time: Int64, outcome: Outcome, culprit: Int?) {
    note(worker, round, .outcome, outcome.rawValue | Int64(culprit ?? 0) << 8)
    note(worker, round, .left, time)
  }

  /// The worker is about to die, or has died, in this round.
  package func died(worker: Int, round: Int, at time: Int64, asked: Bool) {
    note(worker, round, .deathWasAsked, asked ? 1 : 0)
    note(worker, round, .died, time)
  }

  /// The worker is about to stop; 0 when it goes on.
  package func stopped(worker: Int, round: Int, at time: Int64) {
    note(worker, round, .stopped, time)
  }

  /// The last round that a worker began, if any.
  package func lastRound(worker: Int) -> Int? {
    // Rounds are begun in order, so the begun ones are a prefix but for those that a place lay empty in.
    stride(from: rounds, through: 0, by: -1).first {
      record(worker, $0, .started).pointee.load(ordering: .acquiring) != 0
    }
  }

  package func lane(worker: Int, round: Int) -> Lane {
    func read(_ field: BoardLayout.Record) -> Int64? {
      let value = record(worker, round, field).pointee.load(ordering: .acquiring)
      return value == 0 ? nil : value
    }
    var lane = Lane(worker: worker)
    // Before the times: who is gone writes no more.
    lane.isGone = isGone(worker: worker)
    lane.left = read(.left)
    lane.arrived = read(.arrived)
    lane.started = read(.started)
    lane.restarted = read(.restarted)
    lane.stopped = read(.stopped)
    lane.died = read(.died)
    lane.deathWasAsked = lane.died != nil && read(.deathWasAsked) != nil
    if lane.left != nil, let outcome = read(.outcome) {
      lane.outcome = Outcome(rawValue: outcome & 0xFF) ?? .failed
      let culprit = Int(truncatingIfNeeded: outcome >> 8)
      lane.culprit = (1...parties).contains(culprit) ? culprit : nil
    }
    return lane
  }

  package func round(_ number: Int) -> Round {
    Round(number: number, lanes: (1...parties).map { lane(worker: $0, round: number) })
  }
}
