// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MusterCLI
import MusterSupervision

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Where a backup is started.
package enum WindowKind: String, CaseIterable, Sendable, ExpressibleByArgument {
  case auto, none, tmux, xterm
  case gnomeTerminal = "gnome-terminal"
}

/// A window for each new backup, with that tool; as it was found in an environment.
package struct Window: Sendable, Equatable {
  package enum Tool: Sendable, Equatable {
    /// Of that pane, half for the backup.
    case tmux(pane: String?)
    case xterm
    case gnomeTerminal
  }

  /// `nil`: no window, the backup shares this one's terminal and pipes.
  package let tool: Tool?
  /// Whether it was left to this program to find one.
  let isAuto: Bool

  /// - Parameter showsNumbers: whether the numbers don't go to a pipe of this process, which a window's does not have.
  package init(
    _ kind: WindowKind, environment: [String: String], showsNumbers: Bool, canRun: (String) -> Bool = Self.isInPath
  ) throws {
    isAuto = kind == .auto
    let tmux = environment["TMUX"]?.isEmpty == false
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].contains { environment[$0]?.isEmpty == false }
    let display = environment["DISPLAY"]?.isEmpty == false
    func require(_ condition: Bool, _ reason: String) throws {
      guard condition else { throw ValidationError("--window \(kind.rawValue): \(reason)") }
    }
    if kind != .auto, kind != .none {
      try require(
        showsNumbers, "standard output is no terminal, and a window has another one; give --output, or --window none")
    }
    switch kind {
    case .none: tool = nil
    case .auto:
      guard showsNumbers else {
        tool = nil
        return
      }
      tool =
        if tmux { .tmux(pane: environment["TMUX_PANE"]) } else if desktop, canRun("gnome-terminal") {
          .gnomeTerminal
        } else if display, canRun("xterm") { .xterm } else { nil }
    case .tmux:
      try require(tmux, "this is not in tmux; start tmux first")
      tool = .tmux(pane: environment["TMUX_PANE"])
    case .xterm:
      try require(display, "there is no X server (DISPLAY is not set)")
      try require(canRun("xterm"), "xterm is not installed")
      tool = .xterm
    case .gnomeTerminal:
      try require(desktop, "there is no desktop (neither DISPLAY nor WAYLAND_DISPLAY is set)")
      try require(canRun("gnome-terminal"), "gnome-terminal is not installed")
      tool = .gnomeTerminal
    }
  }

  package static func isInPath(_ program: String) -> Bool {
    (processEnvironment()["PATH"] ?? "").split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
  }

  /// - Parameter without: asked each time whether to do without a window.
  func launch(without: @escaping @Sendable () -> Bool) -> ProcessPairLaunch {
    guard tool != nil else { return .itself }
    return .by { [self] command in
      without() ? command : wrap(command, in: FileManager.default.currentDirectoryPath)
    }
  }

  /// The command that runs another one in a window, in a folder: paths of the command line may be relative.
  package func wrap(_ command: [String], in folder: String) -> [String] {
    switch tool {
    case nil: command
    case .tmux(let pane):
      ["tmux", "split-window", "-d", "-c", Self.unexpanded(folder)] + (pane.map { ["-t", $0] } ?? [])
        + command.map(Self.unseparated)
    case .xterm: ["xterm", "-T", "counter", "-e"] + command
    case .gnomeTerminal: ["gnome-terminal", "--working-directory=\(folder)", "--"] + command
    }
  }

  // tmux expands a folder as a format: "#(...)" in it would be run.
  private static func unexpanded(_ folder: String) -> String { folder.replacing("#", with: "##") }

  // A word that ends so ends tmux's command.
  private static func unseparated(_ word: String) -> String { word.hasSuffix(";") ? word.dropLast() + "\\;" : word }
}
