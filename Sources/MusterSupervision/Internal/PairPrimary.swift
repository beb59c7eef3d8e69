// The primary's loop: steps, beats, and its backup.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import CMusterSystem
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class PairPrimary<State: Sendable> {
  let pair: ProcessPair<State>
  let store: PairStore
  private let signals: PairSignals
  private let program: PairProgram
  let alive: PairAlive
  let own: (pid: Int32, start: UInt64)
  /// How the one before ended; nil: this one was started by hand.
  let death: ProcessPairDeath?

  /// One that came before it led.
  var signal: Int32?

  var said = muster_pair_primary()
  var epoch: UInt64 = 0
  /// In memory of its own, so that a step costs no copy of it and no check for exclusive access.
  let place = UnsafeMutablePointer<State>.allocate(capacity: 1)
  var state: State {
    get { place.pointee }
    set { place.pointee = newValue }
  }
  /// The last step that is committed, and the last one whose output is out.
  var step: UInt64 = 0
  var emitted: UInt64 = 0
  /// The newest step that was committed by those before.
  var newest: UInt64 = 0
  private var partner: PairPartner<State>?
  private var nextTick: Int64 = 0
  private var isLight = false
  private let period: Int64
  /// The bytes of a state that is kept as it lies in memory.
  private let sizeInPlace: Int?

  init(
    _ pair: ProcessPair<State>, _ store: PairStore, _ signals: PairSignals, _ program: PairProgram, _ alive: PairAlive,
    after death: ProcessPairDeath?
  ) throws(ProcessPairError) {
    self.pair = pair
    self.store = store
    self.signals = signals
    self.program = program
    self.alive = alive
    self.death = death
    own = (getpid(), PairClock.ownStart)
    place.initialize(to: pair.initial)
    sizeInPlace = pair.coding.size
    period = pair.options.period.coreNanoseconds
  }

  deinit {
    place.deinitialize(count: 1)
    place.deallocate()
  }

  func run(
    _ work: (inout State, inout ProcessPairStep) throws -> ProcessPairNext
  ) throws(ProcessPairError) -> ProcessPairEnding {
    try begin()
    // What was in doubt is out. No step is taken any more, and no backup started to be ended.
    if pair.options.termination == .endsPair, let ending = try asked() { return try end(ending) }
    let partner = PairPartner(pair, store, program, epoch: epoch, own: own) {
      [unowned self] (launch) throws(ProcessPairError) in
      said.launch = launch
      try store.say(said)
    }
    self.partner = partner
    try tick(muster_clock_now())
    return try step(work, beside: partner)
  }

  private func step(
    _ work: (inout State, inout ProcessPairStep) throws -> ProcessPairNext, beside partner: PairPartner<State>
  ) throws(ProcessPairError) -> ProcessPairEnding {
    var context = ProcessPairStep(epoch: epoch, suspect: said.suspect, attempts: said.attempts) { [unowned self] in
      beatInStep()
    }
    var glance = PairGlance()
    // At first it is asked.
    var signalsSeen = signals.count &- 1
    // When a step began, or later by no more than a tick; and when the next one is to, 0: at once.
    var began: Int64
    var next: Int64 = 0
    while true {
      // Steps that follow each other at once make no system call between two beats.
      if next == 0, signals.count == signalsSeen, glance.isBefore(nextTick) {
        began = glance.latest
      } else {
        began = muster_clock_now()
        let isTick = began >= nextTick
        if isTick { try tick(began) }
        if isTick || next != 0 || signals.count != signalsSeen {
          signalsSeen = signals.count
          if let ending = try asked() { return try end(ending) }
        }
        guard began >= next else {
          lighten()
          PairWaiting.sleep([partner.descriptor, signals.descriptor], until: min(next, nextTick))
          try partner.tend(muster_clock_now(), isTick: false)
          continue
        }
      }
      switch try take(work, &context) {
      case .step: next = 0
      case .stepAfter(let pause): next = PairClock.later(min(began, muster_clock_now()), by: pause.coreNanoseconds)
      case .finish: return try end(.finished)
      }
    }
  }

  // MARK: Steps

  private func take(
    _ work: (inout State, inout ProcessPairStep) throws -> ProcessPairNext, _ context: inout ProcessPairStep
  ) throws(ProcessPairError) -> ProcessPairNext {
    let number = step + 1
    try store.tries(number)
    context.begin(number)
    let next: ProcessPairNext
    do {
      next = try work(&place.pointee, &context)
    } catch {
      terminate("step \(number) failed: \(error)")
    }
    if let accepts = pair.acceptance, !accepts(place.pointee) {
      terminate("the state after step \(number) is not accepted")
    }
    // Done again on an older state: what is kept is not given away for it before the suspect is behind.
    if number <= newest {
      step = number
      return next
    }
    try commit(number, .MUSTER_PAIR_STEP, output: context.output)
    return next
  }

  /// State and output together; then the output leaves.
  func commit(_ number: UInt64, _ kind: muster_pair_entry_kind, output: [UInt8]) throws(ProcessPairError) {
    var position: UInt64 = 0
    if !output.isEmpty {
      try fits("output", output.count, pair.shape.output, "outputCapacity", after: number)
      position = try asking { try pair.output.position() }
    }
    if let sizeInPlace {
      try keep(number, kind, UnsafeRawBufferPointer(start: place, count: sizeInPlace), output, position)
    } else {
      try encoded { (bytes) throws(ProcessPairError) in
        try fits("state", bytes.count, pair.shape.state, "capacity", after: number)
        try keep(number, kind, bytes, output, position)
      }
    }
    step = number
    guard number > emitted else { return }
    if !output.isEmpty {
      try output.withUnsafeBufferPointer { (bytes) throws(ProcessPairError) in
        try emit(UnsafeRawBufferPointer(bytes), number, position, isDoubtful: false)
      }
    }
    try store.emitted(number)
    emitted = number
  }

  private func keep(
    _ number: UInt64, _ kind: muster_pair_entry_kind, _ state: UnsafeRawBufferPointer, _ output: [UInt8],
    _ position: UInt64
  ) throws(ProcessPairError) {
    var entry = muster_pair_entry()
    entry.step = number
    entry.kind = kind.rawValue
    entry.position = position
    entry.state = state.baseAddress
    entry.state_length = UInt64(state.count)
    if output.isEmpty { return try store.commit(&entry, isDurable: pair.options.isDurable) }
    try output.withUnsafeBufferPointer { (output) throws(ProcessPairError) in
      entry.output = UnsafeRawPointer(output.baseAddress)
      entry.output_length = UInt64(output.count)
      try store.commit(&entry, isDurable: pair.options.isDurable)
    }
  }

  private func fits(
    _ what: String, _ count: Int, _ room: Int, _ parameter: String, after number: UInt64
  ) throws(ProcessPairError) {
    guard count > room else { return }
    throw ProcessPairError(
      "commit step \(number) of", pair.name, .tooLarge,
      because: "its \(what) has \(count) bytes, and there is room for \(room) (\(parameter))")
  }

  func emit(
    _ bytes: UnsafeRawBufferPointer, _ number: UInt64, _ position: UInt64, isDoubtful: Bool
  ) throws(ProcessPairError) {
    let emission = ProcessPairEmission(step: number, epoch: epoch, position: position, isDoubtful: isDoubtful)
    try asking {
      // No longer than until the next beat: a whole period from here could make two from the last one.
      while try !pair.output.isReady(within: .nanoseconds(max(1_000_000, nextTick - muster_clock_now()))) {
        beatInStep()
      }
      try pair.output.emit(bytes.bytes, emission)
    }
  }

  func asking<Result>(_ body: () throws -> Result) throws(ProcessPairError) -> Result {
    do {
      return try body()
    } catch {
      throw ProcessPairError("emit the output of", pair.name, .output, because: "\(error)")
    }
  }

  private func encoded(
    _ body: (UnsafeRawBufferPointer) throws(ProcessPairError) -> Void
  ) throws(ProcessPairError) {
    var failure: ProcessPairError?
    do {
      try pair.coding.encode(state) { bytes in
        do throws(ProcessPairError) {
          try body(bytes)
        } catch {
          failure = error
        }
      }
    } catch {
      throw ProcessPairError("commit a step of", pair.name, .badState, because: "the state can't be encoded: \(error)")
    }
    if let failure { throw failure }
  }

  /// Once, and when it is about to rest: so its death will be told that much sooner.
  private func lighten() {
    guard !isLight, partner?.knownStart != 0 else { return }
    isLight = true
    _ = muster_lighten()
  }

  // MARK: Beats

  /// Once a period: a state that is good is what the beat says.
  private func tick(_ now: Int64) throws(ProcessPairError) {
    nextTick = now + period
    guard pair.accepts(state) else { terminate("the state after step \(step) is not accepted any more") }
    partner?.beat(now)
    try partner?.tend(now, isTick: true)
    try sayNews()
  }

  private func beatInStep() {
    let now = muster_clock_now()
    guard now >= nextTick else { return }
    nextTick = now + period
    partner?.beat(now)
    try? partner?.tend(now, isTick: true)
    try? sayNews()
  }

  private func sayNews() throws(ProcessPairError) {
    guard let partner, partner.hasNews || said.mode == UInt64(muster_pair_mode.MUSTER_PAIR_STARTING.rawValue) else {
      return
    }
    partner.hasNews = false
    said.backup_pid = UInt64(partner.peer?.pid ?? 0)
    said.backup_start = partner.knownStart
    let mode: muster_pair_mode = partner.isDegraded ? .MUSTER_PAIR_DEGRADED : .MUSTER_PAIR_WORKING
    said.mode = UInt64(mode.rawValue)
    try store.say(said)
  }

  // MARK: The end

  /// Whether somebody has asked that this ends.
  private func asked() throws(ProcessPairError) -> ProcessPairEnding? {
    if let number = signal ?? signals.next() {
      return pair.options.termination == .endsPair ? .terminated(number) : .handedOver(number)
    }
    return partner?.asksToEnd == true ? .terminated(SIGTERM) : nil
  }

  private func end(_ ending: ProcessPairEnding) throws(ProcessPairError) -> ProcessPairEnding {
    if case .handedOver = ending {
      said.mode = UInt64(muster_pair_mode.MUSTER_PAIR_UNSAID.rawValue)
      try store.say(said)
      // Whoever has the file may lead.
      store.close()
      alive.release()
      return ending
    }
    said.mode = UInt64(muster_pair_mode.MUSTER_PAIR_ENDED.rawValue)
    try store.say(said)
    partner?.end()
    PairBeatPlace(name: pair.name, way: pair.options.heartbeat, cell: store.cell).remove()
    pair.tell(.ends)
    store.close()
    // A state file is there to be gone on from.
    if !pair.place.isFile { store.remove() }
    alive.release()
    return ending
  }

  /// No state is worth more than the last one that was good: the backup goes on from that.
  private func terminate(_ why: String) -> Never {
    // Also between two steps it is what the next one would begin with: the death is counted against that.
    try? store.tries(step + 1)
    muster_system_complain("\(pair.name): process \(own.pid) ends itself, for its backup to go on: \(why)")
    _exit(EX_SOFTWARE)
  }

  func giveUp(_ why: String) throws(ProcessPairError) -> Never {
    said.mode = UInt64(muster_pair_mode.MUSTER_PAIR_GIVEN_UP.rawValue)
    try store.say(said)
    pair.tell(.gaveUp(why), level: .error)
    store.close()
    alive.release()
    throw ProcessPairError("go on with", pair.name, .gaveUp, because: why)
  }
}
