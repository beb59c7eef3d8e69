// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
import MusterCLI

/// The command line of muster.
package struct MusterCommand: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "muster",
    abstract: "Look at and use what Muster's programs share: regions, barriers, checkpoints, logs, Alive files.",
    discussion: """
      Exit status: 0 done, yes, released; 1 failed; 2 timed out; 3 no, or broken; 64 wrong command line. Where a command \
      has others, its own help says so.
      """,
    subcommands: [
      ListCommand.self, ShowCommand.self, RemoveCommand.self, CleanCommand.self, AliveCommand.self, BarrierCommand.self,
      LockCommand.self, CheckpointCommand.self, RingCommand.self, QueueCommand.self, LogCommand.self, TraceCommand.self,
      RootCommand.self, PairCommand.self,
    ])

  package init() {}
}

/// The exit statuses that all commands share.
enum Status {
  static let failed: Int32 = 1
  static let timedOut: Int32 = 2
  static let no: Int32 = 3
}

/// What every command needs.
struct Shell {
  var output = StandardOutput()
  let terminal = Terminal(descriptor: 1, environment: processEnvironment())

  init() { StandardOutput.ignoreBrokenPipes() }

  mutating func show(_ lines: [String]) { output.write(lines: lines) }

  mutating func showJSON(_ value: some Encodable) throws {
    output.write(lines: [try json(value)])
  }
}

/// How long a wait may take: a duration, or `never` for no end.
struct TimeoutArgument: Equatable, Sendable {
  /// Nanoseconds; nil: no end.
  var nanoseconds: Int64?

  init(typed text: String) throws {
    nanoseconds = text == "never" ? nil : try DurationArgument(typed: text).nanoseconds
  }

  static let standard = TimeoutArgument(nanoseconds: 30_000_000_000)

  init(nanoseconds: Int64?) { self.nanoseconds = nanoseconds }

  var text: String { nanoseconds.map { Duration.nanoseconds($0).readable(microsecond: "us") } ?? "never" }
}
