// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
import CMusterSystem
import MusterCLI
import MusterSupervision
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The command line of counter.
package struct CounterCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "counter",
    abstract: "Count 1, 2, 3, ... by a pair of processes: when one dies, the other goes on with the next number.",
    discussion: """
      The primary counts. The backup watches it, and becomes primary when it dies or hangs; then it starts a backup of its \
      own. Numbers go to standard output, and who is which to standard error. Kill one and see:
        counter                                      in windows of their own, where there are such
        counter --output numbers                     each number once, whatever happens
        counter --state-file state                   both killed: the next start goes on from there
        counter --poison 13                          a number that kills who counts it, and what is done about that
        counter --poison 13 --skip evidence          the same, left out in the end
        counter --chaos --for 30s > /dev/null        kills and stops its own processes, and keeps a tally

      Exit status: 0 when it ended on purpose (Ctrl-C ends both processes); 1 when it gave up, or when --chaos found a number \
      left out or repeated against the promise; 64 for a wrong command line.
      """)

  @Option(help: "Where a backup is started: in a window of its own, or none.")
  var window = WindowKind.auto

  @Option(
    help: ArgumentHelp("From number to number. (default: 1s; with --chaos 2ms)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var period: DurationArgument?

  @Option(
    help: ArgumentHelp("From heartbeat to heartbeat. (default: 100ms; with --chaos 10ms)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var beat: DurationArgument?

  @Option(
    help: "So many heartbeats in a row are missing until the primary is taken for hung. (default: 3; with --chaos 5)")
  var missed: Int?

  @Option(help: "What carries the heartbeat.")
  var heartbeat = PairHeartbeatKind.shm

  @Option(help: ArgumentHelp("Append the numbers to a file of the pair's alone, each exactly once.", valueName: "file"))
  var output: String?

  @Flag(help: "Write each step to the disk before the next one, so that a crash of the machine loses none.")
  var durable = false

  @Option(help: ArgumentHelp("Keep the state in a file, and go on from what is in it.", valueName: "file"))
  var stateFile: String?

  @Option(help: ArgumentHelp("A number that crashes whoever counts it.", valueName: "number"))
  var poison: UInt64?

  @Option(
    help: ArgumentHelp("Leave out what keeps crashing, and keep what is known of it in a folder.", valueName: "folder"))
  var skip: String?

  @Option(help: ArgumentHelp("End after that number.", valueName: "number"))
  var countTo: UInt64?

  @Option(help: "The pair's name. (default: counter; with --chaos counter-chaos-PID)")
  var name: String?

  @Flag(help: "Kill and stop the pair's processes at random, and print a tally at the end.")
  var chaos = false

  @Option(help: "With --chaos: what chance is drawn from. (default: another each time)")
  var seed: UInt64?

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp("With --chaos: how long. (default: 10s, or until all --strikes)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var length: DurationArgument?

  @Option(help: ArgumentHelp("With --chaos: after how many kills and stops it ends.", valueName: "number"))
  var strikes: Int?

  // One of the processes that --chaos kills.
  @Flag(help: .hidden)
  var underChaos = false

  package init() {}

  package static func start() -> Never { runCommand(Self.self) }

  package func validate() throws {
    try validateName()
    if let beat, beat.duration < .milliseconds(1) {
      throw ValidationError("--beat \(beat): a millisecond is the least")
    }
    if let beat, beat.duration > .seconds(3600) { throw ValidationError("--beat \(beat): an hour is the most") }
    if let missed, !(1...1_000_000).contains(missed) {
      throw ValidationError("--missed must be 1 to 1000000, not \(missed)")
    }
    if poison == 0 { throw ValidationError("--poison 0: the first number is 1") }
    if countTo == 0 { throw ValidationError("--count-to 0: the first number is 1") }
    if durable && stateFile == nil {
      throw ValidationError("--durable needs a --state-file: shared memory is on no disk")
    }
    for (option, path) in [("--output", output), ("--state-file", stateFile), ("--skip", skip)] where path == "" {
      throw ValidationError("\(option) needs a path")
    }
    if let output, let stateFile, isSameFile(FilePath(output), FilePath(stateFile)) {
      throw ValidationError("--output and --state-file are the same file, \(printable(output)): give two")
    }
    if chaos { try validateChaos() } else { try validateNoChaos() }
  }

  private func validateName() throws {
    guard let name else { return }
    guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), !name.contains("\0"), name.utf8.count <= 200
    else {
      throw ValidationError("--name \(printable(name)): a name has 1 to 200 bytes, no '/', and is not '.' or '..'")
    }
  }

  private func isSameFile(_ one: FilePath, _ other: FilePath) -> Bool {
    var (oneStatus, otherStatus) = (stat(), stat())
    guard one.withPlatformString({ stat($0, &oneStatus) }) == 0,
      other.withPlatformString({ stat($0, &otherStatus) }) == 0
    else { return one.lexicallyNormalized() == other.lexicallyNormalized() }
    return oneStatus.st_dev == otherStatus.st_dev && oneStatus.st_ino == otherStatus.st_ino
  }

  private func validateChaos() throws {
    let notWithChaos: [(String, Bool)] = [
      ("--poison", poison != nil), ("--skip", skip != nil), ("--count-to", countTo != nil),
      ("--window", window != .auto && window != .none),
    ]
    if let (option, _) = notWithChaos.first(where: \.1) {
      throw ValidationError(
        "\(option) can't be with --chaos, which reads the numbers and would count that as a failure")
    }
    if let strikes, strikes < 1 { throw ValidationError("--strikes must be at least 1") }
    if let length, length.duration <= .zero { throw ValidationError("--for \(length): it has to be some time") }
  }

  private func validateNoChaos() throws {
    let chaosOnly: [(String, Bool)] = [
      ("--seed", seed != nil), ("--for", length != nil), ("--strikes", strikes != nil),
    ]
    if let (option, _) = chaosOnly.first(where: \.1) { throw ValidationError("\(option) is for --chaos") }
  }

  package func run() throws {
    muster_system_name(CommandLine.arguments.first.flatMap { FilePath($0).lastComponent?.string } ?? "counter")
    StandardOutput.ignoreBrokenPipes()
    // A file that may not be so long (RLIMIT_FSIZE) is an error to be told.
    _ = signal(SIGXFSZ, SIG_IGN)
    do {
      if chaos {
        muster_system_name("counter-chaos")
        try Chaos(chaosPlan()).run()
      } else {
        try Counting(plan()).run()
      }
    } catch let error as ProcessPairError {
      throw CommandFailure(printable(error.description), status: error.code == .invalidArgument ? EX_USAGE : 1)
    }
  }

  private func plan() throws -> CountingPlan {
    let environment = processEnvironment()
    let name = name ?? "counter"
    let isTerminal = isatty(STDOUT_FILENO) == 1
    let window = try Window(window, environment: environment, showsNumbers: isTerminal || output != nil)
    return CountingPlan(
      name: name, window: window, period: period?.duration ?? (underChaos ? .milliseconds(2) : .seconds(1)),
      beat: beat?.duration ?? (underChaos ? .milliseconds(10) : .milliseconds(100)),
      missed: missed ?? (underChaos ? 5 : 3),
      heartbeat: heartbeat.heartbeat, output: output.map { FilePath($0) }, isDurable: durable,
      stateFile: stateFile.map { FilePath($0) }, poison: poison, evidence: skip.map { FilePath($0) }, last: countTo,
      isUnderChaos: underChaos, isTerminal: isTerminal,
      errors: Terminal(descriptor: STDERR_FILENO, environment: environment))
  }

  private func chaosPlan() -> ChaosPlan {
    let name = name ?? "counter-chaos-\(getpid())"
    var arguments = ["--under-chaos", "--window", "none", "--name", name, "--heartbeat", heartbeat.rawValue]
    if let period { arguments += ["--period", "\(period.nanoseconds)ns"] }
    if let beat { arguments += ["--beat", "\(beat.nanoseconds)ns"] }
    if let missed { arguments += ["--missed", "\(missed)"] }
    if let output { arguments += ["--output", output] }
    if let stateFile { arguments += ["--state-file", stateFile] }
    if durable { arguments.append("--durable") }
    let beat = beat?.duration ?? .milliseconds(10)
    return ChaosPlan(
      name: name, arguments: arguments, stateFile: stateFile.map { FilePath($0) }, output: output.map { FilePath($0) },
      seed: seed ?? UInt64.random(in: 0...UInt64(UInt32.max)), strikes: strikes ?? Int.max,
      length: length?.duration ?? (strikes == nil ? .seconds(10) : nil), beat: beat,
      patience: beat * ((missed ?? 5) + 1))
  }
}

extension PairHeartbeatKind: ExpressibleByArgument {}
