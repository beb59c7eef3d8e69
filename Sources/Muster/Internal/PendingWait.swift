// A wait for shared words, which the reactor has in hand.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One wait for one C object, which is polled for the words to sleep at.
class PendingWait: Wait, @unchecked Sendable {
  /// Whether polling may run long (a barrier's action), so that no other wait may depend on the thread.
  let isLong: Bool

  init(deadline: Deadline, isLong: Bool = false) {
    self.isLong = isLong
    super.init(deadline: deadline)
  }

  /// `EAGAIN` with the words to sleep at, or the outcome. Never sleeps.
  func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { fatalError("a wait says how to poll") }
}

extension PendingWait {
  /// The same wait on the caller's own thread, which sleeps, at a doorbell too.
  func runBlocking() -> WaitEnd {
    let bell = Doorbell()
    belongs(to: bell)
    return withWaitSet { set in
      while true {
        let seen = bell.count
        if let reason { return outcome(of: reason) }
        let status = poll(set)
        if status != EAGAIN { return .status(status) }
        if deadline.hasPassed { return .status(giveUp()) }
        append(muster_wait_word(address: bell.address, expected: seen), to: set)
        let slept = muster_wait_any(set, deadline)
        if slept != 0 && slept != ETIMEDOUT { return .status(slept) }
      }
    }
  }
}

/// Adds a word to a set. Where there is no room it takes the place of the last, which is a member on watch for others
/// (group.h): the recheck finds its death.
func append(_ word: muster_wait_word, to set: UnsafeMutablePointer<muster_wait_set>) {
  let at = min(Int(set.pointee.count), Int(MUSTER_WAIT_WORDS) - 1)
  waitWords(of: set)[at] = word
  set.pointee.count = UInt32(at + 1)
}

/// C's array, which Swift sees as a tuple.
func waitWords(of set: UnsafeMutablePointer<muster_wait_set>) -> UnsafeMutablePointer<muster_wait_word> {
  let offset = MemoryLayout<muster_wait_set>.offset(of: \.words)!
  return (UnsafeMutableRawPointer(set) + offset).assumingMemoryBound(to: muster_wait_word.self)
}
