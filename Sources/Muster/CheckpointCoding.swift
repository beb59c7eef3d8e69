// How a state becomes the bytes that a checkpoint keeps, and a state again.
// SPDX-License-Identifier: Apache-2.0
#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// How the states of a checkpoint are encoded: as JSON, as the bytes that they are, or by an encoder of yours.
///
/// ```swift
/// let coding = CheckpointCoding<Job>(layout: 7) { job in
///   try Array(PropertyListEncoder().encode(job))
/// } decode: { bytes in
///   try PropertyListDecoder().decode(Job.self, from: Data(bytes))
/// }
/// let checkpoint = try Checkpoint("job", history: 4, capacity: 4096, coding: coding)
/// ```
public struct CheckpointCoding<State: Sendable>: Sendable {
  /// What stands in the checkpoint for the meaning of its bytes: compared when a process opens it, unless it is 0.
  public let layout: UInt64
  /// Where all states have the same: bytes.
  package let size: Int?
  package let encode: @Sendable (State, (UnsafeRawBufferPointer) -> Void) throws -> Void
  package let decode: @Sendable (UnsafeRawBufferPointer) throws -> State

  /// An encoder and a decoder of yours.
  ///
  /// - Parameters:
  ///   - layout: a number of yours for what the bytes mean, C's `muster_checkpoint_options.layout`: another one whenever
  ///     older programs could not read them. 0: opens any checkpoint, whatever its states are.
  ///   - encode: gives a state's bytes; what it throws is told as `unencodable`.
  ///   - decode: makes a state of bytes, which are whole as they were committed, but by whoever could write: they are
  ///     input. What it throws is told as `undecodable`.
  public init(
    layout: UInt64, encode: @escaping @Sendable (State) throws -> [UInt8],
    decode: @escaping @Sendable ([UInt8]) throws -> State
  ) {
    self.layout = layout
    self.size = nil
    self.encode = { state, body in try encode(state).withUnsafeBytes(body) }
    self.decode = { bytes in try decode(Array(bytes)) }
  }

  private init(
    layout: UInt64, size: Int, encode: @escaping @Sendable (State, (UnsafeRawBufferPointer) -> Void) throws -> Void,
    decode: @escaping @Sendable (UnsafeRawBufferPointer) throws -> State
  ) {
    self.layout = layout
    self.size = size
    self.encode = encode
    self.decode = decode
  }
}

extension CheckpointCoding where State: Codable {
  /// JSON. A state whose type has changed is read if its decoder takes what is there: else it is `undecodable`.
  public static var json: CheckpointCoding { json(tag: 0) }

  /// JSON, with a number of yours that is compared when a process opens the checkpoint: another one whenever programs
  /// with the older type are to be kept out.
  public static func json(tag: UInt32) -> CheckpointCoding {
    // "JSON" in the lower half, whose upper bit is that of payloads in place, and not set.
    CheckpointCoding(layout: UInt64(tag) << 32 | 0x4e4f_534a) { state in
      try Array(JSONEncoder().encode(state))
    } decode: { bytes in
      try JSONDecoder().decode(State.self, from: Data(bytes))
    }
  }
}

extension CheckpointCoding where State == [UInt8] {
  /// The bytes themselves, of any checkpoint: its states are not compared with anything.
  public static var bytes: CheckpointCoding {
    CheckpointCoding(layout: 0) {
      $0
    } decode: {
      $0
    }
  }
}

extension CheckpointCoding where State: SharedPayload {
  /// The payload as it lies in memory.
  package static var inPlace: CheckpointCoding {
    let size = MemoryLayout<State>.size
    return CheckpointCoding(layout: State.payloadIdentity, size: size) { state, body in
      withUnsafeBytes(of: state, body)
    } decode: { bytes in
      guard bytes.count == size else { throw WrongLength(found: bytes.count, expected: size) }
      return bytes.loadUnaligned(as: State.self)
    }
  }
}

private struct WrongLength: Error, CustomStringConvertible {
  var found: Int
  var expected: Int
  var description: String { "it has \(found) bytes, not \(expected)" }
}
