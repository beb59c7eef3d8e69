// Which of a pool's blocks this process has an object for.
//
// A block has one owner among the members, and this is what makes it one object of that member: a name comes by a ring or a
// pipe, maybe twice, and the second must not become a second object that writes to the same bytes.
//
// For each block a word: the name that an object has it under, or one of before, or 0. A name of a later life replaces that of an
// earlier one, whose object is ending; the end of an object takes off its own name only. So the end may come after
// the block was freed, and allocated anew.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class HeldBlocks: @unchecked Sendable {
  private let names: UnsafeMutablePointer<Atomic<UInt64>>
  private let count: Int

  /// `nil`: there is no memory.
  init?(count: Int) {
    // Zeros that take no memory until they are written to.
    guard let zeros = calloc(count, MemoryLayout<Atomic<UInt64>>.stride) else { return nil }
    self.names = zeros.bindMemory(to: Atomic<UInt64>.self, capacity: count)
    self.count = count
  }

  deinit { free(names) }

  /// Makes the caller's object the one for a block that this member owns. `false`: there is one already, or the name is of an
  /// earlier life.
  func begin(_ name: UInt64) -> Bool {
    guard let index = index(of: name) else { return false }
    var seen = names[index].load(ordering: .acquiring)
    while seen == 0 || Self.isLater(name, than: seen) {
      let (exchanged, original) = names[index].weakCompareExchange(
        expected: seen, desired: name, ordering: .acquiringAndReleasing)
      if exchanged { return true }
      seen = original
    }
    return false
  }

  func end(_ name: UInt64) {
    guard let index = index(of: name) else { return }
    _ = names[index].compareExchange(expected: name, desired: 0, ordering: .acquiringAndReleasing)
  }

  private func index(of name: UInt64) -> Int? {
    let index = Int(UInt32(truncatingIfNeeded: name)) - 1
    return 0..<count ~= index ? index : nil
  }

  /// Generations wrap around.
  private static func isLater(_ name: UInt64, than other: UInt64) -> Bool {
    Int32(bitPattern: UInt32(name >> 32) &- UInt32(other >> 32)) > 0
  }
}
