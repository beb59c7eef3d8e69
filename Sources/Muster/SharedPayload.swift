// SPDX-License-Identifier: Apache-2.0

/// A value that may lie in memory that processes share.
///
/// `BitwiseCopyable` alone would admit pointers and indexes into a process's own tables. So a type says by conforming
/// that it
/// - holds no pointer, no reference, no descriptor: nothing that means something in one process only;
/// - has a meaning for every pattern of its bits, because the memory is input: integers, floating-point numbers, and
///   structures and inline arrays of them; no `Bool`, no enumeration, no range.
///
/// ```swift
/// struct Load: SharedPayload {
///   static let payloadLayout: UInt32 = 1     // another number whenever the fields change
///   var requests: UInt64
///   var latency: Double
/// }
/// ```
public protocol SharedPayload: BitwiseCopyable, Sendable {
  /// A number of yours that names this layout of the fields. It stands in the region with the size and the alignment,
  /// and is compared when a process attaches: change it whenever the fields change.
  static var payloadLayout: UInt32 { get }
}

extension SharedPayload {
  /// The number of eight-byte words that hold one value.
  static var payloadWords: Int { max(1, (MemoryLayout<Self>.size + 7) / 8) }

  /// What stands in the region: the layout's number in the upper half, then a bit that is always set, so that it is
  /// never the 0 of "any", the alignment (bits 16...23) and the size (bits 0...15). The stride follows from those two.
  static var payloadIdentity: UInt64 {
    UInt64(payloadLayout) << 32 | 1 << 31 | UInt64(MemoryLayout<Self>.alignment & 0xff) << 16
      | UInt64(MemoryLayout<Self>.size & 0xffff)
  }
}

/// Whether a seqlock of that many words holds a payload: the bit that is always set, an alignment, and a size that takes
/// so many words, with nothing between them. Counters have labels, and whatever number.
func isPayloadIdentity(_ layout: UInt64, words: Int) -> Bool {
  let alignment = layout >> 16 & 0xff
  let size = Int(layout & 0xffff)
  return layout >> 24 & 0xff == 0x80 && alignment.nonzeroBitCount == 1 && max(1, (size + 7) / 8) == words
}

extension FixedWidthInteger where Self: SharedPayload {
  /// That of a plain number: its size says the rest, and a bit whether it is signed.
  public static var payloadLayout: UInt32 { isSigned ? 0x4e55_4d53 : 0x4e55_4d55 }
}

extension BinaryFloatingPoint where Self: SharedPayload {
  /// That of a floating-point number: its size says the rest.
  public static var payloadLayout: UInt32 { 0x4e55_4d46 }
}

extension Int: SharedPayload {}
extension Int8: SharedPayload {}
extension Int16: SharedPayload {}
extension Int32: SharedPayload {}
extension Int64: SharedPayload {}
extension UInt: SharedPayload {}
extension UInt8: SharedPayload {}
extension UInt16: SharedPayload {}
extension UInt32: SharedPayload {}
extension UInt64: SharedPayload {}
extension Float: SharedPayload {}
extension Double: SharedPayload {}

extension InlineArray: SharedPayload where Element: SharedPayload {
  /// That of the elements; how many they are follows from the size.
  public static var payloadLayout: UInt32 { Element.payloadLayout &* 16_777_619 ^ 0x4152_5259 }
}
