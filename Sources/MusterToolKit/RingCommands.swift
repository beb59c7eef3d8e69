// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MusterCLI

struct RingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ring", abstract: "Read a ring's records as they come, or write some.",
    subcommands: [RingTailCommand.self, RingPutCommand.self])
}

struct RingTailCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tail",
    abstract: "Print the records of a ring as they come, until its writer ends.",
    discussion: """
      Each record is a line: text as it is, control characters as \\xNN; what is no UTF-8 in hexadecimal, after 0x. A ring \
      that nobody has written to yet is waited for. Without --follow the end of the writer is the end: one that died is \
      told apart by the exit status. With it, this goes on with whoever writes next.

      Of a lossless ring this is a reader as any other: its writer waits for it, and so for whoever reads its output. Of \
      a ring in latest mode it reads without anybody's notice; how many records it lost is told on standard error.

      Exit status: 0 the writer ended, or --count records have come; 2 none came within --timeout; 3 the writer died; \
      1 failed.
      """)

  @Argument(help: "The ring's name.")
  var name: String

  @Flag(help: "NAME is the path of a file.")
  var file = false

  @Option(help: "Where to begin: at the oldest record that is there, or with what comes next.")
  var from: RingFrom = .oldest

  @Flag(name: .shortAndLong, help: "Go on with the next writer when one ended or died.")
  var follow = false

  @Option(name: [.customShort("n"), .long], help: "End after so many records.")
  var count: Int?

  @Option(
    help: ArgumentHelp(
      "How long to wait for each record: a duration, or 'never'. (default: never)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = TimeoutArgument(nanoseconds: nil)

  @Flag(exclusivity: .exclusive, help: "How to print a record.")
  var style: RecordStyle = .text

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be 1 or more, not \(count)") }
  }

  func run() throws {
    let shell = Shell()
    var tail = RingTail(
      name: name, isFile: file, from: from, follows: follow, count: count, timeout: timeout, style: style,
      output: shell.output)
    try tail.run()
  }
}

struct RingPutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put",
    abstract: "Write records to a ring: its arguments, or else each line of standard input.",
    discussion: """
      The ring is created if it is not there. One that is there is taken as it is, unless it is to be as --lossless, \
      --latest or --capacity say. It stays until it is removed (muster rm). A record is committed, and can be read, as \
      soon as its line has come.

      Exit status: 0 all written; 2 readers made no room within --timeout; 3 another process is its writer; 1 failed.
      """)

  @Argument(help: "The ring's name.")
  var name: String

  @Argument(help: "Records. None: the lines of standard input, without their ends.")
  var records: [String] = []

  @Flag(help: "NAME is the path of a file.")
  var file = false

  @Flag(exclusivity: .exclusive, help: "What becomes of readers that are slow.")
  var delivery: RingDelivery?

  @Option(
    help: ArgumentHelp(
      "Bytes for records: a power of two, from 4k to 1g. (default: 1m)", valueName: "bytes"),
    transform: CapacityArgument.init(typed:))
  var capacity: CapacityArgument?

  @Option(
    help: ArgumentHelp(
      "How long to wait for readers to make room: a duration, or 'never'. (default: 30s)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = .standard

  func run() throws {
    _ = Shell()
    let put = try RingPut(name: name, isFile: file, delivery: delivery, capacity: capacity, timeout: timeout)
    if records.isEmpty { try put.writeLines() } else { try records.forEach { try put.write(Array($0.utf8)) } }
  }
}

enum RingFrom: String, CaseIterable, ExpressibleByArgument, Sendable {
  case oldest, newest
}

enum RingDelivery: String, EnumerableFlag, Sendable {
  case lossless, latest

  static func help(for value: RingDelivery) -> ArgumentHelp? {
    switch value {
    case .lossless: "The writer waits for slow readers (the default of a new ring)."
    case .latest: "The writer never waits; slow readers lose records, and are told how many."
    }
  }
}

enum RecordStyle: String, EnumerableFlag, Sendable {
  case text, hex, raw, json

  static func help(for value: RecordStyle) -> ArgumentHelp? {
    switch value {
    case .text: "A line of text, where it is text (the default)."
    case .hex: "A line of hexadecimal digits."
    case .raw: "The bytes as they are, with nothing between records."
    case .json: "A line of JSON: number, lost, size, and text or hex."
    }
  }
}

/// A capacity as it is typed: bytes, or a number with `k`, `m` or `g`.
struct CapacityArgument: Equatable, Sendable {
  var bytes: Int

  static let standard = CapacityArgument(bytes: 1 << 20)

  init(bytes: Int) { self.bytes = bytes }

  init(typed text: String) throws {
    let shifts: [Character: Int] = ["k": 10, "m": 20, "g": 30]
    let shift = text.last.flatMap { shifts[Character($0.lowercased())] }
    let number = Int(shift == nil ? text[...] : text.dropLast())
    guard let number, (1...1 << 30).contains(number), number & (number - 1) == 0,
      (4096...1 << 30).contains(number << (shift ?? 0))
    else { throw ValidationError("give a power of two from 4k to 1g, such as 65536, 64k or 1m") }
    bytes = number << (shift ?? 0)
  }
}
