// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

/// What `muster queue put` does.
struct QueuePut {
  let place: QueueName
  let queue: JobQueue
  let level: Int
  let timeout: TimeoutArgument

  func put(_ job: [UInt8]) throws(CommandFailure) {
    do {
      try queue.putBlocking(job, level: level, until: timeout.nanoseconds.map { .now + .nanoseconds($0) })
    } catch {
      let name = printable(place.name)
      switch error.code {
      case .timedOut:
        throw CommandFailure("\(name): there was no room within \(timeout.text)", status: Status.timedOut)
      case .tooLarge: throw CommandFailure("\(name): a job has \(queue.jobSize) bytes at most here")
      case .invalidArgument: throw CommandFailure("\(name): there is no level \(level) here")
      default: throw CommandFailure(queue: place.name, error)
      }
    }
  }

  /// Each job of standard input as it comes; the last one needs no end.
  func putAll(endingWith end: UInt8) throws {
    var job: [UInt8] = []
    try withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 8) { buffer in
      while true {
        let count = try read(into: buffer)
        guard count > 0 else { break }
        var rest = buffer[..<count]
        while let at = rest.firstIndex(of: end) {
          try put(job + rest[..<at])
          job = []
          rest = rest[(at + 1)...]
        }
        job += rest
        // No job without an end fills the memory.
        if job.count > queue.jobSize { try put(job) }
      }
    }
    if !job.isEmpty { try put(job) }
  }

  func finish() throws(CommandFailure) {
    do {
      try queue.finish()
    } catch {
      throw CommandFailure(queue: place.name, error)
    }
  }

  private func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int {
    do {
      return try FileDescriptor.standardInput.read(into: buffer)
    } catch {
      throw CommandFailure("standard input: \(error)")
    }
  }
}
