// The one C object of an owner, and who is using it.
//
// One word counts: bit 0, closed; bit 1, somebody has the exclusive part; the rest, two for each use in flight. A use
// begins only while the object is not closed, and the object is let go of by whoever makes the word "closed, no use":
// the one that closes, if nothing is in flight, else the last use as it ends. Each step is a compare-and-swap on the
// one word, so exactly one does it, and nobody touches the object afterwards.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

final class Handle: Sendable {
  private static let closed: UInt64 = 1
  private static let taken: UInt64 = 2
  private static let use: UInt64 = 4

  enum Refusal: Error {
    /// `close` was called.
    case closed
    /// Somebody else has the exclusive part.
    case taken
  }

  /// Valid between a `begin` that did not throw and its `end`.
  nonisolated(unsafe) let object: OpaquePointer
  private let word = Atomic<UInt64>(0)
  private let letGo: @Sendable (OpaquePointer) -> Void

  init(_ object: OpaquePointer, letGo: @escaping @Sendable (OpaquePointer) -> Void) {
    self.object = object
    self.letGo = letGo
  }

  deinit { close() }

  var isClosed: Bool { word.load(ordering: .acquiring) & Self.closed != 0 }

  /// Begins a use. The exclusive part is what one at a time may do.
  func begin(exclusive: Bool = false) throws(Refusal) {
    var seen = word.load(ordering: .relaxed)
    while true {
      if seen & Self.closed != 0 { throw .closed }
      if exclusive, seen & Self.taken != 0 { throw .taken }
      let next = (seen + Self.use) | (exclusive ? Self.taken : 0)
      let (exchanged, original) = word.weakCompareExchange(
        expected: seen, desired: next, ordering: .acquiringAndReleasing)
      if exchanged { return }
      seen = original
    }
  }

  func end(exclusive: Bool = false) {
    // Adds modulo 2^64, so that the count and the bit go in one step.
    let step = 0 &- Self.use &- (exclusive ? Self.taken : 0)
    let (_, now) = word.wrappingAdd(step, ordering: .acquiringAndReleasing)
    if now == Self.closed { letGo(object) }
  }

  /// Nothing begins from here on; the object is let go of now, or by the last use that is in flight. Does nothing the
  /// second time.
  func close() {
    let (before, _) = word.bitwiseOr(Self.closed, ordering: .acquiringAndReleasing)
    if before == 0 { letGo(object) }
  }

  /// Uses the object for a moment.
  func use<Result: ~Copyable, Failure: Error>(
    exclusive: Bool = false, or refused: (Refusal) -> Failure, _ body: (OpaquePointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    do {
      try begin(exclusive: exclusive)
    } catch {
      throw refused(error)
    }
    defer { end(exclusive: exclusive) }
    return try body(object)
  }
}
