// SPDX-License-Identifier: Apache-2.0
import MusterCLI

/// Shows the rounds as they come: each once when all have left it, and on a terminal the one that goes on, redrawn in place.
struct RoundView {
  private let plan: Plan
  private let board: Board
  private var drawing: RoundDrawing
  private var output: StandardOutput
  /// The next round to be shown.
  private var next: Int
  /// Lines on the screen that the next drawing replaces.
  private var provisional = 0
  private var lastRedraw: Int64 = 0

  /// A live picture is drawn at most so often.
  private static let redrawInterval: Int64 = 50_000_000
  /// How long one that has not left, although others have, is waited for before the round is shown without it.
  private static let straggling: Int64 = 250_000_000

  init(plan: Plan, board: Board, terminal: Terminal, output: StandardOutput) {
    self.plan = plan
    self.board = board
    self.output = output
    drawing = RoundDrawing(terminal: terminal, workers: plan.parties, rounds: plan.rounds)
    next = 0
  }

  var failure: Int32 { output.failure }

  mutating func write(_ lines: [String]) {
    clear()
    output.write(lines: lines)
  }

  /// The terminal has another size now.
  mutating func resize(_ terminal: Terminal) {
    drawing.terminal = terminal
  }

  mutating func update(now: Int64) {
    while next <= plan.rounds {
      let round = board.round(next)
      guard isShowable(round, now: now) else { break }
      show(round)
    }
    redraw(now: now)
  }

  /// The run is over: shows the rounds that were begun and never completed.
  mutating func finish() {
    while next <= plan.rounds {
      let round = board.round(next)
      guard round.begin != nil else { break }
      show(round)
    }
    clear()
  }

  private func isShowable(_ round: Round, now: Int64) -> Bool {
    if round.isComplete { return true }
    guard let left = round.lanes.compactMap(\.left).max(), now - left > Self.straggling else { return false }
    return round.lanes.allSatisfy { $0.left != nil || $0.arrived == nil }
  }

  private mutating func show(_ round: Round) {
    next += 1
    clear()
    // All that can be seen at the roll call is whether everybody came.
    if round.number > 0 || !round.isMet { output.write(lines: drawing.lines(round) + [""]) }
  }

  private mutating func redraw(now: Int64) {
    let terminal = drawing.terminal
    guard terminal.isInteractive, let height = terminal.height, plan.parties + 2 < height, terminal.width >= 20,
      next <= plan.rounds, now - lastRedraw >= Self.redrawInterval
    else { return }
    let round = board.round(next)
    // The roll call is worth a picture only when somebody is late for it.
    guard let begin = round.begin, round.number > 0 || now - begin > 1_000_000_000 else { return }
    lastRedraw = now
    let longest = (1...plan.parties).map { plan.workTime(worker: $0, round: next) }.max() ?? 0
    clear()
    let lines = drawing.lines(round, now: now, horizon: begin + longest)
    output.write(lines: lines)
    provisional = lines.count
  }

  /// Takes the provisional lines off the screen. From the first column on: a key pressed meanwhile, such as Ctrl-C, may have been echoed.
  private mutating func clear() {
    if provisional > 0 { output.write("\r\u{1B}[\(provisional)A\u{1B}[J") }
    provisional = 0
  }
}
