// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Testing

@testable import MPBarrierKit

/// Times in milliseconds, for rounds that can be read.
private func lane(
  _ worker: Int, _ started: Int64?, _ arrived: Int64? = nil, _ left: Int64? = nil, _ outcome: Outcome? = nil,
  culprit: Int? = nil
) -> Lane {
  var lane = Lane(worker: worker)
  lane.started = started.map { 1_000_000_000 + $0 * 1_000_000 }
  lane.arrived = arrived.map { 1_000_000_000 + $0 * 1_000_000 }
  lane.left = left.map { 1_000_000_000 + $0 * 1_000_000 }
  lane.outcome = left == nil ? nil : outcome ?? .met
  lane.culprit = culprit
  return lane
}

private func at(_ milliseconds: Int64) -> Int64 { 1_000_000_000 + milliseconds * 1_000_000 }

private let utf8 = Terminal(isInteractive: false, width: 60, isUnicode: true)
private let ascii = Terminal(isInteractive: false, width: 60, isUnicode: false)

@Suite("The picture of a round")
struct RoundDrawingTests {
  private let even = Round(number: 2, lanes: [lane(1, 0, 20, 40), lane(2, 0, 40, 40), lane(3, 0, 5, 40)])

  @Test("Where each worked, where it waited, and the one column where all leave")
  func met() {
    #expect(
      RoundDrawing(terminal: utf8, workers: 3, rounds: 5).lines(even) == [
        "round 2 of 5   40 ms; all left within 0 ns",
        "worker 1 ━━━━━━━━━━━━━━━━━░░░░░░░░░░░░░░░░░│  waited 20 ms",
        "worker 2 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━│  came last",
        "worker 3 ━━━━░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░│  waited 35 ms",
      ])
  }

  @Test("The same in ASCII")
  func plain() {
    #expect(
      RoundDrawing(terminal: ascii, workers: 3, rounds: 5).lines(even) == [
        "round 2 of 5   40 ms; all left within 0 ns",
        "worker 1 =================.................|  waited 20 ms",
        "worker 2 ==================================|  came last",
        "worker 3 ====..............................|  waited 35 ms",
      ])
  }

  @Test("The one killed, and the others told: at once who waits, on arriving who still works")
  func broken() {
    var dead = lane(2, 0)
    dead.died = at(20)
    dead.deathWasAsked = true
    dead.isGone = true
    let round = Round(
      number: 3, lanes: [lane(1, 0, 10, 21, .death, culprit: 2), dead, lane(3, 0, 30, 32, .death, culprit: 2)])
    #expect(
      RoundDrawing(terminal: utf8, workers: 3, rounds: 5).lines(round) == [
        "round 3 of 5   broken; all were told within 2 ms",
        "worker 1 ━━━━━━━━━━░░░░░░░░░░░░╳              told: 2 died",
        "worker 2 ━━━━━━━━━━━━━━━━━━━━━✗               killed",
        "worker 3 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━░░╳   told: 2 died",
      ])
  }

  @Test("A replacement begins where the dead one ended")
  func replaced() {
    var replaced = lane(2, 0, 30, 40)
    replaced.died = at(10)
    replaced.deathWasAsked = true
    replaced.restarted = at(20)
    let round = Round(number: 3, lanes: [lane(1, 0, 40, 40), replaced])
    #expect(
      RoundDrawing(terminal: ascii, workers: 2, rounds: 5).lines(round) == [
        "round 3 of 5   40 ms; all left within 0 ns",
        "worker 1 ===============================|  came last",
        "worker 2 =======x       ========........|  new, waited 10 ms",
      ])
  }

  @Test("While it goes on: bars grow to the right, nobody has left")
  func live() {
    var stopped = lane(3, 0)
    stopped.stopped = at(10)
    let round = Round(number: 1, lanes: [lane(1, 0, 10), lane(2, 0), stopped])
    #expect(
      RoundDrawing(terminal: ascii, workers: 3, rounds: 5).lines(round, now: at(20), horizon: at(80)) == [
        "round 1 of 5   20 ms",
        "worker 1 ====.....                            waits",
        "worker 2 ========",
        "worker 3 ====#                                stopped",
      ])
  }

  @Test("Without its work every worker came at once: only the column is left")
  func noWork() {
    let round = Round(number: 1, lanes: [lane(1, 0, 0, 0), lane(2, 0, 0, 0)])
    let lines = RoundDrawing(terminal: ascii, workers: 2, rounds: 1).lines(round)
    #expect(lines.dropFirst().allSatisfy { $0.contains("|") })
  }

  @Test("One worker alone, and one that is gone")
  func alone() {
    var gone = lane(2, nil)
    gone.isGone = true
    let round = Round(number: 4, lanes: [lane(1, 0, 10, 10), gone])
    #expect(
      RoundDrawing(terminal: ascii, workers: 2, rounds: 5).lines(round) == [
        "round 4 of 5   10 ms",
        "worker 1 ==================================|  waited 0 ns",
        "worker 2                                      gone",
      ])
  }

  @Test("No line is wider than the terminal, however narrow it is", arguments: [1, 8, 12, 20, 39, 40, 41, 57, 80, 500])
  func narrow(width: Int) {
    let terminal = Terminal(isInteractive: true, width: width, isUnicode: true)
    let lines = RoundDrawing(terminal: terminal, workers: 3, rounds: 5).lines(even)
    #expect(lines.count == 4)
    for line in lines.dropFirst() { #expect(line.count <= max(width, 4), "\(line)") }
    #expect(
      Set(
        lines.dropFirst().map { line in line.firstIndex(of: "│").map { line.distance(from: line.startIndex, to: $0) } }
      ).count == 1)
  }

  @Test("Colour surrounds what it colours and nothing else")
  func color() {
    let terminal = Terminal(isInteractive: true, width: 60, isColored: true, isUnicode: true)
    let colored = RoundDrawing(terminal: terminal, workers: 3, rounds: 5).lines(even)
    #expect(colored[1].contains("\u{1B}[32m━"))
    let plain = colored.map { $0.replacing(/\u{1B}\[[0-9;]*m/, with: "") }
    #expect(plain == RoundDrawing(terminal: utf8, workers: 3, rounds: 5).lines(even))
  }

  @Test("Two hundred and fifty-six lines, labels to the right")
  func many() {
    let round = Round(number: 1, lanes: (1...256).map { lane($0, 0, Int64($0), 256) })
    let lines = RoundDrawing(terminal: utf8, workers: 256, rounds: 1).lines(round)
    #expect(lines.count == 257)
    #expect(lines[1].hasPrefix("worker   1 ░"))
    #expect(lines[256].hasPrefix("worker 256 ━"))
  }
}

@Suite("The summary and the verdict")
struct SummaryTests {
  private func plan(_ kind: BarrierKind = .robust, _ onDeath: DeathPolicy = .break, rounds: Int = 2) -> Plan {
    Plan(name: "crew", parties: 3, rounds: rounds, kind: kind, onDeath: onDeath, seed: 1, deadline: 2_000_000_000)
  }

  private func whole(_ number: Int) -> Round {
    Round(number: number, lanes: [lane(1, 0, 20, 40), lane(2, 0, 40, 41), lane(3, 0, 5, 40)])
  }

  private func killed(_ number: Int, asked: Bool = true) -> Round {
    var dead = lane(2, 0)
    dead.died = at(20)
    dead.deathWasAsked = asked
    dead.isGone = true
    return Round(
      number: number, lanes: [lane(1, 0, 10, 21, .death, culprit: 2), dead, lane(3, 0, 30, 30, .death, culprit: 2)])
  }

  @Test("Figures are of what was measured: nearest rank")
  func figures() throws {
    let spread = try #require(Summary.Spread(Array(1...200).map(Int64.init).shuffled()))
    #expect(spread.p50 == 100)
    #expect(spread.p99 == 198)
    #expect(spread.max == 200)
    #expect(Summary.Spread([7])?.p50 == 7)
    #expect(Summary.Spread([]) == nil)
  }

  @Test("Rounds, release skew, wait")
  func lines() {
    let summary = Summary(rounds: [whole(1), whole(2)], planned: 2, workers: 3)
    #expect(
      summary.lines(utf8) == [
        "2 rounds of 2 met by 3 workers in 41 ms",
        "release skew  p50 1 ms   p99 1 ms   max 1 ms",
        "wait          p50 20 ms  p99 35 ms  max 35 ms",
      ])
  }

  @Test("All met is 0")
  func met() {
    let verdict = Verdict.judge(plan(), rounds: [whole(0), whole(1), whole(2)], ending: .ended, terminal: utf8)
    #expect(verdict == Verdict(.met, "3 workers met in all 2 rounds", status: 0))
  }

  @Test("A death that was asked for and broke the barrier is 0, one that was not is 1")
  func broken() {
    let asked = Verdict.judge(plan(), rounds: [whole(0), whole(1), killed(2)], ending: .ended, terminal: utf8)
    #expect(
      asked
        == Verdict(
          .ended, "worker 2 was killed in round 2: the barrier broke and the 2 others were told within 1 ms", status: 0
        ))
    let unasked = Verdict.judge(
      plan(), rounds: [whole(0), whole(1), killed(2, asked: false)], ending: .ended, terminal: utf8)
    #expect(unasked.status == 1)
    #expect(unasked.line.hasPrefix("worker 2 died in round 2: "))
  }

  @Test("With shrink and await all rounds are met in spite of a death")
  func goneOn() {
    var dead = lane(2, 0)
    dead.died = at(20)
    dead.deathWasAsked = true
    dead.isGone = true
    let round = Round(number: 2, lanes: [lane(1, 0, 10, 40), dead, lane(3, 0, 40, 40)])
    let shrunk = Verdict.judge(
      plan(.robust, .shrink), rounds: [whole(0), whole(1), round], ending: .ended, terminal: utf8)
    #expect(shrunk == Verdict(.met, "worker 2 was killed in round 2; the others went on: all 2 rounds met", status: 0))
  }

  @Test("A deadline that passed is 0 where a stop was asked for, 1 else")
  func timedOut() {
    var stopped = lane(2, 0)
    stopped.stopped = at(20)
    let lanes = [lane(1, 0, 10, 2010, .timedOut), stopped, lane(3, 0, 30, 2010, .broken)]
    let asked = Verdict.judge(
      plan(), rounds: [whole(0), whole(1), Round(number: 2, lanes: lanes)], ending: .ended, terminal: utf8)
    #expect(
      asked
        == Verdict(
          .ended,
          "worker 2, stopped, did not arrive in round 2 within 2 s: the barrier broke and the 2 others were told",
          status: 0))
    let late = Verdict.judge(
      plan(), rounds: [whole(0), whole(1), Round(number: 2, lanes: [lanes[0], lane(2, 0), lanes[2]])],
      ending: .ended, terminal: utf8)
    #expect(late.status == 1)
  }

  @Test("The POSIX kind hangs, is ended, says so, and is 1")
  func hung() {
    var dead = lane(2, 0)
    dead.died = at(20)
    dead.deathWasAsked = true
    dead.isGone = true
    let round = Round(number: 2, lanes: [lane(1, 0, 10), dead, lane(3, 0, 30)])
    let verdict = Verdict.judge(plan(.posix), rounds: [whole(0), whole(1), round], ending: .hung, terminal: utf8)
    #expect(verdict.status == 1)
    #expect(
      verdict.line == "worker 2 was killed in round 2: a pthread_barrier_t tells nobody, "
        + "2 workers hung until ended after 2 s; --kind robust tells them")
  }

  @Test("Who never came to the roll call is counted")
  func rollCall() {
    let lanes = [lane(1, 0, 1, 9, .timedOut), lane(2, 0, 1, 9, .broken), lane(3, nil)]
    let verdict = Verdict.judge(plan(), rounds: [Round(number: 0, lanes: lanes)], ending: .ended, terminal: utf8)
    #expect(verdict == Verdict(.broken, "1 of 3 workers did not come within 1 min", status: 1))
  }

  @Test("An interruption gives the shell's status of the signal")
  func interrupted() {
    let verdict = Verdict.judge(
      plan(), rounds: [whole(0)], ending: .interrupted(name: "SIGINT", number: 2), terminal: utf8)
    #expect(verdict.status == 130)
  }
}
