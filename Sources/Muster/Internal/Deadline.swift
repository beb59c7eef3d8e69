// Times: Swift's instants and durations as the deadlines of the C core, which are nanoseconds of CLOCK_MONOTONIC.
// SPDX-License-Identifier: Apache-2.0
import CMuster

/// Nanoseconds of `CLOCK_MONOTONIC`, as muster/clock.h has them.
typealias Deadline = Int64

extension Deadline {
  /// The wait ends by what it waits for, or by a death.
  static let never = Deadline.max
  /// Look once, don't wait.
  static let now: Deadline = 0

  /// `ContinuousClock` runs on while the machine is suspended and `CLOCK_MONOTONIC` does not, so an instant is taken
  /// as what is left until it.
  init(_ instant: ContinuousClock.Instant?) {
    guard let instant else {
      self = .never
      return
    }
    self.init(ContinuousClock.now.duration(to: instant))
  }

  init(_ timeout: Duration) {
    let (seconds, attoseconds) = timeout.components
    guard seconds > 0 || (seconds == 0 && attoseconds > 0) else {
      self = .now
      return
    }
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (nanoseconds, carry) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    self = overflow || carry ? .never : Swift.max(1, muster_deadline_after(nanoseconds))
  }

  var hasPassed: Bool { muster_deadline_passed(self) != 0 }

  /// This deadline, or the one that far from now if that comes first.
  func atMost(nanoseconds: Int64) -> Deadline { Swift.min(self, muster_deadline_after(nanoseconds)) }
}

extension Duration {
  /// Nanoseconds as the C core has them, cut at what 64 bits hold.
  package var coreNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (nanoseconds, carry) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflow || carry ? (seconds < 0 ? .min : .max) : nanoseconds
  }
}
