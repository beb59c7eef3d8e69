// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A mutex that closures may keep.
final class Lock: Sendable {
  private let mutex = Mutex<Void>(())

  func withLock<Result>(_ body: () -> Result) -> Result { mutex.withLock { _ in body() } }
}

/// A value that any thread may read and replace.
final class Guarded<Value: Sendable>: Sendable {
  private let stored: Mutex<Value>

  init(_ value: Value) { stored = Mutex(value) }

  var value: Value {
    get { stored.withLock { $0 } }
    set { stored.withLock { $0 = newValue } }
  }

  /// What there is, for exactly one of those who ask.
  func take<Wrapped: Sendable>() -> Wrapped? where Value == Wrapped? {
    stored.withLock { value in
      defer { value = nil }
      return value
    }
  }
}
