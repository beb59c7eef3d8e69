// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct RootCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "root", abstract: "Look at a root and its daemons, which it starts again when they die.",
    subcommands: [RootStatusCommand.self])
}

struct RootStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Tell which daemons run, how often each was started, why it died, and what its transactions came to.",
    discussion: """
      BEAT is how long ago the last heartbeat was, and how long that may be. ARENA is the memory of the daemon's state, checkpoints \
      and log. DONE and LOST are transactions: those that were committed, and those that were aborted, crashed or late. CPU is the \
      processor time of the daemon's processes that have ended.

      Looking disturbs nobody. Exit status: 0 the root is there; 3 it is gone, having ended or been killed, and what is shown was there \
      last; 1 failed.
      """)

  @Argument(help: "The root's name.")
  var name: String

  @Flag(help: "Show it again and again, in place on a terminal, until the root is gone.")
  var watch = false

  @Option(
    help: ArgumentHelp("With --watch: how often. (default: 1s)", valueName: "duration"),
    transform: DurationArgument.init(typed:))
  var interval: DurationArgument?

  @Flag(help: "Print a JSON object; with --watch one a line.")
  var json = false

  func validate() throws {
    if interval != nil && !watch { throw ValidationError("--interval is of use with --watch") }
    if let interval, interval.nanoseconds < 10_000_000 { throw ValidationError("--interval must be 10ms or more") }
  }

  func run() throws {
    let observer = try SharedRoot.observe(name)
    defer { observer.close() }
    var view = RootView(isJSON: json, isWatching: watch)
    var details = try SharedRoot.details(observer)
    try view.show(details)
    while watch, !details.isGone, view.failure == 0 {
      usleep(UInt32(clamping: (interval?.nanoseconds ?? 1_000_000_000) / 1000))
      details = try SharedRoot.details(observer)
      try view.show(details)
    }
    if details.isGone {
      throw CommandFailure(SharedRoot.farewell(details), status: Status.no)
    }
  }
}

/// Shows a root, once or again and again.
private struct RootView {
  let isJSON: Bool
  let isWatching: Bool
  private var shell = Shell()
  private var screen = Redrawing()

  init(isJSON: Bool, isWatching: Bool) {
    self.isJSON = isJSON
    self.isWatching = isWatching
  }

  var failure: Int32 { shell.output.failure }

  mutating func show(_ details: RootDetails) throws {
    if isJSON { return shell.output.write(lines: [try MusterCLI.json(details, isCompact: isWatching)]) }
    // Asked for each time: the window may have another size now.
    let terminal = Terminal(descriptor: STDOUT_FILENO, environment: processEnvironment())
    let isRedrawing = isWatching && terminal.isInteractive
    let lines = details.lines(on: terminal, isFitted: isRedrawing)
    if isRedrawing { return shell.output.write(screen.picture(lines, on: terminal)) }
    shell.output.write(lines: lines + (isWatching ? [""] : []))
  }
}

/// Roots as the commands look at them.
enum SharedRoot {
  static func observe(_ name: String) throws(CommandFailure) -> RootObserver {
    do {
      return try RootObserver(name, anyOwner: true)
    } catch {
      throw CommandFailure(reason(name, error).map { "\(printable(name)): \($0)" } ?? "\(error)")
    }
  }

  static func details(_ observer: RootObserver) throws(CommandFailure) -> RootDetails {
    do {
      return try RootDetails(observer)
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  /// What to say of a root that is gone, and to do.
  static func farewell(_ details: RootDetails) -> String {
    let name = printable(details.name)
    guard details.state == .killed else { return "\(name): the root has ended" }
    let advice = "start it again, or remove what it left: muster rm \(name)"
    return "\(name): the root was killed, and its daemons with it; \(advice)"
  }

  private static func reason(_ name: String, _ error: RootError) -> String? {
    switch error.code {
    case .notFound: return "no such root; muster ls shows what there is"
    case .mismatch:
      guard let entry = try? Registry.inspect(name), entry.kind != "ROOT" else {
        return "a root of another version of Muster: use the muster of that version"
      }
      return "no root, but of kind \(entry.kindName); muster show \(printable(name)) tells of it"
    default: return nil
    }
  }
}
