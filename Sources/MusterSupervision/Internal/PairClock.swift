// Times, and the number that tells a process from all others.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum PairClock {
  /// Nanoseconds since 1970.
  static func wall() -> Int64 { read(CLOCK_REALTIME) }

  /// Nanoseconds since the machine's start, suspended or not.
  static func boot() -> Int64 { read(CLOCK_BOOTTIME) }

  /// `CLOCK_MONOTONIC` as it was at the kernel's last tick: a third of what it costs to read the time itself.
  static func coarse() -> Int64 { read(CLOCK_MONOTONIC_COARSE) }

  /// From tick to tick.
  static func tick() -> Int64 {
    var time = timespec()
    clock_getres(CLOCK_MONOTONIC_COARSE, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  private static func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// That much later, or never.
  static func later(_ time: Int64, by duration: Int64) -> Int64 {
    let (sum, overflow) = time.addingReportingOverflow(duration)
    return overflow ? .max : sum
  }

  /// When this process was started. Asked for once, by a backup while it has time.
  static let ownStart: UInt64 = {
    var process = muster_process()
    guard muster_process_open(getpid(), 0, &process) == 0 else { return 0 }
    defer { muster_process_close(&process) }
    return PairPeer.start(of: process)
  }()
}

/// Whether a time is still to come, for one who asks before each of many short steps.
struct PairGlance {
  private let tick = PairClock.tick()
  private var left = 0
  /// It was not later than that when it was asked last.
  private(set) var latest: Int64 = 0

  /// True: it is. False: it may be, and the clock has to be read. The coarse clock is behind by no more than a tick as long as the kernel ticks; each
  /// 64th time the other one is read all the same, for ticks may be late where a hypervisor gives the processor to others.
  mutating func isBefore(_ time: Int64) -> Bool {
    left -= 1
    if left < 0 {
      left = 63
      latest = muster_clock_now()
    } else {
      latest = PairClock.coarse() + tick
    }
    return latest < time
  }
}
