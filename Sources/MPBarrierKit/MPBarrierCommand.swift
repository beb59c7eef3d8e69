// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The command line of mpbarrier.
package struct MPBarrierCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "mpbarrier",
    abstract: "Start N processes that meet at a barrier, round after round, and draw how they do.",
    discussion: """
      Each worker is a process of its own. They find each other by name, do uneven work, and meet; the picture shows a line \
      a worker: where it worked, where it waited, and the one column where all leave.

      What happens when one dies? Try:
        mpbarrier 4 --kill 2@3                       the others are told, at once
        mpbarrier 4 --kill 2@3 --on-death shrink     they go on without it
        mpbarrier 4 --kill 2@3 --on-death await      a replacement takes its place
        mpbarrier 4 --stop 2@3 --deadline 1s         it is alive, but does not come
        mpbarrier 4 --kill 2@3 --kind posix          what a pthread_barrier_t does

      Exit status: 0 when all rounds were met, or when it ended as asked for (--kill and --stop); 1 otherwise; 64 for a \
      wrong command line; 128 + the signal's number when interrupted.
      """)

  @Argument(help: "How many workers to start, 1 to 256.")
  var workers: Int

  @Option(help: "Rounds to meet in. (default: 5)")
  var rounds: Int?

  @Option(help: "The barrier to meet at. (default: robust)")
  var kind: BarrierKind?

  @Option(help: ArgumentHelp("The name to meet under. (default: mpbarrier-PID)", valueName: "name"))
  var name: String?

  @Option(help: "How many have to meet in all; those beyond N join from other terminals. (default: N)")
  var parties: Int?

  @Flag(help: "Take part in the run of that --name, which another terminal began.")
  var join = false

  @Option(
    help: ArgumentHelp("How long a worker waits for the others in a round. (default: 5s)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var deadline: DurationArgument?

  @Option(help: "What the death of a worker means to the others. (default: break)")
  var onDeath: DeathPolicy?

  @Option(
    help: ArgumentHelp(
      "Kill (SIGKILL) a worker half-way through its work in a round; both from 1.", valueName: "worker@round"),
    transform: WorkerAtRound.init(argument:))
  var kill: [WorkerAtRound] = []

  @Option(
    help: ArgumentHelp("Stop (SIGSTOP) a worker half-way through its work in a round.", valueName: "worker@round"),
    transform: WorkerAtRound.init(argument:))
  var stop: [WorkerAtRound] = []

  @Option(
    help: ArgumentHelp("How long a round's work takes, in milliseconds. (default: 20..200)", valueName: "min..max"),
    transform: WorkRange.init(argument:))
  var work: WorkRange?

  @Option(help: "What the uneven work is drawn from; the same seed gives the same work. (default: another each time)")
  var seed: UInt64?

  @Option(
    help: ArgumentHelp("Write what all did to a file, for ui.perfetto.dev: a track a worker.", valueName: "file"))
  var trace: String?

  @Flag(help: "Print one JSON document at the end, and nothing else.")
  var json = false

  @Flag(name: .shortAndLong, help: "Print the verdict alone; with --json, leave out the rounds.")
  var quiet = false

  package init() {}

  package func validate() throws {
    guard (1...Plan.partiesLimit).contains(workers) else {
      throw ValidationError("'<workers>' must be 1 to \(Plan.partiesLimit), not \(workers)")
    }
    try validateName()
    if join { try validateJoining() } else { try validatePlan() }
    for (option, places) in [("--kill", kill), ("--stop", stop)] {
      for place in places where place.worker > workers {
        throw ValidationError("\(option) \(place): there is no worker \(place.worker) of \(workers)")
      }
      guard !join else { continue }
      for place in places where place.round > rounds ?? 5 {
        throw ValidationError("\(option) \(place): there is no round \(place.round) of \(rounds ?? 5)")
      }
    }
    if let both = kill.first(where: stop.contains) {
      throw ValidationError("--kill \(both) and --stop \(both): it can only be one of them")
    }
  }

  private func validateName() throws {
    guard let name else { return }
    let bare = name.hasPrefix("/") ? name.dropFirst() : name[...]
    guard !bare.isEmpty, bare != ".", bare != "..", !bare.contains("/"), !name.contains("\0") else {
      throw ValidationError("--name \(printable(name)): a name has no '/' but one in front, and is not '', '.' or '..'")
    }
    guard boardName(name).utf8.count <= 255 else { throw ValidationError("--name: 249 bytes are the most") }
  }

  private func validateJoining() throws {
    guard name != nil else { throw ValidationError("--join needs the --name of a run") }
    let given: [(String, Bool)] = [
      ("--rounds", rounds != nil), ("--kind", kind != nil), ("--parties", parties != nil),
      ("--on-death", onDeath != nil),
      ("--deadline", deadline != nil), ("--work", work != nil), ("--seed", seed != nil), ("--trace", trace != nil),
    ]
    if let (option, _) = given.first(where: \.1) {
      throw ValidationError("\(option) is for who begins a run: who joins takes the run's")
    }
  }

  private func validatePlan() throws {
    let parties = parties ?? workers
    guard (workers...Plan.partiesLimit).contains(parties) else {
      throw ValidationError(
        "--parties must be \(workers) (the workers that start here) to \(Plan.partiesLimit), not \(parties)")
    }
    guard parties == workers || name != nil else {
      throw ValidationError("--parties needs a --name, for the others to join")
    }
    if let rounds {
      let most = Plan.roundsLimit(parties: parties)
      guard (1...most).contains(rounds) else {
        throw ValidationError("--rounds must be 1 to \(most) with \(count(parties, "worker")), not \(rounds)")
      }
    }
    if let deadline, !(1_000_000...86_400_000_000_000).contains(deadline.nanoseconds) {
      throw ValidationError("--deadline must be 1ms to 24h")
    }
    if kind == .posix, onDeath != nil {
      throw ValidationError("--on-death is for --kind robust: a pthread_barrier_t knows of no death")
    }
  }

  package func run() throws {
    let session = Session(
      request: Session.Request(
        workers: workers, name: name, isJoining: join, kills: kill, stops: stop, isJSON: json, isQuiet: quiet,
        tracePath: trace),
      newPlan: newPlan)
    let status = session.run()
    if status != 0 { throw ExitCode(status) }
  }

  private var newPlan: Plan {
    Plan(
      name: name ?? "mpbarrier-\(getpid())", parties: parties ?? workers, rounds: rounds ?? 5, kind: kind ?? .robust,
      onDeath: onDeath ?? .break,
      work: work ?? .standard, seed: seed ?? UInt64.random(in: 0...999_999),
      deadline: deadline?.nanoseconds ?? 5_000_000_000)
  }

  /// The program: a worker when it is told so by the one that starts workers, the command line else.
  package static func start() {
    StandardOutput.openClosedStreams()
    if let orders = WorkerOrders(arguments: Array(CommandLine.arguments.dropFirst())) { orders.carryOut() }
    runCommand(Self.self)
  }
}
