// SPDX-License-Identifier: Apache-2.0
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Nanoseconds of CLOCK_MONOTONIC, which is one clock for all processes of the machine.
func monotonicNow() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// One worker process: it meets the others at the roll call, then works and meets, round after round.
struct Worker {
  var plan: Plan
  var number: Int
  var kills: Set<Int>
  var stops: Set<Int>
  var board: Board
  var trace: WorkerTrace?

  /// Returns what went wrong, or nil.
  func run(at meetingPoint: inout some MeetingPoint) -> String? {
    if let place = meetingPoint.place { board.joined(worker: number, barrierPlace: place) }
    while true {
      let round = meetingPoint.phase
      guard round <= plan.rounds else { return nil }
      board.started(worker: number, round: round, at: monotonicNow())
      if round > 0 { trace?.beginsWork(round) }
      work(round)
      let arrival = monotonicNow()
      if round > 0 { trace?.endsWork(round) }
      trace?.beginsWaiting(round)
      board.arrived(worker: number, round: round, at: arrival)
      let patience = round == 0 ? plan.rollCallDeadline : plan.deadline
      let meeting = meetingPoint.meet(within: .nanoseconds(patience))
      trace?.endsWaiting(round, meeting.outcome)
      note(meeting, begunIn: round, arrival: arrival)
      guard meeting.outcome == .met else { return meeting.failure }
    }
  }

  /// The phase that was met in may be a later one than the round that was worked for: who takes the place of one that had
  /// arrived already starts at the next.
  private func note(_ meeting: Meeting, begunIn round: Int, arrival: Int64) {
    let phase = min(max(meeting.phase ?? round, round), plan.rounds)
    if phase != round {
      board.started(worker: number, round: phase, at: arrival)
      board.arrived(worker: number, round: phase, at: arrival)
    }
    let culprit = meeting.culpritPlace.flatMap { board.worker(barrierPlace: $0) }
    board.left(worker: number, round: phase, at: monotonicNow(), outcome: meeting.outcome, culprit: culprit)
  }

  /// Sleeps as long as this round's work takes: uneven, but no load. Half-way through it dies or stops, where that was asked for.
  private func work(_ round: Int) {
    let begin = monotonicNow()
    let time = plan.workTime(worker: number, round: round)
    let isReplacement = board.lane(worker: number, round: round).died != nil
    if !isReplacement, kills.contains(round) || stops.contains(round) {
      sleep(until: begin + time / 2)
      if kills.contains(round) {
        board.died(worker: number, round: round, at: monotonicNow(), asked: true)
        kill(getpid(), SIGKILL)
      }
      board.stopped(worker: number, round: round, at: monotonicNow())
      trace?.isStopped(round)
      raise(SIGSTOP)
      board.stopped(worker: number, round: round, at: 0)
    }
    sleep(until: begin + time)
  }

  private func sleep(until time: Int64) {
    var target = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &target, nil) == EINTR {}
  }
}

/// What the supervising process tells a worker on its command line.
struct WorkerOrders: Equatable, Sendable {
  static let subcommand = "worker"

  var name: String
  var number: Int
  var parent: Int32
  var kills: Set<Int> = []
  var stops: Set<Int> = []

  var arguments: [String] {
    func list(_ rounds: Set<Int>) -> String { rounds.sorted().map(String.init).joined(separator: ",") }
    return [Self.subcommand, String(parent), name, String(number), "kill=" + list(kills), "stop=" + list(stops)]
  }

  /// Reads `arguments` back; nil for anything else.
  init?(arguments: [String]) {
    guard arguments.count == 6, arguments[0] == Self.subcommand, let parent = Int32(arguments[1]),
      let number = Int(arguments[3]), let kills = Self.list(arguments[4], after: "kill="),
      let stops = Self.list(arguments[5], after: "stop=")
    else { return nil }
    self.init(name: arguments[2], number: number, parent: parent, kills: kills, stops: stops)
  }

  init(name: String, number: Int, parent: Int32, kills: Set<Int> = [], stops: Set<Int> = []) {
    self.name = name
    self.number = number
    self.parent = parent
    self.kills = kills
    self.stops = stops
  }

  private static func list(_ text: String, after prefix: String) -> Set<Int>? {
    guard text.hasPrefix(prefix) else { return nil }
    let parts = text.dropFirst(prefix.count).split(separator: ",")
    let numbers = parts.compactMap { Int($0) }
    return numbers.count == parts.count ? Set(numbers) : nil
  }

  /// The whole life of a worker process. Ends with the parent, whatever ends that.
  func carryOut() -> Never {
    // The terminal's Ctrl-C goes to the parent, which ends its workers in order.
    _ = signal(SIGINT, SIG_IGN)
    guard dieWithParent(parent) else { exit(1) }
    if let failure = serve() {
      var output = StandardOutput(descriptor: STDERR_FILENO)
      output.write("mpbarrier: worker \(number): \(failure)\n")
      exit(1)
    }
    exit(0)
  }
}
