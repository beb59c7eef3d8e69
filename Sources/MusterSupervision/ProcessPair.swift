// SPDX-License-Identifier: Apache-2.0
import CMuster
import CMusterSystem
public import Muster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A program that is its own backup.
///
/// ```swift
/// struct Counter: SharedPayload {
///   static let payloadLayout: UInt32 = 1
///   var number: UInt64 = 0
/// }
/// let pair = ProcessPair("counter", initial: Counter())
/// try pair.run { counter, step in
///   counter.number += 1
///   step.emit("\(counter.number)\n")
///   return .stepAfter(.seconds(1))
/// }
/// ```
///
/// The primary works: it takes one step after the other, each of which makes the next state of the last one, and maybe an output. It starts a
/// backup, another process of the same program, which does nothing but watch. When the primary dies, the backup is told by the kernel at once;
/// when it hangs, its heartbeats are missing. Then the backup kills it and sees it gone, becomes primary, goes on where the dead one left off, and
/// starts a new backup. ``run(_:)`` is the same call in both. It makes no thread, and is to be called before the program has done anything
/// that two processes must not do.
///
/// No step is left out, and none is done twice on one state; an output that can be asked has each exactly once (``ProcessPairOutput``).
/// docs/pair.md has the whole order, why it is right, and what it does not promise.
public final class ProcessPair<State: Sendable> {
  /// The pair's name: of its shared memory, unless it has a state file, and of its heartbeat.
  public let name: String
  let place: RegionName
  let initial: State
  let coding: CheckpointCoding<State>
  let shape: PairShape
  let options: ProcessPairOptions
  var output: any ProcessPairOutput
  let acceptance: ((State) -> Bool)?
  let skip: (inout State, UInt64) -> Void
  private lazy var metrics = PairMetrics(name)

  /// A pair whose states are of any type, with the most bytes of one and of an output.
  ///
  /// - Parameters:
  ///   - name: as of a region, at most 200 bytes.
  ///   - stateFile: where the states are kept; `nil`: in shared memory, which a crash of the machine takes away, and a clean end.
  ///   - initial: the state before the first step.
  ///   - coding: how states are encoded.
  ///   - capacity: the most bytes of an encoded state.
  ///   - outputCapacity: the most bytes that one step emits.
  ///   - output: where outputs go.
  ///   - options: how it watches itself.
  ///   - accepts: the acceptance test: whether a state is good; `nil`: each is. It is asked of each state before it is committed, and again at each beat; a primary
  ///     whose state is not good ends itself, so that the backup takes over from the last good one.
  ///   - skip: what becomes of the state when a step is left out (``ProcessPairEscalation/evidence``), beside the step's number.
  public init(
    _ name: String, stateFile: FilePath? = nil, initial: State, coding: CheckpointCoding<State>, capacity: Int,
    outputCapacity: Int = 4096, output: any ProcessPairOutput = DescriptorOutput(),
    options: ProcessPairOptions = ProcessPairOptions(), accepts: ((State) -> Bool)? = nil,
    skip: @escaping (inout State, UInt64) -> Void = { _, _ in }
  ) {
    self.name = name
    self.place = stateFile.map { .file($0) } ?? RegionName(name)
    self.initial = initial
    self.coding = coding
    self.shape = PairShape(state: capacity, output: outputCapacity, history: options.history)
    self.output = output
    self.options = options
    self.acceptance = accepts
    self.skip = skip
  }

  /// Where its Alive file is: held by the primary.
  public var aliveFile: FilePath { Self.aliveFile(name, place) }

  static func aliveFile(_ name: String, _ place: RegionName) -> FilePath {
    FilePath(place.isFile ? place.string + ".alive" : "/dev/shm/" + name + ".alive")
  }

  /// Leads or stands by, until the pair ends. Blocks the thread, the same one for all of the pair's life. A program is one pair: the backup
  /// executes it from its beginning, and is to come to the same call.
  ///
  /// - Parameter work: takes one step: changes the state, emits, and says what comes next. What it throws ends the process, with what it threw on
  ///   standard error: the backup takes over.
  /// - Returns: how this process of the pair has come to its end: the program ends then.
  /// - Throws: ``ProcessPairError``: `alreadyRunning`, `gaveUp`, `mismatch`, `corrupt`, `badState`, `tooLarge`, `output`, `fenced`,
  ///   `invalidArgument`, `permissionDenied`, `system`.
  public func run(
    _ work: (inout State, inout ProcessPairStep) throws -> ProcessPairNext
  ) throws(ProcessPairError) -> ProcessPairEnding {
    try checkOptions()
    _ = metrics
    let signals = options.termination == .ignoredByPair ? PairSignals.none : try PairSignals(in: name)
    let invitation = invitation()
    let program = PairProgram(options.launch)
    if let invitation { return try standBy(invitation, signals, program, work) }
    // First the file: whoever ends cleanly removes the memory before he lets go of it.
    let alive = try takeAliveFile()
    let store: PairStore
    do throws(ProcessPairError) {
      store = try memoryToLeadIn()
    } catch {
      // Nobody has led.
      alive.release()
      throw error
    }
    return try PairPrimary(self, store, signals, program, alive, after: nil).run(work)
  }

  /// A primary that dies on its way out leaves memory of a pair that has ended: it is begun anew.
  private func memoryToLeadIn() throws(ProcessPairError) -> PairStore {
    let store = try memory(mayCreate: true)
    guard !place.isFile, try store.look().primary.hasEnded else { return store }
    // One that was stopped has not seen yet that it is over. It would take over nothing, but be the third.
    _ = try store.killBackup(otherThan: getpid(), within: options.patience.coreNanoseconds)
    store.close()
    store.remove()
    return try memory(mayCreate: true)
  }

  private func memory(mayCreate: Bool) throws(ProcessPairError) -> PairStore {
    try PairStore(name, place, shape, layout: coding.layout, mayCreate: mayCreate)
  }

  private func standBy(
    _ invitation: PairInvitation, _ signals: PairSignals, _ program: PairProgram,
    _ work: (inout State, inout ProcessPairStep) throws -> ProcessPairNext
  ) throws(ProcessPairError) -> ProcessPairEnding {
    let store: PairStore
    do throws(ProcessPairError) {
      store = try memory(mayCreate: false)
    } catch  where error.code == .notFound {
      // The pair has ended meanwhile.
      return .stoodBy
    }
    let backup = try PairBackup(self, store, signals, invitation)
    guard case .leads(let alive, let death) = try backup.watch() else { return .stoodBy }
    let last = try store.look().primary
    if last.isOver {
      // Its primary died on its way out, before this one had begun to watch it.
      store.close()
      if last.hasEnded, !place.isFile { store.remove() }
      alive.release()
      return .stoodBy
    }
    let primary = try PairPrimary(self, store, signals, program, alive, after: death)
    primary.signal = backup.signal
    return try primary.run(work)
  }

  private func invitation() -> PairInvitation? {
    guard let text = getenv(PairInvitation.variable), let invitation = PairInvitation(String(cString: text)),
      invitation.name == name
    else { return nil }
    // What this process starts itself is not invited.
    unsetenv(PairInvitation.variable)
    // It was executed as /proc/self/exe, of which the kernel makes "exe".
    let command = CommandLine.arguments.first.flatMap { FilePath($0).lastComponent?.string } ?? name
    muster_system_name(command)
    return invitation
  }

  private func takeAliveFile() throws(ProcessPairError) -> PairAlive {
    switch try PairAlive.take(aliveFile, in: name, until: 0) {
    case .taken(let alive): return alive
    case .held(let pid, _):
      throw ProcessPairError(
        "start", name, .alreadyRunning, because: pid == 0 ? "it runs" : "it runs: process \(pid) is its primary",
        pid: pid == 0 ? nil : pid)
    }
  }

  private static var longest: Duration { .seconds(365 * 86_400) }

  func checkOptions() throws(ProcessPairError) {
    func require(_ isFine: Bool, _ reason: String) throws(ProcessPairError) {
      guard isFine else { throw ProcessPairError("start", name, .invalidArgument, because: reason) }
    }
    try require(
      !name.isEmpty && name.utf8.count <= 200 && !name.contains { $0 == "/" || $0 == "\0" },
      "a name has 1 to 200 bytes, no slash and no NUL")
    try require(
      options.period >= .milliseconds(1) && options.period <= Self.longest, "the period is 1 ms to 1 year")
    try require((1...1_000_000).contains(options.missed), "1 to 1,000,000 beats have to be missing")
    for time in [options.retryFirst, options.retryMost, options.stable, options.takeoverWindow] {
      try require(time >= .zero && time <= Self.longest, "a time of the options is 0 to 1 year")
    }
    try require(
      options.patience > .zero && options.patience <= Self.longest, "the patience is more than 0, at most 1 year")
    try require((2...64).contains(options.history), "the history is 2 to 64")
    try require(shape.state >= 1 && shape.output >= 0, "there has to be room for a state")
    try require(
      (1...Int(MUSTER_PAIR_TAKEOVERS_MAX)).contains(options.takeovers),
      "takeovers are 1 to \(MUSTER_PAIR_TAKEOVERS_MAX)")
    try require(options.escalation.tries >= 1, "a step has to be tried once")
    if let folder = options.escalation.evidence, !ProcessPairLaunch.isBackup(of: name) {
      // Told now, and not when a step has killed for the last time. That it has gone meanwhile is no reason to be without a backup.
      try require(
        folder.withPlatformString { access($0, W_OK | X_OK) } == 0,
        "the folder for evidence, \(folder), can't be written to")
    }
    try require(place.isFile || !options.isDurable, "only a state file is durable")
  }

  func accepts(_ state: State) -> Bool { acceptance?(state) ?? true }

  func tell(_ event: ProcessPairEvent, level: PairLogLevel = .info) {
    options.logger?.tell(event, level, name, getpid())
    options.onEvent?(event)
    metrics.count(event)
  }
}

extension ProcessPair where State: SharedPayload {
  /// A pair whose states are payloads, kept as they lie in memory.
  public convenience init(
    _ name: String, stateFile: FilePath? = nil, initial: State, outputCapacity: Int = 4096,
    output: any ProcessPairOutput = DescriptorOutput(), options: ProcessPairOptions = ProcessPairOptions(),
    accepts: ((State) -> Bool)? = nil, skip: @escaping (inout State, UInt64) -> Void = { _, _ in }
  ) {
    self.init(
      name, stateFile: stateFile, initial: initial, coding: .inPlace, capacity: max(1, MemoryLayout<State>.size),
      outputCapacity: outputCapacity, output: output, options: options, accepts: accepts, skip: skip)
  }
}

extension ProcessPair where State: Codable {
  /// A pair whose states are documents, kept as JSON of at most `capacity` bytes.
  public convenience init(
    _ name: String, stateFile: FilePath? = nil, initial: State, capacity: Int, outputCapacity: Int = 4096,
    output: any ProcessPairOutput = DescriptorOutput(), options: ProcessPairOptions = ProcessPairOptions(),
    accepts: ((State) -> Bool)? = nil, skip: @escaping (inout State, UInt64) -> Void = { _, _ in }
  ) {
    self.init(
      name, stateFile: stateFile, initial: initial, coding: .json, capacity: capacity, outputCapacity: outputCapacity,
      output: output, options: options, accepts: accepts, skip: skip)
  }
}
