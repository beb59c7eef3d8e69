// Kills and stops the processes of a pair at random, as a third process that has started it, and checks what it promises.
// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CMusterCLI
import MusterCLI
import Muster
import MusterSupervision
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct ChaosPlan: Sendable {
  var name: String
  /// Of the pair's processes.
  var arguments: [String]
  var stateFile: FilePath?
  var output: FilePath?
  var seed: UInt64
  var strikes: Int
  /// `nil`: until all strikes were dealt.
  var length: Duration?
  var beat: Duration
  /// After which a stopped primary is taken over from.
  var patience: Duration
}

final class Chaos {
  /// What went wrong, beside the numbers.
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  private enum Phase {
    /// Until the pair is whole, or for some time if the strike does not wait for that.
    case waiting(since: ContinuousClock.Instant)
    case striking(at: ContinuousClock.Instant)
  }

  let plan: ChaosPlan
  private var dice: Dice
  private var crowd = Crowd()
  private let pipe: NumberPipe
  private let signals: Int32
  private var observer: ProcessPairObserver?
  private var stopped: [(identity: ProcessIdentity, process: WatchedProcess, wake: ContinuousClock.Instant)] = []
  /// Who may seem to live for a moment still.
  private var killed: Set<ProcessIdentity> = []
  private var tally: NumberTally
  private var result = ChaosResult()
  private var takeoversBefore: UInt64 = 0
  private var lastLook: ProcessPairStatus?

  /// A pair that has not recovered by then does not.
  private static let hopeless = Duration.seconds(60)

  init(_ plan: ChaosPlan) throws {
    self.plan = plan
    dice = Dice(seed: plan.seed)
    pipe = try NumberPipe()
    var signals: Int32 = -1
    let failure = muster_cli_watch_signals(&signals)
    guard failure == 0 else { throw CommandFailure("no pipe for signals: \(String(cString: strerror(failure)))") }
    self.signals = signals
    try ChildProcess.becomeSubreaper()
    observer = try? Self.look(at: plan)
    let before = try? observer?.status()
    // Somebody else's processes are none to be killed.
    if before?.primaryLife == .alive || before?.backupLife == .alive {
      throw CommandFailure(
        "the pair “\(printable(plan.name))” runs already; --chaos starts its own: end that one first, or use another name"
      )
    }
    tally = NumberTally(after: before?.emitted ?? 0)
    takeoversBefore = before?.takeovers ?? 0
  }

  func run() throws {
    say("seed \(plan.seed), pair “\(printable(plan.name))”")
    do {
      try start()
      try strikeAll()
      try end()
    } catch let failure as Failure {
      crowd.killAll()
      result.failure = failure.description
    }
    pipe.drain { tally.read($0) }
    tally.end()
    if let path = plan.output { tally = try fileTally(path) }
    result.numbers = tally
    result.takeovers = Int(clamping: max(lastLook?.takeovers ?? 0, takeoversBefore) - takeoversBefore)
    result.mostProcesses = crowd.most
    result.isExactlyOnce = plan.output != nil
    result.lastEmitted = lastLook?.emitted
    for line in result.lines { say(line) }
    throw ExitCode(result.isGood ? 0 : 1)
  }

  // MARK: The pair

  private func start() throws {
    var configuration = ChildProcess.Configuration(.itself, arguments: ChildProcess.Arguments(plan.arguments))
    configuration.name = "counter"
    configuration.output = .descriptor(pipe.writer)
    configuration.group = .own
    let child = try ChildProcess(configuration)
    crowd.add(group: child.pid)
    first = child
  }

  // Reaped by being asked; who has lost its parent, by `reapOrphans`.
  private var first: ChildProcess?

  private static func look(at plan: ChaosPlan) throws(ProcessPairError) -> ProcessPairObserver {
    if let file = plan.stateFile { return try ProcessPairObserver(stateFile: file) }
    return try ProcessPairObserver(plan.name)
  }

  private func look() -> ProcessPairStatus? {
    if observer == nil { observer = try? Self.look(at: plan) }
    guard let status = try? observer?.status() else { return nil }
    lastLook = status
    return status
  }

  /// Both, if they are there and known to each other.
  private func both() -> (primary: ProcessIdentity, backup: ProcessIdentity)? {
    guard let status = look(), status.primaryLife == .alive, status.backupLife == .alive, let primary = status.primary,
      let backup = status.backup, primary.mode == .working, backup.epoch == primary.epoch,
      !isStruck(primary.identity), !isStruck(backup.identity)
    else { return nil }
    return (primary.identity, backup.identity)
  }

  private func isStopped(_ identity: ProcessIdentity) -> Bool { stopped.contains { $0.identity == identity } }

  private func isStruck(_ identity: ProcessIdentity) -> Bool { isStopped(identity) || killed.contains(identity) }

  // MARK: The strikes

  private func strikeAll() throws {
    let end = plan.length.map { ContinuousClock.now + $0 }
    while result.strikes < plan.strikes && (end.map { .now < $0 } ?? true) {
      let strike = Strike.next(&dice, beat: plan.beat, patience: plan.patience)
      if strike.waitsForPair { try waitForPair() }
      guard try pass(strike.delay) else { return }
      deal(strike)
    }
  }

  private func waitForPair() throws {
    let hopeless = ContinuousClock.now + Self.hopeless
    while both() == nil {
      guard try pass(.milliseconds(1)) else { return }
      guard .now < hopeless else { throw Failure(description: "the pair did not recover in \(Self.hopeless)") }
    }
  }

  private func deal(_ strike: Strike) {
    guard let status = look() else { return }
    var targets: [(String, ProcessIdentity)] = []
    if strike.target != .backup, let primary = status.primary { targets.append(("primary", primary.identity)) }
    if strike.target != .primary, let backup = status.backup { targets.append(("backup", backup.identity)) }
    for (role, identity) in targets {
      // One that is dead or stopped already is no strike.
      guard strike.kind == .kill || !isStopped(identity), let process = try? WatchedProcess(identity),
        (try? process.endIfEnded()) == .some(nil)
      else { continue }
      guard (try? process.signal(strike.kind == .kill ? SIGKILL : SIGSTOP)) != nil else { continue }
      say("\(strike.kind == .kill ? "kills" : "stops") the \(role), \(identity.pid)")
      if strike.kind == .kill {
        killed.insert(identity)
        result.kills += 1
      } else {
        result.stops += 1
        stopped.append((identity, process, .now + strike.wake))
      }
    }
  }

  /// Lets a time pass, in which all else is seen to. False: somebody has asked that this ends.
  private func pass(_ time: Duration) throws -> Bool {
    let end = ContinuousClock.now + time
    repeat {
      guard !pipe.wait(until: end, or: signals) else { return false }
      pipe.drain { tally.read($0) }
      try tend()
    } while .now < end
    return true
  }

  private func tend() throws {
    _ = try? first?.endIfEnded()
    _ = try? ChildProcess.reapOrphans()
    crowd.look()
    if crowd.most > 2 { throw Failure(description: "the pair had \(crowd.most) processes at once") }
    for (_, process, wake) in stopped where wake <= .now { try? process.signal(SIGCONT) }
    stopped.removeAll { $0.wake <= .now }
    guard crowd.isEmpty else { return }
    if look()?.primary?.mode == .gaveUp { throw Failure(description: "the pair gave up") }
    say("both are dead: starts the pair again")
    result.restarts += 1
    try start()
  }

  // MARK: The end

  private func end() throws {
    for (_, process, _) in stopped { try? process.signal(SIGCONT) }
    stopped = []
    try waitForPair()
    _ = look()
    crowd.look()
    crowd.signalAll(SIGTERM)
    let hopeless = ContinuousClock.now + Self.hopeless
    while !crowd.isEmpty {
      _ = pipe.wait(until: .now + .milliseconds(5), or: -1)
      pipe.drain { tally.read($0) }
      _ = try? first?.endIfEnded()
      _ = try? ChildProcess.reapOrphans()
      crowd.look()
      guard .now < hopeless else { throw Failure(description: "the pair did not end in \(Self.hopeless)") }
    }
    _ = look()
  }

  private func fileTally(_ path: FilePath) throws -> NumberTally {
    var tally = NumberTally()
    let file = try FileDescriptor.open(path, .readOnly)
    defer { try? file.close() }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
      guard count > 0 else { break }
      tally.read(buffer[..<count])
    }
    tally.end()
    return tally
  }

  private func say(_ text: String) {
    var errors = StandardOutput(descriptor: STDERR_FILENO)
    errors.write(lines: ["counter: chaos \(text)"])
  }
}
