// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Nanoseconds since 1970.
func wallClock() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls", abstract: "List the regions: kind, size, owner, held or stale, age, name.")

  @Flag(help: "Print a JSON array.")
  var json = false

  func run() throws {
    var shell = Shell()
    let entries = try Registry.list()
    let now = wallClock()
    if json {
      try shell.showJSON(entries.sorted { $0.name < $1.name }.map { RegionReport($0, now: now) })
    } else if !entries.isEmpty {
      shell.show(RegionEntry.table(entries, now: now))
    }
  }
}

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show what a region holds, without joining, holding or changing it.",
    discussion: """
      Of a barrier: its parties, phase, who has arrived, why it is broken, its members and whether they live; of a group \
      its members; of counters their labels and values; of a lock who holds it, and whether it is to be repaired; of a \
      checkpoint the states that it keeps; of a ring who writes, and how far behind its readers are; of a pool whose its \
      blocks are; of a queue how many of its jobs are where; of a log who writes, its level, and how far it was drained; of \
      a trace who records, or did.
      """)

  @Argument(help: "The region's name, as ls shows it.")
  var name: String

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    let entry = try Registry.inspect(name)
    let details = Registry.details(entry)
    let now = wallClock()
    if json {
      try shell.showJSON(ShowReport(entry, details, now: now))
    } else {
      shell.show(entry.lines(now: now) + details.lines())
    }
  }
}

/// What `rm --json` and `clean --json` print.
struct RemovalReport: Encodable, Sendable {
  struct Failure: Encodable, Sendable {
    var name: String
    var reason: String
  }

  var removed: [String] = []
  var failed: [Failure] = []

  /// What went wrong is one line; the number of failures is in it where there are several.
  func failure() -> CommandFailure? {
    guard let first = failed.first else { return nil }
    let more = failed.count > 1 ? ", and \(failed.count - 1) more" : ""
    return CommandFailure("\(printable(first.name)): \(first.reason)\(more)", status: Status.failed)
  }
}

struct RemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm",
    abstract: "Remove regions by name.",
    discussion: """
      A region that somebody holds is not removed, unless with --force: then who holds it goes on with memory that has no \
      name, and the next to open the name gets another region.
      """)

  @Argument(help: "The names, as ls shows them.")
  var names: [String]

  @Flag(help: "Also while somebody holds it.")
  var force = false

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    var report = RemovalReport()
    for name in names {
      if let reason = Registry.remove(name, force: force) {
        report.failed.append(.init(name: name, reason: reason))
      } else {
        report.removed.append(name)
      }
    }
    if json { try shell.showJSON(report) }
    if let failure = report.failure() { throw failure }
  }
}

struct CleanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clean",
    abstract: "Remove your regions that nobody holds.",
    discussion: """
      A region that nobody holds was left by processes that were killed, or is one that its users mean to come back to: \
      look before you say yes. What is taken up again between the look and the removal stays.
      """)

  @Flag(name: .shortAndLong, help: "Don't ask.")
  var yes = false

  @Flag(help: "Print a JSON object.")
  var json = false

  func run() throws {
    var shell = Shell()
    let stale = try Registry.list().filter { !$0.isHeld && $0.userID == geteuid() }.sorted { $0.name < $1.name }
    guard !stale.isEmpty else {
      if json { try shell.showJSON(RemovalReport()) }
      return
    }
    if !yes {
      guard isatty(STDIN_FILENO) == 1 else {
        throw CommandFailure(
          "\(stale.count) stale: give --yes to remove them, for nobody can be asked here", status: Status.failed)
      }
      guard ask(stale) else { throw CommandFailure("nothing removed", status: Status.no) }
    }
    var report = RemovalReport()
    for entry in stale {
      if let reason = Registry.remove(entry.name, force: false) {
        report.failed.append(.init(name: entry.name, reason: reason))
      } else {
        report.removed.append(entry.name)
      }
    }
    if json { try shell.showJSON(report) } else { shell.show(report.removed.map { "removed \(printable($0))" }) }
    if let failure = report.failure() { throw failure }
  }

  /// Asks on standard error, so that what is printed stays what it is.
  private func ask(_ stale: [RegionEntry]) -> Bool {
    var errors = StandardOutput(descriptor: STDERR_FILENO)
    errors.write(lines: RegionEntry.table(stale, now: wallClock()))
    errors.write("Remove \(stale.count == 1 ? "it" : "these \(stale.count)")? [y/N] ")
    let answer = (readLine() ?? "").lowercased()
    return answer == "y" || answer == "yes"
  }
}
