// The runner that leads: sees the old command gone, runs its own, and hands over when that dies.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class PairRunnerLead {
  private let runner: PairRunner
  private let pair: ProcessPair<PairCommandRecord>
  private let store: PairStore
  private let signals: PairSignals
  private let alive: PairAlive
  private let death: ProcessPairDeath?
  private let period: Int64
  private var said = muster_pair_primary()
  private var step: UInt64 = 0
  private var sender: PairSender?
  private var beats: UInt64 = 0
  private var nextBeat: Int64 = 0
  /// A signal that asks for the pair's end.
  private var asked: Int32?

  init(
    _ runner: PairRunner, _ store: PairStore, _ signals: PairSignals, _ alive: PairAlive,
    after death: ProcessPairDeath?
  ) {
    self.runner = runner
    self.store = store
    self.signals = signals
    self.alive = alive
    self.death = death
    pair = runner.pair
    period = pair.options.period.coreNanoseconds
  }

  func run() throws(ProcessPairError) -> Int32 {
    let before = try store.look()
    _ = try store.lead()
    try introduce(try store.look().epoch, before.primary)
    var isSpent = false
    if let death {
      runner.tell("takes over from process \(before.primary.pid): \(death)")
      isSpent = try spend()
    }
    // Also by one that gives up: with the memory the knowledge of the old command goes.
    if let old = try lastRecord(), !old.isGone, try !seeGone(old) {
      return try end(128 + (asked ?? 0), keepsMemory: true)
    }
    return isSpent ? try giveUp() : try runCommand()
  }

  // MARK: Beginning

  private func introduce(_ epoch: UInt64, _ before: muster_pair_primary) throws(ProcessPairError) {
    said = before
    said.epoch = epoch
    said.pid = UInt64(getpid())
    said.start = PairClock.ownStart
    said.since = PairClock.wall()
    said.mode = UInt64(muster_pair_mode.MUSTER_PAIR_STARTING.rawValue)
    said.launch = 0
    said.heartbeat = UInt64(pair.options.heartbeat.kind.rawValue)
    said.period = period
    said.missed = UInt64(pair.options.missed)
    said.cause = death?.code ?? 0
    try store.say(said)
  }

  /// Counts the takeover. Whether there were too many.
  private func spend() throws(ProcessPairError) -> Bool {
    let isSpent = said.takeOver(most: pair.options.takeovers, within: pair.options.takeoverWindow)
    try store.say(said)
    return isSpent
  }

  private func lastRecord() throws(ProcessPairError) -> PairCommandRecord? {
    guard let entry = try store.load(before: 0), let bytes = entry.state else { return nil }
    step = entry.step
    let all = UnsafeRawBufferPointer(start: bytes, count: Int(entry.state_length))
    return try? pair.coding.decode(all)
  }

  /// Kills what is left of the old command, again and again, until nobody is: two commands are never run. False: a signal ended the waiting.
  private func seeGone(_ record: PairCommandRecord) throws(ProcessPairError) -> Bool {
    var old = try PairCommand(record, in: pair.name)
    defer { old.close() }
    var nextReport = muster_clock_now() + 2_000_000_000
    while true {
      let left = old.kill(within: min(period, 100_000_000))
      if case .nobody = left { return true }
      try beatIfDue()
      if muster_clock_now() >= nextReport {
        report(left)
        if runner.task.isForced { return true }
        nextReport = muster_clock_now() + 1_000_000_000
      }
      if let number = signals.next() {
        asked = number
        return false
      }
      // A look that can't be taken takes no time.
      PairWaiting.sleep([signals.descriptor], until: muster_deadline_after(min(period, 10_000_000)))
    }
  }

  private func report(_ left: PairCommand.Left) {
    let advice = runner.task.isForced ? "goes on beside them (--force)" : "waits for them; --force goes on without"
    switch left {
    case .nobody: break
    case .some(let pids, let count):
      runner.tell("processes of the old command would not die: \(Self.names(pids, of: count)); \(advice)")
    case .unknown(let status):
      runner.tell(
        "can't look whether the old command is gone: \(String(cString: muster_status_text(status))); \(advice)")
    }
  }

  private static func names(_ pids: [Int32], of count: Int) -> String {
    pids.map { "\($0) (\(name(of: $0)))" }.joined(separator: ", ") + (count > pids.count ? "..." : "")
  }

  private static func name(of pid: Int32) -> String {
    guard let file = fopen("/proc/\(pid)/comm", "re") else { return "?" }
    defer { fclose(file) }
    var bytes = [CChar](repeating: 0, count: 64)
    guard fgets(&bytes, 64, file) != nil else { return "?" }
    return String(decoding: bytes.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: The command

  private func runCommand() throws(ProcessPairError) -> Int32 {
    let tree = UInt64.random(in: 1...UInt64.max)
    step += 1
    try store.tries(step)
    // Before there is a process, so that one is never there that a successor does not know.
    try keep(PairCommandRecord(tree: tree))
    var command: PairCommand
    do throws(PairCommand.NotStarted) {
      command = try PairCommand(
        runner.task.command, tree: tree, adding: variables(), isHeard: runner.task.watchdog != nil)
    } catch {
      let program = runner.task.command[0]
      runner.tell("can't start “\(program)”: \(error.reason(program))")
      try keep(.gone)
      return try handOver(error.status, keepsMemory: false)
    }
    defer { command.close() }
    try keep(command.record(tree))
    try store.emitted(step)
    said.mode = UInt64(muster_pair_mode.MUSTER_PAIR_DEGRADED.rawValue)
    try store.say(said)
    runner.tell("runs the command, process \(command.pid), epoch \(said.epoch)")
    if try !watch(&command) { try abort(command) }
    let isGone = try bury(&command)
    if isGone { try keep(.gone) }
    let end = command.end
    runner.tell("the command \(PairSpawn.phrase(end))")
    let status = end.kind == .MUSTER_PROCESS_EXITED ? end.code : 128 + end.code
    if status == 0 || asked != nil { return try self.end(status, keepsMemory: !isGone) }
    return try handOver(status, keepsMemory: !isGone)
  }

  private func variables() -> [String: String] {
    var all = [
      "MUSTER_PAIR_NAME": pair.name, "MUSTER_PAIR_ROLE": "primary", "MUSTER_PAIR_EPOCH": "\(said.epoch)",
      "MUSTER_PAIR_TAKEOVERS": "\(said.takeovers)", "MUSTER_PAIR_CHECKPOINT": runner.task.checkpoint,
    ]
    if let watchdog = runner.task.watchdog { all["WATCHDOG_USEC"] = "\(watchdog.coreNanoseconds / 1000)" }
    return all
  }

  private func keep(_ record: PairCommandRecord) throws(ProcessPairError) {
    var failure: ProcessPairError?
    withUnsafeBytes(of: record) { bytes in
      var entry = muster_pair_entry()
      entry.step = step
      entry.kind = muster_pair_entry_kind.MUSTER_PAIR_STEP.rawValue
      entry.state = bytes.baseAddress
      entry.state_length = UInt64(bytes.count)
      do throws(ProcessPairError) {
        try store.commit(&entry, isDurable: false)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  /// Until it ends; or false: it lives, and has not said for too long that it is well.
  private func watch(_ command: inout PairCommand) throws(ProcessPairError) -> Bool {
    var watchdog = runner.task.watchdog.map {
      PairWatchdog(limit: $0.coreNanoseconds, at: muster_clock_now())
    }
    while !PairWaiting.canBeRead(command.descriptor) {
      PairWaiting.sleep(
        [command.descriptor, command.notices, signals.descriptor], until: min(nextBeat, watchdog?.due ?? .max))
      let hasSpoken = command.hasSaidThatItIsWell()
      // Who was asked to end may take his time.
      if asked == nil, watchdog?.looks(at: muster_clock_now(), hasSpoken: hasSpoken) == true { return false }
      while let signal = signals.nextReceived() {
        if asked != nil {
          runner.tell("the command, process \(command.pid), was asked to end before; SIGKILL would end it")
        }
        // A terminal that is closed is a death as any other.
        if signal.number != SIGHUP { asked = signal.number }
        command.pass(signal)
      }
      try beatIfDue()
    }
    return true
  }

  /// One that hangs: by the signal that leaves a core, and some time to write it.
  private func abort(_ command: PairCommand) throws(ProcessPairError) {
    runner.tell(
      "the command has not said WATCHDOG=1 for \(runner.task.watchdog ?? .zero): taken for hung, and ended by SIGABRT")
    command.signal(SIGABRT)
    command.signal(SIGCONT)
    let deadline = muster_deadline_after(1_000_000_000)
    while !PairWaiting.canBeRead(command.descriptor), muster_clock_now() < deadline {
      PairWaiting.sleep([command.descriptor], until: min(nextBeat, deadline))
      try beatIfDue()
    }
  }

  /// What the command has left behind goes with it. False: it does not; whoever runs the next one waits for it.
  private func bury(_ command: inout PairCommand) throws(ProcessPairError) -> Bool {
    let deadline = muster_deadline_after(pair.options.patience.coreNanoseconds)
    while true {
      let left = command.kill(within: min(period, 100_000_000))
      if case .nobody = left { return true }
      try beatIfDue()
      if muster_clock_now() >= deadline {
        if case .some(let pids, let count) = left {
          runner.tell("processes of the command would not die: \(Self.names(pids, of: count))")
        }
        return false
      }
      PairWaiting.sleep([], until: muster_deadline_after(min(period, 10_000_000)))
    }
  }

  // MARK: Beats

  private func beatIfDue() throws(ProcessPairError) {
    let now = muster_clock_now()
    guard now >= nextBeat else { return }
    nextBeat = now + period
    let status = try store.look()
    let isBackedUp = status.backup_life == .MUSTER_PAIR_ALIVE
    if isBackedUp { connect(status.backup.heartbeatContact) }
    beats += 1
    if let sender, !sender.send(epoch: said.epoch, number: beats, at: now) { self.sender = nil }
    try say(isBackedUp ? status.backup.pid : nil)
  }

  private func connect(_ contact: muster_heartbeat_contact) {
    guard contact.key != 0, sender?.key != contact.key else { return }
    let place = PairBeatPlace(name: pair.name, way: pair.options.heartbeat, cell: store.cell)
    sender = try? PairSender(place, to: contact, in: pair.name)
  }

  private func say(_ backup: UInt64?) throws(ProcessPairError) {
    guard said.mode != UInt64(muster_pair_mode.MUSTER_PAIR_STARTING.rawValue) else { return }
    let mode: muster_pair_mode = backup == nil ? .MUSTER_PAIR_DEGRADED : .MUSTER_PAIR_WORKING
    guard said.mode != UInt64(mode.rawValue) else { return }
    said.mode = UInt64(mode.rawValue)
    try store.say(said)
    runner.tell(backup.map { "process \($0) stands by" } ?? "nobody stands by")
  }

  // MARK: Ending

  /// To the one that stands by, which takes over when it has seen this process gone; with nobody there the pair ends.
  private func handOver(_ status: Int32, keepsMemory: Bool) throws(ProcessPairError) -> Int32 {
    // With the seat in hand nobody begins to stand by.
    guard let seat = try store.seat() else { return status }
    defer { close(seat) }
    return try end(status, keepsMemory: keepsMemory)
  }

  private func giveUp() throws(ProcessPairError) -> Int32 {
    runner.tell(
      "gives up: there were \(pair.options.takeovers) takeovers within \(pair.options.takeoverWindow) before this one"
    )
    return try end(PairRunner.gaveUp, .MUSTER_PAIR_GIVEN_UP, keepsMemory: false)
  }

  /// `keepsMemory`: processes of the command are left, of which the next start has to know.
  private func end(
    _ status: Int32, _ mode: muster_pair_mode = .MUSTER_PAIR_ENDED, keepsMemory: Bool
  ) throws(ProcessPairError) -> Int32 {
    said.mode = UInt64(mode.rawValue)
    try store.say(said)
    sender = nil
    PairBeatPlace(name: pair.name, way: pair.options.heartbeat, cell: store.cell).remove()
    store.close()
    if !keepsMemory { store.remove() }
    alive.release()
    return status
  }
}

extension muster_pair_primary {
  /// Counts a takeover; whether there were as many as may be before it.
  mutating func takeOver(most: Int, within window: Duration) -> Bool {
    let now = PairClock.boot()
    let isSpent = withUnsafeBytes(of: recent) {
      PairBudget.isSpent(
        Array($0.bindMemory(to: Int64.self)), now: now, most: most, within: window.coreNanoseconds)
    }
    takeovers += 1
    let place = Int(next % UInt64(MUSTER_PAIR_TAKEOVERS_MAX))
    withUnsafeMutableBytes(of: &recent) { $0.bindMemory(to: Int64.self)[place] = now }
    next = next &+ 1
    return isSpent
  }
}
