// SPDX-License-Identifier: Apache-2.0
package import MusterCLI

/// Draws a round: a line a worker, time to the right, where it worked, where it waited, and the one column where all leave.
package struct RoundDrawing {
  package var terminal: Terminal
  /// Of the whole run, so that the labels of all rounds stand alike.
  package var workers: Int
  package var rounds: Int

  package init(terminal: Terminal, workers: Int, rounds: Int) {
    self.terminal = terminal
    self.workers = workers
    self.rounds = rounds
  }

  /// The lines of a round. `now` is given for one that still goes on, with `horizon` the time at which its work ends at the
  /// latest, so that the bars grow towards the right instead of being scaled anew each time.
  package func lines(_ round: Round, now: Int64? = nil, horizon: Int64? = nil) -> [String] {
    [heading(round, now: now)] + bars(round, now: now, horizon: horizon)
  }

  // MARK: The heading

  private func heading(_ round: Round, now: Int64?) -> String {
    let title = round.number == 0 ? "roll call" : "round \(round.number) of \(rounds)"
    let note = note(round, now: now)
    guard !note.isEmpty, title.count + 3 + note.count <= terminal.width else { return paint(title, .bold) }
    return paint(title, .bold) + "   " + paint(note, round.isBroken ? .red : .dim)
  }

  private func note(_ round: Round, now: Int64?) -> String {
    if round.isBroken {
      guard let notice = round.noticeTime else { return "broken" }
      return "broken; all were told within \(time(notice))"
    }
    if now == nil, let begin = round.begin, let end = round.met.compactMap(\.left).max() {
      guard let skew = round.skew, round.met.count > 1 else { return time(end - begin) }
      return "\(time(end - begin)); all left within \(time(skew))"
    }
    if let now, let begin = round.begin { return time(max(0, now - begin)) }
    return ""
  }

  // MARK: The lines of the workers

  private struct Scale {
    var begin: Int64
    var span: Int64
    var columns: Int

    /// The column of a time, 0 to columns - 1.
    func column(_ time: Int64) -> Int {
      guard span > 0 else { return 0 }
      let offset = Double(min(max(0, time - begin), span))
      return min(columns - 1, Int(offset / Double(span) * Double(columns)))
    }
  }

  private func bars(_ round: Round, now: Int64?, horizon: Int64?) -> [String] {
    let notes = round.lanes.map { remark($0, in: round) }
    let label = labelWidth
    let room = terminal.width - label - 1
    // At least what "waited 99.9 ms" takes, so that the bars of all rounds stand alike.
    var noteWidth = max(14, notes.map(\.text.count).max() ?? 0) + 2
    if room - noteWidth < 20 { noteWidth = 0 }
    // The bars, and the column in which all leave.
    let columns = max(1, room - noteWidth - 1)
    let begin = round.begin ?? 0
    let end = max(round.lastEvent ?? begin, now ?? begin, horizon ?? begin)
    let scale = Scale(begin: begin, span: end - begin, columns: columns)
    return zip(round.lanes, notes).map { lane, note in
      let bar = bar(lane, scale: scale, now: now)
      let line = paint(self.label(lane.worker), .plain) + " " + bar.text
      guard noteWidth > 0, !note.text.isEmpty else { return trimmed(line, bar) }
      return line + String(repeating: " ", count: columns + 1 - bar.columns) + "  " + paint(note.text, note.ink)
    }
  }

  private func trimmed(_ line: String, _ bar: (text: String, columns: Int)) -> String {
    bar.columns == 0 ? String(line.reversed().drop { $0 == " " }.reversed()) : line
  }

  private var labelWidth: Int {
    let digits = String(workers).count
    return terminal.width >= 40 ? "worker ".count + digits : digits
  }

  private func label(_ worker: Int) -> String {
    let number = String(worker)
    let blank = String(repeating: " ", count: String(workers).count - number.count)
    return (terminal.width >= 40 ? "worker " : "") + blank + number
  }

  /// Pieces of a bar: what is drawn from which column on.
  private func bar(_ lane: Lane, scale: Scale, now: Int64?) -> (text: String, columns: Int) {
    guard let started = lane.started else { return ("", 0) }
    var canvas = Canvas(columns: scale.columns + 1)
    let end = scale.begin + scale.span
    let stand = now ?? lane.left ?? end
    if let died = lane.died {
      canvas.fill(scale.column(started), scale.column(died), with: .work)
      canvas.put(.death, at: scale.column(died))
    }
    if let from = lane.died == nil ? started : lane.restarted {
      let workEnd = lane.arrived ?? lane.stopped ?? stand
      canvas.fill(scale.column(from), scale.column(workEnd), with: .work, over: .death)
      if lane.arrived == nil, let stopped = lane.stopped { canvas.put(.stop, at: scale.column(stopped)) }
      if let arrived = lane.arrived {
        let waitEnd = lane.outcome == .met ? scale.columns : scale.column(stand) + (lane.left == nil ? 1 : 0)
        canvas.fill(max(scale.column(arrived), scale.column(from)), waitEnd, with: .wait, over: .death)
        // Who came last did work, up to the column in which all leave.
        if scale.column(arrived) == scale.columns - 1, lane.left != nil {
          canvas.fill(scale.column(arrived), scale.columns, with: .work)
        }
      }
    }
    if let left = lane.left {
      // All leave in one column, whatever microseconds lie between them; who is told of a death is told at once.
      canvas.put(lane.outcome == .met ? .release : .told, at: lane.outcome == .met ? scale.columns : scale.column(left))
    }
    return (canvas.text(glyphs: terminal.isUnicode ? Cell.unicode : Cell.ascii, paint: paint), canvas.used)
  }

  /// What stands at the right of a lane.
  private func remark(_ lane: Lane, in round: Round) -> (text: String, ink: Ink) {
    switch lane.outcome {
    case .met?:
      let new = lane.died != nil ? "new, " : ""
      let isLast = round.met.count > 1 && lane.arrived == round.met.compactMap(\.arrived).max()
      return isLast ? (new + "came last", .plain) : (new + "waited \(time(lane.wait ?? 0))", .dim)
    case .death?: return (lane.culprit.map { "told: \($0) died" } ?? "told: one died", .red)
    case .timedOut?: return ("timed out", .red)
    case .broken?: return ("told: timed out", .red)
    case .canceled?: return ("told: aborted", .red)
    case .failed?: return ("failed", .red)
    case nil: break
    }
    if lane.isDead { return (lane.deathWasAsked ? "killed" : "died", .boldRed) }
    if lane.stopped != nil, lane.arrived == nil { return ("stopped", .yellow) }
    if lane.started == nil { return (lane.isGone ? "gone" : "", .dim) }
    return (lane.arrived != nil ? "waits" : "", .dim)
  }

  private func time(_ nanoseconds: Int64) -> String {
    Duration.nanoseconds(nanoseconds).readable(microsecond: terminal.isUnicode ? "µs" : "us")
  }

  private func paint(_ text: String, _ ink: Ink) -> String { ink.paint(text, on: terminal) }
}

/// What a column of a bar shows.
private enum Cell: Equatable {
  case blank, work, wait, release, told, death, stop

  static let unicode: [Cell: Character] = [
    .blank: " ", .work: "━", .wait: "░", .release: "│", .told: "╳", .death: "✗", .stop: "■",
  ]
  static let ascii: [Cell: Character] = [
    .blank: " ", .work: "=", .wait: ".", .release: "|", .told: "X", .death: "x", .stop: "#",
  ]

  var ink: Ink {
    switch self {
    case .blank: .plain
    case .work: .green
    case .wait: .dim
    case .release: .boldCyan
    case .told, .death: .boldRed
    case .stop: .yellow
    }
  }
}

private struct Canvas {
  private var cells: [Cell]

  init(columns: Int) {
    cells = Array(repeating: .blank, count: columns)
  }

  /// Fills columns `from` up to, not including, `end`; cells that show `over` stay.
  mutating func fill(_ from: Int, _ end: Int, with cell: Cell, over kept: Cell? = nil) {
    guard from < end else { return }
    for column in max(0, from)..<min(end, cells.count) where cells[column] != kept { cells[column] = cell }
  }

  mutating func put(_ cell: Cell, at column: Int) {
    cells[min(max(0, column), cells.count - 1)] = cell
  }

  /// Columns up to the last that shows anything.
  var used: Int { (cells.lastIndex { $0 != .blank } ?? -1) + 1 }

  func text(glyphs: [Cell: Character], paint: (String, Ink) -> String) -> String {
    var result = ""
    var start = 0
    let end = used
    while start < end {
      let cell = cells[start]
      let next = cells[start..<end].firstIndex { $0 != cell } ?? end
      result += paint(String(repeating: glyphs[cell] ?? " ", count: next - start), cell.ink)
      start = next
    }
    return result
  }
}
