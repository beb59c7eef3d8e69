// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

@Suite("The POSIX barrier", .timeLimit(.minutes(1)))
struct PosixBarrierTests {
  @Test("Parties meet, one of them is the serial one; both forms, one object for several")
  func meeting() async throws {
    try await withName { name in
      let barrier = try PosixBarrier(name, parties: 3)
      let other = try PosixBarrier(name, parties: nil, mode: .attach)
      #expect(other.parties == 3)
      for _ in 0..<20 {
        async let a = barrier.wait()
        async let b = other.wait()
        async let c = blocking { () throws(BarrierError) in try other.waitBlocking() }
        let serials = try await [a, b, c]
        #expect(serials.count { $0 } == 1)
      }
    }
  }

  @Test("A cancelled waiter goes on at once; its arrival counts")
  func cancellation() async throws {
    try await withName { name in
      let barrier = try PosixBarrier(name, parties: 2)
      let task = Task { try await barrier.wait() }
      task.cancel()
      let error = try await #require(throws: BarrierError.self) { try await task.value }
      #expect(error.code == .cancelled)
      // The thread that waits on is the other party.
      try await barrier.wait()
    }
  }

  @Test("Closing, and openings that can't be")
  func refusals() async throws {
    try await withName { name in
      #expect(throws: BarrierError.self) { try PosixBarrier(name, parties: 0) }
      #expect(throws: BarrierError.self) { try PosixBarrier(name, parties: nil) }
      let barrier = try PosixBarrier(name, parties: 1)
      let other = try #require(throws: BarrierError.self) { try PosixBarrier(name, parties: 2) }
      #expect(other.code == .mismatch)
      #expect(try await barrier.wait())
      barrier.close()
      barrier.close()
      let closed = try await #require(throws: BarrierError.self) { try await barrier.wait() }
      #expect(closed.code == .closed)
    }
  }
}
