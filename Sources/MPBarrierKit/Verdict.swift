// SPDX-License-Identifier: Apache-2.0
package import MusterCLI

/// What a run came to: one line, and the exit status that goes with it.
package struct Verdict: Equatable, Sendable {
  package enum Outcome: String, Sendable, Codable {
    /// All rounds were met.
    case met
    /// It ended early, as the policy says for what was asked for.
    case ended
    /// The barrier broke although nothing of the kind was asked for.
    case broken
    /// The workers hung, and were ended.
    case hung
    /// It could not be run.
    case failed
    /// Ended by a signal.
    case interrupted
  }

  package var outcome: Outcome
  package var line: String
  package var status: Int32

  package init(_ outcome: Outcome, _ line: String, status: Int32) {
    self.outcome = outcome
    self.line = line
    self.status = status
  }

  /// How the supervising process saw the run end.
  package enum Ending: Equatable, Sendable {
    /// All workers have ended.
    case ended
    /// Nothing moved any more; the workers were ended.
    case hung
    case failed(String)
    case interrupted(name: String, number: Int32)
  }

  /// `rounds` begins with the roll call.
  package static func judge(_ plan: Plan, rounds: [Round], ending: Ending, terminal: Terminal) -> Verdict {
    Judge(plan: plan, rounds: rounds, terminal: terminal).verdict(ending)
  }
}

private struct Judge {
  var plan: Plan
  var rounds: [Round]
  var terminal: Terminal

  func verdict(_ ending: Verdict.Ending) -> Verdict {
    switch ending {
    case .interrupted(let name, let number):
      return Verdict(.interrupted, "interrupted by \(name): all workers ended", status: 128 + number)
    case .failed(let line):
      return Verdict(.failed, line, status: 1)
    case .hung:
      return hung()
    case .ended:
      if isWhole { return met() }
      if let round = rounds.first(where: \.isBroken) { return broken(round) }
      return cutShort()
    }
  }

  private var isWhole: Bool {
    rounds.count == plan.rounds + 1 && rounds.dropFirst().allSatisfy(\.isMet)
  }

  private var deaths: [(round: Int, lane: Lane)] {
    rounds.flatMap { round in round.lanes.filter { $0.died != nil }.map { (round.number, $0) } }
  }

  private var stops: [(round: Int, lane: Lane)] {
    rounds.flatMap { round in round.lanes.filter { $0.stopped != nil && $0.left == nil }.map { (round.number, $0) } }
  }

  private func place(_ round: Int) -> String { round == 0 ? "at the roll call" : "in round \(round)" }

  private func told(_ death: (round: Int, lane: Lane)) -> String {
    "worker \(death.lane.worker) \(death.lane.deathWasAsked ? "was killed" : "died") \(place(death.round))"
  }

  /// `worker 2 was killed in round 3 and worker 1 died in round 4`; the first few where many died.
  private var deathsText: String {
    let texts = deaths.prefix(3).map(told)
    let more = deaths.count > 3 ? [count(deaths.count - 3, "more death")] : []
    return (texts + more).joined(separator: " and ")
  }

  private var allDeathsAsked: Bool { deaths.allSatisfy(\.lane.deathWasAsked) }

  private func time(_ nanoseconds: Int64) -> String {
    Duration.nanoseconds(nanoseconds).readable(microsecond: terminal.isUnicode ? "µs" : "us")
  }

  private func met() -> Verdict {
    let all = plan.rounds == 1 ? "the round" : "all \(plan.rounds) rounds"
    guard !deaths.isEmpty else {
      return Verdict(.met, "\(count(plan.parties, "worker")) met in \(all)", status: 0)
    }
    let sequel =
      switch plan.onDeath {
      case .await: deaths.count == 1 ? "its replacement met the others" : "their replacements met the others"
      case .shrink: "the others went on"
      case .break: "all had met by then"
      }
    return Verdict(.met, "\(deathsText); \(sequel): \(all) met", status: 0)
  }

  private func broken(_ round: Round) -> Verdict {
    let others = count(round.told.count, "other")
    let notice = round.noticeTime.map { " within \(time($0))" } ?? ""
    let isTimeout = round.told.contains { $0.outcome == .timedOut }
    if let failed = round.told.first(where: { $0.outcome == .failed }) {
      return Verdict(.failed, "worker \(failed.worker) could not wait at the barrier \(place(round.number))", status: 1)
    }
    if isTimeout { return timedOut(round) }
    if round.told.contains(where: { $0.outcome == .death }) {
      let who = deaths.isEmpty ? "a worker died \(place(round.number))" : deathsText
      let line = "\(who): the barrier broke and the \(others) \(round.told.count == 1 ? "was" : "were") told\(notice)"
      let isAsked = !deaths.isEmpty && allDeathsAsked
      return Verdict(isAsked ? .ended : .broken, line, status: isAsked ? 0 : 1)
    }
    return Verdict(.broken, "the barrier was aborted or reset \(place(round.number))", status: 1)
  }

  private func timedOut(_ round: Round) -> Verdict {
    let missing = round.lanes.filter { $0.arrived == nil && !$0.isGoneBefore }
    let stopped = missing.filter { $0.stopped != nil }
    let names =
      "worker" + (missing.count == 1 ? " " : "s ") + missing.prefix(8).map { String($0.worker) }.joined(separator: ", ")
    if round.number == 0 {
      let line =
        "\(missing.count) of \(count(plan.parties, "worker")) did not come within \(time(plan.rollCallDeadline))"
      return Verdict(.broken, line, status: 1)
    }
    let fate =
      missing.isEmpty ? "somebody" : !stopped.isEmpty && stopped.count == missing.count ? "\(names), stopped," : names
    let line =
      "\(fate) did not arrive in round \(round.number) within \(time(plan.deadline)): "
      + "the barrier broke and the \(count(round.told.count, "other")) \(round.told.count == 1 ? "was" : "were") told"
    let isAsked = !stopped.isEmpty && missing.allSatisfy { $0.stopped != nil || $0.deathWasAsked }
    return Verdict(isAsked ? .ended : .broken, line, status: isAsked ? 0 : 1)
  }

  private func hung() -> Verdict {
    let waiting = rounds.last?.lanes.filter { $0.arrived != nil && $0.left == nil }.count ?? 0
    let ended = "\(count(waiting, "worker")) hung until ended after \(time(plan.deadline))"
    let causes = [deaths.isEmpty ? nil : deathsText, stopsText].compactMap { $0 }
    guard plan.kind == .posix else {
      let line = (causes.isEmpty ? ["nothing moved any more"] : causes).joined(separator: "; ")
      let isAsked = deaths.isEmpty && !stops.isEmpty && waiting == 0
      return Verdict(isAsked ? .ended : .hung, "\(line): ended after \(time(plan.deadline))", status: isAsked ? 0 : 1)
    }
    let cause = causes.isEmpty ? "nothing moved any more" : causes.joined(separator: "; ")
    return Verdict(.hung, "\(cause): a pthread_barrier_t tells nobody, \(ended); --kind robust tells them", status: 1)
  }

  private var stopsText: String? {
    guard let stop = stops.first else { return nil }
    return "worker \(stop.lane.worker) was stopped \(place(stop.round))"
  }

  /// All ended, and nobody was left to be told anything.
  private func cutShort() -> Verdict {
    let met = rounds.dropFirst().filter(\.isMet).count
    guard !deaths.isEmpty else {
      return Verdict(.failed, "the workers ended after \(met) of \(plan.rounds) rounds", status: 1)
    }
    return Verdict(
      allDeathsAsked ? .ended : .broken, "\(deathsText): nobody was left to go on", status: allDeathsAsked ? 0 : 1)
  }
}

extension Lane {
  /// Left out of the round from its beginning.
  fileprivate var isGoneBefore: Bool { isGone && started == nil }
}
