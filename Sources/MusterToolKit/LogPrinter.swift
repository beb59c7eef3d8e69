// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `muster log show` and `muster log tail` do.
struct LogPrinter {
  private let log: LogName
  private let filter: LogFilter
  private let format: LogFormat
  private var output: StandardOutput

  /// What has not been written yet: records that are there are written at once.
  private var pending = ""
  private static let enough = 1 << 16

  init(_ log: LogName, _ filter: LogFilterOptions, _ style: LogFormatOptions, _ shell: Shell) {
    self.log = log
    self.filter = filter.filter(now: wallClock())
    format = style.format(on: shell.terminal)
    output = shell.output
  }

  mutating func show(last: Int?) throws {
    do {
      // Of what is there nothing is held back; it is in the order of time all the same, since all of it is seen at once.
      let reader = try LogReader(log.region, filter: filter, holdBack: .zero, anyOwner: true)
      defer { reader.close() }
      let end = wallClock()
      var kept: [LogRecord] = []
      while output.failure == 0, let record = try reader.nextIfAvailable() {
        // What was written since is not shown, or a fast writer would have no end. A time that is still to come is of a
        // clock that was set back; and of what is corrupt it is that of looking.
        let time = record.time.wholeNanoseconds
        if record.kind == .written, time > end, time <= wallClock() { break }
        guard let last else {
          put(record)
          continue
        }
        kept.append(record)
        if kept.count - last >= max(last, 1000) { kept.removeFirst(kept.count - last) }
      }
      for record in kept.suffix(last ?? 0) { put(record) }
      flush()
    } catch {
      flush()
      throw CommandFailure(log: log.name, error)
    }
  }

  mutating func follow(from start: LogReader.Start, count: Int?, timeout: TimeoutArgument) throws {
    do {
      let reader = try LogReader(log.region, from: start, filter: filter, anyOwner: true)
      defer { reader.close() }
      var seen = 0
      while seen < count ?? .max, output.failure == 0 {
        // First what is there already, so that it is written together.
        if let record = try reader.nextIfAvailable() {
          put(record)
        } else {
          flush()
          put(try reader.nextBlocking(until: timeout.nanoseconds.map { .now + .nanoseconds($0) }))
        }
        seen += 1
      }
      flush()
    } catch {
      flush()
      guard error.code != .timedOut else {
        throw CommandFailure(
          "\(printable(log.name)): nothing came within \(timeout.text)", status: Status.timedOut)
      }
      throw CommandFailure(log: log.name, error)
    }
  }

  private mutating func put(_ record: LogRecord) {
    pending += record.formatted(format) + "\n"
    if pending.utf8.count >= Self.enough { flush() }
  }

  private mutating func flush() {
    output.write(pending)
    pending.removeAll(keepingCapacity: true)
  }
}
