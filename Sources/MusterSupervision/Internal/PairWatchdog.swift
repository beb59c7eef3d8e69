// How long a command has not said that it is well.
// SPDX-License-Identifier: Apache-2.0

/// Counts the time that was looked at, and not that between a look that was due and one that came late: a process that was not let run itself
/// knows nothing of who was stopped with it.
struct PairWatchdog: Equatable {
  private let limit: Int64
  private var silence: Int64 = 0
  private var last: Int64

  init(limit: Int64, at now: Int64) {
    self.limit = limit
    last = now
  }

  /// When it is to be looked at the latest.
  var due: Int64 { last + max(1, min(limit - silence, limit / 4)) }

  /// A look; whether it has been silent for too long. `hasSpoken`: since the last one.
  mutating func looks(at now: Int64, hasSpoken: Bool) -> Bool {
    silence = hasSpoken ? 0 : silence + max(0, min(now, due) - last)
    last = now
    return silence >= limit
  }
}
