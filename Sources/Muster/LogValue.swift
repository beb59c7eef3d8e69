// SPDX-License-Identifier: Apache-2.0
import CMuster

extension Log {
  /// What belongs to a key of a record. Numbers stay numbers, in JSON too.
  public enum Value: Hashable, Sendable {
    /// Text.
    case string(String)
    /// A number with a sign.
    case int(Int64)
    /// A number without one.
    case uint(UInt64)
    /// A number with a fraction.
    case double(Double)
    /// Yes or no.
    case bool(Bool)

    /// A whole number of any type. One that neither 64 bits with a sign nor those without one hold becomes text.
    public init(_ number: some BinaryInteger) {
      self =
        Int64(exactly: number).map { .int($0) } ?? UInt64(exactly: number).map { .uint($0) } ?? .string("\(number)")
    }

    /// A number with a fraction.
    public init(_ number: Double) { self = .double(number) }
    /// Yes or no.
    public init(_ flag: Bool) { self = .bool(flag) }
    /// Text.
    public init(_ text: String) { self = .string(text) }
  }
}

extension Log.Value: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral
{
  /// Text.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A number with a sign.
  public init(integerLiteral value: Int64) { self = .int(value) }
  /// A number with a fraction.
  public init(floatLiteral value: Double) { self = .double(value) }
  /// Yes or no.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension Log.Value: CustomStringConvertible {
  /// The value as text.
  public var description: String {
    switch self {
    case .string(let text): text
    case .int(let number): "\(number)"
    case .uint(let number): "\(number)"
    case .double(let number): "\(number)"
    case .bool(let flag): "\(flag)"
    }
  }
}

extension Log.Value {
  /// The type and the 8 bytes of what is no string.
  var core: (type: muster_log_type, bits: UInt64) {
    switch self {
    case .string: (.MUSTER_LOG_STRING, 0)
    case .int(let number): (.MUSTER_LOG_INT, UInt64(bitPattern: number))
    case .uint(let number): (.MUSTER_LOG_UINT, number)
    case .double(let number): (.MUSTER_LOG_DOUBLE, number.bitPattern)
    case .bool(let flag): (.MUSTER_LOG_BOOL, flag ? 1 : 0)
    }
  }

  init(_ pair: muster_log_pair) {
    switch pair.type {
    case .MUSTER_LOG_INT: self = .int(Int64(bitPattern: pair.bits))
    case .MUSTER_LOG_UINT: self = .uint(pair.bits)
    case .MUSTER_LOG_DOUBLE: self = .double(Double(bitPattern: pair.bits))
    case .MUSTER_LOG_BOOL: self = .bool(pair.bits != 0)
    default: self = .string(String(pair.text, pair.text_size))
    }
  }
}
