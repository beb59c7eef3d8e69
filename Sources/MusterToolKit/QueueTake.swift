// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `muster queue take` does: takes jobs, one after the other, until a signal, the end of the queue, or the timeout.
final class QueueTake: Sendable {
  private let place: QueueName
  private let queue: JobQueue
  private let isOnce: Bool
  private let timeout: TimeoutArgument
  private let command: JobCommand?
  private let separator: UInt8
  private let descriptor: Int32
  private let present = PresentJob()

  init(
    place: QueueName, queue: JobQueue, isOnce: Bool, timeout: TimeoutArgument, command: [String], separator: UInt8,
    output: StandardOutput
  ) {
    self.place = place
    self.queue = queue
    self.isOnce = isOnce
    self.timeout = timeout
    self.command = command.isEmpty ? nil : JobCommand(words: command, queue: place.name)
    self.separator = separator
    descriptor = output.descriptor
  }

  /// Returns the exit status.
  func run(_ signals: SignalWatch) async -> Result<Int32, CommandFailure> {
    let work = Task { await self.work() }
    let listening = Task {
      for await signal in signals.stream() {
        self.present.end(by: signal.number)
        // Who waits for a job ends so; who has one sees to it first.
        work.cancel()
      }
    }
    let result = await work.value
    listening.cancel()
    queue.close()
    if let signal = present.signal { SignalWatch.die(of: signal) }
    return result
  }

  private func work() async -> Result<Int32, CommandFailure> {
    do throws(JobQueueError) {
      while true {
        guard let job = try await queue.take(until: timeout.nanoseconds.map { .now + .nanoseconds($0) }) else {
          return .success(QueueStatus.finished)
        }
        if let end = try await see(to: job) { return end }
      }
    } catch {
      switch error.code {
      // Nobody sees this: it dies of the signal.
      case .cancelled: return .success(Status.failed)
      case .timedOut:
        let line = "\(printable(place.name)): no job came within \(timeout.text)"
        return .failure(CommandFailure(line, status: Status.timedOut))
      default: return .failure(CommandFailure(queue: place.name, error))
      }
    }
  }

  /// nil: on to the next one.
  private func see(to job: consuming JobQueue.Job) async throws(JobQueueError) -> Result<Int32, CommandFailure>? {
    if present.signal != nil {
      try job.putBack(.untried)
      return .success(Status.failed)
    }
    guard let command else { return try await show(job) }
    switch await command.run(for: try job.contents(), as: present) {
    case .exited(0):
      try job.done()
      return isOnce || present.signal != nil ? .success(0) : nil
    case .exited(let status): return try fail(job, "exit status \(status)")
    case .signaled(let number): return try fail(job, "killed by signal \(number)")
    case .unsuitable(let reason):
      place.tell("job \(job.id): \(reason); set aside")
      try job.putBack(.hopeless)
      return isOnce ? .success(Status.no) : nil
    case .notStarted(let failure):
      try job.putBack(.untried)
      return .failure(failure)
    }
  }

  private func fail(
    _ job: consuming JobQueue.Job, _ reason: String
  ) throws(JobQueueError) -> Result<Int32, CommandFailure>? {
    if present.signal != nil {
      try job.putBack(.untried)
      return .success(Status.failed)
    }
    place.tell("job \(job.id): \(reason) at attempt \(job.attempts + 1)")
    try job.putBack(.failed)
    return isOnce ? .success(Status.no) : nil
  }

  /// Done is what was written. Whoever reads may be slow: it is waited for on a thread of its own.
  private func show(_ job: consuming JobQueue.Job) async throws(JobQueueError) -> Result<Int32, CommandFailure>? {
    let line = try job.bytes() + [separator]
    let descriptor = descriptor
    let failure = await onThread {
      var output = StandardOutput(descriptor: descriptor)
      output.write(bytes: line)
      return output.failure
    }
    guard failure == 0 else {
      try job.putBack(.untried)
      // Nobody reads what is printed any more.
      if failure == EPIPE { return .success(Status.failed) }
      return .failure(CommandFailure("standard output: \(String(cString: strerror(failure)))"))
    }
    try job.done()
    return isOnce ? .success(0) : nil
  }
}

/// What a command is told of a job.
struct JobContents: Sendable {
  var id: JobID
  var level: Int
  var attempt: Int
  var bytes: [UInt8]
}

extension JobQueue.Job {
  fileprivate borrowing func contents() throws(JobQueueError) -> JobContents {
    JobContents(id: id, level: level, attempt: attempts + 1, bytes: try bytes())
  }
}

/// The command that is at work, if one is, and the signal that asked for an end.
final class PresentJob: Sendable {
  private struct State {
    var signal: Int32?
    var group: Int32?
  }

  /// How long a command that is asked to end may take.
  private static let grace = Duration.seconds(5)

  private let state = Mutex(State())

  var signal: Int32? { state.withLock { $0.signal } }

  /// A command runs from here on. What came before it began is passed on now.
  func begin(group: Int32) {
    state.withLock { state in
      state.group = group
      if let signal = state.signal { pass(signal, to: group) }
    }
  }

  /// It has ended, and its group's id may soon be another's.
  func end() { state.withLock { $0.group = nil } }

  /// Asks what is at work to end; the second time it is not asked any more.
  func end(by signal: Int32) {
    state.withLock { state in
      let isSecond = state.signal != nil
      if !isSecond { state.signal = signal }
      if let group = state.group { pass(isSecond ? SIGKILL : signal, to: group) }
    }
  }

  private func pass(_ signal: Int32, to group: Int32) {
    kill(-group, signal)
    // What was stopped does not hear of it otherwise.
    kill(-group, SIGCONT)
    if signal == SIGKILL { return }
    Task {
      try? await Task.sleep(for: Self.grace)
      state.withLock { if $0.group == group { kill(-group, SIGKILL) } }
    }
  }
}

/// Runs what blocks on a thread of its own.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
  await withCheckedContinuation { continuation in startThread { continuation.resume(returning: body()) } }
}
