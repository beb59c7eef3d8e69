// SPDX-License-Identifier: Apache-2.0
import CMuster

/// How a process ended, and what it has used.
public struct ProcessEnd: Hashable, Sendable, CustomStringConvertible {
  /// How a process can end.
  public enum Cause: Hashable, Sendable, CustomStringConvertible {
    /// By itself, with a value of 0 to 255.
    case exited(Int32)
    /// By a signal.
    case signaled(Int32, coreDumped: Bool)
    /// How is known only to who has reaped it: of a process that is no child of this one, before Linux 6.15.
    case unknown

    /// "exited with 3", "killed by SIGSEGV", "killed by SIGABRT (core dumped)", "ended".
    public var description: String {
      switch self {
      case .exited(let value): "exited with \(value)"
      case .signaled(let signal, let coreDumped): "killed by \(signalName(signal))\(coreDumped ? " (core dumped)" : "")"
      case .unknown: "ended"
      }
    }
  }

  /// How.
  public let cause: Cause
  /// What it has used, with those of its children that it has waited for. `nil`: it was not this object that has reaped it.
  public let usage: ProcessUsage?

  /// Whether it exited with 0.
  public var isSuccess: Bool { cause == .exited(0) }

  init(_ end: muster_process_end) {
    cause =
      switch end.kind {
      case .MUSTER_PROCESS_EXITED: .exited(end.code)
      case .MUSTER_PROCESS_SIGNALED: .signaled(end.code, coreDumped: end.core_dumped != 0)
      default: .unknown
      }
    usage = end.reaped != 0 ? ProcessUsage(end.usage) : nil
  }

  /// As of the cause.
  public var description: String { cause.description }
}
