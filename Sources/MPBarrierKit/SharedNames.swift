// SPDX-License-Identifier: Apache-2.0
import CMuster
import MusterCLI

/// The board's region, mapped.
final class BoardRegion {
  let board: Board
  private let region: OpaquePointer
  private static let kind: UInt32 = 0x4242_504D
  private static let version: UInt32 = 1

  /// Creates the board of a new run.
  init(creating plan: Plan) throws(CommandFailure) {
    var options = muster_region_options()
    options.flags = 1
    options.kind = Self.kind
    options.version = Self.version
    options.size = UInt64(BoardLayout.bytes(parties: plan.parties, rounds: plan.rounds))
    var plan = plan
    var region: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &plan) { plan in
      options.context = UnsafeMutableRawPointer(plan)
      options.initialize = { payload, size, context in
        guard let context else { return 22 }
        Board.lay(context.assumingMemoryBound(to: Plan.self).pointee, on: .init(start: payload, count: size))
        return 0
      }
      return muster_region_open(boardName(plan.pointee.name), &options, &region)
    }
    guard status == 0, let region else {
      throw CommandFailure("\(plan.name): \(String(cString: muster_status_text(status)))")
    }
    self.region = region
    board = try Self.read(region)
  }

  /// Attaches to the board of a run; nil when there is none by then.
  init?(attaching name: String, within patience: Int64) throws(CommandFailure) {
    var options = muster_region_options()
    options.flags = 2
    options.kind = Self.kind
    options.version = Self.version
    options.deadline = muster_deadline_after(patience)
    var region: OpaquePointer?
    let status = muster_region_open(boardName(name), &options, &region)
    if status == 2 || status == 110 { return nil }
    guard status == 0, let region else {
      throw CommandFailure("\(name): \(String(cString: muster_status_text(status)))")
    }
    self.region = region
    board = try Self.read(region)
  }

  private static func read(_ region: OpaquePointer) throws(CommandFailure) -> Board {
    do {
      return try Board(memory: .init(start: muster_region_payload(region), count: muster_region_size(region)))
    } catch { throw CommandFailure("\(error)") }
  }

  func close() { muster_region_close(region) }
}

func boardName(_ name: String) -> String { name + ".board" }

/// Removes what an earlier run left, which nobody holds.
func removeLeftovers(_ name: String) throws(CommandFailure) {
  for name in [boardName(name), name] {
    let status = muster_region_remove(name, 0)
    if status != 0, status != 2 { throw CommandFailure("\(name): \(String(cString: muster_status_text(status)))") }
  }
}

func removeNames(_ name: String) {
  for name in [name, boardName(name)] { _ = muster_region_remove(name, 0) }
}

struct RobustMeeting: MeetingPoint {
  let barrier: OpaquePointer
  var phase: Int { Int(muster_barrier_phase(barrier)) }
  var place: Int? { Int(muster_barrier_member(barrier)) }
  func meet(by deadline: Int64) -> Meeting {
    var result = muster_barrier_result()
    let status = muster_barrier_wait(barrier, deadline, &result)
    var meeting = Meeting(phase: Int(result.phase), outcome: .met)
    meeting.culpritPlace = result.culprit == UInt32.max ? nil : Int(result.culprit)
    switch status {
    case 0: break
    case 130: meeting.outcome = .death
    case 110: meeting.outcome = .timedOut
    case 125: meeting.outcome = .canceled
    case 131: meeting.outcome = meeting.culpritPlace != nil ? .death : .broken
    default:
      meeting.outcome = .failed
      meeting.failure = String(cString: muster_status_text(status))
    }
    return meeting
  }
}

struct PosixMeeting: MeetingPoint {
  let barrier: OpaquePointer
  var phase = 0
  var place: Int? { nil }
  mutating func meet(by deadline: Int64) -> Meeting {
    _ = muster_posix_barrier_wait(barrier, nil)
    defer { phase += 1 }
    return Meeting(phase: phase, outcome: .met)
  }
}

extension WorkerOrders {
  func serve() -> String? {
    do {
      guard let region = try BoardRegion(attaching: name, within: 0) else { return "the board is gone" }
      let plan = try region.board.plan(name: name)
      let worker = Worker(plan: plan, number: number, kills: kills, stops: stops, board: region.board)
      var barrier: OpaquePointer?
      switch plan.kind {
      case .robust:
        var options = muster_barrier_options()
        options.parties = UInt32(plan.parties)
        options.on_death = muster_on_death(rawValue: UInt32(DeathPolicy.allCases.firstIndex(of: plan.onDeath)!))!
        let status = muster_barrier_open(name, &options, &barrier)
        guard status == 0, let barrier else { return String(cString: muster_status_text(status)) }
        var meeting = RobustMeeting(barrier: barrier)
        return worker.run(at: &meeting)
      case .posix:
        var options = muster_posix_barrier_options()
        options.parties = UInt32(plan.parties)
        let status = muster_posix_barrier_open(name, &options, &barrier)
        guard status == 0, let barrier else { return String(cString: muster_status_text(status)) }
        var meeting = PosixMeeting(barrier: barrier)
        return worker.run(at: &meeting)
      }
    } catch { return "\(error)" }
  }
}
