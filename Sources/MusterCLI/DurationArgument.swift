// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// A length of time as it is typed: a number and a unit, `250ms`, `30s`, `1.5m`, or several of them, `1m30s`.
///
/// Units are `ns`, `us` (or `µs`), `ms`, `s`, `m`, `h`, `d`. A number without a unit is refused, except 0: whoever means seconds
/// and gets milliseconds learns it late.
package struct DurationArgument: Hashable, Sendable, ExpressibleByArgument, CustomStringConvertible {
  package var duration: Duration

  package init(_ duration: Duration) {
    self.duration = duration
  }

  package init?(argument: String) {
    guard let duration = Self.parse(argument) else { return nil }
    self.duration = duration
  }

  /// As `init(argument:)`, with an error that says how it is to be typed.
  package init(typed text: String) throws {
    guard let duration = Self.parse(text) else {
      throw ValidationError("give it with its unit, such as 30s, 250ms or 2m")
    }
    self.duration = duration
  }

  /// Nanoseconds, cut at what 64 bits hold (292 years).
  package var nanoseconds: Int64 { duration.wholeNanoseconds }

  package var description: String { duration.readable(microsecond: "us") }

  package var defaultValueDescription: String { description }

  /// Longest first, so that `ms` is not read as `m`.
  private static let units: [(name: String, nanoseconds: Double)] = [
    ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ("d", 86400e9),
  ]

  static func parse(_ text: String) -> Duration? {
    if text == "0" { return .zero }
    var rest = Substring(text)
    var total = 0.0
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { ("0"..."9").contains($0) || $0 == "." }
      guard digits.contains(where: { $0 != "." }), let number = Double(digits) else { return nil }
      rest = rest.dropFirst(digits.count)
      guard let unit = units.first(where: { rest.hasPrefix($0.name) && !startsLonger(rest, than: $0.name) }) else {
        return nil
      }
      rest = rest.dropFirst(unit.name.count)
      total += number * unit.nanoseconds
    }
    guard total < Double(Int64.max) else { return nil }
    return .nanoseconds(Int64(total.rounded()))
  }

  /// Whether the text goes on after this unit with another letter: `min` is no `m`.
  private static func startsLonger(_ text: Substring, than unit: String) -> Bool {
    guard let next = text.dropFirst(unit.count).first else { return false }
    return !("0"..."9").contains(next) && next != "."
  }
}

extension Duration {
  /// The length in nanoseconds, cut at what 64 bits hold.
  package var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return seconds < 0 ? .min : .max }
    let (sum, tooMuch) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return tooMuch ? (seconds < 0 ? .min : .max) : sum
  }

  /// Three digits and a unit, as a person reads it: `14 µs`, `38.2 ms`, `5 s`, `2 min 5 s`, `3 h 10 min`, `4 d 2 h`.
  package func readable(microsecond: String = "µs") -> String {
    let nanoseconds = wholeNanoseconds
    if nanoseconds < 0 {
      return "-" + Duration.nanoseconds(-max(nanoseconds, -Int64.max)).readable(microsecond: microsecond)
    }
    switch nanoseconds {
    case ..<1000: return "\(nanoseconds) ns"
    case ..<999_500: return Self.threeDigits(Double(nanoseconds) / 1e3) + " " + microsecond
    case ..<999_500_000: return Self.threeDigits(Double(nanoseconds) / 1e6) + " ms"
    case ..<59_950_000_000: return Self.threeDigits(Double(nanoseconds) / 1e9) + " s"
    default: return Self.twoUnits(Int64((Double(nanoseconds) / 1e9).rounded()))
    }
  }

  private static func threeDigits(_ value: Double) -> String {
    let decimals = value < 9.995 ? 100.0 : value < 99.95 ? 10.0 : 1.0
    let scaled = Int64((value * decimals).rounded())
    let whole = scaled / Int64(decimals)
    var fraction = String(scaled % Int64(decimals))
    let digits = decimals == 100 ? 2 : decimals == 10 ? 1 : 0
    fraction = String(repeating: "0", count: max(0, digits - fraction.count)) + fraction
    while fraction.last == "0" { fraction.removeLast() }
    return digits == 0 || fraction.isEmpty ? "\(whole)" : "\(whole).\(fraction)"
  }

  private static func twoUnits(_ seconds: Int64) -> String {
    let parts: [(Int64, String)] = [
      (seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s"),
    ]
    let first = parts.firstIndex { $0.0 > 0 } ?? parts.count - 1
    return parts[first..<min(first + 2, parts.count)].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(
      separator: " ")
  }
}
