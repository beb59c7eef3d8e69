// A word of this process at which a thread sleeps until another rings.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization

/// What a thread sleeps at beside what it waits for: who has something for it rings.
protocol Bell: AnyObject, Sendable {
  func ring()
}

/// Ringing changes the word, then wakes. Who reads `count`, then looks for work, then sleeps at that count, misses no
/// ring: one before the reading belongs to work that the look finds, one after it makes the sleep return at once.
final class Doorbell: Bell {
  private nonisolated(unsafe) let word: UnsafeMutablePointer<Atomic<UInt32>>

  init() {
    word = .allocate(capacity: 1)
    word.initialize(to: Atomic(0))
  }

  deinit {
    word.deinitialize(count: 1)
    word.deallocate()
  }

  /// Where to sleep. Valid while the bell lives.
  var address: UnsafePointer<UInt32> { UnsafePointer(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self)) }

  var count: UInt32 { word.pointee.load(ordering: .sequentiallyConsistent) }

  func ring() {
    word.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    muster_wake_all(address)
  }

  /// Blocks until the count is another than `seen`, or the deadline. Whether it is another.
  func waitBlocking(after seen: UInt32, deadline: Deadline = .never) -> Bool {
    var set = muster_wait_set()
    set.count = 1
    set.recheck = .max
    set.words.0 = muster_wait_word(address: address, expected: seen)
    while count == seen {
      if muster_wait_any(&set, deadline) != 0 { return count != seen }
    }
    return true
  }
}
