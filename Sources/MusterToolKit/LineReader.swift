// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import SystemPackage

/// The lines of standard input, each as it comes; the last one needs no end.
struct LineReader {
  /// A line that is longer is given in parts, so that none without an end fills the memory.
  var limit: Int

  func forEach(_ body: ([UInt8]) throws -> Void) throws {
    var line: [UInt8] = []
    try withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 8) { buffer in
      while true {
        let count = try read(into: buffer)
        guard count > 0 else { break }
        var rest = buffer[..<count]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
          try body(line + rest[..<end])
          line = []
          rest = rest[(end + 1)...]
        }
        line += rest
        if line.count > limit {
          try body(line)
          line = []
        }
      }
    }
    if !line.isEmpty { try body(line) }
  }

  private func read(into buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) -> Int {
    do {
      return try FileDescriptor.standardInput.read(into: buffer)
    } catch {
      throw CommandFailure("standard input: \(error)")
    }
  }
}
