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

  /// `worker 2 was killed in round 3`, `workers 1 and 4 died in round 2 and worker 3 was killed in round 4`; the first three of
  /// such groups.
  private var deathsText: String {
    var groups: [(round: Int, asked: Bool, workers: [Int])] = []
    for death in deaths {
      if let last = groups.indices.last, groups[last].round == death.round,
        groups[last].asked == death.lane.deathWasAsked
      {
        groups[last].workers.append(death.lane.worker)
      } else {
        groups.append((death.round, death.lane.deathWasAsked, [death.lane.worker]))
      }
    }
    let texts = groups.prefix(3).map { group in
      let verb = group.asked ? (group.workers.count == 1 ? "was killed" : "were killed") : "died"
      return "\(names(group.workers)) \(verb) \(place(group.round))"
    }
    return texts.joined(separator: " and ") + (groups.count > 3 ? " and more later" : "")
  }

  /// `worker 2`, `workers 1, 2 and 4`; the first eight.
  private func names(_ workers: [Int]) -> String {
    guard workers.count > 1, let last = workers.last else { return "worker \(workers.first ?? 0)" }
    guard workers.count <= 8 else { return count(workers.count, "worker") }
    return "workers " + workers.dropLast().map(String.init).joined(separator: ", ") + " and \(last)"
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
    let notice = round.noticeTime.map { " within \(time($0))" } ?? ""
    let isTimeout = round.told.contains { $0.outcome == .timedOut }
    if let failed = round.told.first(where: { $0.outcome == .failed }) {
      return Verdict(.failed, "worker \(failed.worker) could not wait at the barrier \(place(round.number))", status: 1)
    }
    if isTimeout { return timedOut(round) }
    if round.told.contains(where: { $0.outcome == .death }) {
      let culprit = round.told.compactMap(\.culprit).first.map { "worker \($0)" } ?? "a worker"
      let who = deaths.isEmpty ? "\(culprit) died \(place(round.number))" : deathsText
      let line = "\(who): the barrier broke and \(others(round)) told\(notice)"
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
      + "the barrier broke and \(others(round)) told"
    let isAsked = !stopped.isEmpty && missing.allSatisfy { $0.stopped != nil || $0.deathWasAsked }
    return Verdict(isAsked ? .ended : .broken, line, status: isAsked ? 0 : 1)
  }

  private func absent(_ rollCall: Round) -> Verdict {
    let missing = rollCall.lanes.filter { $0.arrived == nil }.count
    let workers = count(plan.parties, "worker")
    return Verdict(
      .broken, "\(missing) of \(workers) did not come within \(time(plan.rollCallDeadline))", status: 1)
  }

  /// `the other was`, `the 3 others were`.
  private func others(_ round: Round) -> String {
    round.told.count == 1 ? "the other was" : "the \(round.told.count) others were"
  }

  private func hung() -> Verdict {
    if let last = rounds.last, last.number == 0 { return absent(last) }
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
