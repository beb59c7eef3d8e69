// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What a process has used until its end, with those of its children that it has waited for: `getrusage(2)`.
public struct ProcessUsage: Hashable, Sendable {
  /// Processor time in the program.
  public let user: Duration
  /// Processor time in the kernel.
  public let system: Duration
  /// Bytes resident at most.
  public let memoryPeak: UInt64
  /// Page faults without input.
  public let minorFaults: UInt64
  /// Page faults that had to read.
  public let majorFaults: UInt64
  /// How often it waited for something.
  public let voluntarySwitches: UInt64
  /// How often others had their turn.
  public let involuntarySwitches: UInt64
  /// Blocks of 512 bytes read from disks.
  public let blocksRead: UInt64
  /// Blocks of 512 bytes written to disks.
  public let blocksWritten: UInt64

  init(_ usage: muster_process_usage) {
    user = .nanoseconds(Int64(clamping: usage.user))
    system = .nanoseconds(Int64(clamping: usage.system))
    memoryPeak = usage.memory_peak
    minorFaults = usage.faults_minor
    majorFaults = usage.faults_major
    voluntarySwitches = usage.switches_voluntary
    involuntarySwitches = usage.switches_involuntary
    blocksRead = usage.blocks_in
    blocksWritten = usage.blocks_out
  }
}
