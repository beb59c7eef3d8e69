// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `muster ring tail` does.
struct RingTail {
  let name: String
  let isFile: Bool
  let from: RingFrom
  let follows: Bool
  let count: Int?
  let timeout: TimeoutArgument
  let style: RecordStyle
  var output: StandardOutput

  /// What has not been written yet: records that are there are written at once.
  private var pending: [UInt8] = []
  private static let enough = 1 << 16

  init(
    name: String, isFile: Bool, from: RingFrom, follows: Bool, count: Int?, timeout: TimeoutArgument,
    style: RecordStyle, output: StandardOutput
  ) {
    self.name = name
    self.isFile = isFile
    self.from = from
    self.follows = follows
    self.count = count
    self.timeout = timeout
    self.style = style
    self.output = output
  }

  mutating func run() throws {
    do {
      let reader = try open()
      defer { reader.close() }
      try read(reader)
    } catch let error as RingError {
      flush()
      throw failure(error)
    }
  }

  /// A reader of latest mode needs no place, and no permission to write.
  private func open() throws(RingError) -> RingReader {
    let ring = ringName(name, isFile: isFile)
    let isLatest = try Ring.look(ring).delivery == .latest
    return try RingReader.attach(
      ring, from: from == .oldest ? .oldest : .newest, readOnly: isLatest, anyOwner: isLatest)
  }

  private mutating func read(_ reader: RingReader) throws {
    var seen = 0
    while seen < count ?? .max {
      guard let record = try next(reader) else {
        if output.failure == 0 { tell("its writer has ended") }
        break
      }
      if record.lost > 0 { tell("\(record.lost) record\(record.lost == 1 ? "" : "s") lost") }
      pending += try style.bytes(of: record)
      seen += 1
      if pending.count >= Self.enough { flush() }
      // Nobody reads what is printed any more.
      if output.failure != 0 { return }
    }
    flush()
  }

  /// nil: the writer ended, and that is the end.
  private mutating func next(_ reader: RingReader) throws(RingError) -> Ring.Record? {
    while true {
      do throws(RingError) {
        // First what is there already, so that it is written together.
        if !pending.isEmpty { return try reader.nextBlocking(until: .now) }
        if follows { return try reader.nextBlocking(until: deadline) }
        if let record = try reader.nextUntilEndBlocking(until: deadline) { return record }
        // Nobody writes. Where nobody ever has, the first one is waited for.
        return try reader.position().number > 0 ? nil : try reader.nextBlocking(until: deadline)
      } catch {
        switch error.code {
        case .timedOut where !pending.isEmpty: flush()
        case .overtaken: continue
        case .writerDied where follows:
          flush()
          tell("\(error.whoDied) died; waiting for the next")
          try reader.waitForWriterBlocking(until: deadline)
        default: throw error
        }
        if output.failure != 0 { return nil }
      }
    }
  }

  private var deadline: ContinuousClock.Instant? { timeout.nanoseconds.map { .now + .nanoseconds($0) } }

  private mutating func flush() {
    output.write(bytes: pending)
    pending.removeAll(keepingCapacity: true)
  }

  private mutating func tell(_ line: String) {
    flush()
    tellOfRing(name, line)
  }

  private func failure(_ error: RingError) -> CommandFailure {
    switch error.code {
    case .writerDied: CommandFailure("\(printable(name)): \(error.whoDied) died", status: Status.no)
    case .timedOut:
      CommandFailure("\(printable(name)): nothing came within \(timeout.text)", status: Status.timedOut)
    default: CommandFailure(ring: name, error)
    }
  }
}

extension RecordStyle {
  /// What is printed of a record.
  func bytes(of record: Ring.Record) throws -> [UInt8] {
    let text = String(validating: record.bytes, as: UTF8.self)
    switch self {
    case .raw: return record.bytes
    case .hex: return Array((hexadecimal(record.bytes) + "\n").utf8)
    case .text: return Array(((text.map(printable) ?? "0x" + hexadecimal(record.bytes)) + "\n").utf8)
    case .json:
      let report = RecordReport(
        number: record.place.number, lost: record.lost, size: record.bytes.count, text: text,
        hex: text == nil ? hexadecimal(record.bytes) : nil)
      return Array((try MusterCLI.json(report, isCompact: true) + "\n").utf8)
    }
  }

  private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}

/// What `tail --json` prints of a record.
struct RecordReport: Encodable, Sendable {
  var number: UInt64
  /// How many were lost before it.
  var lost: UInt64
  var size: Int
  /// Of a record that is UTF-8.
  var text: String?
  /// Of one that is not.
  var hex: String?
}

extension RingError {
  fileprivate var whoDied: String { "its writer\(pid.map { ", pid \($0)," } ?? "")" }
}

extension CommandFailure {
  /// What both commands say of a ring that can't be used.
  init(ring name: String, _ error: RingError) {
    let reason: String? =
      switch error.code {
      case .notFound: "no such ring"
      case .hasWriter: error.pid.map { "pid \($0) is its writer" } ?? "another process is its writer"
      case .full: "it has as many readers as there can be"
      default: nil
      }
    self.init(
      reason.map { "\(printable(name)): \($0)" } ?? "\(error)",
      status: error.code == .hasWriter ? Status.no : Status.failed)
  }
}

func ringName(_ name: String, isFile: Bool) -> RegionName { isFile ? .file(FilePath(name)) : RegionName(name) }

func tellOfRing(_ name: String, _ line: String) {
  var errors = StandardOutput(descriptor: STDERR_FILENO)
  errors.write(lines: ["muster: \(printable(name)): \(line)"])
}
