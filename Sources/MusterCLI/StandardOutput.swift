// SPDX-License-Identifier: Apache-2.0
import CMusterCLI
import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Writes whole texts to a descriptor, and remembers when nobody reads any more.
///
/// SIGPIPE is ignored by the commands (`ignoreBrokenPipes`): one that died of it would leave its workers' region behind.
package struct StandardOutput: Sendable {
  package let descriptor: Int32
  /// Whether a write failed: the reader is gone, or the disk is full.
  package private(set) var failure: Int32 = 0

  package init(descriptor: Int32 = STDOUT_FILENO) {
    self.descriptor = descriptor
  }

  /// What has gone wrong on standard output so far, whoever wrote; nobody reading any more (EPIPE) is nothing wrong.
  package static var failureOfProcess: Int32 { firstFailure.load(ordering: .relaxed) }

  private static let firstFailure = Atomic<Int32>(0)

  package static func ignoreBrokenPipes() {
    _ = signal(SIGPIPE, SIG_IGN)
  }

  /// That what is opened is never taken for a standard stream. To be called before anything is.
  package static func openClosedStreams() {
    guard muster_cli_open_standard() != 0 else { return }
    exit(1)
  }

  package mutating func write(lines: [String]) {
    guard !lines.isEmpty else { return }
    write(lines.joined(separator: "\n") + "\n")
  }

  package mutating func write(_ text: String) {
    var text = text
    guard failure == 0 else { return }
    note(text.withUTF8 { Self.writeAll(descriptor, UnsafeRawBufferPointer($0)) })
  }

  /// Bytes that need not be text.
  package mutating func write(bytes: [UInt8]) {
    guard failure == 0 else { return }
    note(bytes.withUnsafeBytes { Self.writeAll(descriptor, $0) })
  }

  private mutating func note(_ failure: Int32) {
    self.failure = failure
    guard descriptor == STDOUT_FILENO, failure != 0, failure != EPIPE else { return }
    _ = Self.firstFailure.compareExchange(expected: 0, desired: failure, ordering: .relaxed)
  }

  /// 0, or why not all could be written.
  private static func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = writeOnce(descriptor, UnsafeRawBufferPointer(rebasing: rest))
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&ready, 1, 1000)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }

  private static func writeOnce(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Glibc)
      Glibc.write(descriptor, bytes.baseAddress, bytes.count)
    #else
      Musl.write(descriptor, bytes.baseAddress, bytes.count)
    #endif
  }
}

/// One line to standard error, and the exit status that goes with it.
package struct CommandFailure: Error, CustomStringConvertible {
  package var line: String
  package var status: Int32

  package init(_ line: String, status: Int32 = 1) {
    self.line = line
    self.status = status
  }

  package var description: String { line }
}

/// The environment of this process, read once.
package func processEnvironment() -> [String: String] {
  ProcessInfo.processInfo.environment
}

/// A value as JSON: keys sorted, so that two runs can be compared, indented for a person unless `isCompact`.
package func json(_ value: some Encodable, isCompact: Bool = false) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting =
    isCompact ? [.sortedKeys, .withoutEscapingSlashes] : [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}
