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
