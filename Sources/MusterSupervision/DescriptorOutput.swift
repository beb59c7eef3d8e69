// SPDX-License-Identifier: Apache-2.0
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A terminal, a pipe, a socket: what has left can't be asked for any more. At most one output for each takeover leaves twice, and a mark goes
/// before it.
///
/// It waits for a reader that does not read, and the heartbeat does not wait with it: one that takes nothing for longer than a primary may be
/// silent is a reason for a takeover.
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
