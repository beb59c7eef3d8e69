// The beginning of a primary: the next epoch, the state to go on from, and the output that was in doubt.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension PairPrimary {
  func begin() throws(ProcessPairError) {
    let before = try store.look()
    epoch = try store.lead()
    emitted = before.emitted
    introduce(before.primary)
    // Handing over is no death.
    if let death, before.primary.mode != UInt64(muster_pair_mode.MUSTER_PAIR_UNSAID.rawValue) {
      let identity = ProcessIdentity(
        pid: Int32(truncatingIfNeeded: before.primary.pid), start: before.primary.start)
      pair.tell(.lostPrimary(identity, death), level: .warning)
      try spend()
    }
    let kept = try keptStates(isFirst: before.entries == 0)
    newest = kept.first?.step ?? 0
    let beginning = try ladder(kept, before)
    try asking { try pair.output.lead(epoch: epoch) }
    try resolveDoubt()
    try go(on: beginning, kept)
    pair.tell(.leads(epoch: epoch, step: step))
  }

  // What it says of itself, beside what the pair has seen so far.
  private func introduce(_ before: muster_pair_primary) {
    said = before
    said.epoch = epoch
    said.pid = UInt64(own.pid)
    said.start = own.start
    said.since = PairClock.wall()
    said.mode = UInt64(muster_pair_mode.MUSTER_PAIR_STARTING.rawValue)
    said.launch = 0
    said.backup_pid = 0
    said.backup_start = 0
    said.heartbeat = UInt64(pair.options.heartbeat.kind.rawValue)
    said.period = pair.options.period.coreNanoseconds
    said.missed = UInt64(pair.options.missed)
    said.cause = death?.code ?? 0
  }

  /// Counts the takeover, before anything else can go wrong with it.
  private func spend() throws(ProcessPairError) {
    let window = pair.options.takeoverWindow
    let isSpent = said.takeOver(most: pair.options.takeovers, within: window)
    try store.say(said)
    guard isSpent else { return }
    try giveUp(
      "there were \(pair.options.takeovers) takeovers within \(window) before this one; the last primary: \(death ?? .unknown)"
    )
  }

  /// The states that are whole, can be decoded and pass the acceptance test. The first start makes the first one.
  private func keptStates(isFirst: Bool) throws(ProcessPairError) -> [PairKept] {
    if isFirst {
      do throws(ProcessPairError) {
        try commitInitial()
      } catch {
        // Nothing is in it yet; who mends the program, and its shape with it, is not to be met by what is left of this.
        store.close()
        store.remove()
        alive.release()
        throw error
      }
    }
    return try store.kept { entry in decoded(entry).map(pair.accepts) ?? false }
  }

  private func commitInitial() throws(ProcessPairError) {
    guard pair.accepts(pair.initial) else {
      throw ProcessPairError("start", pair.name, .badState, because: "the initial state is not accepted")
    }
    emitted = 0
    try commit(0, .MUSTER_PAIR_INITIAL, output: [])
  }

  private func decoded(_ entry: muster_pair_entry) -> State? {
    try? pair.coding.decode(UnsafeRawBufferPointer(start: entry.state, count: Int(entry.state_length)))
  }

  /// Counts the attempt, and says so, before it is made.
  private func ladder(_ kept: [PairKept], _ status: muster_pair_status) throws(ProcessPairError) -> PairBeginning {
    let before = status.primary
    guard !kept.isEmpty else {
      guard pair.options.escalation.beginsAnew else {
        throw ProcessPairError(
          "go on with", pair.name, .corrupt, because: "none of the states that are kept is whole and accepted")
      }
      return .fresh
    }
    var ladder = PairLadder(
      suspect: before.suspect, rung: ProcessPairRung(rawValue: before.rung) ?? .sameState,
      attempts: Int(clamping: before.attempts), loaded: before.loaded)
    // Somebody has looked at what was wrong, and started it anew.
    if ladder.rung == .gaveUp { ladder = PairLadder() }
    let beginning = ladder.next(
      after: kept, isCounted: countsAgainstStep(before, tried: status.tried), by: pair.options.escalation)
    said.suspect = ladder.suspect
    said.rung = ladder.rung.rawValue
    said.attempts = UInt64(ladder.attempts)
    said.loaded = ladder.loaded
    try store.say(said)
    if ladder.attempts > 1 || ladder.rung != .sameState {
      pair.tell(.escalated(step: ladder.suspect, ladder.rung, attempt: ladder.attempts), level: .warning)
    }
    return beginning
  }

  private func countsAgainstStep(_ before: muster_pair_primary, tried: UInt64) -> Bool {
    switch death {
    case nil, .signaled(SIGKILL)?: return false
    default: break
    }
    switch muster_pair_mode(rawValue: UInt32(truncatingIfNeeded: before.mode)) {
    case .MUSTER_PAIR_UNSAID: return false
    case .MUSTER_PAIR_WORKING, .MUSTER_PAIR_DEGRADED:
      // Between two steps it was at none. Where it went back to an older state, `tried` may be of a step that was done again.
      return tried > newest || before.rung != ProcessPairRung.sameState.rawValue
    // Loading that state may be what killed it.
    default: return true
    }
  }

  /// The newest entry's output, if it may not be out.
  private func resolveDoubt() throws(ProcessPairError) {
    guard let entry = try store.load(before: 0), entry.step > emitted else { return }
    let bytes = UnsafeRawBufferPointer(start: entry.output, count: Int(entry.output_length))
    if !bytes.isEmpty {
      let emission = ProcessPairEmission(step: entry.step, epoch: epoch, position: entry.position, isDoubtful: true)
      let wasOut = try asking { try pair.output.contains(bytes.bytes, emission) }
      if wasOut != true { try emit(bytes, entry.step, entry.position, isDoubtful: wasOut == nil) }
      pair.tell(.resolvedDoubt(step: entry.step, wasOut: wasOut))
    }
    try store.emitted(entry.step)
    emitted = entry.step
  }

  private func go(on beginning: PairBeginning, _ kept: [PairKept]) throws(ProcessPairError) {
    switch beginning {
    case .state(let sequence): try load(sequence)
    case .skip(let sequence):
      try load(sequence)
      try leaveOut(step + 1, kept: kept.count)
    case .fresh:
      state = pair.initial
      try commit(max(kept.first?.step ?? 0, said.suspect, emitted), .MUSTER_PAIR_FRESH, output: [])
    case .giveUp:
      try giveUp(
        "step \(said.suspect) has killed every primary that tried it; the last one: \(death ?? .unknown). Tried were the same state, \(tried())"
      )
    }
  }

  private func tried() -> String {
    let escalation = pair.options.escalation
    let all =
      (escalation.goesBack ? ["older states"] : []) + (escalation.evidence == nil ? [] : ["leaving it out"])
      + (escalation.beginsAnew ? ["a state begun anew"] : [])
    return all.isEmpty ? "and nothing else is allowed" : all.joined(separator: ", ")
  }

  private func load(_ sequence: UInt64) throws(ProcessPairError) {
    guard let entry = try store.load(before: sequence + 1), let state = decoded(entry) else {
      throw ProcessPairError("load a state of", pair.name, .corrupt, because: "it is not there any more")
    }
    self.state = state
    step = entry.step
  }

  private func leaveOut(_ number: UInt64, kept: Int) throws(ProcessPairError) {
    let escalation = pair.options.escalation
    if let folder = escalation.evidence {
      // From each older state it was tried once; nothing has been committed since.
      let attempts = escalation.tries + (escalation.goesBack ? kept - 1 : 0)
      let evidence = PairEvidence(
        pair: pair.name, step: number, epoch: epoch, attempts: attempts, death: "\(death ?? .unknown)",
        state: try stateBytes())
      try evidence.write(to: folder)
    }
    pair.skip(&place.pointee, number)
    guard pair.accepts(state) else {
      throw ProcessPairError(
        "go on with", pair.name, .badState, because: "the state without step \(number) is not accepted")
    }
    said.skipped += 1
    try store.say(said)
    try commit(number, .MUSTER_PAIR_SKIP, output: [])
    pair.tell(.skipped(step: number), level: .error)
  }

  private func stateBytes() throws(ProcessPairError) -> [UInt8] {
    var bytes: [UInt8] = []
    do {
      try pair.coding.encode(state) { bytes = Array($0) }
    } catch {
      throw ProcessPairError("go on with", pair.name, .badState, because: "the state can't be encoded: \(error)")
    }
    return bytes
  }
}
