// How a task waits for a descriptor without blocking a thread of the cooperative pool: one thread of the process polls those of all
// waits, and a bell.
//
// Why no submission, cancellation or nudge is lost. The thread hears its bell, then takes its inbox and asks each wait whether it is
// to end or to be looked at, then sleeps. Who submits puts the wait into the inbox, then rings; who ends or nudges one marks it and
// takes its bell, both under the wait's lock, then rings. A mark that the thread did not see was made after the bell was heard, so the
// bell is readable and the sleep returns at once.
//
// Why each task is resumed exactly once: a wait is in the hands of its task, or in the inbox, or in the thread's list, and only who
// has it in hand resumes the task, as the last thing. A thread without waits ends after a second.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class DescriptorReactor: Sendable {
  /// That of the process. A forked child has not its thread, so it begins with another.
  static var shared: DescriptorReactor { ofProcess.value }
  private static let ofProcess = ForkLocal { DescriptorReactor() }

  /// How long a thread without waits stays for the next, in nanoseconds.
  private static let idle: Int64 = 1_000_000_000

  private struct State {
    var inbox: [DescriptorWait] = []
    var bell: DescriptorBell?
  }

  private struct Entry {
    let wait: DescriptorWait
    /// Never looked at by the thread.
    var isFresh = true
    /// Found so by the last sleep.
    var isReadable = false
    /// It was, and nothing came of it: until then its descriptors are not slept at.
    var pausedUntil: Deadline?

    init(_ wait: DescriptorWait) { self.wait = wait }
  }

  private let state = Locked(State())

  /// Waits until the look has an outcome, the deadline passes, or the task is cancelled.
  func wait(_ wait: DescriptorWait) async -> WaitEnd {
    if wait.reason == .closed { return .closed }
    let status = wait.look()
    if status != EAGAIN { return .status(status) }
    if Task.isCancelled { return wait.outcome(of: .cancelled) }
    if wait.deadline.hasPassed { return .status(wait.giveUp()) }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        wait.suspend(continuation)
        let status = submit(wait)
        if status != 0 { wait.takeTask()?.resume(returning: .noThread(status)) }
      }
    } onCancel: {
      wait.end(because: .cancelled)
    }
  }

  /// Has the wait looked at from here on, whether a task waits for its outcome or none. 0, or why no thread is to be had.
  func submit(_ wait: DescriptorWait) -> Int32 {
    state.withLock { state in
      if let bell = state.bell {
        wait.belongs(to: bell)
        state.inbox.append(wait)
        bell.ring()
        return 0
      }
      do throws(CoreFailure) {
        let bell = try DescriptorBell()
        let status = Threads.start("muster-pidfds") { self.run(bell) }
        guard status == 0 else { return status }
        wait.belongs(to: bell)
        state.bell = bell
        state.inbox.append(wait)
        return 0
      } catch {
        return error.status
      }
    }
  }

  // MARK: On the thread

  private func run(_ bell: DescriptorBell) {
    var entries: [Entry] = []
    while true {
      bell.hear()
      entries += state.withLock { state in
        defer { state.inbox = [] }
        return state.inbox.map(Entry.init)
      }
      var nearest = look(at: &entries)
      if entries.isEmpty { nearest = muster_deadline_after(Self.idle) }
      var polled = Polled(bell: bell)
      for entry in entries where entry.pausedUntil == nil {
        for descriptor in entry.wait.descriptors { polled.add(descriptor) }
      }
      polled.sleep(until: nearest)
      if entries.isEmpty, !polled.isRung, retire() { return }
      for index in entries.indices {
        entries[index].isReadable =
          entries[index].pausedUntil == nil && entries[index].wait.descriptors.contains(where: polled.isReadable)
      }
    }
  }

  /// Ends those that are over. Returns when to look again in any case.
  private func look(at entries: inout [Entry]) -> Deadline {
    // Tasks go on when this thread has let go of their waits, and with these of the objects: a task may drop the last reference at
    // once, and the process end.
    var ended: [(task: CheckedContinuation<WaitEnd, Never>?, how: WaitEnd)] = []
    defer { for (task, how) in ended { task?.resume(returning: how) } }
    var nearest = Deadline.never
    var kept: [Entry] = []
    for var entry in entries {
      if let how = outcome(of: &entry) {
        ended.append((entry.wait.takeTask(), how))
      } else {
        nearest = min(nearest, entry.wait.deadline, entry.pausedUntil ?? .never)
        kept.append(entry)
      }
    }
    entries = kept
    return nearest
  }

  private func outcome(of entry: inout Entry) -> WaitEnd? {
    let wait = entry.wait
    let reason = wait.reason
    if reason == .closed { return .closed }
    let isNudged = wait.takeNudge()
    let isRested = entry.pausedUntil?.hasPassed ?? false
    if entry.isFresh || entry.isReadable || isNudged || isRested || reason != nil {
      let status = wait.look()
      if status != EAGAIN { return .status(status) }
      entry.pausedUntil = entry.isReadable ? muster_deadline_after(DescriptorWait.pause) : nil
      entry.isFresh = false
      entry.isReadable = false
    }
    if let reason { return wait.outcome(of: reason) }
    return wait.deadline.hasPassed ? .status(wait.giveUp()) : nil
  }

  /// Lets the thread end, unless it was given a wait just now.
  private func retire() -> Bool {
    state.withLock { state in
      guard state.inbox.isEmpty else { return false }
      state.bell = nil
      return true
    }
  }
}
