// The one C object of an owner, and who is using it.
//
// One word counts: bit 0, closed; bit 1, somebody has the exclusive part; from bit 2 on, the uses in flight, four each.
// A use begins only while the object is not closed, and the object is let go of by whoever makes the word "closed, no
// use": the one that closes, if nothing is in flight, else the last use as it ends. Each step is a compare-and-swap on
// the one word, so exactly one does it, and nobody touches the object afterwards.
//
// Closing with uses in flight gives back at once what others wait for (a membership, a claim), and ends the waits; only
// the memory stays until the last use is over. The one that closes has a use of its own meanwhile.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

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
  private let waits = Locked<[ObjectIdentifier: Wait]>([:])
  private let pid = getpid()
  private let leave: @Sendable (OpaquePointer) -> Void
  private let letGo: @Sendable (OpaquePointer) -> Void

  /// - Parameters:
  ///   - leave: gives back what the object holds of others', when it is closed while it is in use.
  ///   - letGo: frees it, and gives back what it still holds.
  init(
    _ object: OpaquePointer, leave: @escaping @Sendable (OpaquePointer) -> Void = { _ in },
    letGo: @escaping @Sendable (OpaquePointer) -> Void
  ) {
    self.object = object
    self.leave = leave
    self.letGo = letGo
  }

  deinit { close() }

  var isClosed: Bool { word.load(ordering: .acquiring) & Self.closed != 0 }

  /// Whether this process was forked from the one that opened the object.
  var isInherited: Bool { pid != getpid() }

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

  /// Nothing begins from here on; waits end; the object is let go of now, or by the last use that is in flight. Does
  /// nothing the second time.
  func close() {
    var seen = word.load(ordering: .relaxed)
    while true {
      if seen & Self.closed != 0 { return }
      let (exchanged, original) = word.weakCompareExchange(
        expected: seen, desired: (seen + Self.use) | Self.closed, ordering: .acquiringAndReleasing)
      if exchanged { break }
      seen = original
    }
    if seen != 0 {
      // First told, so that what leaving does to a wait is not taken for its outcome.
      for wait in waits.withLock({ Array($0.values) }) { wait.end(because: .closed) }
      leave(object)
    }
    end()
  }

  /// Notes a wait, which closing ends. One that comes after the closing is ended here: either it is among those that
  /// the closing sees, or it sees the word.
  func add(_ wait: Wait) {
    waits.withLock { $0[ObjectIdentifier(wait)] = wait }
    if isClosed { wait.end(because: .closed) }
  }

  /// How many waits there are, for tests.
  var waitCount: Int { waits.withLock { $0.count } }

  func remove(_ wait: Wait) { waits.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(wait)) } }

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

  /// Waits on the caller's own thread. The object is in use.
  func waitBlocking(_ wait: PendingWait) -> WaitEnd {
    add(wait)
    defer { remove(wait) }
    return settled(wait.runBlocking())
  }

  /// Waits in a task. The object is in use.
  func wait(_ wait: PendingWait) async -> WaitEnd {
    add(wait)
    defer { remove(wait) }
    return settled(await Reactor.shared.wait(wait))
  }

  /// The same for descriptors.
  func waitBlocking(_ wait: DescriptorWait) -> WaitEnd {
    add(wait)
    defer { remove(wait) }
    return settled(wait.runBlocking())
  }

  func wait(_ wait: DescriptorWait) async -> WaitEnd {
    add(wait)
    defer { remove(wait) }
    return settled(await DescriptorReactor.shared.wait(wait))
  }

  /// Has all waits look again.
  func nudge() { for wait in waits.withLock({ Array($0.values) }) { wait.nudge() } }

  /// A wait may come to nothing because the closing has left what it waited for.
  private func settled(_ end: WaitEnd) -> WaitEnd {
    if case .status(0) = end { return end }
    return isClosed ? .closed : end
  }
}
