// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The pipe that a pair prints its numbers to; they are passed on to standard output.
final class NumberPipe {
  let writer: FileDescriptor
  private let reader: FileDescriptor
  private var output = StandardOutput()

  init() throws {
    let ends = try FileDescriptor.pipe()
    reader = ends.readEnd
    writer = ends.writeEnd
    for end in [reader, writer] { _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(reader.rawValue, F_SETFL, O_NONBLOCK)
  }

  /// Until there is something to read, or the time has come. Whether there is something on the other descriptor.
  func wait(until end: ContinuousClock.Instant, or other: Int32) -> Bool {
    let left = ContinuousClock.now.duration(to: end)
    // At most five: the processes are to be looked at now and then.
    let milliseconds = max(0, min(5, left.wholeNanoseconds / 1_000_000 + 1))
    var descriptors = [
      pollfd(fd: reader.rawValue, events: Int16(POLLIN), revents: 0),
      pollfd(fd: other, events: Int16(POLLIN), revents: 0),
    ]
    _ = poll(&descriptors, 2, Int32(milliseconds))
    return descriptors[1].revents != 0
  }

  /// All that is there by now.
  func drain(_ read: ([UInt8]) -> Void) {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while let count = try? buffer.withUnsafeMutableBytes({ try reader.read(into: $0) }), count > 0 {
      let bytes = Array(buffer[..<count])
      read(bytes)
      output.write(bytes: bytes)
    }
  }
}
