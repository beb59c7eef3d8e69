// SPDX-License-Identifier: Apache-2.0
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One run of the command: the board, the workers, what is shown, and tidying up.
struct Session: Sendable {
  struct Request: Sendable {
    var workers: Int
    var name: String?
    var isJoining: Bool
    var kills: [WorkerAtRound]
    var stops: [WorkerAtRound]
    var isJSON: Bool
    var isQuiet: Bool
    /// The file that the run is to be written to as a trace.
    var tracePath: String?
  }

  let request: Request
  /// Of the run, unless it is joined.
  let newPlan: Plan
  private let terminal = standardOutput()

  /// How long a joining process waits for the run to begin.
  private static let joinPatience = Duration.seconds(60)

  private static func standardOutput() -> Terminal {
    Terminal(descriptor: STDOUT_FILENO, environment: environment)
  }

  private static let environment = processEnvironment()

  init(request: Request, newPlan: Plan) {
    self.request = request
    self.newPlan = newPlan
  }

  /// How a run ended for the shell.
  private struct End: Sendable {
    var status: Int32
    var signal: Int32?
  }

  /// Returns the exit status. When a signal interrupted it, ends this process by that signal, after tidying up.
  func run() -> Int32 {
    StandardOutput.ignoreBrokenPipes()
    do {
      try FileLimit.makeRoom(workers: request.workers)
      let end = try request.isJoining ? takePart() : begin()
      // That the disk is full is told, where nobody reading any more is not.
      if let signal = end.signal, signal != SIGPIPE || StandardOutput.failureOfProcess == 0 {
        SignalWatch.die(of: signal)
      }
      return end.status
    } catch {
      complain(error.line)
      return error.status
    }
  }

  private func begin() throws(CommandFailure) -> End {
    let signals = try SignalWatch()
    try removeLeftovers(newPlan.name)
    let region = try BoardRegion(creating: newPlan)
    let trace: RunTrace?
    do throws(CommandFailure) {
      trace = try request.tracePath.map { path throws(CommandFailure) in try RunTrace(writing: path, of: newPlan) }
    } catch {
      region.close()
      removeNames(newPlan.name)
      throw error
    }
    return try supervise(newPlan, region, signals, trace)
  }

  private func takePart() throws(CommandFailure) -> End {
    let name = request.name ?? ""
    // Until it is there, there is nothing to tidy up, and Ctrl-C ends the wait.
    var region = try BoardRegion(attaching: name, within: .zero)
    if region == nil {
      if !request.isJSON, !request.isQuiet { complain("waiting for \(printable(name)) to begin") }
      region = try BoardRegion(attaching: name, within: Self.joinPatience)
    }
    guard let region else {
      throw CommandFailure(
        "nobody began \(printable(name)): start it with mpbarrier N --parties P --name \(printable(name))")
    }
    let signals = try SignalWatch()
    let plan = try region.withBoard { board throws(CommandFailure) in
      guard let plan = try? board.plan(name: name) else { throw CommandFailure("\(name): \(Board.Corrupt())") }
      return plan
    }
    return try supervise(plan, region, signals)
  }

  private func supervise(
    _ plan: Plan, _ region: BoardRegion, _ signals: SignalWatch, _ trace: RunTrace? = nil
  ) throws(CommandFailure) -> End {
    defer {
      region.close()
      trace?.close()
      // Whoever takes part and ends last removes the names: for the others they are in use.
      removeNames(plan.name)
    }
    let end = try region.withBoard { board throws(CommandFailure) in try supervise(plan, board, signals) }
    if let trace { try write(trace) }
    return end
  }

  private func write(_ trace: RunTrace) throws(CommandFailure) {
    try trace.write()
    guard !request.isJSON, !request.isQuiet else { return }
    var output = StandardOutput()
    output.write(lines: ["trace in \(printable(trace.path)): open it at ui.perfetto.dev"])
  }

  private func supervise(_ plan: Plan, _ board: Board, _ signals: SignalWatch) throws(CommandFailure) -> End {
    let places = board.claim(request.workers, supervisor: getpid(), isProcessDead: Self.isDead)
    guard let places else {
      let free = count(max(0, plan.parties - board.claimed), "place")
      throw CommandFailure("\(plan.name): \(free) of \(plan.parties) free, \(request.workers) wanted")
    }
    let orders = places.enumerated().map { index, place in
      WorkerOrders(
        name: plan.name, number: place, parent: getpid(), kills: rounds(request.kills, of: index + 1),
        stops: rounds(request.stops, of: index + 1))
    }
    return blocking { await show(plan, board, Crew(orders: orders, signals: signals)) }
  }

  /// A zombie still counts as alive, and so does another process with the number: the places of such are not taken over.
  @Sendable private static func isDead(_ process: Int32) -> Bool {
    kill(process, 0) != 0 && errno == ESRCH
  }

  private func rounds(_ places: [WorkerAtRound], of worker: Int) -> Set<Int> {
    Set(places.filter { $0.worker == worker }.map(\.round))
  }

  // MARK: What is shown

  private func opening(_ plan: Plan, _ board: Board) -> [String] {
    let policy = plan.kind == .robust ? "robust, on death \(plan.onDeath.rawValue)" : "posix"
    let meet = plan.parties == 1 ? "meets" : "meet"
    let title = "\(count(plan.parties, "worker")) \(meet) as \(printable(plan.name))"
    let details = "\(policy), seed \(plan.seed)"
    let isWide = title.count + 3 + details.count <= terminal.width
    var lines = (isWide ? ["\(title)   \(details)"] : [title, details]).map { Ink.dim.paint($0, on: terminal) }
    let missing = plan.parties - board.claimed
    if missing > 0 {
      lines.append("waiting for \(missing) more: mpbarrier \(missing) --name \(printable(plan.name)) --join")
    }
    return lines + [""]
  }

  private func show(_ plan: Plan, _ board: Board, _ crew: Crew) async -> End {
    var view = RoundView(plan: plan, board: board, terminal: terminal, output: StandardOutput())
    let isDrawing = !request.isJSON && !request.isQuiet
    if isDrawing { view.write(opening(plan, board)) }
    let supervision = Supervision(
      plan: plan, board: board, workers: crew.orders.map(\.number), now: monotonicNow(), isProcessDead: Self.isDead)
    let ending = await crew.run(supervision) { now in
      if isDrawing {
        if terminal.isInteractive { view.resize(Self.standardOutput()) }
        view.update(now: now)
      }
      return view.failure == 0
    }
    if isDrawing { view.finish() }
    let verdict = conclude(plan, roundsBegun(plan, board), ending, &view)
    if verdict.status != 0, view.failure == 0 { complain(verdict.line) }
    guard case .interrupted(_, let number) = ending else { return End(status: verdict.status) }
    return End(status: verdict.status, signal: number)
  }

  /// With the roll call.
  private func roundsBegun(_ plan: Plan, _ board: Board) -> [Round] {
    var rounds = [board.round(0)]
    for number in 1...plan.rounds {
      let round = board.round(number)
      guard round.begin != nil else { break }
      rounds.append(round)
    }
    return rounds
  }

  private func conclude(
    _ plan: Plan, _ rounds: [Round], _ ending: Verdict.Ending, _ view: inout RoundView
  ) -> Verdict {
    let verdict = Verdict.judge(plan, rounds: rounds, ending: ending, terminal: terminal)
    let worked = Array(rounds.dropFirst())
    let summary = Summary(rounds: worked, planned: plan.rounds, workers: plan.parties)
    if request.isJSON {
      let report = Report(plan: plan, rounds: worked, summary: summary, verdict: verdict, withRounds: !request.isQuiet)
      view.write([(try? json(report)) ?? "{}"])
      return verdict
    }
    if !request.isQuiet { view.write(summary.lines(terminal)) }
    if verdict.status == 0 { view.write([Ink.boldGreen.paint(verdict.line, on: terminal)]) }
    return verdict
  }

  private func complain(_ line: String) {
    var errors = StandardOutput(descriptor: STDERR_FILENO)
    errors.write(lines: ["mpbarrier: \(line)"])
  }
}
