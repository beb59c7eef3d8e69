// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// How a backup is started.
public struct ProcessPairLaunch: Sendable {
  /// Makes the command of a terminal emulator, or of whatever else starts it, from the command that is to run.
  let wrap: (@Sendable ([String]) -> [String])?

  /// As a child: this program with its arguments.
  public static let itself = ProcessPairLaunch(wrap: nil)

  /// By a command that starts the one that it is given, in a window, say. It need not be its parent, and may end before or after it.
  ///
  /// ```swift
  /// options.launch = .by { ["xterm", "-e"] + $0 }
  /// ```
  public static func by(_ wrap: @escaping @Sendable (_ command: [String]) -> [String]) -> ProcessPairLaunch {
    ProcessPairLaunch(wrap: wrap)
  }
}

extension ProcessPairLaunch {
  /// Whether this process was started by a pair of that name, as its backup: to be asked before ``ProcessPair/run(_:)``, for what only the first
  /// process of a pair is to do.
  public static func isBackup(of name: String) -> Bool {
    getenv(PairInvitation.variable).flatMap { PairInvitation(String(cString: $0)) }?.name == name
  }
}
