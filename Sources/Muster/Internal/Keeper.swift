// The thread that holds this process's liveness locks.
//
// A liveness lock belongs to the thread that took it: the kernel lets go of it when that thread ends, and libc refuses
// to let another thread release it. Swift objects move between threads and tasks, and the threads of a pool may end.
// So whatever takes or releases one runs here, on one thread that is started at the first and lives as long as the
// process: the death that the others see is then the death of the process, which is what one means by it.
//
// The jobs are short: what may sleep, such as opening a region, is done by the caller before. (Joining and claiming
// may wait up to a second for a process that was stopped while joining in the very place: MUSTER_REGION_PATIENCE.)
//
// A forked child has no such thread, whatever its parent had, so it begins with another keeper: for what it opens
// itself. Of what it inherited the C core says EPERM, or frees the child's copy.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class Keeper: Sendable {
  static var shared: Keeper { ofProcess.value }
  private static let ofProcess = ForkLocal { Keeper() }

  /// The one for locks whose taking waits for a disk, so that it holds none of the others up.
  static var disk: Keeper { ofDisk.value }
  private static let ofDisk = ForkLocal { Keeper() }

  /// The one that starts children who are tied to the process: the kernel ends them with the thread that has started them. A start may
  /// hang in a file system.
  static var starter: Keeper { ofStarter.value }
  private static let ofStarter = ForkLocal { Keeper() }

  private struct Queue {
    var jobs: [Job] = []
    var started = false
    var thread: pthread_t?
  }

  private let bell = Doorbell()
  private let queue = Locked(Queue())

  /// What is to be run, let go of before the caller goes on: it is the caller's, and may not outlive the call.
  private final class Job: @unchecked Sendable {
    let done = Doorbell()
    private var body: (() -> Void)?
    init(_ body: @escaping () -> Void) { self.body = body }

    func run() {
      body?()
      body = nil
      done.ring()
    }
  }

  /// Runs a short job on the thread and gives what it returned. The caller waits for it, and for those queued before
  /// it.
  ///
  /// - Throws: `ThreadFailure` when the thread can't be started; the job is not run then.
  func run<Result>(_ body: () -> Result) throws(ThreadFailure) -> Result {
    var result: Result?
    let failure = withoutActuallyEscaping(body) { body in
      // The caller stands still until the job is done, so nothing here is used by two threads at a time.
      perform(Job { result = body() })
    }
    if let failure { throw failure }
    return result!
  }

  private func perform(_ job: Job) -> ThreadFailure? {
    let here = pthread_self()
    let status = queue.withLock { queue -> Int32? in
      // An object let go of by a job of this thread.
      if let thread = queue.thread, pthread_equal(thread, here) != 0 { return nil }
      if !queue.started {
        let status = start()
        if status != 0 { return status }
        queue.started = true
      }
      queue.jobs.append(job)
      return 0
    }
    guard let status else {
      job.run()
      return nil
    }
    guard status == 0 else { return ThreadFailure(status: status) }
    bell.ring()
    _ = job.done.waitBlocking(after: 0)
    return nil
  }

  private func start() -> Int32 { Threads.start("muster-keeper") { self.serve() } }

  private func serve() {
    let own = pthread_self()
    queue.withLock { $0.thread = own }
    while true {
      let seen = bell.count
      let jobs = queue.withLock { queue in
        defer { queue.jobs = [] }
        return queue.jobs
      }
      for job in jobs { job.run() }
      if jobs.isEmpty { _ = bell.waitBlocking(after: seen) }
    }
  }
}

/// A thread that could not be started.
struct ThreadFailure: Error {
  var status: Int32
}
