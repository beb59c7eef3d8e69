// What the commands of a log take on their command lines.
// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Which log.
struct LogName: ParsableArguments {
  @Argument(help: "The log's name.")
  var name: String

  @Flag(help: "NAME is the path of a file.")
  var file = false

  var region: RegionName { ringName(name, isFile: file) }
}

/// Which records.
struct LogFilterOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Of this level at least.", valueName: "level"), transform: LogLevelArgument.typed)
  var level: Log.Level = .trace

  @Option(name: .customLong("tag"), help: ArgumentHelp("With this tag; of several with each.", valueName: "tag"))
  var tags: [String] = []

  @Option(help: ArgumentHelp("Written by this process.", valueName: "process"))
  var pid: Int32?

  @Option(
    help: ArgumentHelp("Since then: a time as 2026-01-31T12:00:00Z, or a duration ago.", valueName: "time"),
    transform: TimeArgument.init(typed:))
  var since: TimeArgument?

  @Option(
    help: ArgumentHelp("Before then.", valueName: "time"), transform: TimeArgument.init(typed:))
  var until: TimeArgument?

  @Option(help: ArgumentHelp("With this correlation id.", valueName: "uuid"), transform: LogCorrelation.typed)
  var correlation: CorrelationID?

  @Option(help: ArgumentHelp("With this label.", valueName: "label"))
  var label: String?

  func validate() throws {
    if tags.count > 32 { throw ValidationError("at most 32 times --tag") }
    if let pid, pid < 1 { throw ValidationError("--pid must be 1 or more, not \(pid)") }
  }

  func filter(now: Int64) -> LogFilter {
    LogFilter(
      level: level, pid: pid, since: since?.duration(now: now), until: until?.duration(now: now), tags: tags,
      correlation: correlation, label: label)
  }
}

/// How records are printed.
struct LogFormatOptions: ParsableArguments {
  @Flag(help: "Print each record as a line of JSON.")
  var json = false

  @Flag(help: "Times of the local time zone, not of UTC.")
  var local = false

  func format(on terminal: Terminal) -> LogFormat {
    var format: LogFormat = json ? .json : terminal.isColored ? .coloured : .text
    if local { format.insert(.localTime) }
    return format
  }
}

enum LogLevelArgument {
  static func typed(_ text: String) throws -> Log.Level {
    guard let level = Log.Level(text) else {
      throw ValidationError("give one of " + Log.Level.allCases.map(\.description).joined(separator: ", "))
    }
    return level
  }
}

enum LogCorrelation {
  static func typed(_ text: String) throws -> CorrelationID {
    guard let id = CorrelationID(text) else { throw ValidationError("give a UUID") }
    return id
  }
}

/// A moment as it is typed: ISO 8601 with its time zone, or how long ago.
enum TimeArgument: Equatable, Sendable {
  /// Nanoseconds since 1970.
  case at(Int64)
  case ago(Int64)

  init(typed text: String) throws {
    if let ago = DurationArgument(argument: text) {
      self = .ago(ago.nanoseconds)
      return
    }
    // The digits behind the point apart, since a Date does not hold nanoseconds.
    var whole = text
    var fraction: Int64 = 0
    if let point = text.firstIndex(of: ".") {
      let digits = text[text.index(after: point)...].prefix { $0.isASCII && $0.isNumber }
      fraction = Int64((digits + "000000000").prefix(9)) ?? 0
      whole.removeSubrange(point..<digits.endIndex)
    }
    guard let date = try? Date(whole, strategy: .iso8601) else {
      throw ValidationError("give a time with its zone, such as 2026-01-31T12:00:00Z, or a duration ago, such as 10m")
    }
    let seconds = date.timeIntervalSince1970
    guard abs(seconds) < 9e9 else { throw ValidationError("give a time of this age") }
    self = .at(Int64(seconds.rounded()) * 1_000_000_000 + fraction)
  }

  /// Since 1970.
  func duration(now: Int64) -> Duration {
    switch self {
    case .at(let time): .nanoseconds(time)
    case .ago(let length): .nanoseconds(now - min(length, now - 1))
    }
  }
}

/// Bytes as they are typed: a number, or one with `k`, `m` or `g`.
struct SizeArgument: Equatable, Sendable {
  var bytes: UInt64

  init(typed text: String) throws {
    let shifts: [Character: UInt64] = ["k": 10, "m": 20, "g": 30]
    let shift = text.last.flatMap { shifts[Character($0.lowercased())] }
    guard let number = UInt64(shift == nil ? text[...] : text.dropLast()), (1...1 << 33).contains(number) else {
      throw ValidationError("give a number of bytes, such as 65536, 64k or 10m")
    }
    bytes = number << (shift ?? 0)
  }
}

/// Whole seconds.
enum SecondsArgument {
  static func typed(_ text: String) throws -> Duration {
    let duration = try DurationArgument(typed: text).duration
    guard duration >= .seconds(1), duration.components.attoseconds == 0 else {
      throw ValidationError("give whole seconds, such as 90s or 24h")
    }
    return duration
  }
}

extension CommandFailure {
  /// What the commands say of a log that can't be used.
  init(log name: String, _ error: LogError) {
    let reason: String? =
      switch error.code {
      case .notFound: "no such log"
      case .hasDrain: error.pid.map { "pid \($0) drains it" } ?? "another process drains it"
      case .full: "living processes are in all of its places"
      default: nil
      }
    self.init(
      reason.map { "\(printable(name)): \($0)" } ?? "\(error)",
      status: error.code == .hasDrain ? Status.no : error.code == .timedOut ? Status.timedOut : Status.failed)
  }
}
