// SPDX-License-Identifier: Apache-2.0
import Muster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A terminal, a pipe, a socket: what has left can't be asked for any more. At most one output for each takeover leaves twice, and a mark goes
/// before it.
///
/// It waits for a reader that does not read, and beats go on meanwhile. An output of more than 4096 bytes may be taken in part, and the rest
/// waited for without a beat.
public struct DescriptorOutput: ProcessPairOutput {
  let descriptor: FileDescriptor
  let mark: @Sendable (ProcessPairEmission) -> String

  /// - Parameters:
  ///   - descriptor: standard output, say; it stays the caller's.
  ///   - mark: what goes before an output that may have left already: `"(again? step 7) "`, if you don't say another. What can't have text in
  ///     it, a stream of bytes, say, needs one of its own, which may be empty.
  public init(
    _ descriptor: FileDescriptor = .standardOutput,
    mark: @escaping @Sendable (ProcessPairEmission) -> String = { "(again? step \($0.step)) " }
  ) {
    self.descriptor = descriptor
    self.mark = mark
  }

  /// Nowhere that could be told.
  public mutating func position() -> UInt64 { 0 }

  /// Writes it, with the mark before it where it is doubtful, in one write if that takes it whole.
  public mutating func emit(_ bytes: RawSpan, _ emission: ProcessPairEmission) throws {
    let before = emission.isDoubtful ? mark(emission) : ""
    if !before.isEmpty {
      // In one write, which the kernel does not cut where it can take it whole.
      var all = Array(before.utf8)
      bytes.withUnsafeBytes { all.append(contentsOf: $0) }
      try all.withUnsafeBytes { try writeAll($0) }
    } else {
      try bytes.withUnsafeBytes { try writeAll($0) }
    }
  }

  /// Whether there is room for 4096 bytes of a pipe (`PIPE_BUF`), of a terminal or a socket for some.
  public mutating func isReady(within time: Duration) -> Bool {
    var one = pollfd(fd: descriptor.rawValue, events: Int16(POLLOUT), revents: 0)
    let ready = poll(&one, 1, Int32(clamping: max(1, time.coreNanoseconds / 1_000_000)))
    // What is wrong with it is for the writing to tell.
    return ready > 0 || (ready < 0 && errno != EINTR)
  }

  // Whether it blocks is said of the open file, by whoever else has it: a terminal's other programs, say.
  private func writeAll(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      do {
        rest = rest.dropFirst(try descriptor.write(UnsafeRawBufferPointer(rebasing: rest)))
      } catch let error as Errno where error == .resourceTemporarilyUnavailable {
        var one = pollfd(fd: descriptor.rawValue, events: Int16(POLLOUT), revents: 0)
        _ = poll(&one, 1, -1)
      }
    }
  }

  /// Can't be told.
  public mutating func contains(_ bytes: RawSpan, _ emission: ProcessPairEmission) -> Bool? { nil }
}
