// The examples do what they say.
// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Examples", .timeLimit(.minutes(1)))
struct ExampleTests {
  @Test("crew: two processes meet")
  func crew() async throws {
    try await withName { name in
      async let first = run(builtProgram("example-crew"), [name, "2"])
      async let second = run(builtProgram("example-crew"), [name, "2"])
      let outputs = try await [first, second].map(\.output)
      #expect(outputs.sorted() == ["all here; I came as number 1\n", "all here; I came as number 2\n"])
    }
  }

  @Test("counters: one counts, another looks")
  func counters() async throws {
    try await withName { name in
      #expect(try await run(builtProgram("example-counters"), [name, "count"]).status == 0)
      let seen = try await run(builtProgram("example-counters"), [name])
      #expect(seen.output == "requests 100\nerrors 10\nas of write 110\n")
    }
  }

  @Test("ledger: one is killed between taking and giving, the next repairs")
  func ledger() async throws {
    try await withName { name in
      defer { try? Region.remove(RegionName(name + "-lock"), force: true) }
      #expect(try await run(builtProgram("example-ledger"), [name]).output == "the sum is 1000\n")
      #expect(try await run(builtProgram("example-ledger"), [name, "die"]).status == -SIGKILL)
      let next = try await run(builtProgram("example-ledger"), [name]).output
      #expect(next.hasPrefix("repaired what process ") && next.hasSuffix(" left half done\nthe sum is 1000\n"))
      #expect(try await run(builtProgram("example-ledger"), [name]).output == "the sum is 1000\n")
    }
  }

  @Test("job: one is killed at work, the next goes on from its last state")
  func job() async throws {
    try await withName { name in
      var seen: [Ended] = []
      for arguments in [["0"], [], ["1000", "die"], ["500"], []] {
        seen.append(try await run(builtProgram("example-job"), [name] + arguments))
      }
      #expect(seen.map(\.status) == [0, 0, -9, 0, 0])
      #expect(seen[1].output == "not begun\n")
      #expect(seen[4].output == "the sum of 1 to 1500 is 1125750, by writer 3\n")
    }
  }
}
