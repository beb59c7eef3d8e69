// A look at what lies in mapped memory, without a copy of it: it may be larger than a stack.
// SPDX-License-Identifier: Apache-2.0

/// A value where it lies. To hand `pointer.pointee` to a closure that borrows it makes a copy on the stack, without optimization always, with
/// it where the closure's body can't be seen. What can't be copied is not.
struct InPlace<Value: BitwiseCopyable>: ~Copyable {
  private let value: Value

  /// Looks at what lies at an address.
  static func look<Result>(
    _ address: UnsafeRawPointer, _ body: (borrowing Value) throws -> Result
  ) rethrows -> Result {
    try address.assumingMemoryBound(to: InPlace<Value>.self).pointee.show(body)
  }

  private borrowing func show<Result>(_ body: (borrowing Value) throws -> Result) rethrows -> Result { try body(value) }
}
