// The examples do what they say.
// SPDX-License-Identifier: Apache-2.0
import Foundation
import Muster
import SystemPackage
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

  @Test("keeper: a service that dies is started again, and stopped with its helper")
  func keeper() async throws {
    let ended = try await run(builtProgram("example-keeper"))
    let lives = ["1", "2"].map {
      "life \($0): ready, “serving”\nlife \($0): killed by SIGKILL\nlife \($0): 1 left behind and killed\n"
    }
    #expect(ended.output == lives.joined() + "life 3: ready, “serving”\nlife 3: 2 processes stopped\n")
    #expect(ended.status == 0)
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

  @Test("journal: what one logged that is killed is there, before what the next logs")
  func journal() async throws {
    try await withName { name in
      #expect(try await run(builtProgram("example-journal"), [name, "work", "die"]).status == -SIGKILL)
      #expect(try await run(builtProgram("example-journal"), [name, "work"]).status == 0)
      let lines = try await run(builtProgram("example-journal"), [name, "follow"]).output.split(separator: "\n")
      let words = lines.map { $0.split(separator: " ").dropFirst().joined(separator: " ") }
      let steps = ["info step 1", "info step 2", "info step 1", "info step 2", "info step 3", "notice done"]
      #expect(words == steps, "\(lines)")
    }
  }

  @Test("events: one tells, another follows, across the death of the writer")
  func events() async throws {
    try await withName { name in
      let output = FileManager.default.temporaryDirectory.appending(path: name)
      async let following = run(builtProgram("example-events"), [name], output: output)
      let ring = RegionName(name)
      try await eventually { (try? Ring.look(ring).readers.count) == 1 }
      async let killed = run(builtProgram("example-events"), [name, "write", "1000000000"])
      // One reader, which takes all: so the writer is in the midst of it whenever it is looked at.
      try await eventually { try Ring.look(ring).end.number > 100 }
      guard case .alive(let pid) = try Ring.look(ring).writer else {
        Issue.record("nobody writes")
        return
      }
      kill(pid, SIGKILL)
      #expect(try await killed.status == -SIGKILL)
      // Who comes to the end when there is a successor already is not told of the death.
      try await eventually { try String(contentsOf: output, encoding: .utf8).contains("process \(pid), died") }
      let successor = try await run(builtProgram("example-events"), [name, "write", "3"])
      #expect(successor.output.hasPrefix("going on for process \(pid) after "))
      let lines = try await following.output.split(separator: "\n")
      let died = try #require(lines.firstIndex { $0.contains("its writer, process \(pid), died") })
      #expect(died > 100 && lines[died...].count == 4)
      for (index, line) in lines[..<died].enumerated() { #expect(line == "\(index) event \(index + 1)") }
      for (index, line) in lines[(died + 1)...].enumerated() { #expect(line == "\(died + index) event \(index + 1)") }
    }
  }

  @Test("messages: one is killed with messages handed to it, the next gets the rest, and no block is lost")
  func messages() async throws {
    try await withName { name in
      defer { for part in ["-names", "-receivers"] { try? Region.remove(RegionName(name + part), force: true) } }
      let program = builtProgram("example-messages")
      async let sending = run(program, [name, "send", "20"])
      let first = try await run(program, [name, "receive", "5"])
      #expect(first.status == -SIGKILL && first.output == (1...4).map { "message \($0)\n" }.joined())
      let second = try await run(program, [name, "receive"])
      let told = try await sending
      #expect(told.status == 0 && second.status == 0, "\(told.output)\(second.output)")
      // With eight blocks no more than eight could be handed to the one who died.
      let next = try #require((6...13).first { told.output.contains(": message \($0) goes to place ") })
      #expect(told.output.hasPrefix("nobody lives in place ") && told.output.split(separator: "\n").count == 1)
      #expect(second.output == (next...20).map { "message \($0)\n" }.joined())
      let pool = try Pool.attach(RegionName(name))
      try pool.reclaim()
      let state = try pool.state()
      #expect(state.free == 8 && state.living == 1)
    }
  }

  @Test("workers: one is killed at a job, the next does it again and the rest; what nobody can do is given up")
  func workers() async throws {
    try await withName { name in
      let program = builtProgram("example-workers")
      let put = try await run(program, [name, "put", "12"])
      #expect(put.status == 0, "\(put.output)")
      let first = try await run(program, [name, "work", "4"])
      #expect(first.status == -SIGKILL)
      #expect(first.output == (1...3).map { "sum \($0) is \($0 * ($0 + 1) / 2), at attempt 1\n" }.joined())
      let second = try await run(program, [name, "work"])
      #expect(second.status == 0)
      var lines = second.output.split(separator: "\n").map(String.init)
      let given = lines.popLast()
      #expect(
        given == "given up after 3 attempts: {\"number\":7,\"addends\":[1,2,3,4,5,6,7]}"
          || given == "given up after 3 attempts: {\"addends\":[1,2,3,4,5,6,7],\"number\":7}")
      #expect(
        lines == [4, 5, 6, 8, 9, 10, 11, 12].map { "sum \($0) is \($0 * ($0 + 1) / 2), at attempt \($0 == 4 ? 2 : 1)" })
    }
  }

  @Test("flight: one dies of a job, the watcher says at which, and writes what all did")
  func flight() async throws {
    try await withName { name in
      try await withFolder { folder in
        let file = folder.appending("trace.json")
        async let watching = run(builtProgram("example-flight"), [name, "watch", file.string])
        try await eventually { (try? Trace.look(RegionName(name))) != nil }
        async let survivor = run(builtProgram("example-flight"), [name, "work", "survivor"])
        try await eventually { try Trace.look(RegionName(name)).state().alive == 1 }
        let dead = try await run(builtProgram("example-flight"), [name, "work", "victim", "500"])
        #expect(dead.status < 0)
        let told = try await watching
        #expect(told.status == 0)
        let recorders = try Trace.look(RegionName(name)).recorders()
        let victim = try #require(recorders.first { $0.label == "victim" })
        #expect(told.output == "victim, process \(victim.pid), died in job 500\n")
        #expect(try size(of: file) > 100_000)
        for recorder in recorders where recorder.label == "survivor" { kill(recorder.pid, SIGKILL) }
        #expect(try await survivor.status == -SIGKILL)
      }
    }
  }

  @Test("daemons: one crashes now and then, transactions crash, the total stays right")
  func daemons() async throws {
    try await withName { name in
      let ended = try await run(builtProgram("example-daemons"), [name])
      #expect(ended.status == 0, "\(ended.output)")
      let lines = ended.output.split(separator: "\n")
      #expect(lines.count == 3 && lines.first?.hasSuffix(", total 64000") == true, "\(ended.output)")
      #expect(lines.dropFirst().first?.hasSuffix(" audits, 0 wrong") == true, "\(ended.output)")
      #expect(lines.last?.hasSuffix(" looks in 4 lives") == true, "\(ended.output)")
      #expect(throws: RootError.self) { try RootObserver(name) }
    }
  }
}

private func size(of path: FilePath) throws -> Int64 {
  let file = try FileDescriptor.open(path, .readOnly)
  return try file.closeAfter { try file.seek(offset: 0, from: .end) }
}
