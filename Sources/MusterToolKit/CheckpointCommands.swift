// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MusterCLI

struct CheckpointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "checkpoint",
    abstract: "Look at the states that a checkpoint keeps, or roll back to one.",
    discussion: "A name with a slash in it is the path of a file, such as ./job; another one is a region's.",
    subcommands: [CheckpointShowCommand.self, CheckpointRollBackCommand.self])
}

/// What `checkpoint show NAME SEQUENCE --json` prints.
struct StateReport: Encodable, Sendable {
  var state: CheckpointDetails.State
  /// The contents where they are text.
  var text: String?
  /// The contents where they are not: two digits a byte.
  var hex: String?
}

struct CheckpointShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show what a checkpoint keeps, or one of its states, without holding or changing it.",
    discussion: """
      Without a sequence: who writes, and each state's sequence, epoch, age, length, checksum, and whether it is whole. With \
      one: that state and its contents, as text where they are text, else in hexadecimal.
      """)

  @Argument(help: "The checkpoint's name, or the path of its file.")
  var name: String

  @Argument(help: "A state's sequence.")
  var sequence: UInt64?

  @Flag(help: "Print the bytes of a state, and nothing else; without a sequence of the newest.")
  var raw = false

  @Flag(help: "Print a JSON object.")
  var json = false

  func validate() throws {
    if raw && json { throw ValidationError("give --raw or --json, not both") }
  }

  func run() throws {
    var shell = Shell()
    if sequence == nil && !raw {
      let details = try SharedCheckpoint.details(name)
      if json { try shell.showJSON(details) } else { shell.show(details.lines()) }
      return
    }
    let (state, bytes) = try SharedCheckpoint.state(name, sequence)
    if raw {
      shell.output.write(bytes: bytes)
    } else if json {
      let text = CheckpointContents.text(bytes)
      let hex = text == nil ? bytes.map(CheckpointContents.hex).joined() : nil
      try shell.showJSON(StateReport(state: state, text: text, hex: hex))
    } else {
      shell.show(state.lines() + [""] + CheckpointContents.lines(bytes))
    }
  }
}

/// What `checkpoint rollback --json` prints.
struct RollBackReport: Encodable, Sendable, Equatable {
  /// The sequence of the state that was rolled back to.
  var restored: UInt64
  /// The sequence that its contents have now.
  var sequence: UInt64
  var epoch: UInt64
  /// The process that lived as the writer, and can't save any more.
  var fenced: Int32?

  var line: String {
    "state \(sequence) has the contents of \(restored); epoch \(epoch)\(fenced.map { "; pid \($0) is fenced" } ?? "")"
  }
}

struct CheckpointRollBackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback",
    abstract: "Commit the contents of an older state as the newest one.",
    discussion: """
      It takes over as the writer, which fences the one before: a process that lives as the writer can't save any more, and \
      is told at its next save. So it is refused while one does, unless with --force. A process that read the newer state \
      goes on with what it read. In a file the new state is on the disk when the command ends.
      """)

  @Argument(help: "The checkpoint's name, or the path of its file.")
  var name: String

  @Argument(help: "The state's sequence, as show tells it.")
  var sequence: UInt64

  @Flag(help: "Also while a process lives as the writer: it is fenced.")
  var force = false

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    let report = try SharedCheckpoint.rollBack(name, to: sequence, force: force)
    if json { try shell.showJSON(report) } else { shell.show([report.line]) }
  }
}
