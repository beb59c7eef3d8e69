// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

/// Queues as the commands open them.
enum SharedQueue {
  /// Of a queue that exists.
  static func attach(_ place: QueueName) throws(CommandFailure) -> JobQueue {
    do {
      return try JobQueue.attach(place.region)
    } catch {
      throw CommandFailure(queue: place.name, error)
    }
  }

  /// Takes what is there, as it is where nothing else is asked for; else creates.
  static func open(_ place: QueueName, _ shape: QueueShape) throws(CommandFailure) -> JobQueue {
    do throws(JobQueueError) {
      while true {
        do throws(JobQueueError) {
          return try JobQueue(
            place.region, jobSize: shape.size?.bytes, jobs: shape.jobs, levels: shape.levels, members: shape.members,
            mode: .attach)
        } catch {
          guard error.code == .notFound else { throw error }
        }
        do throws(JobQueueError) {
          let attempts = shape.attempts ?? QueueShape.attempts
          return try JobQueue(
            place.region, jobSize: shape.size?.bytes ?? QueueShape.size, jobs: shape.jobs ?? QueueShape.jobs,
            levels: shape.levels ?? QueueShape.levels, members: shape.members ?? QueueShape.members,
            attempts: attempts == 0 ? nil : attempts, mode: .create)
        } catch {
          // Another one came first.
          guard error.code == .alreadyExists else { throw error }
        }
      }
    } catch {
      throw CommandFailure(queue: place.name, error)
    }
  }

  static func look(
    _ place: QueueName, entries: JobQueue.Use, bytes: Int
  ) throws(CommandFailure) -> (state: JobQueue.State, entries: [JobQueue.Entry]) {
    do {
      return try JobQueue.look(place.region, entries: entries, bytes: bytes)
    } catch {
      throw CommandFailure(queue: place.name, error)
    }
  }

  static func finish(_ place: QueueName) throws(CommandFailure) {
    try using(place) { (queue) throws(JobQueueError) in try queue.finish() }
  }

  static func reopen(_ place: QueueName) throws(CommandFailure) {
    try using(place) { (queue) throws(JobQueueError) in try queue.reopen() }
  }

  private static func using(
    _ place: QueueName, _ body: (JobQueue) throws(JobQueueError) -> Void
  ) throws(CommandFailure) {
    let queue = try attach(place)
    defer { queue.close() }
    do {
      try body(queue)
    } catch {
      throw CommandFailure(queue: place.name, error)
    }
  }

  /// Does something with jobs that are set aside. Returns how many there were, and why it could not be done with some.
  static func seeTo(
    _ place: QueueName, _ jobs: [JobID]?, _ act: (JobQueue, JobID) throws(JobQueueError) -> Void
  ) throws(CommandFailure) -> (count: Int, failures: [String]) {
    let queue = try attach(place)
    defer { queue.close() }
    var (count, failures) = (0, [String]())
    do throws(JobQueueError) {
      let aside = jobs == nil ? try queue.entries(.aside, bytes: 0).map(\.id) : []
      for job in jobs ?? aside {
        do throws(JobQueueError) {
          try act(queue, job)
          count += 1
        } catch {
          switch error.code {
          case .stale, .invalidArgument: failures.append("\(printable(place.name)): \(job): no such job")
          case .busy: failures.append("\(printable(place.name)): \(job): not set aside")
          default: throw error
          }
        }
      }
    } catch {
      throw CommandFailure(queue: place.name, error)
    }
    return (count, failures)
  }
}

/// A name as it is typed: of a region, or a path.
struct QueueName: Equatable, Sendable {
  var name: String
  var isFile: Bool

  var region: RegionName { isFile ? .file(FilePath(name)) : RegionName(name) }

  func tell(_ line: String) {
    var errors = StandardOutput(descriptor: 2)
    errors.write(lines: ["muster: \(printable(name)): \(line)"])
  }
}

extension CommandFailure {
  /// What all commands say of a queue that can't be used.
  init(queue name: String, _ error: JobQueueError) {
    let reason: String? =
      switch error.code {
      case .notFound: "no such queue"
      case .full: "it has as many members as there can be"
      case .finished: "it is finished; muster queue reopen lets more be put"
      default: nil
      }
    self.init(
      reason.map { "\(printable(name)): \($0)" } ?? "\(error)",
      status: error.code == .finished ? QueueStatus.finished : Status.failed)
  }
}

/// The exit statuses that the commands of queues have beside the others.
enum QueueStatus {
  static let finished: Int32 = 4
}
