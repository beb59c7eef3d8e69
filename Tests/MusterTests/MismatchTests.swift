// What is said of a name that leads to something else than was asked for.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage
import Testing

@testable import Muster

private struct Point: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var x: UInt64 = 0
}

/// The sentence of what is thrown.
private func sentence(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "nothing was thrown"
  } catch {
    return "\(error)"
  }
}

@Suite("Another kind than was asked for")
struct MismatchTests {
  /// Each way by which a name is opened, and what is expected to be there.
  private static let openings: [(String, @Sendable (String) throws -> Void)] = [
    ("a barrier", { _ = try Barrier($0, parties: 2) }), ("a barrier", { _ = try Barrier.look($0) }),
    ("a POSIX barrier", { _ = try PosixBarrier($0, parties: 2) }),
    ("a group", { _ = try Group($0, capacity: 2) }), ("a group", { _ = try Group.look($0) }),
    ("a seqlock", { _ = try CounterRegion($0, counters: ["a"]) }), ("a seqlock", { _ = try CounterRegion.attach($0) }),
    ("a seqlock", { _ = try CounterRegion.look($0) }),
    ("a lock", { _ = try RobustMutex($0) }), ("a lock", { _ = try RobustReadWriteLock($0, capacity: 2) }),
    ("a lock", { _ = try LockState.look($0) }),
    ("a checkpoint", { _ = try Checkpoint<Point>.attach(RegionName($0)) }),
    ("a checkpoint", { _ = try Checkpoint<[UInt8]>.look(RegionName($0)) }),
    ("a ring", { _ = try RingWriter(RegionName($0), capacity: 4096) }),
    ("a ring", { _ = try RingReader.attach(RegionName($0)) }),
    ("a ring", { _ = try Ring.look(RegionName($0)) }),
    ("a pool", { _ = try Pool(RegionName($0), blockSize: 64, blocks: 4, members: 2) }),
    ("a pool", { _ = try Pool.attach(RegionName($0)) }), ("a pool", { _ = try Pool.look(RegionName($0)) }),
    ("a queue", { _ = try JobQueue(RegionName($0), jobSize: 64, jobs: 4, members: 2) }),
    ("a queue", { _ = try JobQueue.attach(RegionName($0)) }), ("a queue", { _ = try JobQueue.look(RegionName($0)) }),
    ("a log", { _ = try Log(RegionName($0)) }), ("a log", { _ = try Log.look(RegionName($0)) }),
    ("a log", { _ = try Log.setLevel(.info, of: RegionName($0)) }), ("a log", { _ = try LogReader(RegionName($0)) }),
    ("a log", { _ = try LogDrain(RegionName($0), to: .descriptor(.standardError)) }),
    ("a trace", { _ = try Trace(RegionName($0)) }), ("a trace", { _ = try Trace.attach(RegionName($0)) }),
    ("a trace", { _ = try Trace.look(RegionName($0)) }),
  ]

  @Test("Every module says what is there instead, and that its numbers are not what is wrong")
  func kinds() async throws {
    try await withName { name in
      for phrase in ["a group", "a ring"] {
        defer { try? Region.remove(RegionName(name), force: true) }
        let held: Any =
          phrase == "a group" ? try Group(name, capacity: 2) : try RingWriter(RegionName(name), capacity: 4096)
        defer { withExtendedLifetime(held) {} }
        for (expected, open) in Self.openings where expected != phrase {
          let said = sentence { try open(name) }
          #expect(said.hasSuffix("“\(name)”: it is \(phrase), not \(expected). Use another name."), "\(said)")
        }
      }
    }
  }

  @Test("Other numbers, and another version: what to do is what helps")
  func others() async throws {
    try await withName { name in
      let ring = try RingWriter(RegionName(name), capacity: 4096)
      defer { ring.close() }
      let said = sentence { _ = try RingReader(RegionName(name), capacity: 8192) }
      #expect(
        said.hasSuffix(". Use the same capacity, delivery and layout everywhere, or remove it when nobody needs it."),
        "\(said)")
      let failure = Failure(operation: "open the ring", subject: name, status: 71)
      let version = muster_mismatch(kind: .MUSTER_MISMATCH_VERSION, expected: 2, found: 1)
      #expect(
        failure.sentence(of: Mismatch(version), advice: "").hasSuffix(
          ". Use one version of Muster everywhere, or remove it when nobody needs it."))
    }
  }
}
