// What each process of the pair does.
// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Muster
import MusterSupervision
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct CountingPlan: Sendable {
  var name: String
  var window: Window
  var period: Duration
  var beat: Duration
  var missed: Int
  var heartbeat: ProcessPairHeartbeat
  var output: FilePath?
  var isDurable: Bool
  var stateFile: FilePath?
  var poison: UInt64?
  var evidence: FilePath?
  var last: UInt64?
  var isUnderChaos: Bool
  var isTerminal: Bool
  var errors: Terminal
}

struct Count: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var number: UInt64 = 0
}

struct Counting {
  let plan: CountingPlan

  init(_ plan: CountingPlan) { self.plan = plan }

  func run() throws {
    if let folder = plan.evidence { try makeFolder(folder) }
    let reader = NumberReader()
    let pair = ProcessPair(
      plan.name, stateFile: plan.stateFile, initial: Count(), outputCapacity: 64, output: try output(reader),
      options: options(), skip: { count, _ in count.number += 1 })
    _ = try pair.run { count, step in
      guard !reader.isGone, count.number < plan.last ?? .max else { return .finish }
      count.number += 1
      if count.number == plan.poison { Poison.crash() }
      step.emit("\(count.number)\n")
      if count.number == plan.last { return .finish }
      return plan.period == .zero ? .step : .stepAfter(plan.period)
    }
  }

  private func options() -> ProcessPairOptions {
    var options = ProcessPairOptions()
    options.heartbeat = plan.heartbeat
    options.period = plan.beat
    options.missed = plan.missed
    options.isDurable = plan.isDurable
    options.escalation.evidence = plan.evidence
    // Enough for the whole of an escalation.
    options.takeovers = 24
    let narrator = Narrator(plan)
    options.onEvent = { narrator.tell($0) }
    options.launch = plan.window.launch { narrator.doesWithoutWindow }
    guard plan.isUnderChaos else { return options }
    // Here deaths come by the dozen, and say nothing.
    options.takeovers = 32
    options.takeoverWindow = .milliseconds(100)
    options.retryFirst = .milliseconds(1)
    options.retryMost = .milliseconds(100)
    options.stable = .milliseconds(1)
    return options
  }

  private func output(_ reader: NumberReader) throws -> any ProcessPairOutput {
    guard let path = plan.output else {
      // What a cut write has left on a terminal's line is wiped away.
      let before = plan.isTerminal ? "\r\u{1B}[K" : ""
      return NumberOutput(inner: DescriptorOutput(mark: { _ in before + Self.mark }), reader: reader)
    }
    do {
      let file = try FileOutput(path, isDurable: plan.isDurable)
      if !file.isEmpty, !ProcessPairLaunch.isBackup(of: plan.name), !hasState() {
        throw CommandFailure(
          "\(printable(path.string)) is not empty, and there is no state to go on from: give another file, remove that one, or give "
            + "the --state-file that belongs to it", status: EX_USAGE)
      }
      return file
    } catch let error as Errno {
      throw CommandFailure("--output \(printable(path.string)): \(error)")
    } catch let error as FileOutput.Failure {
      throw CommandFailure("--output: \(printable(error.description))")
    }
  }

  /// Goes before a number that may be out already.
  static let mark = "(again?) "

  private func hasState() -> Bool {
    let observer = try? plan.stateFile.map { try ProcessPairObserver(stateFile: $0) } ?? ProcessPairObserver(plan.name)
    // What can't be read is told when the pair is opened.
    return (try? observer?.status())?.committed != nil
  }

  private func makeFolder(_ folder: FilePath) throws {
    guard folder.withPlatformString({ mkdir($0, 0o777) }) != 0, errno != EEXIST else { return }
    throw CommandFailure("--skip \(printable(folder.string)): \(String(cString: strerror(errno)))")
  }
}

/// Whether anybody reads the numbers.
final class NumberReader {
  var isGone = false
}

/// As its inner one; when nobody reads any more the pair is to end, and not to be restarted again and again.
struct NumberOutput: ProcessPairOutput {
  var inner: DescriptorOutput
  let reader: NumberReader

  mutating func position() -> UInt64 { inner.position() }

  mutating func emit(_ bytes: RawSpan, _ emission: ProcessPairEmission) throws {
    do {
      try inner.emit(bytes, emission)
    } catch let error as Errno where error == .brokenPipe {
      reader.isGone = true
    }
  }

  mutating func contains(_ bytes: RawSpan, _ emission: ProcessPairEmission) -> Bool? {
    inner.contains(bytes, emission)
  }
}

enum Poison {
  /// As a bad pointer would: by a signal, at once, and without a core dump or a backtrace.
  static func crash() -> Never {
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    _ = signal(SIGSEGV, SIG_DFL)
    kill(getpid(), SIGSEGV)
    _exit(EX_SOFTWARE)
  }
}
