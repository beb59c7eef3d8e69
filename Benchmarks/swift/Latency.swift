// How long a wait takes there and back between two processes, in the form that blocks its thread and in the one that is
// awaited: each writes a seqlock of its own, and waits for the other's.
//
//   swift run -c release benchmark-latency [ROUNDS]
//
// The awaited form is slower by a hand-over: the reactor's thread is woken in the task's stead, and resumes the task.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@main
struct Latency {
  enum Form: String, CaseIterable {
    case blocking, awaited
  }

  static func main() async throws {
    let arguments = CommandLine.arguments
    if arguments.count == 5, arguments[1] == "peer", let form = Form(rawValue: arguments[3]) {
      return try await answer(arguments[2], form, rounds: UInt64(arguments[4]) ?? 0)
    }
    let rounds = arguments.dropFirst().first.flatMap { UInt64($0) } ?? 20_000
    print("form       rounds   p50 us   p99 us  p99.9 us")
    for form in Form.allCases {
      let sorted = try await measure(form, rounds: rounds).sorted()
      let at = [0.5, 0.99, 0.999].map { sorted[min(sorted.count - 1, Int(Double(sorted.count) * $0))] }
      let figures = at.map { column(microseconds($0), 8) }.joined(separator: " ")
      print(column(form.rawValue, -8), column("\(sorted.count)", 8), figures)
    }
  }

  /// Asks, and waits for each answer. In the cooperative pool, as most tasks: the main actor's tasks go on by another
  /// thread again.
  @concurrent static func measure(_ form: Form, rounds: UInt64) async throws -> [Duration] {
    let name = "muster-latency-\(getpid())"
    defer { for end in ["-ask", "-answer"] { try? Region.remove(RegionName(name + end), force: true) } }
    let ask = try Seqlock<UInt64>(name + "-ask")
    let answer = try Seqlock<UInt64>(name + "-answer")
    try ask.claim()
    try spawn(["peer", name, form.rawValue, "\(rounds)"])
    try await answer.waitForWriter(until: .now + .seconds(20))
    var samples: [Duration] = []
    for round in 1...rounds {
      let start = ContinuousClock.now
      try ask.write(round)
      switch form {
      case .blocking: try sleep(answer, round - 1)
      case .awaited: try await answer.waitForChange(since: round - 1)
      }
      // The first are warming up.
      if round > rounds / 10 { samples.append(start.duration(to: .now)) }
    }
    var status: Int32 = 0
    wait(&status)
    return samples
  }

  /// Answers each question with its number.
  @concurrent static func answer(_ name: String, _ form: Form, rounds: UInt64) async throws {
    let ask = try Seqlock<UInt64>(name + "-ask")
    let answer = try Seqlock<UInt64>(name + "-answer")
    try answer.claim()
    for round in 1...rounds {
      switch form {
      case .blocking: try sleep(ask, round - 1)
      case .awaited: try await ask.waitForChange(since: round - 1)
      }
      try answer.write(round)
    }
    answer.close()
  }

  /// The form that blocks can't be called in an async function.
  static func sleep(_ seqlock: Seqlock<UInt64>, _ seen: UInt64) throws {
    try seqlock.waitForChangeBlocking(since: seen)
  }

  static func spawn(_ arguments: [String]) throws {
    var child: pid_t = 0
    var texts = (["benchmark-latency"] + arguments).map { strdup($0) } + [nil]
    defer { for text in texts { free(text) } }
    let status = posix_spawn(&child, "/proc/self/exe", nil, nil, &texts, nil)
    precondition(status == 0, "can't start the other process: \(status)")
  }

  static func microseconds(_ duration: Duration) -> String {
    let tenths = duration / .nanoseconds(100)
    return "\((tenths).rounded() / 10)"
  }

  static func column(_ text: String, _ width: Int) -> String {
    let padding = String(repeating: " ", count: max(0, abs(width) - text.count))
    return width < 0 ? text + padding : padding + text
  }
}
