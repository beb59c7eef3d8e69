// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// `WORKER@ROUND`, both counted from 1: where a worker is to be killed or stopped.
package struct WorkerAtRound: Hashable, Sendable, Codable, CustomStringConvertible {
  package var worker: Int
  package var round: Int

  package init(worker: Int, round: Int) {
    self.worker = worker
    self.round = round
  }

  package init(argument: String) throws {
    let parts = argument.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2, let worker = Int(parts[0]), let round = Int(parts[1]), worker > 0, round > 0 else {
      throw ValidationError("give it as WORKER@ROUND, both counted from 1, such as 2@3")
    }
    self.init(worker: worker, round: round)
  }

  package var description: String { "\(worker)@\(round)" }
}

/// `MIN..MAX` milliseconds: how long a round's work takes, for the least and the most busy.
package struct WorkRange: Hashable, Sendable, CustomStringConvertible {
  /// In microseconds.
  package var minimum: Int64
  package var maximum: Int64

  package static let standard = WorkRange(milliseconds: 20, 200)
  /// An hour: more is a typing mistake.
  package static let limit: Double = 3_600_000

  package init(milliseconds minimum: Int64, _ maximum: Int64) {
    self.minimum = minimum * 1000
    self.maximum = maximum * 1000
  }

  package init(argument: String) throws {
    let form = ValidationError("give it as MIN..MAX in milliseconds, such as 20..200, or as one number")
    guard let dots = argument.firstRange(of: "..") else {
      self = try Self(minimum: Self.milliseconds(argument), maximum: Self.milliseconds(argument), or: form)
      return
    }
    let upper = Self.milliseconds(String(argument[dots.upperBound...]))
    self = try Self(minimum: Self.milliseconds(String(argument[..<dots.lowerBound])), maximum: upper, or: form)
    guard minimum <= maximum else { throw ValidationError("the minimum is larger than the maximum") }
  }

  private init(minimum: Double?, maximum: Double?, or error: ValidationError) throws {
    guard let minimum, let maximum else { throw error }
    guard minimum <= Self.limit, maximum <= Self.limit else { throw ValidationError("an hour of work is the most") }
    self.minimum = Int64((minimum * 1000).rounded())
    self.maximum = Int64((maximum * 1000).rounded())
  }

  /// A plain decimal number; Swift's own reading also takes `nan`, `0x1p3` and a sign.
  private static func milliseconds(_ text: String) -> Double? {
    guard !text.isEmpty, text.allSatisfy({ ("0"..."9").contains($0) || $0 == "." }) else { return nil }
    return Double(text)
  }

  package var description: String { "\(Self.text(minimum))..\(Self.text(maximum))" }

  private static func text(_ microseconds: Int64) -> String {
    microseconds % 1000 == 0 ? "\(microseconds / 1000)" : "\(Double(microseconds) / 1000)"
  }
}

/// Which barrier the workers meet at.
package enum BarrierKind: String, CaseIterable, Sendable, Codable, ExpressibleByArgument {
  case robust, posix
}

/// What the death of a worker means to the others.
package enum DeathPolicy: String, CaseIterable, Sendable, Codable, ExpressibleByArgument {
  case `break`, shrink, await
}
