// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MusterCLI
import Subprocess
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct AliveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "alive",
    abstract: "Hold an Alive file, or ask whether somebody does.",
    discussion: """
      An Alive file is locked while its owner lives, and tells how the last owner ended: a clean end removes it, any \
      other leaves it behind.
      """,
    subcommands: [AliveHoldCommand.self, AliveCheckCommand.self, AliveWaitCommand.self, AliveWaitDeathCommand.self])
}

/// What an Alive file tells.
struct AliveReport: Encodable, Sendable, Equatable {
  enum State: String, Encodable, Sendable {
    /// Somebody holds it.
    case alive
    /// No file: there never was an owner, or the last one ended cleanly.
    case nobody
    /// A file that nobody holds: its owner ended otherwise.
    case crashed
    /// The same, from before the machine was last started.
    case rebooted
  }

  var path: String
  var state: State
  /// The owner's process; nil where the file does not tell.
  var process: Int32?
  /// Since when it is, or was, held: ISO 8601.
  var since: String?

  var line: String {
    let who = process.map { "pid \($0)" } ?? "its owner"
    let since = since.map { ", since \($0)" } ?? ""
    switch state {
    case .alive: return "alive: \(who)\(since)"
    case .nobody: return "nobody: it never was held, or ended cleanly"
    case .crashed: return "crashed: \(who)\(since.replacing(", since", with: ", held since"))"
    case .rebooted: return "ended by a restart of the machine: \(who)\(since)"
    }
  }

  /// Of `alive check`.
  var status: Int32 {
    switch state {
    case .alive: 0
    case .nobody: Status.no
    case .crashed: 4
    case .rebooted: 5
    }
  }
}

struct AliveCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Tell whether somebody holds an Alive file; neither creates it nor disturbs anyone.",
    discussion: """
      Exit status: 0 alive; 3 nobody (there is no file); 4 its owner crashed; 5 the machine was started anew since; \
      1 failed.
      """)

  @Argument(help: "The file.", completion: .file())
  var path: String

  @Flag(help: "Print a JSON object.")
  var json = false

  @Flag(name: .shortAndLong, help: "Print nothing: the exit status tells.")
  var quiet = false

  func run() throws {
    var shell = Shell()
    let report = try AliveFile.probe(path)
    if json { try shell.showJSON(report) } else if !quiet { shell.show([report.line]) }
    if report.status != 0 { throw ExitCode(report.status) }
  }
}

struct AliveWaitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait",
    abstract: "Wait until somebody holds an Alive file.",
    discussion: "Exit status: 0 somebody does; 2 timed out; 1 failed.")

  @Argument(help: "The file.", completion: .file())
  var path: String

  @Option(
    help: ArgumentHelp("How long to wait at most: a duration, or 'never'. (default: 30s)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = .standard

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    guard let report = try AliveFile.wait(path, timeout: timeout.nanoseconds) else {
      throw CommandFailure("\(printable(path)): nobody held it within \(timeout.text)", status: Status.timedOut)
    }
    if json { try shell.showJSON(report) }
  }
}

struct AliveWaitDeathCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait-death",
    abstract: "Wait until nobody holds an Alive file any more.",
    discussion: """
      Prints how its owner ended. Exit status: 0 nobody holds it; 2 timed out: it is still held; 1 failed.
      """)

  @Argument(help: "The file.", completion: .file())
  var path: String

  @Option(
    help: ArgumentHelp("How long to wait at most: a duration, or 'never'. (default: 30s)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = .standard

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    guard let report = try AliveFile.waitForDeath(path, timeout: timeout.nanoseconds) else {
      throw CommandFailure("\(printable(path)): still held after \(timeout.text)", status: Status.timedOut)
    }
    if json { try shell.showJSON(report) } else { shell.show([report.line]) }
  }
}

struct AliveHoldCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hold",
    abstract: "Hold an Alive file: until a signal ends this process, or while a command runs.",
    discussion: """
      SIGINT, SIGTERM and SIGHUP are the clean end: the file is removed. With a command, its end is the end: a clean \
      one when it exits, whatever its status, or ends by a signal that this process was sent and passed on; when \
      another signal kills it, the file stays behind and the next owner finds a crash.

      Exit status: 0 after a signal; 3 somebody else holds it; 2 somebody else held it until the timeout; 1 failed. With a \
      command: that command's; 128 + the signal's number when a signal killed it; 125 when the file could not be held; 126 \
      or 127 when the command could not be started.
      """)

  @Argument(help: "The file.", completion: .file())
  var path: String

  @Option(
    help: ArgumentHelp(
      "How long to wait for who holds it now: a duration, or 'never'. (default: don't wait)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = TimeoutArgument(nanoseconds: 0)

  @Argument(parsing: .postTerminator, help: "After '--': a command to run meanwhile.")
  var command: [String] = []

  func run() throws {
    _ = Shell()
    let holder = AliveHolder(path: path, timeout: timeout, command: command, signals: try SignalWatch())
    let status = try blocking { await holder.run() }.get()
    if status != 0 { throw ExitCode(status) }
  }
}
