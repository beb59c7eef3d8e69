// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import MusterSupervision

@Suite("The escalation of a pair, as values")
struct LadderTests {
  /// States after steps 3, 4, 5, of those sequences, the newest first.
  let kept = [PairKept(sequence: 7, step: 5), PairKept(sequence: 6, step: 4), PairKept(sequence: 5, step: 3)]

  func escalation(tries: Int = 2, goesBack: Bool = true, skips: Bool = false, beginsAnew: Bool = false)
    -> ProcessPairEscalation
  {
    var escalation = ProcessPairEscalation()
    escalation.tries = tries
    escalation.goesBack = goesBack
    escalation.evidence = skips ? "/tmp" : nil
    escalation.beginsAnew = beginsAnew
    return escalation
  }

  @Test("The first attempt is the dead one's, the next at the same state is counted, as the second")
  func first() {
    var ladder = PairLadder()
    #expect(ladder.next(after: kept, isCounted: true, by: escalation()) == .state(sequence: 7))
    #expect(ladder == PairLadder(suspect: 6, rung: .sameState, attempts: 2, loaded: 7))
    var start = PairLadder()
    #expect(start.next(after: kept, isCounted: false, by: escalation()) == .state(sequence: 7))
    #expect(start == PairLadder(suspect: 6, rung: .sameState, attempts: 1, loaded: 7))
  }

  @Test("Rung by rung: the same state, each older one, leaving out, beginning anew, giving up")
  func whole() {
    var ladder = PairLadder()
    let all = escalation(skips: true, beginsAnew: true)
    let beginnings = (0..<6).map { _ in ladder.next(after: kept, isCounted: true, by: all) }
    #expect(
      beginnings == [
        .state(sequence: 7), .state(sequence: 6), .state(sequence: 5), .skip(sequence: 7), .fresh,
        .giveUp,
      ])
    #expect(ladder.next(after: kept, isCounted: true, by: all) == .giveUp)
  }

  @Test("What the program does not allow is passed over")
  func notAllowed() {
    var ladder = PairLadder()
    let little = escalation(tries: 3, goesBack: false)
    let beginnings = (0..<3).map { _ in ladder.next(after: kept, isCounted: true, by: little) }
    #expect(beginnings == [.state(sequence: 7), .state(sequence: 7), .giveUp])
  }

  @Test("Deaths that say nothing about the step change nothing, however many")
  func notCounted() {
    var ladder = PairLadder()
    _ = ladder.next(after: kept, isCounted: true, by: escalation())
    for _ in 0..<100 {
      #expect(ladder.next(after: kept, isCounted: false, by: escalation()) == .state(sequence: 7))
    }
    #expect(ladder.attempts == 2)
  }

  @Test("A step beyond the suspect begins at the bottom; the way back up to it does not")
  func progress() {
    var ladder = PairLadder()
    for _ in 0..<2 { _ = ladder.next(after: kept, isCounted: true, by: escalation()) }
    #expect(ladder.rung == .olderState && ladder.loaded == 6)
    // It went back to step 4, took step 5 again, which is not committed anew, and died at 6.
    #expect(ladder.next(after: kept, isCounted: true, by: escalation()) == .state(sequence: 5))
    // Beyond: step 6 is committed.
    let beyond = [PairKept(sequence: 8, step: 6)] + kept
    #expect(ladder.next(after: beyond, isCounted: true, by: escalation()) == .state(sequence: 8))
    #expect(ladder == PairLadder(suspect: 7, rung: .sameState, attempts: 2, loaded: 8))
  }

  @Test("An older state that steps since have pushed out: the oldest that is left")
  func pushedOut() {
    var ladder = PairLadder(suspect: 20, rung: .olderState, attempts: 1, loaded: 4)
    #expect(ladder.next(after: kept, isCounted: false, by: escalation()) == .state(sequence: 5))
    #expect(ladder.next(after: kept, isCounted: true, by: escalation()) == .giveUp)
  }

  @Test("However it is asked, a ladder that sees no progress ends within tries + states + 1 attempts", arguments: 1...4)
  func ends(tries: Int) {
    for choice in 0..<8 {
      let by = escalation(
        tries: tries, goesBack: choice & 1 != 0, skips: choice & 2 != 0, beginsAnew: choice & 4 != 0)
      var ladder = PairLadder()
      var attempts = 0
      while ladder.next(after: kept, isCounted: true, by: by) != .giveUp { attempts += 1 }
      let expected = tries - 1 + (by.goesBack ? 2 : 0) + (by.evidence == nil ? 0 : 1) + (by.beginsAnew ? 1 : 0)
      #expect(attempts == expected)
    }
  }

  @Test("The budget: so many takeovers within the window, and none of the future")
  func budget() {
    let recent: [Int64] = [0, 100, 200, 300, 900]
    #expect(PairBudget.isSpent(recent, now: 310, most: 3, within: 250))
    #expect(!PairBudget.isSpent(recent, now: 310, most: 3, within: 200))
    #expect(!PairBudget.isSpent(recent, now: 310, most: 4, within: 1000))
  }
}

@Suite("What a backup is told")
struct InvitationTests {
  @Test("It comes through its text, also with a name that has spaces")
  func text() {
    let invitation = PairInvitation(launch: .max, pid: 4, start: 5, epoch: 6, seat: -1, name: "a b  c ")
    #expect(PairInvitation(invitation.text) == invitation)
  }

  @Test(
    "What is no invitation is none",
    arguments: ["", "1 2 3 4 5", "x 2 3 4 5 n", "1 -99999999999 3 4 5 n", "1 2 -3 4 5 n", "1  2 3 4 5 n"])
  func wrong(text: String) { #expect(PairInvitation(text) == nil) }
}

@Suite("How a primary ended, as a number")
struct DeathTests {
  @Test("There and back", arguments: [ProcessPairDeath.hung, .unknown, .exited(0), .exited(255), .signaled(9)])
  func code(death: ProcessPairDeath) { #expect(ProcessPairDeath(code: death.code) == death) }
}

@Suite("What is kept of a step that was left out")
struct EvidenceTests {
  func text(_ state: [UInt8]) -> String? {
    PairEvidence(pair: "p", step: 1, epoch: 1, attempts: 1, death: "it died", state: state).text
  }

  @Test("A state that is a document can be read; one of numbers is none")
  func document() {
    #expect(text(Array("{\"name\":\"Ä\",\n\t\"orders\":2}".utf8)) == "{\"name\":\"Ä\",\n\t\"orders\":2}")
    #expect(text([3, 0, 0, 0, 0, 0, 0, 0]) == nil)
    #expect(text([0x41, 0xFF]) == nil)
  }
}

@Suite("What a pair says and asks")
struct PairWordsTests {
  @Test("What is done about a step is a sentence on each rung")
  func escalations() {
    let told = ProcessPairRung.allCases.map { ProcessPairEvent.escalated(step: 30, $0, attempt: 2).description }
    #expect(
      told == [
        "tries step 30 from the same state, attempt 2", "tries step 30 from an older state, attempt 2",
        "is about to leave step 30 out", "begins a state anew, since step 30 kills",
        "has nothing left to try with step 30",
      ])
  }

  @Test("A glance tells by the 64th, at the latest, that a time has come, and never of one far away")
  func glances() {
    var glance = PairGlance()
    for _ in 0..<100 {
      let now = PairClock.coarse()
      #expect((0..<64).contains { _ in !glance.isBefore(now) })
      #expect((0..<64).allSatisfy { _ in glance.isBefore(now + 3_600_000_000_000) })
    }
  }
}
