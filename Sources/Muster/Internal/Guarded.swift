// What several threads of the process change, one at a time.
//
// Over pthread_mutex_t, not over Synchronization's Mutex. That one is on Linux the kernel's priority-inheriting futex,
// and notes who holds it by a thread number that the thread has looked up once. In the thread that a fork left, the
// number is that of the parent's: the kernel then takes the lock to be the parent's, refuses to unlock it for the child,
// and the child traps, whenever somebody waited for the lock meanwhile.
// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A value, and the mutex that guards it. Not recursive.
final class Locked<Value>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var value: Value

  init(_ value: sending Value) {
    self.value = value
    mutex = .allocate(capacity: 1)
    mutex.initialize(to: pthread_mutex_t())
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }
}

/// A mutex that closures may keep.
final class Lock: Sendable {
  private let mutex = Locked<Void>(())

  func withLock<Result>(_ body: () -> Result) -> Result { mutex.withLock { _ in body() } }
}

/// A value that any thread may read and replace.
final class Guarded<Value: Sendable>: Sendable {
  private let stored: Locked<Value>

  init(_ value: Value) { stored = Locked(value) }

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
