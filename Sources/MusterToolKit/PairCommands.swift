// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI
import MusterSupervision
import SystemPackage

struct PairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pair",
    abstract: "Run a command by two processes, of which one takes over from the other; look at a pair.",
    subcommands: [PairRunCommand.self, PairStatusCommand.self])
}

struct PairStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Tell which processes a pair has, which of them leads, and what became of the ones before.",
    discussion: """
      Of any process pair: one of 'muster pair run', and a program that is its own backup. Looking disturbs nobody. \
      Exit status: 0 somebody leads; 3 nobody does, and what is shown was there last; 1 failed.
      """)

  @Argument(help: "The pair's name, or with a '/' the path of its state file.")
  var name: String

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    let details = try look()
    if json { try shell.showJSON(details) } else { shell.show(pairs([("pair", printable(name))]) + details.lines()) }
    if !details.isLed { throw ExitCode(Status.no) }
  }

  private func look() throws(CommandFailure) -> PairDetails {
    do {
      let isPath = name.contains("/")
      return try PairDetails(
        isPath ? try ProcessPairObserver(stateFile: FilePath(name)) : try ProcessPairObserver(name))
    } catch  where error.code == .notFound {
      throw CommandFailure("\(printable(name)): no such pair; muster ls shows what there is")
    } catch {
      throw CommandFailure("\(error)")
    }
  }
}

extension PairHeartbeatKind: ExpressibleByArgument {}

struct PairRunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a command, or stand by for the one that does: to be called twice, in two terminals.",
    discussion: """
      Whoever comes first runs the command, the second stands by, a third one is refused. When the first runner or its \
      command dies, or the runner hangs, the second one sees it and all that the command has started gone, and runs the \
      command. Processes that would not die are told, and waited for. A command that exits with 0 ends the pair; one that is \
      ended by SIGTERM or SIGINT to its runner, too. Standard input is the runner's, but for a terminal.

      The command finds in its environment: MUSTER_PAIR_NAME, MUSTER_PAIR_ROLE (primary), MUSTER_PAIR_EPOCH (rises with \
      each runner that leads), MUSTER_PAIR_TAKEOVERS, and MUSTER_PAIR_CHECKPOINT: a path, the same each time, for what \
      the next command is to go on from. It is the command's to write and to remove. With --watchdog also NOTIFY_SOCKET \
      and WATCHDOG_USEC, as a service of systemd's with WatchdogSec= does (sd_notify(3)).

      Exit status: the command's; 128 + the signal's number when a signal killed it; 126 or 127 when it could not be \
      started; 125 after too many takeovers; 3 there are two runners already; of the one that stood by, 0 when the pair \
      has ended, 128 + the number of a signal that ended it; 1 failed.
      """)

  @Argument(help: "The pair's name.")
  var name: String

  @Option(
    help: ArgumentHelp(
      "What the command finds in MUSTER_PAIR_CHECKPOINT. (default: /dev/shm/NAME.checkpoint)", valueName: "file"))
  var checkpoint: String?

  @Option(help: "By what the runner tells the other one that it is well.")
  var heartbeat = PairHeartbeatKind.shm

  @Option(
    help: ArgumentHelp("From heartbeat to heartbeat. (default: 100ms)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var period: DurationArgument?

  @Option(help: "So many heartbeats in a row are missing until the runner is taken for hung.")
  var missed = 3

  @Option(help: "With one more takeover within --within the pair gives up: 1 to 32.")
  var takeovers = 10

  @Option(
    help: ArgumentHelp("The time that --takeovers counts for. (default: 10s)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var within: DurationArgument?

  @Option(
    help: ArgumentHelp(
      "The command is taken for hung when for so long it has not sent WATCHDOG=1 to NOTIFY_SOCKET.",
      valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var watchdog: DurationArgument?

  @Flag(help: "Run the command although processes of the old one would not die.")
  var force = false

  @Argument(parsing: .postTerminator, help: "After '--': the command.")
  var command: [String] = []

  func validate() throws {
    guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), !name.contains("\0"), name.utf8.count <= 200
    else { throw ValidationError("\(printable(name)): a name has 1 to 200 bytes, no '/', and is not '.' or '..'") }
    if command.isEmpty { throw ValidationError("give the command after '--'") }
    if command[0].isEmpty { throw ValidationError("the command's name is empty") }
    if let period, !(1_000_000...3_600_000_000_000).contains(period.nanoseconds) {
      throw ValidationError("--period must be 1ms to 1h")
    }
    if !(1...1_000_000).contains(missed) { throw ValidationError("--missed must be 1 to 1000000") }
    if !(1...32).contains(takeovers) { throw ValidationError("--takeovers must be 1 to 32") }
    if let within, within.nanoseconds <= 0 { throw ValidationError("--within must be some time") }
    if let watchdog, !(10_000_000...86_400_000_000_000).contains(watchdog.nanoseconds) {
      throw ValidationError("--watchdog must be 10ms to 24h")
    }
    if checkpoint == "" { throw ValidationError("--checkpoint needs a path") }
  }

  func run() throws {
    _ = Shell()
    var task = PairRunner.Task(
      name: name, command: command, checkpoint: checkpoint ?? "/dev/shm/\(name).checkpoint")
    task.isForced = force
    task.watchdog = watchdog?.duration
    task.options.heartbeat = heartbeat.heartbeat
    task.options.missed = missed
    task.options.takeovers = takeovers
    if let period { task.options.period = period.duration }
    if let within { task.options.takeoverWindow = within.duration }
    let name = printable(name)
    let status: Int32
    do {
      status = try PairRunner(task) { text in
        var errors = StandardOutput(descriptor: 2)
        errors.write(lines: ["muster: \(name): \(text)"])
      }.run()
    } catch {
      throw CommandFailure("\(error)", status: error.code == .alreadyRunning ? Status.no : Status.failed)
    }
    if status != 0 { throw ExitCode(status) }
  }
}
