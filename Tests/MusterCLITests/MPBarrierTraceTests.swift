// SPDX-License-Identifier: Apache-2.0
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private struct Exported: Decodable {
  struct Event: Decodable {
    struct Arguments: Decodable {
      var name: String?
      var id: UInt64?
    }
    var ph: String
    var pid: Int32
    var tid: UInt32
    var ts: Double
    var name: String?
    var args: Arguments?
  }
  var traceEvents: [Event]

  /// The tracks by the names of their threads.
  var tracks: [(label: String, events: [Event])] {
    traceEvents.filter { $0.name == "thread_name" }.map { track in
      (
        track.args?.name ?? "",
        traceEvents.filter { $0.ph != "M" && $0.pid == track.pid && $0.tid == track.tid && $0.name != "frozen" }
      )
    }
  }
}

/// Lends the path of a file that is removed afterwards.
private func withPath(_ purpose: String, _ body: (String) async throws -> Void) async throws {
  let path = FileManager.default.temporaryDirectory.path + "/" + testName(purpose)
  defer { unlink(path) }
  try await body(path)
}

@Suite("mpbarrier --trace, from outside", .serialized)
struct MPBarrierTraceTests {
  @Test("A track a worker: spans for work and wait, a mark at each release, and where one was killed")
  func tracks() async throws {
    try await withPath("mp.json") { path in
      let name = testName("traced")
      let outcome = try await Program.mpbarrier.run(
        "3", "--name", name, "--rounds", "3", "--work", "1..10", "--kill", "2@2", "--on-death", "shrink", "--trace",
        path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("trace in \(path): open it at ui.perfetto.dev\n"))
      let exported = try JSONDecoder().decode(Exported.self, from: Data(contentsOf: URL(filePath: path)))
      let tracks = exported.tracks.sorted { $0.label < $1.label }
      #expect(tracks.map(\.label) == ["worker 1", "worker 2", "worker 3"])
      #expect(Set(exported.traceEvents.map(\.pid)).count == 3)

      func spans(_ track: (label: String, events: [Exported.Event])) -> [String] {
        track.events.filter { $0.ph != "E" }.compactMap(\.name)
      }
      let round = ["work", "wait", "released"]
      #expect(spans(tracks[0]) == ["roll call", "released"] + round + round + round)
      #expect(spans(tracks[2]) == spans(tracks[0]))
      // Half-way through its work in round 2.
      #expect(spans(tracks[1]) == ["roll call", "released"] + round + ["work", "died"])
      let open = tracks.map { track in
        track.events.count { $0.ph == "B" } - track.events.count { $0.ph == "E" }
      }
      #expect(open == [0, 1, 0])
      #expect(tracks[1].events.last { $0.ph == "B" }?.args?.id == 2)
      for track in tracks {
        #expect(zip(track.events, track.events.dropFirst()).allSatisfy { $0.ts <= $1.ts })
      }
      // Released in one column: nobody before the last has come to wait.
      for number in 1...3 as ClosedRange<UInt64> {
        let events = tracks.flatMap(\.events).filter { $0.args?.id == number }
        let lastToCome = events.filter { $0.ph == "B" && $0.name == "wait" }.map(\.ts).max() ?? 0
        #expect(events.filter { $0.name == "released" }.allSatisfy { $0.ts >= lastToCome })
      }
      expectNothingLeft(name)
      #expect(regions(name) == [])
    }
  }

  @Test("A replacement has a track of its own, beside that of the dead one")
  func replacement() async throws {
    try await withPath("await.json") { path in
      let name = testName("awaited")
      let outcome = try await Program.mpbarrier.run(
        "2", "--name", name, "--rounds", "2", "--work", "1..5", "--kill", "1@1", "--on-death", "await", "--quiet",
        "--kind", "robust", "--trace", path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let exported = try JSONDecoder().decode(Exported.self, from: Data(contentsOf: URL(filePath: path)))
      #expect(exported.tracks.map(\.label).sorted() == ["worker 1", "worker 1", "worker 2"])
      #expect(exported.traceEvents.count { $0.name == "died" } == 1)
      expectNothingLeft(name)
    }
  }

  @Test("A file that can't be written is told before anybody works; who joins can't ask for one")
  func wrong() async throws {
    let name = testName("unwritten")
    let outcome = try await Program.mpbarrier.run("2", "--name", name, "--trace", "/no/such/folder/file")
    #expect(outcome.status == 1 && outcome.output.isEmpty)
    #expect(outcome.errors == "mpbarrier: --trace /no/such/folder/file: No such file or directory\n")
    expectNothingLeft(name)
    let full = try await Program.mpbarrier.run(
      "1", "--name", name, "--rounds", "1", "--work", "1", "--trace", "/dev/full")
    #expect(full.status == 1 && full.errors == "mpbarrier: --trace /dev/full: No space left on device\n")
    #expect(!full.output.contains("trace in"))
    expectNothingLeft(name)
    let joining = try await Program.mpbarrier.run("1", "--name", name, "--join", "--trace", "/tmp/x")
    #expect(joining.status == 64 && joining.errors.contains("--trace is for who begins a run"))
  }

  @Test("A run that does not begin neither empties the file of the last one nor leaves one behind")
  func notBegun() async throws {
    try await withPath("kept.json") { path in
      let name = testName("not-begun")
      // Files may be as large as the board is, and not as the trace.
      let script = """
        trap '' XFSZ; ulimit -f 400
        exec '\(Program.mpbarrier.path)' 1 --name \(name) --rounds 1000 --trace \(path)
        """
      for there in [false, true] {
        if there { try "the last one".write(toFile: path, atomically: false, encoding: .utf8) }
        let outcome = try await Program(path: "/bin/sh").run("-c", script)
        #expect(outcome.status == 1 && outcome.errors.contains("\(name).trace"), "\(outcome)")
        let seen = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
        #expect(seen == (there ? "the last one" : nil))
        expectNothingLeft(name)
      }
    }
  }
}
