// SPDX-License-Identifier: Apache-2.0

/// What belongs together, across records and processes: the 16 bytes of a UUID.
///
/// Foundation's `UUID` is turned into one by its string or its bytes: `CorrelationID(bytes: uuid.uuid)`.
public struct CorrelationID: Hashable, Sendable, LosslessStringConvertible {
  /// As C has them.
  public typealias Bytes = (
    UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8, UInt8
  )

  /// The bytes as one number, the first byte the highest.
  private let number: UInt128

  /// A new one: version 4, from the system's random numbers.
  public init() {
    let random = UInt128.random(in: 0 ... .max)
    number = random & ~(0xf << 76 | 0x3 << 62) | (0x4 << 76 | 0x2 << 62)
  }

  /// Of sixteen bytes.
  public init(bytes: Bytes) {
    number = UInt128(bigEndian: withUnsafeBytes(of: bytes) { $0.loadUnaligned(as: UInt128.self) })
  }

  /// The sixteen bytes.
  public var bytes: Bytes { withUnsafeBytes(of: number.bigEndian) { $0.loadUnaligned(as: Bytes.self) } }

  /// Of 32 hexadecimal digits, with or without hyphens at their usual places: `1b4e28ba-2fa1-11d2-883f-0016d3cca427`.
  public init?(_ description: String) {
    var number: UInt128 = 0
    var digits = 0
    let hasHyphens = description.utf8.count == 36
    guard hasHyphens || description.utf8.count == 32 else { return nil }
    for (index, byte) in description.utf8.enumerated() {
      if hasHyphens, index == 8 || index == 13 || index == 18 || index == 23 {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      guard let digit = Self.digit(byte) else { return nil }
      number = number << 4 | UInt128(digit)
      digits += 1
    }
    guard digits == 32 else { return nil }
    self.number = number
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// Lower-case hexadecimal digits in groups, as RFC 9562 has them.
  public var description: String {
    withUnsafeBytes(of: number.bigEndian) { bytes in
      var text = ""
      for (index, byte) in bytes.enumerated() {
        if [4, 6, 8, 10].contains(index) { text += "-" }
        if byte < 16 { text += "0" }
        text += String(byte, radix: 16)
      }
      return text
    }
  }
}
