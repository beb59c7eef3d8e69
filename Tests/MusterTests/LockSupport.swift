// What the tests of the locks share.
// SPDX-License-Identifier: Apache-2.0
@testable import Muster

/// A section that a thread of its own stays in until it is told to leave.
final class Stay: Sendable {
  private let entered = Doorbell()
  private let leave = Doorbell()
  private let end: Task<Void, any Error>

  /// - Parameter section: locks, and runs what it is given as the section. Returns once the section is entered.
  init(_ section: @escaping @Sendable (() -> Void) throws -> Void) async throws {
    let (entered, leave) = (self.entered, self.leave)
    end = Task {
      let outcome = await blocking {
        Result {
          try section {
            entered.ring()
            _ = leave.waitBlocking(after: 0)
          }
        }
      }
      try outcome.get()
    }
    let end = self.end
    Task {
      // One that is never entered has failed, which `over` tells.
      _ = await end.result
      entered.ring()
    }
    try await eventually { entered.count != 0 }
  }

  func over() async throws {
    leave.ring()
    try await end.value
  }
}

/// A number in plain memory, which loses counts when two are at it at a time.
final class PlainCount: @unchecked Sendable {
  private(set) var value = 0

  func addOne() {
    let seen = value
    for _ in 0..<50 { _ = pass() }
    value = seen + 1
  }

  @inline(never) private func pass() -> Int { value }
}

/// Nothing of this process holds the region any more. A child that another test has forked may share it for a moment.
func eventuallyUnheld(_ name: String) async throws {
  try await eventually { try !Region.inspect(RegionName(name)).isHeld }
}

/// What an async call threw, as the error of a lock.
func lockError<Value>(_ body: () async throws -> Value) async -> LockError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? LockError
  }
}

/// What a call threw, as the error of a lock.
func lockError<Value>(blocking body: () throws -> Value) -> LockError? {
  do {
    _ = try body()
    return nil
  } catch {
    return error as? LockError
  }
}

/// What a closure that can't repair throws.
struct CannotRepair: Error, CustomStringConvertible {
  var description: String { "the books are lost" }
}
