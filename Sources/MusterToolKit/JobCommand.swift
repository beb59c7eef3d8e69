// SPDX-License-Identifier: Apache-2.0
import CMusterCLI
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A command that is run for each job.
struct JobCommand: Sendable {
  enum End: Sendable {
    case exited(Int32)
    case signaled(Int32)
    /// Nobody can run it for this job.
    case unsuitable(String)
    /// Nobody can run it here.
    case notStarted(CommandFailure)
  }

  let words: [String]
  let queue: String

  /// Runs it to its end, as what is at work at present. No thread of the cooperative pool waits.
  func run(for job: JobContents, as present: PresentJob) async -> End {
    let (arguments, environment) = (arguments(job.bytes), environment(job))
    guard let arguments else { return .unsuitable("it has a zero byte, which no argument can") }
    let length = length(arguments, environment, job)
    return await onThread {
      // The kernel ends the command when this thread ends, so this is the one that waits for it.
      var running = muster_cli_running()
      let failure = withStrings(arguments) { arguments in
        withStrings(environment) { environment in
          job.bytes.withUnsafeBytes { input in
            var command = muster_cli_command(
              arguments: arguments, environment: environment, input: input.baseAddress, size: input.count)
            return muster_cli_start(&command, &running)
          }
        }
      }
      guard failure == 0 else { return notStarted(failure, length) }
      present.begin(group: running.group)
      let ended = muster_cli_await(&running)
      present.end()
      muster_cli_reap(&running)
      return ended.error == 0 ? Self.end(ended.status) : notStarted(ended.error, length)
    }
  }

  /// As wait(2) has it.
  private static func end(_ status: Int32) -> End {
    status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .signaled(status & 0x7f)
  }

  private func notStarted(_ error: Int32, _ length: CommandLength) -> End {
    if error == E2BIG, length.isMostlyJob { return .unsuitable("it is too long for the arguments of a command") }
    let reason =
      switch error {
      case ENOENT: "no such command"
      case E2BIG: "its arguments and the environment are too long, whatever the job"
      default: "can't be executed: \(String(cString: strerror(error)))"
      }
    return .notStarted(CommandFailure("\(printable(words[0])): \(reason)", status: error == ENOENT ? 127 : 126))
  }

  /// The words, with the job in place of each `{}`. nil: it has a zero.
  private func arguments(_ job: [UInt8]) -> [[UInt8]]? {
    var isSuitable = true
    let arguments = words.enumerated().map { index, word in
      let bytes = Array(word.utf8)
      guard index > 0, word.contains("{}") else { return bytes }
      if job.contains(0) { isSuitable = false }
      return Self.replacing(bytes, with: job)
    }
    return isSuitable ? arguments : nil
  }

  private func length(_ arguments: [[UInt8]], _ environment: [[UInt8]], _ job: JobContents) -> CommandLength {
    let inArguments = words.enumerated().map { index, word in
      let times = index == 0 ? 0 : word.ranges(of: "{}").count
      return CommandLength.Part(job: times * job.bytes.count, all: arguments[index].count)
    }
    let inEnvironment = environment.map { variable in
      CommandLength.Part(job: variable.starts(with: "MUSTER_JOB=".utf8) ? job.bytes.count : 0, all: variable.count)
    }
    return CommandLength(strings: inArguments + inEnvironment)
  }

  private static func replacing(_ word: [UInt8], with job: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var rest = word[...]
    while let byte = rest.first {
      if rest.starts(with: "{}".utf8) {
        result += job
        rest = rest.dropFirst(2)
      } else {
        result.append(byte)
        rest = rest.dropFirst()
      }
    }
    return result
  }

  /// The longest that Linux takes is 128 KiB with its name; a longer job, or one with a zero, is on standard input alone.
  private static let longest = 100 << 10

  private func environment(_ job: JobContents) -> [[UInt8]] {
    var variables = processEnvironment()
    variables["MUSTER_JOB"] = nil
    variables["MUSTER_JOB_ID"] = "\(job.id)"
    variables["MUSTER_JOB_ATTEMPT"] = "\(job.attempt)"
    variables["MUSTER_JOB_LEVEL"] = "\(job.level)"
    variables["MUSTER_QUEUE"] = queue
    var environment = variables.map { Array("\($0.key)=\($0.value)".utf8) }
    if job.bytes.count <= Self.longest, !job.bytes.contains(0) { environment.append("MUSTER_JOB=".utf8 + job.bytes) }
    return environment
  }
}

/// How long the strings are that a program is executed with, and how much of them is the job.
struct CommandLength: Sendable {
  struct Part: Sendable {
    var job: Int
    var all: Int
  }

  var strings: [Part]

  /// What Linux takes of one string, with the zero behind it.
  private static let longest = 32 * Int(sysconf(Int32(_SC_PAGESIZE)))

  /// Of what is too long (strings that are so alone, or else all of them together), whether more than half is the job's. So no job is set aside
  /// for what isn't its own, and none that no worker can pass on goes round among them for ever.
  var isMostlyJob: Bool {
    let tooLong = strings.filter { $0.all >= Self.longest }
    let together = Part(job: strings.reduce(0) { $0 + $1.job }, all: strings.reduce(0) { $0 + $1.all })
    return (tooLong.isEmpty ? [together] : tooLong).allSatisfy { $0.job > $0.all - $0.job }
  }
}

/// Strings as C has them, with a null pointer behind the last.
private func withStrings<Result>(
  _ strings: [[UInt8]], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
  let starts = strings.reduce(into: [0]) { $0.append($0.last! + $1.count + 1) }
  let joined = strings.reduce(into: [UInt8]()) { $0 += $1 + [0] }
  return joined.withUnsafeBytes { bytes in
    let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
    let pointers = starts.dropLast().map { offset in start.map { $0 + offset } } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
  }
}
