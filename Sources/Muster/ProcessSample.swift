// SPDX-License-Identifier: Apache-2.0
import CMuster

/// How a living process is, by `/proc`. Processor time is in steps of the kernel's clock tick.
public struct ProcessSample: Hashable, Sendable {
  /// Clock ticks since the machine's start: what tells it from all others that ever have its number.
  public let start: UInt64
  /// Processor time in the program.
  public let user: Duration
  /// Processor time in the kernel.
  public let system: Duration
  /// Bytes resident.
  public let memory: UInt64
  /// Bytes resident at most; `nil`: it is not to be had.
  public let memoryPeak: UInt64?
  /// Page faults without input.
  public let minorFaults: UInt64
  /// Page faults that had to read.
  public let majorFaults: UInt64
  /// How often it waited for something.
  public let voluntarySwitches: UInt64
  /// How often others had their turn.
  public let involuntarySwitches: UInt64
  /// How many threads it has.
  public let threads: Int
  /// How many descriptors are open; `nil`: that may not be asked for, or the kernel is older than Linux 6.2.
  public let descriptors: Int?
  /// R, S, D, T, Z..., as of `proc(5)`.
  public let state: Character

  init(_ sample: muster_process_sample) {
    start = sample.start
    user = .nanoseconds(Int64(clamping: sample.user))
    system = .nanoseconds(Int64(clamping: sample.system))
    memory = sample.memory
    memoryPeak = sample.memory_peak == 0 ? nil : sample.memory_peak
    minorFaults = sample.faults_minor
    majorFaults = sample.faults_major
    voluntarySwitches = sample.switches_voluntary
    involuntarySwitches = sample.switches_involuntary
    threads = Int(sample.threads)
    descriptors = sample.descriptors == 0 ? nil : Int(sample.descriptors)
    state = Character(Unicode.Scalar(UInt8(bitPattern: sample.state)))
  }
}
