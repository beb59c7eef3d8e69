// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

/// What a worker meets the others at: one of the two kinds of barrier.
protocol MeetingPoint {
  /// The phase that the next arrival belongs to; 0 is the roll call, and round r is phase r.
  var phase: Int { get }
  /// This worker's place in the barrier, where it has places.
  var place: Int? { get }
  /// Arrives and waits. Blocks the thread, for a time at most where the barrier can.
  mutating func meet(within patience: Duration) -> Meeting
}

/// What a wait came to.
struct Meeting {
  /// The phase that was met in; nil where the wait ended otherwise.
  var phase: Int?
  var outcome: Outcome
  /// The place of the member that died, where that ended the wait.
  var culpritPlace: Int?
  /// What went wrong, at `.failed`.
  var failure: String?
}

/// The robust barrier, joined.
struct RobustMeeting: MeetingPoint {
  private let barrier: Barrier

  init(_ plan: Plan) throws(BarrierError) {
    let policy: Barrier.OnDeath =
      switch plan.onDeath {
      case .break: .break
      case .shrink: .shrink
      case .await: .await
      }
    barrier = try Barrier(plan.name, parties: plan.parties, onDeath: policy)
  }

  // A barrier that can't be asked can't be met at either, which is where that is told.
  var phase: Int { (try? barrier.state()).map { Int($0.phase) } ?? 0 }
  var place: Int? { barrier.member }

  func meet(within patience: Duration) -> Meeting {
    do throws(BarrierError) {
      return Meeting(phase: Int(try barrier.waitBlocking(for: patience).phase), outcome: .met)
    } catch {
      switch error.code {
      case .timedOut: return Meeting(outcome: .timedOut)
      case .memberDied: return Meeting(outcome: .death, culpritPlace: error.member)
      case .broken: return Meeting(outcome: error.member == nil ? .broken : .death, culpritPlace: error.member)
      case .aborted: return Meeting(outcome: .canceled)
      default: return Meeting(outcome: .failed, failure: "\(error)")
      }
    }
  }
}

/// The POSIX barrier. It has neither phases nor places nor deadlines: this counts, and the parent ends who hangs.
struct PosixMeeting: MeetingPoint {
  private let barrier: PosixBarrier
  private(set) var phase = 0

  init(_ plan: Plan) throws(BarrierError) {
    barrier = try PosixBarrier(plan.name, parties: plan.parties)
  }

  var place: Int? { nil }

  mutating func meet(within _: Duration) -> Meeting {
    do throws(BarrierError) {
      _ = try barrier.waitBlocking()
      defer { phase += 1 }
      return Meeting(phase: phase, outcome: .met)
    } catch {
      return Meeting(outcome: .failed, failure: "\(error)")
    }
  }
}

extension WorkerOrders {
  /// Works and meets to the end. Returns what went wrong, or nil.
  func serve() -> String? {
    do throws(CommandFailure) {
      guard let region = try BoardRegion(attaching: name, within: .zero) else { return "the board is gone" }
      return try region.withBoard { board throws(CommandFailure) in try work(on: board) }
    } catch {
      return error.line
    }
  }

  private func work(on board: Board) throws(CommandFailure) -> String? {
    guard let plan = try? board.plan(name: name) else { throw CommandFailure("\(Board.Corrupt())") }
    let trace = WorkerTrace(run: name, worker: number)
    defer { trace?.close() }
    let worker = Worker(plan: plan, number: number, kills: kills, stops: stops, board: board, trace: trace)
    do {
      switch plan.kind {
      case .robust:
        var meetingPoint = try RobustMeeting(plan)
        return worker.run(at: &meetingPoint)
      case .posix:
        var meetingPoint = try PosixMeeting(plan)
        return worker.run(at: &meetingPoint)
      }
    } catch {
      throw CommandFailure("\(error)")
    }
  }
}
