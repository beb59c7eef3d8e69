// What a process has once, and a forked child must have anew.
// SPDX-License-Identifier: Apache-2.0
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One value for the process, made at the first use. In a child that was forked the value is another one, since the
/// parent's threads are not there and its locks may stand locked for ever: the child touches nothing of the old one, and
/// never lets go of it.
final class ForkLocal<Value: Sendable>: Sendable {
  private final class Owned: Sendable {
    let pid = getpid()
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  private let make: @Sendable () -> Value
  /// No lock, which the child could find locked.
  private let current = Atomic<UInt>(0)

  init(_ make: @escaping @Sendable () -> Value) { self.make = make }

  var value: Value {
    var seen = current.load(ordering: .acquiring)
    while true {
      if let pointer = UnsafeRawPointer(bitPattern: seen) {
        let owned = Unmanaged<Owned>.fromOpaque(pointer).takeUnretainedValue()
        if owned.pid == getpid() { return owned.value }
      }
      let fresh = Unmanaged.passRetained(Owned(make()))
      let (exchanged, original) = current.compareExchange(
        expected: seen, desired: UInt(bitPattern: fresh.toOpaque()), ordering: .acquiringAndReleasing)
      if exchanged { return fresh.takeUnretainedValue().value }
      fresh.release()
      seen = original
    }
  }
}
