// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import MusterSupervision
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Tells on standard error who is which, and what happens.
final class Narrator: Sendable {
  private let terminal: Terminal
  private let hasWindows: Bool
  private let isPrimary = Atomic(false)
  private let isAlone = Atomic(false)
  private let isAuto: Bool

  init(_ plan: CountingPlan) {
    terminal = plan.errors
    // A backup that was started without one, after all, shares its primary's; a window's is the first of its session.
    hasWindows = plan.window.tool != nil && (!ProcessPairLaunch.isBackup(of: plan.name) || getsid(0) == getpid())
    isAuto = plan.window.isAuto
  }

  /// A display that does not answer, a terminal too small for one more pane: better a backup without a window than none.
  var doesWithoutWindow: Bool { isAuto && isAlone.load(ordering: .relaxed) }

  func tell(_ event: ProcessPairEvent) {
    // A window that is closed takes one of the two with it; Ctrl-C is for both.
    if hasWindows { _ = signal(SIGHUP, SIG_DFL) }
    if case .leads = event { isPrimary.store(true, ordering: .relaxed) }
    if case .degraded = event { isAlone.store(true, ordering: .relaxed) }
    guard let line = line(event) else { return }
    var errors = StandardOutput(descriptor: STDERR_FILENO)
    errors.write(lines: [line])
  }

  private func line(_ event: ProcessPairEvent) -> String? {
    let text = printable(event.description)
    switch event {
    case .leads: return said(Ink.bold.paint(text, on: terminal) + background())
    // Its primary says so in the same terminal; and how it ends is the command's last line.
    case .standsBy where !hasWindows, .gaveUp, .escalated(_, .gaveUp, _): return nil
    case .lostPrimary, .lostBackup, .degraded, .escalated: return said(Ink.yellow.paint(text, on: terminal))
    case .primaryCannotBeKilled, .skipped: return said(Ink.red.paint(text, on: terminal))
    default: return said(text)
    }
  }

  private func said(_ text: String) -> String {
    let leads = isPrimary.load(ordering: .relaxed)
    let who = leads ? Ink.boldGreen.paint("primary", on: terminal) : Ink.cyan.paint("backup", on: terminal)
    return "counter: \(who) \(getpid()) \(text)"
  }

  /// The shell has the terminal back when the process that it started is dead, and its Ctrl-C goes elsewhere.
  private func background() -> String {
    guard terminal.isInteractive, tcgetpgrp(STDERR_FILENO) != getpgrp() else { return "" }
    return " (in the background: “kill \(getpid())” ends both)"
  }
}
