// SPDX-License-Identifier: Apache-2.0

/// How a worker came out of the wait at the barrier.
package enum Outcome: Int64, CaseIterable, Sendable, Codable {
  /// All met; the worker was released.
  case met = 1
  /// Told that a member died.
  case death = 2
  /// Its own deadline passed.
  case timedOut = 3
  /// Told that the barrier is broken, by another's deadline.
  case broken = 4
  /// Told that somebody aborted or reset it.
  case canceled = 5
  /// Something else went wrong; the worker said what on standard error.
  case failed = 6

  package var name: String {
    switch self {
    case .met: "met"
    case .death: "death"
    case .timedOut: "timed-out"
    case .broken: "broken"
    case .canceled: "canceled"
    case .failed: "failed"
    }
  }
}

/// One worker's part in one round: times in nanoseconds of CLOCK_MONOTONIC, nil for what has not happened.
package struct Lane: Equatable, Sendable {
  /// Counted from 1.
  package var worker: Int
  package var started: Int64?
  package var arrived: Int64?
  package var left: Int64?
  package var outcome: Outcome?
  /// Whose death it was told of, or whose deadline; nil where unknown.
  package var culprit: Int?
  /// When the worker of this place died in this round, and whether that was asked for.
  package var died: Int64?
  package var deathWasAsked = false
  /// When its replacement began.
  package var restarted: Int64?
  /// When it stopped as asked; nil again when it goes on.
  package var stopped: Int64?
  /// No worker will come in this place any more.
  package var isGone = false

  package init(worker: Int) {
    self.worker = worker
  }

  /// Dead in this round, with nobody in its place.
  package var isDead: Bool { died != nil && restarted == nil }

  package var wait: Int64? {
    guard let arrived, let left else { return nil }
    return max(0, left - arrived)
  }
}

/// One round of all workers. Round 0 is the roll call, at which all meet once before the first work.
package struct Round: Equatable, Sendable {
  package var number: Int
  package var lanes: [Lane]

  package init(number: Int, lanes: [Lane]) {
    self.number = number
    self.lanes = lanes
  }

  package var met: [Lane] { lanes.filter { $0.outcome == .met } }
  package var told: [Lane] { lanes.filter { $0.outcome != nil && $0.outcome != .met } }
  package var isMet: Bool { !met.isEmpty && told.isEmpty }
  package var isBroken: Bool { !told.isEmpty }

  /// Everyone of whom anything can still come has left.
  package var isComplete: Bool {
    lanes.contains { $0.left != nil } && lanes.allSatisfy { $0.left != nil || $0.isGone }
  }

  package var begin: Int64? { lanes.compactMap(\.started).min() }

  package var lastEvent: Int64? {
    lanes.lazy.flatMap { [$0.started, $0.arrived, $0.left, $0.died, $0.restarted, $0.stopped] }.compactMap { $0 }.max()
  }

  /// From the first to leave to the last, among the released.
  package var skew: Int64? {
    let times = met.compactMap(\.left)
    guard let first = times.min(), let last = times.max() else { return nil }
    return last - first
  }

  /// How long it took until the last was told of a death, or of a deadline that passed: counted from then, or from its own
  /// arrival where that came later.
  package var noticeTime: Int64? {
    let firstDeath = lanes.compactMap(\.died).min()
    let deadline = told.filter { $0.outcome == .timedOut }.compactMap(\.left).min()
    return told.compactMap { lane in
      let culprit = lanes.first { $0.worker == lane.culprit }?.died
      guard let cause = lane.outcome == .death ? culprit ?? firstDeath : deadline, let left = lane.left else {
        return nil
      }
      return max(0, left - max(cause, lane.arrived ?? cause))
    }.max()
  }
}
