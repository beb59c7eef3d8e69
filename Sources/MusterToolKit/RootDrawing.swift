// A root for a person: what it is, and a line a daemon.
// SPDX-License-Identifier: Apache-2.0
import MusterCLI

extension RootDetails {
  /// What stands in a table, and in which colour.
  struct Line: Equatable, Sendable {
    var text: String
    var ink: Ink
  }

  /// Without colours, and as wide as it is.
  func lines() -> [String] { (head() + table(daemons)).map(\.text) }

  /// For a terminal, in colours where it has some. With `isFitted` as much as fits on it: columns
  /// that can be done without are left out, and those daemons come first that don't simply run.
  func lines(on terminal: Terminal, isFitted: Bool = false) -> [String] {
    let rows = terminal.height.map { $0 - 1 } ?? .max
    let lines = isFitted ? fitted(rows: rows, width: terminal.width) : head() + table(daemons)
    return lines.map { line in
      let text = isFitted ? cut(line.text, to: terminal.width, terminal) : line.text
      return line.ink.paint(text, on: terminal)
    }
  }

  private func fitted(rows: Int, width: Int) -> [Line] {
    let head = head()
    // Behind the head: a blank line and the table's header.
    let room = max(1, rows - head.count - 2)
    guard daemons.count > room else { return head + table(daemons, width: width) }
    let others = daemons.filter { $0.phase != "running" }
    let shown = (others + daemons.filter { $0.phase == "running" }).prefix(max(1, room - 1))
    let more = "and \(daemons.count - shown.count) more"
    return head + table(Array(shown), width: width) + [Line(text: more, ink: .dim)]
  }

  private func cut(_ text: String, to width: Int, _ terminal: Terminal) -> String {
    guard text.count > width else { return text }
    let mark = terminal.isUnicode ? "…" : "."
    return text.prefix(max(0, width - 1)) + mark
  }

  // MARK: The root

  private func head() -> [Line] {
    let given = givenUp > 0 ? ", \(givenUp) given up" : ""
    let plain = pairs([
      ("root", printable(name)),
      ("memory", readableSize(size)),
      ("so far", "\(counted(starts, "start")), \(counted(wakes, "wake-up")), \(counted(orphans, "orphan")) reaped"),
      ("daemons", "\(isGone ? 0 : running) of \(daemons.count) running\(given)"),
    ]).map { Line(text: $0, ink: .plain) }
    return [plain[0], stateLine(), plain[1], plain[2], plain[3]]
  }

  private func stateLine() -> Line {
    let age = Duration.milliseconds(Int64(upSeconds * 1000)).readable()
    let (text, ink): (String, Ink) =
      switch state {
      case .running: ("running, pid \(process), for \(age)", .green)
      case .stopping: ("stopping its daemons, pid \(process), after \(age)", .yellow)
      case .ended: ("ended: this is what was there last", .dim)
      case .killed: ("killed, it was pid \(process): this is what was there last", .boldRed)
      }
    return Line(text: pairs([("state", text)])[0], ink: ink)
  }

  private func counted(_ number: UInt64, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  // MARK: The daemons

  private static let columns: [(title: String, alignment: TextTable.Alignment)] = [
    ("DAEMON", .left), ("STATE", .left), ("PID", .right), ("UP", .right), ("STARTS", .right), ("BEAT", .right),
    ("ARENA", .right), ("DONE", .right), ("LOST", .right), ("CPU", .right),
    ("MEMORY", .right), ("LAST DEATH", .left),
  ]

  /// Those that can be done without, first what is missed least.
  private static let spare = ["MEMORY", "CPU", "ARENA", "DONE", "UP", "BEAT"]

  private func table(_ daemons: [Daemon], width: Int = .max) -> [Line] {
    let rows = daemons.map { $0.row(isGone: isGone) }
    var left = Self.columns.map(\.title)
    var lines = table(rows, left)
    for title in Self.spare where lines.map(\.count).max() ?? 0 > width {
      left.removeAll { $0 == title }
      lines = table(rows, left)
    }
    let inks = [Ink.bold] + daemons.map { $0.ink(isGone: isGone) }
    return [Line(text: "", ink: .plain)] + zip(lines, inks).map { Line(text: $0, ink: $1) }
  }

  private func table(_ rows: [[String]], _ titles: [String]) -> [String] {
    let indices = Self.columns.indices.filter { titles.contains(Self.columns[$0].title) }
    var table = TextTable(indices.map { Self.columns[$0] })
    for row in rows { table.append(indices.map { row[$0] }) }
    return table.lines()
  }
}

extension RootDetails.Daemon {
  fileprivate func row(isGone: Bool) -> [String] {
    // Nothing is told any more of one whose root is gone: what it told last was that it ran.
    let isOver = isGone && phase != "ended" && phase != "given up"
    let process = isOver ? nil : self.process.map { "\($0)" }
    return [
      printable(name), isOver ? "gone" : phaseText, process ?? "-", process == nil ? "-" : age(upSeconds) ?? "-",
      "\(starts)", process == nil ? "-" : beat, readableSize(arenaSize), "\(transactions.committed)",
      "\(transactions.lost)", Duration.milliseconds(Int64((userSeconds + systemSeconds) * 1000)).readable(),
      memory.map(readableSize) ?? "-", remark,
    ]
  }

  fileprivate func ink(isGone: Bool) -> Ink {
    if phase == "given up" || isArenaCorrupt { return .red }
    if isGone || phase == "ended" { return .dim }
    return phase == "running" ? .plain : .yellow
  }

  private var phaseText: String {
    guard phase == "waiting", let left = nextStartSeconds, left > 0 else { return phase }
    return "waiting \(Duration.milliseconds(Int64(left * 1000)).readable())"
  }

  /// How long ago, and how long it may be.
  private var beat: String {
    guard let allowed = heartbeatSeconds else { return "-" }
    let limit = Duration.milliseconds(Int64(allowed * 1000)).readable()
    return beatAgeSeconds.map { "\(Duration.milliseconds(Int64($0 * 1000)).readable())/\(limit)" } ?? "-/\(limit)"
  }

  private var remark: String {
    var parts: [String] = []
    if let death { parts.append("\(death.cause)\(age(death.ageSeconds).map { ", \($0) ago" } ?? "")") }
    if rung == "checkpoints" || rung == "zeroed" { parts.append("on \(rung), attempt \(attempts)") }
    if drained > 0 { parts.append("\(drained) of its processes killed") }
    if let forkError { parts.append("could not be forked: \(forkError)") }
    if isArenaCorrupt { parts.append("its memory is corrupt") }
    return parts.joined(separator: "; ")
  }

  private func age(_ seconds: Double?) -> String? {
    seconds.map { readableAge(Int64($0 * 1_000_000_000)) }
  }
}
