// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MusterCLI

struct BarrierCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "barrier", abstract: "Meet other processes at a barrier, from a shell script.",
    subcommands: [BarrierWaitCommand.self, BarrierResetCommand.self])
}

enum OnDeath: String, CaseIterable, ExpressibleByArgument, Sendable {
  case `break`, shrink, await
}

/// What a wait from a shell came to.
struct BarrierWaitReport: Encodable, Sendable, Equatable {
  enum Outcome: String, Encodable, Sendable {
    case released
    case timedOut = "timed-out"
    case broken
  }

  var outcome: Outcome
  /// Of the wait that was released.
  var phase: Int?
  /// 0 arrived first; nil where it is not known.
  var index: Int?
  /// True for at most one of the released.
  var isSerial: Bool
  /// Why it is broken.
  var reason: String?
}

struct BarrierWaitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait",
    abstract: "Wait at a barrier until as many have come as it has parties.",
    discussion: """
      Whoever comes first creates the barrier. All give the same --parties and --on-death. The place of a process that ends \
      is awaited, as is that of one that ended its wait and comes again for the next phase: so scripts can call this in \
      a loop. The barrier stays until it is removed (muster rm).

      Who gives up at its deadline breaks the barrier: the others are told, and so is who comes later, until \
      muster barrier reset.

      Exit status: 0 released; 2 timed out; 3 broken (another timed out, died, or aborted); 1 failed.
      """)

  @Argument(help: "The barrier's name.")
  var name: String

  @Option(help: "How many have to come, 1 to 256; the same for all.")
  var parties: Int

  @Option(
    help: ArgumentHelp("How long to wait at most: a duration, or 'never'. (default: 30s)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = .standard

  @Option(help: "What the death of a member means to the others; the same for all.")
  var onDeath: OnDeath = .await

  @Flag(help: "Print a JSON object: the outcome, the phase, the arrival index, and whether this is the serial process.")
  var json = false

  func validate() throws {
    guard (1...256).contains(parties) else { throw ValidationError("--parties must be 1 to 256, not \(parties)") }
  }

  func run() throws {
    var shell = Shell()
    let report = try Meeting.wait(name, parties: parties, onDeath: onDeath, timeout: timeout.nanoseconds)
    if json { try shell.showJSON(report) }
    switch report.outcome {
    case .released: return
    case .timedOut:
      throw CommandFailure(
        "\(printable(name)): not all \(parties) came within \(timeout.text); it is broken now", status: Status.timedOut)
    case .broken:
      throw CommandFailure("\(printable(name)): broken: \(report.reason ?? "by another")", status: Status.no)
    }
  }
}

struct BarrierResetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reset",
    abstract: "Make a broken barrier usable again.",
    discussion: "Who waits at it is told (status 3). The places of the dead are free afterwards.")

  @Argument(help: "The barrier's name.")
  var name: String

  func run() throws {
    _ = Shell()
    try Meeting.reset(name)
  }
}
