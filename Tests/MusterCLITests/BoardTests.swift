// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Testing

@testable import MPBarrierKit

@Suite("The board, and the plan that stands on it")
struct BoardTests {
  private func withBoard(_ plan: Plan, _ body: (Board, UnsafeMutableRawBufferPointer) throws -> Void) throws {
    let size = BoardLayout.bytes(parties: plan.parties, rounds: plan.rounds)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 256)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    Board.lay(plan, on: memory)
    try body(Board(memory: memory), memory)
  }

  private let plan = Plan(
    name: "crew", parties: 3, rounds: 4, kind: .robust, onDeath: .await, work: WorkRange(milliseconds: 1, 7),
    seed: .max - 4, deadline: 3_000_000_000)

  @Test("Who attaches reads the plan that the first wrote")
  func readsPlan() throws {
    try withBoard(plan) { board, _ in
      let read = try board.plan(name: "crew")
      #expect(read == plan)
    }
  }

  @Test("Places: all or none, no place twice, and those of a dead process again")
  func claims() throws {
    try withBoard(plan) { board, _ in
      #expect(board.claim(2, supervisor: 10) { _ in false } == [1, 2])
      #expect(board.claim(2, supervisor: 11) { _ in false } == nil)
      #expect(board.claimed == 2)
      #expect(board.claim(1, supervisor: 11) { _ in false } == [3])
      #expect(board.claim(1, supervisor: 12) { _ in false } == nil)
      board.giveUp(worker: 1)
      #expect(board.claim(1, supervisor: 12) { $0 == 10 } == [2])
    }
  }

  @Test("Times come back as they were noted, a second start in a round as the replacement's")
  func notes() throws {
    try withBoard(plan) { board, _ in
      board.started(worker: 2, round: 3, at: 100)
      board.died(worker: 2, round: 3, at: 150, asked: true)
      #expect(board.lane(worker: 2, round: 3).isDead)
      board.started(worker: 2, round: 3, at: 200)
      board.arrived(worker: 2, round: 3, at: 300)
      board.left(worker: 2, round: 3, at: 400, outcome: .death, culprit: 3)
      let lane = board.lane(worker: 2, round: 3)
      #expect(lane.started == 100 && lane.restarted == 200 && lane.arrived == 300 && lane.left == 400)
      #expect(lane.outcome == .death && lane.culprit == 3 && lane.deathWasAsked && !lane.isDead)
      #expect(board.lastRound(worker: 2) == 3)
      #expect(board.lastRound(worker: 1) == nil)
      #expect(board.lane(worker: 1, round: 3) == Lane(worker: 1))
    }
  }

  @Test("Which worker has a place in the barrier")
  func places() throws {
    try withBoard(plan) { board, _ in
      board.joined(worker: 3, barrierPlace: 0)
      #expect(board.worker(barrierPlace: 0) == 3)
      #expect(board.worker(barrierPlace: 1) == nil)
    }
  }

  @Test("A corrupt board is refused, whichever word of the plan is wrong", arguments: 0..<8)
  func corrupt(word: Int) throws {
    try withBoard(plan) { _, memory in
      for value in [Int64.min, -1, 1 << 40, .max] where !(word == 6 || (word == 7 && value > 0)) {
        memory.storeBytes(of: value, toByteOffset: word * 8, as: Int64.self)
        #expect(throws: Board.Corrupt.self) { try Board(memory: memory).plan(name: "crew") }
      }
    }
    #expect(throws: Board.Corrupt.self) {
      try Board(memory: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }
  }

  @Test("Uneven work stays in its range, differs from worker to worker, and is the same for the same seed")
  func work() {
    let times = (1...3).flatMap { worker in (1...4).map { plan.workTime(worker: worker, round: $0) } }
    #expect(times.allSatisfy { (1_000_000...7_000_000).contains($0) })
    #expect(Set(times).count > 6)
    #expect(times == (1...3).flatMap { worker in (1...4).map { plan.workTime(worker: worker, round: $0) } })
    #expect(plan.workTime(worker: 1, round: 0) == 0)
  }

  @Test("splitmix64 gives its published numbers")
  func splitMix() {
    var generator = SplitMix64(state: 1_234_567)
    #expect(generator.next() == 6_457_827_717_110_365_317)
    #expect(generator.next() == 3_203_168_211_198_807_973)
  }

  @Test("The most rounds fit into the most memory, one more does not")
  func limits() {
    for parties in [1, 4, 256] {
      let most = Plan.roundsLimit(parties: parties)
      #expect(BoardLayout.bytes(parties: parties, rounds: most) <= Plan.boardLimit)
      #expect(BoardLayout.bytes(parties: parties, rounds: most + 1) > Plan.boardLimit)
    }
  }
}

@Suite("Arguments of mpbarrier")
struct ArgumentTests {
  @Test("WORKER@ROUND, both from 1")
  func workerAtRound() throws {
    #expect(try WorkerAtRound(argument: "2@3") == WorkerAtRound(worker: 2, round: 3))
    for text in ["", "2", "@", "2@", "@3", "0@1", "1@0", "-1@2", "1@2@3", "a@b", "1 @2"] {
      #expect(throws: (any Error).self, "\(text)") { try WorkerAtRound(argument: text) }
    }
  }

  @Test("MIN..MAX in milliseconds")
  func workRange() throws {
    #expect(try WorkRange(argument: "20..200") == WorkRange(milliseconds: 20, 200))
    #expect(try WorkRange(argument: "0..0") == WorkRange(milliseconds: 0, 0))
    #expect(try WorkRange(argument: "5") == WorkRange(milliseconds: 5, 5))
    #expect(try WorkRange(argument: "0.5..1.25").minimum == 500)
    #expect(try WorkRange(argument: "20..200").description == "20..200")
    for text in ["", "..", "5..", "..5", "9..3", "-1..3", "a..b", "1..2..3", "nan..nan", "1..9999999", "1...2"] {
      #expect(throws: (any Error).self, "\(text)") { try WorkRange(argument: text) }
    }
  }
}
