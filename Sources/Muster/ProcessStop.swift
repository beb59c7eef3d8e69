// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What stopping a process and its tree came to.
public struct ProcessStop: Hashable, Sendable, CustomStringConvertible {
  /// How many processes were signalled.
  public let found: Int
  /// How many SIGKILLs were sent; 1 for all of a cgroup.
  public let killed: Int
  /// How many orphans of it this process had inherited, and has reaped.
  public let reaped: Int
  /// How many would not die.
  public let left: Int
  /// The first of these: 16 at most.
  public let leftProcesses: [Int32]
  /// Whether they were killed by their cgroup.
  public let isByCgroup: Bool

  /// Whether nobody of it lives.
  public var isComplete: Bool { left == 0 }

  init(_ report: muster_process_stop_report) {
    found = Int(report.found)
    killed = Int(report.killed)
    reaped = Int(report.reaped)
    left = Int(report.left)
    isByCgroup = report.cgroup != 0
    let pids = withUnsafeBytes(of: report.pids) { Array($0.bindMemory(to: Int32.self)) }
    leftProcesses = Array(pids.prefix(left))
  }

  /// "2 processes stopped, 1 of them killed", "3 processes signalled, 1 would not die: 4711".
  public var description: String {
    let count = found == 1 ? "1 process" : "\(found) processes"
    if isComplete { return "\(count) stopped" + (killed == 0 ? "" : ", \(killed) of them killed") }
    let names = leftProcesses.map(String.init).joined(separator: ", ")
    return "\(count) signalled, \(left) would not die: \(names)\(left > leftProcesses.count ? "..." : "")"
  }
}
