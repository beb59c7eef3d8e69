// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

/// What `muster ring put` does.
struct RingPut {
  private let name: String
  private let timeout: TimeoutArgument
  private let writer: RingWriter

  init(
    name: String, isFile: Bool, delivery: RingDelivery?, capacity: CapacityArgument?, timeout: TimeoutArgument
  ) throws(CommandFailure) {
    self.name = name
    self.timeout = timeout
    let mode: Ring.Delivery? =
      switch delivery {
      case nil: nil
      case .lossless: .lossless
      case .latest: .latest
      }
    do {
      writer = try Self.open(ringName(name, isFile: isFile), mode, capacity)
    } catch {
      throw CommandFailure(ring: name, error)
    }
    if let pid = writer.predecessor.diedPID { tellOfRing(name, "the writer before, pid \(pid), died") }
  }

  /// Takes what is there, of whatever capacity unless one is asked for; else creates.
  private static func open(
    _ name: RegionName, _ delivery: Ring.Delivery?, _ capacity: CapacityArgument?
  ) throws(RingError) -> RingWriter {
    while true {
      do throws(RingError) {
        return try RingWriter(name, capacity: capacity?.bytes, delivery: delivery, mode: .attach)
      } catch {
        guard error.code == .notFound else { throw error }
      }
      do throws(RingError) {
        let bytes = (capacity ?? .standard).bytes
        return try RingWriter(name, capacity: bytes, delivery: delivery, mode: .create)
      } catch {
        // Another one came first.
        guard error.code == .alreadyExists else { throw error }
      }
    }
  }

  func write(_ record: [UInt8]) throws(CommandFailure) {
    do {
      try writer.writeBlocking(record, until: timeout.nanoseconds.map { .now + .nanoseconds($0) })
    } catch {
      switch error.code {
      case .timedOut:
        throw CommandFailure(
          "\(printable(name)): its readers made no room within \(timeout.text)", status: Status.timedOut)
      case .tooLarge:
        throw CommandFailure("\(printable(name)): a record has \(writer.largestRecord) bytes at most here")
      default: throw CommandFailure(ring: name, error)
      }
    }
  }

  /// Each line of standard input as it comes; the last one needs no end.
  func writeLines() throws { try LineReader(limit: writer.largestRecord).forEach { try write($0) } }
}
