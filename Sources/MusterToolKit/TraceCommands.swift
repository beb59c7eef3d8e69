// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI
import SystemPackage

struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace", abstract: "Export, sum up, freeze or thaw a flight recorder, or watch over it.",
    subcommands: [
      TraceExportCommand.self, TraceSummaryCommand.self, TraceFreezeCommand.self, TraceThawCommand.self,
      TraceWatchCommand.self,
    ])
}

/// Which trace.
struct TraceArgument: ParsableArguments {
  @Argument(help: "The trace's name.")
  var name: String

  @Flag(help: "NAME is the path of a file.")
  var file = false

  /// Does something with the trace, which is to be opened so.
  func with<Result>(
    _ open: (RegionName) throws(TraceError) -> Trace, _ body: (Trace) throws -> Result
  ) throws -> Result {
    do {
      let trace = try open(file ? .file(FilePath(name)) : RegionName(name))
      defer { trace.close() }
      return try body(trace)
    } catch let error as TraceError {
      throw failure(error)
    }
  }

  private func failure(_ error: TraceError) -> CommandFailure {
    switch error.code {
    case .notFound: CommandFailure("\(printable(name)): no such trace")
    case .timedOut: CommandFailure("\(printable(name)): nobody died", status: Status.timedOut)
    default: CommandFailure("\(error)")
    }
  }
}

struct TraceExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write what was recorded as JSON, for ui.perfetto.dev and chrome://tracing.",
    discussion: """
      The format is the Trace Event Format. Nobody who records is held up, and nothing is changed; of recorders that go \
      round meanwhile some events are lost, and told as such: freeze the trace first to have the whole.
      """)

  @OptionGroup var trace: TraceArgument

  @Option(name: .shortAndLong, help: ArgumentHelp("Write to that file instead of standard output.", valueName: "path"))
  var output: String?

  func run() throws {
    _ = Shell()
    try trace.with(Trace.look) { trace in
      guard let output else { return try export(trace, to: .standardOutput, "standard output") }
      let file: FileDescriptor
      do {
        file = try FileDescriptor.open(
          FilePath(output), .writeOnly, options: [.create, .truncate, .closeOnExec],
          permissions: [.ownerReadWrite, .groupRead, .otherRead])
      } catch {
        throw CommandFailure("\(printable(output)): \(error)")
      }
      try file.closeAfter { try export(trace, to: file, output) }
    }
  }

  /// Nobody reads what is printed any more: no error.
  private func export(_ trace: Trace, to file: FileDescriptor, _ path: String) throws {
    do {
      try trace.export(to: file)
    } catch {
      guard let reason = error.errno else { throw error }
      if reason != .brokenPipe { throw CommandFailure("\(printable(path)): \(reason)") }
    }
  }
}

struct TraceSummaryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "summary",
    abstract: "Sum up what was recorded: how often and how long, and what each recorder was in at last.")

  @OptionGroup var trace: TraceArgument

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    let summary = try trace.with(Trace.look) { try TraceSummary($0) }
    if json { try shell.showJSON(summary) } else { shell.show(summary.lines()) }
  }
}

struct TraceFreezeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "freeze",
    abstract: "Stop all recorders of a trace, so that what they hold is kept.",
    discussion: "Exit status: 0 frozen now; 3 it was frozen already; 1 failed.")

  @OptionGroup var trace: TraceArgument

  func run() throws {
    _ = Shell()
    guard try trace.with(Trace.attach, { try $0.freeze() }) else {
      throw CommandFailure("\(printable(trace.name)): it is frozen already", status: Status.no)
    }
  }
}

struct TraceThawCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "thaw",
    abstract: "Let all recorders of a trace record again.",
    discussion: "Exit status: 0 thawed now; 3 it was not frozen; 1 failed.")

  @OptionGroup var trace: TraceArgument

  func run() throws {
    _ = Shell()
    guard try trace.with(Trace.attach, { try $0.thaw() }) else {
      throw CommandFailure("\(printable(trace.name)): it is not frozen", status: Status.no)
    }
  }
}

struct TraceWatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Wait until one that records dies, and freeze the trace at once.",
    discussion: """
      Prints who died. Exit status: 0 one died, and the trace is frozen; 2 nobody did within --timeout; 3 somebody else \
      has frozen it; 1 failed.
      """)

  @OptionGroup var trace: TraceArgument

  @Option(
    help: ArgumentHelp("How long to wait: a duration, or 'never'. (default: never)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = TimeoutArgument(nanoseconds: nil)

  func run() throws {
    var shell = Shell()
    let died = try trace.with(Trace.attach) { trace in
      let recorder = try trace.watchBlocking(until: timeout.nanoseconds.map { .now + .nanoseconds($0) })
      return try recorder.flatMap { index in try trace.recorders().first { $0.index == index } }
    }
    guard let died else {
      throw CommandFailure("\(printable(trace.name)): somebody else has frozen it", status: Status.no)
    }
    shell.show(["\(printable(died.label)), pid \(died.pid), died"])
  }
}
