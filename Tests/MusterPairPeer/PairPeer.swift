// A process pair for the tests: counts into a file, and at some numbers does what a program must not.
//
//   muster-pair-peer NAME OUTPUT [to=N] [crash=N] [crash-once=N] [crash-step=N] [throw=N] [reject-once=N] [hang-once=N] [spoil=N] [long=N]
//     [tries=N] [skip=FOLDER] [anew] [hands-over] [pause=MILLISECONDS] [json] [file=STATE] [descriptor=N] [few=PATH] [nobody-comes]
//     [patience=MILLISECONDS] [dies-ending] [stops=PATH]
//
// What happens is told on standard error, a line an event, in one write each.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterSupervision
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A state that lies in memory, and one that is a document.
protocol CountState: Sendable {
  var number: UInt64 { get set }
  /// Not 0: no good state.
  var spoiled: UInt64 { get set }
}

struct Plain: CountState, SharedPayload {
  static let payloadLayout: UInt32 = 1
  var number: UInt64 = 0
  var spoiled: UInt64 = 0
}

struct Document: CountState, Codable {
  var number: UInt64 = 0
  var spoiled: UInt64 = 0
}

struct Arguments {
  private var values: [String: String] = [:]

  init(_ arguments: some Sequence<String>) {
    for argument in arguments {
      let parts = argument.split(separator: "=", maxSplits: 1)
      values[String(parts[0])] = parts.count == 2 ? String(parts[1]) : ""
    }
  }

  func number(_ name: String) -> UInt64? { values[name].flatMap { UInt64($0) } }
  func text(_ name: String) -> String? { values[name] }
  func has(_ name: String) -> Bool { values[name] != nil }
}

@main
struct PairPeer {
  static func main() {
    let (name, path) = (CommandLine.arguments[1], CommandLine.arguments[2])
    let arguments = Arguments(CommandLine.arguments.dropFirst(3))
    stopOnce(arguments)
    do {
      let file = arguments.text("file").map { FilePath($0) }
      let output: any ProcessPairOutput =
        try arguments.number("descriptor").map {
          DescriptorOutput(FileDescriptor(rawValue: Int32($0)), mark: { _ in "" })
        }
        ?? FileOutput(FilePath(path), isDurable: arguments.has("durable"))
      let options = options(arguments)
      let ending: ProcessPairEnding
      if arguments.has("json") {
        let pair = ProcessPair(
          name, stateFile: file, initial: Document(), capacity: 256, outputCapacity: 64, output: output,
          options: options,
          accepts: { $0.spoiled == 0 }, skip: { state, _ in state.number += 1 })
        ending = try pair.run { state, step in try take(&state, &step, arguments) }
      } else {
        let pair = ProcessPair(
          name, stateFile: file, initial: Plain(), outputCapacity: 64, output: output, options: options,
          accepts: { $0.spoiled == 0 }, skip: { state, _ in state.number += 1 })
        ending = try pair.run { state, step in try take(&state, &step, arguments) }
      }
      tell("ending \(ending)")
    } catch {
      tell("error \(error)")
      exit((error as? ProcessPairError)?.code == .gaveUp ? 3 : 1)
    }
  }

  static func tell(_ text: String) { _ = try? FileDescriptor.standardError.writeAll("\(getpid()) \(text)\n".utf8) }

  private static func options(_ arguments: Arguments) -> ProcessPairOptions {
    var options = ProcessPairOptions()
    options.period = .milliseconds(Int64(arguments.number("period") ?? 200))
    options.takeovers = Int(arguments.number("takeovers") ?? 32)
    options.isDurable = arguments.has("durable")
    options.escalation.tries = Int(arguments.number("tries") ?? 2)
    options.escalation.evidence = arguments.text("skip").map { FilePath($0) }
    options.escalation.beginsAnew = arguments.has("anew")
    options.escalation.goesBack = !arguments.has("stays")
    if arguments.has("hands-over") { options.termination = .endsProcess }
    // A launcher that ends well, and of which nobody comes.
    if arguments.has("nobody-comes") { options.launch = .by { _ in ["true"] } }
    switch arguments.text("heartbeat") {
    case "file": options.heartbeat = .file()
    case "udp": options.heartbeat = .udp
    case "queue": options.heartbeat = .messageQueue
    case "signals": options.heartbeat = .signals
    default: break
    }
    if let patience = arguments.number("patience") { options.patience = .milliseconds(Int64(patience)) }
    let diesEnding = arguments.has("dies-ending")
    options.onEvent = { event in
      tell("event \(event)")
      if diesEnding, event == .ends { kill(getpid(), SIGKILL) }
    }
    return options
  }

  /// The first backup stops before it has said anything: who starts the program puts a file there.
  private static func stopOnce(_ arguments: Arguments) {
    guard getenv("MUSTER_PAIR") != nil, let path = arguments.text("stops"), unlink(path) == 0 else { return }
    // When its primary is killed the kernel hangs up the group that they were in, and lets it go on.
    setsid()
    raise(SIGSTOP)
  }

  struct Refused: Error {}

  private static func limitDescriptors(to most: rlim_t) {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = most
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  private static func take(
    _ state: inout some CountState, _ step: inout ProcessPairStep, _ arguments: Arguments
  ) throws -> ProcessPairNext {
    let number = state.number + 1
    let isFirst = step.attempt == 1
    if number == arguments.number("crash") || isFirst && number == arguments.number("crash-once")
      || step.number == arguments.number("crash-step")
    {
      // Not by SIGKILL, which says nothing about a step.
      kill(getpid(), SIGUSR2)
    }
    if number == arguments.number("throw") { throw Refused() }
    if isFirst && number == arguments.number("hang-once") { while true { pause() } }
    if isFirst && number == arguments.number("reject-once") { state.spoiled = 1 }
    if number == arguments.number("long") {
      // Longer than the beats that may be missing, but it says that it goes on.
      for _ in 0..<250 {
        usleep(5000)
        step.beat()
      }
    }
    if let path = arguments.text("few") { limitDescriptors(to: access(path, F_OK) == 0 ? 3 : 256) }
    state.number = number
    step.emit("\(number)\n")
    if number == arguments.number("to") { return .finish }
    return arguments.number("pause").map { .stepAfter(.milliseconds(Int64($0))) } ?? .step
  }
}
