// SPDX-License-Identifier: Apache-2.0
import CounterKit
import Muster
import MusterSupervision
import SystemPackage
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite("counter: windows", .serialized, .timeLimit(.minutes(3)))
struct CounterWindowTests {
  private static let hasTmux = Window.isInPath("tmux")

  private static func tool(
    _ kind: WindowKind, _ environment: [String: String], shows: Bool = true, installed: [String] = []
  ) throws -> Window.Tool? {
    try Window(kind, environment: environment, showsNumbers: shows) { installed.contains($0) }.tool
  }

  @Test("auto takes what is there, and no window where the numbers go to a pipe")
  func auto() throws {
    let all = ["TMUX": "/tmp/t,1,0", "TMUX_PANE": "%3", "DISPLAY": ":0", "WAYLAND_DISPLAY": "w"]
    let both = ["xterm", "gnome-terminal"]
    #expect(try Self.tool(.auto, all, installed: both) == .tmux(pane: "%3"))
    #expect(try Self.tool(.auto, all, shows: false, installed: both) == nil)
    #expect(try Self.tool(.auto, ["DISPLAY": ":0"], installed: both) == .gnomeTerminal)
    #expect(try Self.tool(.auto, ["DISPLAY": ":0"], installed: ["xterm"]) == .xterm)
    #expect(try Self.tool(.auto, ["WAYLAND_DISPLAY": "w"], installed: ["xterm"]) == nil)
    #expect(try Self.tool(.auto, ["DISPLAY": ":0"]) == nil)
    #expect(try Self.tool(.auto, ["DISPLAY": "", "TMUX": ""], installed: both) == nil)
    #expect(try Self.tool(.none, all, installed: both) == nil)
  }

  @Test("a tool that is asked for and not there is said to be missing")
  func missing() {
    #expect(throws: (any Error).self) { try Self.tool(.tmux, [:]) }
    #expect(throws: (any Error).self) { try Self.tool(.xterm, [:], installed: ["xterm"]) }
    #expect(throws: (any Error).self) { try Self.tool(.xterm, ["DISPLAY": ":0"]) }
    #expect(throws: (any Error).self) { try Self.tool(.gnomeTerminal, ["DISPLAY": ":0"]) }
  }

  @Test(
    "a window is refused where the numbers go to a pipe, which it would not have",
    arguments: [WindowKind.tmux, .xterm, .gnomeTerminal])
  func pipe(kind: WindowKind) throws {
    let all = ["TMUX": "/tmp/t,1,0", "DISPLAY": ":0"]
    let both = ["xterm", "gnome-terminal"]
    #expect(try Self.tool(kind, all, installed: both) != nil)
    #expect(throws: (any Error).self) { try Self.tool(kind, all, shows: false, installed: both) }
  }

  @Test("nothing of a folder or a word is a format or a separator of tmux's")
  func quoting() throws {
    let window = try Window(.tmux, environment: ["TMUX": "/tmp/t,1,0"], showsNumbers: true)
    #expect(
      window.wrap(["counter", "--name", "a;", "b;c"], in: "/tmp/#(touch x)")
        == ["tmux", "split-window", "-d", "-c", "/tmp/##(touch x)", "counter", "--name", "a\\;", "b;c"])
  }

  @Test("a backup in a terminal emulator's window is watched, and goes on", arguments: ["xterm", "gnome-terminal"])
  func emulator(_ tool: String) async throws {
    try await CounterRun.with("window-\(tool)") { run in
      // In the place of one: runs what stands behind -e or --, as both do, and gnome-terminal's ends at once.
      let script = """
        #!/bin/sh
        while [ "$1" != -e ] && [ "$1" != -- ]; do shift; done; shift
        case "$0" in *gnome-terminal) "$@" & ;; *) exec "$@" ;; esac
        """
      let path = run.folder.appending(tool).string
      try Data(script.utf8).write(to: URL(filePath: path))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      let old = processEnvironmentPath()
      let environment = ["DISPLAY": ":99", "PATH": run.folder.string + ":" + old]
      _ = try run.start(
        environment: environment, "--window", tool, "--output", run.output.string, "--period", "10ms", "--beat", "400ms"
      )
      let both = try await run.both()
      try run.signal(both.primary, 9)
      let after = try await run.both(without: [both.primary])
      #expect(after.primary == both.backup)
      try await run.moreSteps()
      try await run.end(by: after.backup)
      #expect(NumberTally(of: run.outputText).isWhole(repeats: 0), "\(run.outputText)\n\(run.errors)")
    }
  }

  @Test("a program that is no more on the disk, as after a new build, has backups in windows all the same")
  func deleted() async throws {
    try await CounterRun.with("window-deleted") { run in
      let xterm = run.folder.appending("xterm").string
      try Data("#!/bin/sh\nshift 3\nexec \"$@\"\n".utf8).write(to: URL(filePath: xterm))
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: xterm)
      let program = run.folder.appending("counter").string
      try FileManager.default.copyItem(atPath: Program.counter.path, toPath: program)
      let environment = ["DISPLAY": ":99", "PATH": run.folder.string + ":" + processEnvironmentPath()]
      _ = try run.start(
        program: program, environment: environment, "--window", "xterm", "--output", run.output.string, "--period",
        "10ms", "--beat", "400ms")
      var both = try await run.both()
      try FileManager.default.removeItem(atPath: program)
      for _ in 0..<2 {
        try run.signal(both.primary, 9)
        let after = try await run.both(without: [both.primary])
        #expect(after.primary == both.backup)
        both = after
      }
      try await run.end(by: both.backup)
      #expect(NumberTally(of: run.outputText).isWhole(repeats: 0), "\(run.outputText)\n\(run.errors)")
    }
  }

  @Test("where auto finds a window that does not open, the backup is started without one")
  func unopened() async throws {
    try await CounterRun.with("window-unopened") { run in
      for tool in ["xterm", "gnome-terminal"] {
        let path = run.folder.appending(tool).string
        try Data("#!/bin/sh\nexit 1\n".utf8).write(to: URL(filePath: path))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      }
      let path = run.folder.string + ":" + processEnvironmentPath()
      _ = try run.start(
        environment: ["DISPLAY": ":99", "TMUX": "", "PATH": path], "--output", run.output.string, "--period", "10ms",
        "--beat", "400ms")
      let both = try await run.both()
      #expect(run.errors.contains("goes on alone"), "\(run.errors)")
      try run.signal(both.primary, 9)
      let after = try await run.both(without: [both.primary])
      #expect(after.primary == both.backup)
      // It shares its primary's terminal: when that hangs up, both end.
      try run.signal(after.backup, 1)
      try await expectEventually { processes(with: run.name).isEmpty }
      #expect(NumberTally(of: run.outputText).isWhole(repeats: 0), "\(run.outputText)\n\(run.errors)")
    }
  }

  private static func panes(_ socket: String) async throws -> Set<Int32> {
    let listed = try await Program(path: "/usr/bin/env").run(
      "tmux", "-S", socket, "list-panes", "-a", "-F", "#{pane_pid}")
    return Set(listed.output.split(separator: "\n").compactMap { Int32($0) })
  }

  /// The two as they are now: on a busy machine one may be taken for hung, and be replaced.
  private static func living(_ run: CounterRun) -> Set<Int32>? {
    guard let status = run.status(), let primary = status.primary, let backup = status.backup else { return nil }
    return [primary.identity.pid, backup.identity.pid]
  }

  @Test("in tmux each backup has a pane of its own", .enabled(if: hasTmux, "tmux is not installed"))
  func tmux() async throws {
    try await CounterRun.with("tmux") { run in
      let tmux = Program(path: "/usr/bin/env")
      let socket = run.folder.appending("tmux").string
      let command = [Program.counter.path, "--name", run.name, "--period", "50ms", "--beat", "400ms"]
      let started = try await tmux.run(
        ["tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "40"] + command)
      #expect(started.status == 0, "\(started.errors)")
      let both = try await run.both()
      try await expectEventually { try await Self.panes(socket) == Self.living(run) }
      try run.signal(both.primary, 9)
      let after = try await run.both(without: [both.primary])
      #expect(after.primary == both.backup)
      try await run.moreSteps()
      try await expectEventually { try await Self.panes(socket) == Self.living(run) }
      let screen = try await tmux.run("tmux", "-S", socket, "capture-pane", "-p", "-t", "{top}")
      #expect(screen.output.contains(/\d+/))
      try await run.end(by: after.backup)
    }
  }
}

private func processEnvironmentPath() -> String { ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin" }
