// One thread of the reactor. See Reactor.swift for why this is right.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// `inbox`, `inboxWords` and `polledWords` are guarded by the reactor's lock, `waits` belongs to the thread: that is
/// why it is Sendable.
final class ReactorThread: @unchecked Sendable {
  /// How long a thread without waits stays for the next, in nanoseconds.
  private static let idle: Int64 = 1_000_000_000
  /// How often a thread looks that can't sleep at all its waits' words.
  private static let crowded: Int64 = 10_000_000

  let bell = Doorbell()
  private let reactor: Reactor
  private let alone: Bool

  private var inbox: [PendingWait] = []
  private var inboxWords = 0
  private var polledWords = 0

  private var waits: [PendingWait] = []

  init(reactor: Reactor, alone: Bool) {
    self.reactor = reactor
    self.alone = alone
  }

  // MARK: Under the reactor's lock

  var load: Int { polledWords + inboxWords }
  var hasEmptyInbox: Bool { inbox.isEmpty }

  func accept(_ wait: PendingWait, words: Int) {
    wait.belongs(to: bell)
    inbox.append(wait)
    inboxWords += words
  }

  func takeInbox() -> [PendingWait] {
    defer {
      inbox = []
      polledWords += inboxWords
      inboxWords = 0
    }
    return inbox
  }

  func setLoad(_ words: Int) { polledWords = words }

  // MARK: On the thread

  func run() {
    // Two sets: the union of all, and the one that is being filled.
    let sets = UnsafeMutablePointer<muster_wait_set>.allocate(capacity: 2)
    defer { sets.deallocate() }
    sets.initialize(repeating: muster_wait_set(), count: 2)
    while true {
      let seen = bell.count
      waits += reactor.takeInbox(of: self)
      if waits.isEmpty {
        if (alone || !bell.waitBlocking(after: seen, deadline: muster_deadline_after(Self.idle)))
          && reactor.retire(self)
        {
          return
        }
        continue
      }
      let deadline = pollAll(union: sets, scratch: sets + 1)
      guard !waits.isEmpty else { continue }
      append(muster_wait_word(address: bell.address, expected: seen), to: sets)
      if muster_wait_any(sets, deadline) == EFAULT {
        // Memory of a wait is gone, which its handle should have prevented: look at the others all the same, but don't
        // spin.
        _ = bell.waitBlocking(after: seen, deadline: muster_deadline_after(Self.crowded))
      }
    }
  }

  /// Polls each wait, ends those that are over, hands those on that don't fit, and gathers the words of the others.
  /// Returns the nearest deadline.
  private func pollAll(
    union: UnsafeMutablePointer<muster_wait_set>, scratch: UnsafeMutablePointer<muster_wait_set>
  ) -> Deadline {
    // Tasks go on when this thread has let go of their waits, and with these of the objects that they are waits for: a task
    // may drop the last reference at once, and the process end.
    var ended: [(task: CheckedContinuation<WaitEnd, Never>?, how: WaitEnd)] = []
    defer { for (task, how) in ended { task?.resume(returning: how) } }
    var kept: [PendingWait] = []
    var crowdedOut: [(wait: PendingWait, words: Int)] = []
    var nearest = Deadline.never
    union.pointee.count = 0
    union.pointee.recheck = .max
    for wait in waits {
      scratch.pointee.count = 0
      scratch.pointee.recheck = .max
      let reason = wait.reason
      if reason == .closed {
        ended.append((wait.takeTask(), .closed))
        continue
      }
      let status = wait.poll(scratch)
      if status != EAGAIN {
        ended.append((wait.takeTask(), .status(status)))
        continue
      }
      if let reason {
        ended.append((wait.takeTask(), wait.outcome(of: reason)))
        continue
      }
      if wait.deadline.hasPassed {
        ended.append((wait.takeTask(), .status(wait.giveUp())))
        continue
      }
      if add(scratch, to: union) {
        kept.append(wait)
        nearest = min(nearest, wait.deadline)
      } else {
        crowdedOut.append((wait, min(Int(scratch.pointee.count), Reactor.words)))
      }
    }
    reactor.setLoad(of: self, to: Int(union.pointee.count))
    for (wait, words) in crowdedOut where reactor.place(wait, words: words) != 0 {
      // No thread to be had: this one keeps it, and looks often. Placing has said that it belongs to the other.
      wait.belongs(to: bell)
      kept.append(wait)
      nearest = min(nearest, wait.deadline)
      union.pointee.recheck = min(union.pointee.recheck, muster_deadline_after(Self.crowded))
    }
    waits = kept
    return nearest
  }

  /// Adds one wait's words to the union, if they fit. A wait alone always does: should it have more words than there
  /// is room for beside the doorbell, the last are left out. Those are members on watch for others (group.h), whose
  /// deaths the recheck finds.
  private func add(
    _ set: UnsafeMutablePointer<muster_wait_set>, to union: UnsafeMutablePointer<muster_wait_set>
  ) -> Bool {
    let have = Int(union.pointee.count)
    let count = min(Int(set.pointee.count), Reactor.words)
    guard have + count <= Reactor.words else { return false }
    let from = waitWords(of: set)
    waitWords(of: union).advanced(by: have).update(from: from, count: count)
    union.pointee.count = UInt32(have + count)
    if set.pointee.recheck > 0 { union.pointee.recheck = min(union.pointee.recheck, set.pointee.recheck) }
    return true
  }
}
