// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI
import SystemPackage

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log", abstract: "Read a log, follow it, write it to files, set its level, or write to it.",
    subcommands: [
      LogShowCommand.self, LogTailCommand.self, LogDrainCommand.self, LogLevelCommand.self, LogPutCommand.self,
    ])
}

struct LogShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print the records that are in a log.",
    discussion: """
      In the order of time, those of dead processes too. What was overwritten is told, with how many they were. It neither \
      changes nor takes anything: what is shown is still drained.
      """)

  @OptionGroup var log: LogName
  @OptionGroup var filter: LogFilterOptions
  @OptionGroup var style: LogFormatOptions

  @Option(name: [.customShort("n"), .long], help: "Only the last of them, so many.")
  var last: Int?

  func validate() throws {
    if let last, last < 1 { throw ValidationError("--last must be 1 or more, not \(last)") }
  }

  func run() throws {
    let shell = Shell()
    var printer = LogPrinter(log, filter, style, shell)
    try printer.show(last: last)
  }
}

struct LogTailCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tail",
    abstract: "Print the records of a log as they come.",
    discussion: """
      Any number may read, without anybody's notice. A record is printed some milliseconds after it was written, so that \
      those of all processes come in the order of time.

      Exit status: 0 --count records have come; 2 none came within --timeout; 1 failed.
      """)

  @OptionGroup var log: LogName
  @OptionGroup var filter: LogFilterOptions
  @OptionGroup var style: LogFormatOptions

  @Option(help: "Where to begin: at the oldest record that is there, or with what comes next.")
  var from: RingFrom = .newest

  @Option(name: [.customShort("n"), .long], help: "End after so many records.")
  var count: Int?

  @Option(
    help: ArgumentHelp(
      "How long to wait for each record: a duration, or 'never'. (default: never)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = TimeoutArgument(nanoseconds: nil)

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be 1 or more, not \(count)") }
  }

  func run() throws {
    let shell = Shell()
    var printer = LogPrinter(log, filter, style, shell)
    try printer.follow(from: from == .oldest ? .oldest : .newest, count: count, timeout: timeout)
  }
}

struct LogDrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain",
    abstract: "Write the records of a log to files that rotate, or to standard output, until a signal.",
    discussion: """
      One process at a time drains a log; when it dies the next one goes on where it was, and each record is in the files \
      once. At SIGINT, SIGTERM or SIGHUP it writes what is there, and ends. The files are NAME-000001.log and so on; \
      NAME.log leads to the present one. On a full disk it says so, and tries again each second.

      Exit status: 0 ended by a signal, or --once and all is written; 3 another process drains it; 1 failed.
      """)

  @OptionGroup var log: LogName
  @OptionGroup var filter: LogFilterOptions
  @OptionGroup var style: LogFormatOptions

  @Flag(help: "Write what is there by now, and end.")
  var once = false

  @Option(help: ArgumentHelp("Into files in this folder, not to standard output.", valueName: "folder"))
  var folder: String?

  @Option(help: ArgumentHelp("How the files' names begin. (default: the log's name)", valueName: "name"))
  var prefix: String?

  @Option(
    help: ArgumentHelp("Begin a new file when one has so many bytes: 65536, 64k, 10m.", valueName: "bytes"),
    transform: SizeArgument.init(typed:))
  var rotateSize: SizeArgument?

  @Option(
    help: ArgumentHelp(
      "Begin a new file at each multiple of this since 1970: 1d at midnight UTC.", valueName: "duration"),
    transform: SecondsArgument.typed)
  var rotateEvery: Duration?

  @Option(help: ArgumentHelp("Keep so many files, with the present one.", valueName: "count"))
  var keep: Int?

  @Option(
    help: ArgumentHelp("Delete files last written longer ago.", valueName: "duration"), transform: SecondsArgument.typed
  )
  var keepFor: Duration?

  @Flag(help: "Each batch is on the disk before it counts as written.")
  var durable = false

  func validate() throws {
    if let keep, keep < 1 { throw ValidationError("--keep must be 1 or more, not \(keep)") }
    let isOfFiles = prefix != nil || rotateSize != nil || rotateEvery != nil || keep != nil || keepFor != nil || durable
    if folder == nil, isOfFiles { throw ValidationError("files need a --folder") }
    let begin = prefix ?? FilePath(log.name).lastComponent?.string ?? log.name
    if folder != nil, begin.isEmpty || begin.hasPrefix(".") || begin.contains("/") || begin.utf8.count > 200 {
      throw ValidationError("give a --prefix of 1 to 200 bytes that has no slash and does not begin with a dot")
    }
  }

  func run() throws {
    let shell = Shell()
    try LogDraining(self, shell.terminal).run()
  }
}

struct LogLevelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "level",
    abstract: "Print the level from which on records are written, or set it for all who log.",
    discussion: "It holds at once, in all processes. 'off': nothing is written.")

  @OptionGroup var log: LogName

  @Argument(
    help: "trace, debug, info, notice, warning, error, critical or off. None: print it.",
    transform: LogLevelArgument.typed)
  var level: Log.Level?

  func run() throws {
    var shell = Shell()
    do {
      if let level {
        try Log.setLevel(level, of: log.region)
      } else {
        shell.show(["\(try Log.look(log.region).level)"])
      }
    } catch {
      throw CommandFailure(log: log.name, error)
    }
  }
}

struct LogPutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put",
    abstract: "Write a record to a log: its arguments, or else each line of standard input.",
    discussion: """
      The log is created if it is not there; it stays until it is removed (muster rm). What is below the log's level is \
      not written, which is no failure.
      """)

  @OptionGroup var log: LogName

  @Argument(help: "The message; several words are joined. None: each line of standard input is a record.")
  var words: [String] = []

  @Option(help: ArgumentHelp("How much it matters.", valueName: "level"), transform: LogLevelArgument.typed)
  var level: Log.Level = .info

  @Option(name: .customLong("tag"), help: ArgumentHelp("A tag; may be given several times.", valueName: "tag"))
  var tags: [String] = []

  @Option(
    name: .customLong("pair"),
    help: ArgumentHelp("A key with its value; may be given several times.", valueName: "key=value"),
    transform: PairArgument.init(typed:))
  var pairs: [PairArgument] = []

  @Option(help: ArgumentHelp("What it belongs to.", valueName: "uuid"), transform: LogCorrelation.typed)
  var correlation: CorrelationID?

  @Option(help: ArgumentHelp("Which part of the program.", valueName: "label"))
  var label: String?

  func validate() throws {
    if level == .off { throw ValidationError("no record has the level off") }
    if tags.count > 32 { throw ValidationError("at most 32 times --tag") }
    if pairs.count > 64 { throw ValidationError("at most 64 times --pair") }
  }

  func run() throws {
    _ = Shell()
    try LogPut(self).run()
  }
}
