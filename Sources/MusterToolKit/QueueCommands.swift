// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI

struct QueueCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "queue",
    abstract: "Share a list of jobs among workers that may die.",
    discussion: """
      Each job is taken by exactly one worker. It is gone when the worker says that it is done, and back in the list when \
      the worker fails or dies. After so many failures it is set aside: 'retry' queues it again, 'drop' gives it up.

        find . -name '*.png' -print0 | muster queue put thumbnails -0 --finish
        muster queue take thumbnails -- convert {} -resize 64 {}.thumb      # in as many terminals as you like
      """,
    subcommands: [
      QueuePutCommand.self, QueueTakeCommand.self, QueueShowCommand.self, QueueFinishCommand.self,
      QueueReopenCommand.self, QueueRetryCommand.self, QueueDropCommand.self,
    ])
}

/// What every command of a queue is given.
struct QueueArgument: ParsableArguments {
  @Argument(help: "The queue's name.")
  var name: String

  @Flag(help: "NAME is the path of a file.")
  var file = false

  var place: QueueName { QueueName(name: name, isFile: file) }
}

/// What a queue is to be like. Nothing: as it is, or as below if it is not there.
struct QueueShape: ParsableArguments {
  static let size = 1024
  static let jobs = 1024
  static let levels = 4
  static let members = 64
  static let attempts = 3

  @Option(
    help: ArgumentHelp("Bytes that a job has at most, from 1 to 1g. (default: 1k)", valueName: "bytes"),
    transform: JobSizeArgument.init(typed:))
  var size: JobSizeArgument?

  @Option(help: "How many jobs there can be at a time. (default: 1024)")
  var jobs: Int?

  @Option(help: "How many levels there are: 1 to 16. (default: 4)")
  var levels: Int?

  @Option(help: "How many processes can use it at a time: 1 to 256. (default: 64)")
  var members: Int?

  @Option(
    help:
      "After so many failures a job is set aside; 0: never. Of a queue that is there it stays as it is. (default: 3)")
  var attempts: Int?

  mutating func validate() throws {
    for (number, name, range) in [
      (jobs, "--jobs", 1...1 << 24), (levels, "--levels", 1...16), (members, "--members", 1...256),
      (attempts, "--attempts", 0...Int(UInt32.max) - 1),
    ] where number.map(range.contains) == false {
      throw ValidationError("\(name) must be \(range.lowerBound) to \(range.upperBound), not \(number ?? 0)")
    }
  }
}

struct QueuePutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put",
    abstract: "Put jobs into a queue: the arguments, or else each line of standard input.",
    discussion: """
      The queue is created if it is not there, and stays until it is removed (muster rm). A job is queued, and may be \
      taken, as soon as its line has come. Level 0 is served first, and jobs of one level in the order in which they were put.

      Exit status: 0 all are queued; 2 there was no room within --timeout; 4 the queue is finished; 1 failed.
      """)

  @OptionGroup var queue: QueueArgument

  @Argument(help: "Jobs. None: the lines of standard input, without their ends.")
  var job: [String] = []

  @Option(help: "The level of the jobs.")
  var level = 0

  @Flag(
    name: [.customShort("0"), .customLong("null")],
    help: "Jobs on standard input end with a zero byte, not a line's end.")
  var endsWithZero = false

  @Flag(help: "Finish the queue behind them: see 'finish'.")
  var finish = false

  @Option(
    help: ArgumentHelp("How long to wait for room: a duration, or 'never'. (default: 30s)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = .standard

  @OptionGroup(title: "A queue that is not there yet") var shape: QueueShape

  func validate() throws {
    if !(0..<16).contains(level) { throw ValidationError("--level must be 0 to 15, not \(level)") }
  }

  func run() throws {
    _ = Shell()
    let put = QueuePut(
      place: queue.place, queue: try SharedQueue.open(queue.place, shape), level: level, timeout: timeout)
    if job.isEmpty {
      try put.putAll(endingWith: endsWithZero ? 0 : UInt8(ascii: "\n"))
    } else {
      for job in job { try put.put(Array(job.utf8)) }
    }
    if finish { try put.finish() }
  }
}

struct QueueTakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "take",
    abstract: "Take jobs from a queue, and run a command for each of them.",
    discussion: """
      The command has the job on its standard input, in MUSTER_JOB, and in place of each {} in its arguments; \
      MUSTER_JOB_ATTEMPT is 1 at the first attempt, MUSTER_JOB_LEVEL the job's level, MUSTER_JOB_ID what it is known by, \
      MUSTER_QUEUE the queue's name. If it exits with 0 the job is done; else the job goes back as failed. Without a command each \
      job is printed, as a line, and is done when it was written.

      When this process dies, of whatever, the job goes back as failed, and its command is killed with all of its process \
      group. SIGINT, SIGTERM and SIGHUP are passed on to that group, which is killed if it has not ended 5 seconds later; the job goes \
      back and the attempt is not counted, unless the command exits with 0 all the same.

      Exit status: 4 the queue is finished and nothing is left to do; 2 no job came within --timeout; with --once 0 the job was done, \
      3 it failed; 126 or 127 the command could not be started: its job went back uncounted; 1 failed.
      """)

  @OptionGroup var queue: QueueArgument

  @Flag(help: "End after one job.")
  var once = false

  @Option(
    help: ArgumentHelp(
      "How long to wait for each job: a duration, 0 not to wait, or 'never'. (default: never)", valueName: "duration"),
    transform: TimeoutArgument.init(typed:))
  var timeout: TimeoutArgument = TimeoutArgument(nanoseconds: nil)

  @Flag(name: [.customShort("0"), .customLong("null")], help: "Print a zero byte behind each job, not a line's end.")
  var endsWithZero = false

  @Argument(parsing: .postTerminator, help: "After '--': a command to run for each job.")
  var command: [String] = []

  func run() throws {
    let shell = Shell()
    let take = QueueTake(
      place: queue.place, queue: try SharedQueue.attach(queue.place), isOnce: once, timeout: timeout, command: command,
      separator: endsWithZero ? 0 : UInt8(ascii: "\n"), output: shell.output)
    let signals = try SignalWatch()
    let status = try blocking { await take.run(signals) }.get()
    if status != 0 { throw ExitCode(status) }
  }
}

struct QueueShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Tell how many jobs are where, and which: level, attempts, who has them.",
    discussion:
      "Jobs in hands come first, then those that are queued in the order in which they will be taken, then those set aside."
  )

  @OptionGroup var queue: QueueArgument

  @Option(help: "How many jobs to tell of at most.")
  var limit = 100

  @Flag(help: "Print a JSON object, with all jobs as they are.")
  var json = false

  func run() throws {
    var shell = Shell()
    let (state, entries) = try SharedQueue.look(queue.place, entries: .any, bytes: json ? .max : 256)
    var details = QueueDetails(state)
    details.entries = entries.map(QueueDetails.Entry.init)
    if json { try shell.showJSON(details) } else { shell.show(details.lines(limit: max(0, limit))) }
  }
}

struct QueueFinishCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "finish", abstract: "Let nothing new be put: workers end when all is done.",
    discussion:
      "Who waits for a job until now goes on with what is left, and with what comes back from those who fail or die.")

  @OptionGroup var queue: QueueArgument

  func run() throws { try SharedQueue.finish(queue.place) }
}

struct QueueReopenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reopen", abstract: "Let jobs be put into a queue that was finished.")

  @OptionGroup var queue: QueueArgument

  func run() throws { try SharedQueue.reopen(queue.place) }
}

struct QueueRetryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retry", abstract: "Queue jobs again that were set aside, with no attempts.",
    discussion: "Exit status: 0 all of them; 3 some are not there, or not set aside; 4 the queue is finished; 1 failed."
  )

  @OptionGroup var queue: QueueArgument
  @OptionGroup var which: AsideArguments

  func run() throws {
    try which.seeTo(queue.place, "queued again") { (queue, job) throws(JobQueueError) in try queue.retry(job) }
  }
}

struct QueueDropCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop", abstract: "Give jobs up that were set aside.",
    discussion: "Exit status: 0 all of them; 3 some are not there, or not set aside; 1 failed.")

  @OptionGroup var queue: QueueArgument
  @OptionGroup var which: AsideArguments

  func run() throws {
    try which.seeTo(queue.place, "dropped") { (queue, job) throws(JobQueueError) in try queue.drop(job) }
  }
}

/// Which of the jobs that were set aside.
struct AsideArguments: ParsableArguments {
  @Argument(help: "The jobs' ids, as 'show' tells them.", transform: JobIDArgument.parse)
  var ids: [JobID] = []

  @Flag(help: "All that are set aside.")
  var all = false

  mutating func validate() throws {
    if ids.isEmpty != all { throw ValidationError("give ids of jobs, or --all") }
  }

  func seeTo(
    _ place: QueueName, _ done: String, _ act: (JobQueue, JobID) throws(JobQueueError) -> Void
  ) throws {
    var shell = Shell()
    let (count, failures) = try SharedQueue.seeTo(place, all ? nil : ids, act)
    shell.show(["\(count) \(done)"])
    var errors = StandardOutput(descriptor: 2)
    errors.write(lines: failures.map { "muster: \($0)" })
    if !failures.isEmpty { throw ExitCode(Status.no) }
  }
}

enum JobIDArgument {
  @Sendable static func parse(_ text: String) throws -> JobID {
    guard let id = JobID(text) else { throw ValidationError("give an id as 'show' tells it, such as 12.3") }
    return id
  }
}

/// The size of a job as it is typed: bytes, or a number with `k`, `m` or `g`.
struct JobSizeArgument: Equatable, Sendable {
  var bytes: Int

  init(typed text: String) throws {
    let shifts: [Character: Int] = ["k": 10, "m": 20, "g": 30]
    let shift = text.last.flatMap { shifts[Character($0.lowercased())] }
    let number = Int(shift == nil ? text[...] : text.dropLast())
    guard let number, (1...1 << 30).contains(number), number << (shift ?? 0) <= 1 << 30 else {
      throw ValidationError("give a number of bytes from 1 to 1g, such as 200, 4k or 1m")
    }
    bytes = number << (shift ?? 0)
  }
}
