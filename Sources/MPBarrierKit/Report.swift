// SPDX-License-Identifier: Apache-2.0

/// What `--json` prints: one document. Times are nanoseconds since the first worker began its first round.
package struct Report: Encodable, Sendable {
  package struct Run: Encodable, Sendable {
    var name: String
    var kind: BarrierKind
    var onDeath: DeathPolicy?
    var parties: Int
    var rounds: Int
    var workMicroseconds: [Int64]
    var seed: UInt64
    var deadline: Int64
  }

  package struct Result: Encodable, Sendable {
    var outcome: Verdict.Outcome
    var message: String
    var status: Int32
  }

  package struct RoundReport: Encodable, Sendable {
    var round: Int
    var isMet: Bool
    var releaseSkew: Int64?
    var workers: [LaneReport]
  }

  package struct LaneReport: Encodable, Sendable {
    var worker: Int
    var started: Int64?
    var arrived: Int64?
    var left: Int64?
    var waited: Int64?
    var outcome: String?
    var culprit: Int?
    var died: Int64?
    var deathWasAsked: Bool?
    var restarted: Int64?
    var stopped: Int64?
  }

  package var run: Run
  package var rounds: [RoundReport]?
  package var summary: Summary
  package var verdict: Result

  /// `rounds` without the roll call; `withRounds` false leaves them out of the document.
  package init(plan: Plan, rounds: [Round], summary: Summary, verdict: Verdict, withRounds: Bool) {
    run = Run(
      name: plan.name, kind: plan.kind, onDeath: plan.kind == .robust ? plan.onDeath : nil, parties: plan.parties,
      rounds: plan.rounds, workMicroseconds: [plan.work.minimum, plan.work.maximum], seed: plan.seed,
      deadline: plan.deadline)
    self.summary = summary
    self.verdict = Result(outcome: verdict.outcome, message: verdict.line, status: verdict.status)
    guard withRounds else { return }
    let origin = rounds.compactMap(\.begin).min() ?? 0
    self.rounds = rounds.map { round in
      RoundReport(
        round: round.number, isMet: round.isMet, releaseSkew: round.met.count > 1 ? round.skew : nil,
        workers: round.lanes.map { LaneReport($0, origin: origin) })
    }
  }
}

extension Report.LaneReport {
  fileprivate init(_ lane: Lane, origin: Int64) {
    worker = lane.worker
    started = lane.started.map { $0 - origin }
    arrived = lane.arrived.map { $0 - origin }
    left = lane.left.map { $0 - origin }
    waited = lane.wait
    outcome = lane.outcome?.name
    culprit = lane.culprit
    died = lane.died.map { $0 - origin }
    deathWasAsked = lane.died == nil ? nil : lane.deathWasAsked
    restarted = lane.restarted.map { $0 - origin }
    stopped = lane.stopped.map { $0 - origin }
  }
}
