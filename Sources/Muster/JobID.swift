// SPDX-License-Identifier: Apache-2.0

/// What a job of a ``JobQueue`` is known by while it is in one state: who has taken it, or finds it set aside, names it so.
///
/// A job that comes back into the queue gets another one, so that who had it before can't end it for who has it now.
public struct JobID: Hashable, Sendable, Codable, LosslessStringConvertible {
  /// C's number: the generation in the high half, the index + 1 in the low one; 0 is no job's.
  public let rawValue: UInt64

  /// An id that was noted as a number.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// An id as ``description`` has it. `nil`: the text is none.
  public init?(_ description: String) {
    let parts = description.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, let index = UInt32(parts[0]), index < .max, let life = UInt32(parts[1]) else { return nil }
    self.init(rawValue: UInt64(life) << 32 | UInt64(index + 1))
  }

  /// "12.3": the place, and how often it has changed hands.
  public var description: String { "\(UInt32(truncatingIfNeeded: rawValue) &- 1).\(rawValue >> 32)" }
}
