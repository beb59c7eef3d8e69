// How a task waits for shared memory without blocking a thread of the cooperative pool.
//
// A wait is polled; as long as the poll says EAGAIN it also says at which shared words to sleep (muster/wait.h).
// Reactor threads sleep for many waits at a time: each at the union of its waits' words and at a doorbell, by
// futex_waitv(2), at most 128 words in all. After each wake a thread polls every wait that it has, resumes the tasks
// of those that are over, and sleeps anew. A wait that does not fit is handed to another thread, or to a new one, so
// there are always as many threads as the words need: any number of waits is in progress at the same time, and one
// never queues behind another. (A pool with a fixed number of threads would deadlock a barrier with more waiters than
// threads.)
//
// Why no wake is lost. Polling gives, with each word, the value at which to sleep; the kernel compares all of them
// before it sleeps, and a word that has changed since makes the sleep return at once. That holds for one wait's words,
// so for the union. The poll that says EAGAIN and the sleep are made by the same thread, with nothing between them but
// other polls. Moreover each wait names a time at which it must be polled again in any case, and the sleep ends at the
// earliest.
//
// Why no submission or cancellation is lost. A thread reads its doorbell's count, then takes its inbox and polls and
// asks each wait whether it is to end, then sleeps at that count. Who submits puts the wait into the inbox, then
// rings. Who cancels a task, or closes an object, marks the wait and takes the bell of the thread that it belongs to,
// both under the wait's lock, then rings; belonging is set under the same lock before the thread first looks for the
// mark. So a mark that the thread did not see was made after, hence knows the bell, and its ring changes the count.
//
// Why each task is resumed exactly once. A wait is in one place at any time: in the hands of the task that made it, in
// one inbox, or in one thread's list; it moves under the reactor's lock; and only who has it in hand resumes its task,
// as the last thing.
//
// What is left behind: nothing for a wait that ended. A thread without waits ends after a second.
//
// Where futex_waitv is missing a sleep is at the first word alone (muster/wait.h), so each wait gets a thread of its
// own, with the word that a release changes as the first; the doorbell is then looked at every 10 ms.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class Reactor: Sendable {
  /// That of the process. A forked child has none of the threads, so it begins with another.
  static var shared: Reactor { ofProcess.value }
  private static let ofProcess = ForkLocal { Reactor(sharesThreads: Reactor.hasManyWordSleep) }

  /// The words of a sleep that are there for waits: all but the doorbell.
  static let words = Int(MUSTER_WAIT_WORDS) - 1

  /// Whether one thread may sleep for several waits.
  private let sharesThreads: Bool
  /// The threads that take waits; also the lock of their inboxes and loads.
  private let pool = Locked<[ReactorThread]>([])
  private let running = Atomic<Int>(0)

  init(sharesThreads: Bool) { self.sharesThreads = sharesThreads }

  /// How many threads there are, for tests.
  var threadCount: Int { running.load(ordering: .acquiring) }

  /// A word that has changed ends a sleep at many words before its deadline can; without futex_waitv the sleep is at
  /// the first word, which has not changed, and lasts until the deadline.
  static let hasManyWordSleep: Bool = {
    let bell = Doorbell()
    return withWaitSet { set in
      set.pointee.count = 2
      set.pointee.recheck = .max
      set.pointee.words.0 = muster_wait_word(address: bell.address, expected: 0)
      set.pointee.words.1 = muster_wait_word(address: bell.address, expected: 1)
      return muster_wait_any(set, muster_deadline_after(1_000_000)) == 0
    }
  }()

  /// Waits until the poll has an outcome, the deadline passes, or the task is cancelled.
  func wait(_ wait: PendingWait) async -> WaitEnd {
    let words: Int
    switch begin(wait) {
    case .over(let end): return end
    case .goesOn(let count): words = count
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        wait.suspend(continuation)
        let status = place(wait, words: words)
        if status != 0 { wait.takeTask()?.resume(returning: fail(wait, status)) }
      }
    } onCancel: {
      wait.end(because: .cancelled)
    }
  }

  /// The first look, on the task's own thread: most waits that are over already cost no hand-over. A long one is left
  /// to its thread.
  private func begin(_ wait: PendingWait) -> FirstLook {
    if wait.reason == .closed { return .over(.closed) }
    guard !wait.isLong else { return .goesOn(words: 0) }
    let (status, words) = withWaitSet { set in (wait.poll(set), min(Int(set.pointee.count), Self.words)) }
    if status != EAGAIN { return .over(.status(status)) }
    if Task.isCancelled { return .over(wait.outcome(of: .cancelled)) }
    return wait.deadline.hasPassed ? .over(.status(wait.giveUp())) : .goesOn(words: words)
  }

  private enum FirstLook {
    case over(WaitEnd)
    case goesOn(words: Int)
  }

  private func fail(_ wait: PendingWait, _ status: Int32) -> WaitEnd {
    let given = wait.giveUp()
    return given == ETIMEDOUT ? .noThread(status) : .status(given)
  }

  /// Puts the wait into the inbox of a thread that has room for so many words more, or of a new one.
  func place(_ wait: PendingWait, words: Int) -> Int32 {
    let alone = wait.isLong || !sharesThreads
    let (thread, status) = pool.withLock { threads -> (ReactorThread?, Int32) in
      if !alone, let thread = threads.first(where: { $0.load + words <= Self.words }) {
        thread.accept(wait, words: words)
        return (thread, 0)
      }
      let thread = ReactorThread(reactor: self, alone: alone)
      thread.accept(wait, words: words)
      // Under the lock, so that nobody puts a wait into a thread that then doesn't start.
      let status = Threads.start("muster-reactor") { thread.run() }
      guard status == 0 else { return (nil, status) }
      running.wrappingAdd(1, ordering: .acquiringAndReleasing)
      if !alone { threads.append(thread) }
      return (nil, 0)
    }
    thread?.bell.ring()
    return status
  }

  /// The thread's inbox, counted as its load.
  func takeInbox(of thread: ReactorThread) -> [PendingWait] { pool.withLock { _ in thread.takeInbox() } }

  func setLoad(of thread: ReactorThread, to words: Int) { pool.withLock { _ in thread.setLoad(words) } }

  /// Lets a thread without waits end, unless it was given one just now.
  func retire(_ thread: ReactorThread) -> Bool {
    pool.withLock { threads in
      guard thread.hasEmptyInbox else { return false }
      threads.removeAll { $0 === thread }
      running.wrappingSubtract(1, ordering: .acquiringAndReleasing)
      return true
    }
  }
}

/// A wait set for a moment. It is too large to be cleared for each look.
func withWaitSet<Result>(_ body: (UnsafeMutablePointer<muster_wait_set>) -> Result) -> Result {
  withUnsafeTemporaryAllocation(of: muster_wait_set.self, capacity: 1) { buffer in
    let set = buffer.baseAddress!
    set.pointee.count = 0
    set.pointee.recheck = .max
    return body(set)
  }
}
