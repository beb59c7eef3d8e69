// SPDX-License-Identifier: Apache-2.0
import Dispatch

/// Waits on this thread, which must be none of the cooperative pool's, for what runs there.
package func blocking<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) -> Value {
  let box = Box<Value>()
  let done = DispatchSemaphore(value: 0)
  Task.detached {
    box.value = await body()
    done.signal()
  }
  done.wait()
  guard let value = box.value else { fatalError("signalled without a value") }
  return value
}

/// Written before the semaphore is signalled, read after: never at once.
private final class Box<Value: Sendable>: @unchecked Sendable {
  var value: Value?
}
