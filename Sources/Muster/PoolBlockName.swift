// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What a block of a ``Pool`` is known by, the same in every process: a message without a copy is a block whose name goes
/// through a ring, a pipe or shared memory.
///
/// ```swift
/// try await writer.write(name.bytes)                       // through a ring
/// let name = PoolBlockName(try await reader.next().bytes)  // nil: no name
/// ```
///
/// It is a number, and any number may come: a name of a block that was freed since is refused (`stale`), and so is one that never
/// was one.
public struct PoolBlockName: Hashable, SharedPayload, Codable, CustomStringConvertible {
  /// That of the number.
  public static let payloadLayout: UInt32 = 0x4e42_4c4b
  /// C's `muster_pool_block`: the generation in the high half, the index + 1 in the low one; 0 is no block's.
  public let rawValue: UInt64

  /// A name that was noted as a number.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// A name that was sent as its ``bytes``. `nil`: so many bytes are none.
  public init?(_ bytes: some Collection<UInt8>) {
    guard bytes.count == MemoryLayout<UInt64>.size else { return nil }
    rawValue = withUnsafeTemporaryAllocation(byteCount: MemoryLayout<UInt64>.size, alignment: 8) { place in
      place.copyBytes(from: bytes)
      return place.load(as: UInt64.self)
    }
  }

  /// The name as it lies in memory: 8 bytes.
  public var bytes: [UInt8] { withUnsafeBytes(of: rawValue) { Array($0) } }

  /// "block 12, life 3".
  public var description: String {
    "block \(Int(UInt32(truncatingIfNeeded: rawValue)) - 1), life \(rawValue >> 32)"
  }
}
