// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Testing

@testable import MPBarrierKit

private let second: Int64 = 1_000_000_000

/// A run of which only the board is real: no process, and a clock that is a number.
private final class Scene {
  let board: Board
  let plan: Plan
  private let memory: UnsafeMutableRawBufferPointer

  init(_ kind: BarrierKind = .robust, _ onDeath: DeathPolicy = .break, rounds: Int = 3) throws {
    plan = Plan(
      name: "crew", parties: 3, rounds: rounds, kind: kind, onDeath: onDeath, work: WorkRange(milliseconds: 10, 10),
      seed: 1, deadline: 2 * second)
    memory = .allocate(byteCount: BoardLayout.bytes(parties: 3, rounds: rounds), alignment: 256)
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    Board.lay(plan, on: memory)
    board = try Board(memory: memory)
  }

  deinit { memory.deallocate() }

  func supervision(_ workers: [Int] = [1, 2, 3], dead: Set<Int32> = []) -> Supervision {
    _ = board.claim(workers.count, supervisor: 10) { _ in false }
    return Supervision(plan: plan, board: board, workers: workers, now: second) { dead.contains($0) }
  }

  func meet(_ round: Int, at time: Int64, workers: [Int] = [1, 2, 3]) {
    for worker in workers {
      board.started(worker: worker, round: round, at: time)
      board.arrived(worker: worker, round: round, at: time)
      board.left(worker: worker, round: round, at: time, outcome: .met, culprit: nil)
    }
  }
}

@Suite("What is done about what happens to workers")
struct SupervisionTests {
  @Test("It is over when all have ended")
  func over() throws {
    let scene = try Scene()
    var supervision = scene.supervision()
    for worker in 1...3 {
      #expect(supervision.ending == nil)
      let again = supervision.ended(worker, .exited(code: 0, complaint: ""), now: 2 * second)
      #expect(!again)
    }
    #expect(supervision.ending == .ended)
  }

  @Test("With await a worker that was killed is started again; with the others it is not")
  func replaced() throws {
    for policy in DeathPolicy.allCases {
      let scene = try Scene(.robust, policy)
      scene.meet(0, at: second)
      scene.board.started(worker: 2, round: 1, at: second)
      var supervision = scene.supervision()
      let again = supervision.ended(2, .signaled(9), now: 2 * second)
      #expect(again == (policy == .await))
      #expect(scene.board.isGone(worker: 2) == (policy != .await))
      let lane = scene.board.lane(worker: 2, round: 1)
      #expect(lane.died == 2 * second && !lane.deathWasAsked)
    }
  }

  @Test("A worker that can't live is not started for ever")
  func crashLoop() throws {
    let scene = try Scene(.robust, .await)
    scene.meet(0, at: second)
    scene.board.started(worker: 2, round: 1, at: second)
    var supervision = scene.supervision()
    let starts = (0..<1000).prefix { _ in supervision.ended(2, .signaled(11), now: second) }.count
    #expect(starts == Supervision.replacementLimit)
  }

  @Test("A death that the worker noted itself stays as it noted it")
  func notedDeath() throws {
    let scene = try Scene()
    scene.meet(0, at: second)
    scene.board.started(worker: 2, round: 1, at: second)
    scene.board.died(worker: 2, round: 1, at: second + 5, asked: true)
    var supervision = scene.supervision()
    _ = supervision.ended(2, .signaled(9), now: 2 * second)
    #expect(scene.board.lane(worker: 2, round: 1).died == second + 5)
    #expect(scene.board.lane(worker: 2, round: 1).deathWasAsked)
  }

  @Test("Who dies between two rounds died in the later one, and after the last in none")
  func betweenRounds() throws {
    let scene = try Scene(rounds: 1)
    scene.meet(0, at: second)
    var supervision = scene.supervision()
    _ = supervision.ended(2, .signaled(9), now: 2 * second)
    #expect(scene.board.lane(worker: 2, round: 1).died == 2 * second)
    scene.meet(1, at: 3 * second, workers: [1, 3])
    _ = supervision.ended(1, .signaled(9), now: 4 * second)
    #expect(scene.board.lane(worker: 1, round: 1).died == nil)
  }

  @Test("What a worker complains of ends the run, in its words")
  func complaint() throws {
    var supervision = try Scene().supervision()
    _ = supervision.ended(2, .exited(code: 1, complaint: "worker 2: no space left"), now: second)
    #expect(supervision.ending == .failed("worker 2: no space left"))
  }

  @Test("After a deadline broke the barrier, who is stopped is waited for a second and no longer")
  func stopped() throws {
    let scene = try Scene()
    scene.meet(0, at: second)
    for worker in 1...3 { scene.board.started(worker: worker, round: 1, at: second) }
    scene.board.stopped(worker: 2, round: 1, at: second)
    for worker in [1, 3] {
      scene.board.arrived(worker: worker, round: 1, at: 2 * second)
      scene.board.left(worker: worker, round: 1, at: 4 * second, outcome: .timedOut, culprit: nil)
    }
    var supervision = scene.supervision()
    supervision.looked(now: 4 * second + second / 2)
    #expect(supervision.ending == nil)
    supervision.looked(now: 5 * second + 1)
    #expect(supervision.ending == .ended)
  }

  @Test("The POSIX kind is taken for hung at the deadline, not while somebody still works")
  func hung() throws {
    let scene = try Scene(.posix)
    scene.meet(0, at: second)
    for worker in 1...3 { scene.board.started(worker: worker, round: 1, at: 2 * second) }
    for worker in [1, 3] { scene.board.arrived(worker: worker, round: 1, at: 2 * second) }
    var supervision = scene.supervision()
    supervision.looked(now: 4 * second + 10_000_000)
    #expect(supervision.ending == nil)
    supervision.looked(now: 4 * second + 10_000_001)
    #expect(supervision.ending == .hung)
  }

  @Test("The roll call is waited for longer: others may have to be typed in")
  func rollCall() throws {
    let scene = try Scene(.posix)
    for worker in 1...2 { scene.board.started(worker: worker, round: 0, at: second) }
    var supervision = scene.supervision([1, 2])
    supervision.looked(now: 50 * second)
    #expect(supervision.ending == nil)
    supervision.looked(now: 62 * second)
    #expect(supervision.ending == .hung)
  }

  @Test("Who joined sees the run through, and does not wait for a process that is no more")
  func joined() throws {
    let scene = try Scene(.robust, .shrink)
    var other = scene.supervision([1, 2])
    _ = scene.board.claim(1, supervisor: 20) { _ in false }
    var joined = Supervision(plan: scene.plan, board: scene.board, workers: [3], now: second) { _ in false }
    _ = joined.ended(3, .signaled(9), now: second)
    #expect(joined.ending == nil)
    for worker in [1, 2] { _ = other.ended(worker, .exited(code: 0, complaint: ""), now: second) }
    joined.looked(now: second)
    #expect(joined.ending == .ended)
    #expect(other.ending == .ended)

    let lost = try Scene()
    _ = lost.supervision([1, 2])
    _ = lost.board.claim(1, supervisor: 20) { _ in false }
    var left = Supervision(plan: lost.plan, board: lost.board, workers: [3], now: second) { $0 == 10 }
    _ = left.ended(3, .exited(code: 0, complaint: ""), now: second)
    #expect(left.ending == .ended)
  }

  @Test("Orders come back from a command line as they went")
  func orders() {
    let orders = WorkerOrders(name: "x", number: 3, parent: 77, kills: [2, 9], stops: [])
    #expect(WorkerOrders(arguments: orders.arguments) == orders)
    for wrong in [[], ["4"], ["worker"], ["worker", "a", "b", "c", "kill=", "stop="]] {
      #expect(WorkerOrders(arguments: wrong) == nil)
    }
  }
}
