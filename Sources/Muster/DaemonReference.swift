// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A daemon and the type of its state: that by which others read it.
///
/// ```swift
/// let counter = DaemonReference<Counter>("counter")
/// let watcher = DaemonReference<Watch>("watcher")
///
/// root.daemon(counter) { daemon in … try daemon.read(watcher) … }
/// root.daemon(watcher) { daemon in … try daemon.read(counter) … }
/// ```
///
/// It stands for the daemon that it was given to ``Root`` to declare, and is of use in that root's daemons. Two references with the
/// same name are two daemons, which no root has; but ``RootObserver`` goes by the name.
public final class DaemonReference<State: SharedPayload>: Sendable {
  /// The daemon's name.
  public let name: String
  /// The number of the root in the upper half, then the daemon's index and 1; 0: not declared.
  private let place = Atomic<UInt64>(0)

  /// A daemon that is yet to be declared.
  ///
  /// - Parameters:
  ///   - name: 1 to 31 bytes, no other daemon's of the root.
  ///   - state: the type of its state.
  public init(_ name: String, state: State.Type = State.self) { self.name = name }

  /// Why it can't be declared; `nil`: it is.
  func declare(root: UInt32, index: Int) -> String? {
    let place = UInt64(root) << 32 | UInt64(index + 1)
    let (exchanged, found) = self.place.compareExchange(expected: 0, desired: place, ordering: .acquiringAndReleasing)
    if exchanged { return nil }
    return found >> 32 == UInt64(root)
      ? "“\(name)” is declared twice"
      : "the reference “\(name)” was declared in another root, and each has its own"
  }

  func index(in root: UInt32) -> UInt32? {
    let place = place.load(ordering: .acquiring)
    return place >> 32 == UInt64(root) ? UInt32(truncatingIfNeeded: place) &- 1 : nil
  }
}
