// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

@testable import MusterToolKit

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

private let muster = Program.muster

private struct Exported: Decodable {
  struct Event: Decodable {
    var ph: String
    var name: String?
  }
  var traceEvents: [Event]
}

private struct Summary: Decodable {
  struct Recorder: Decodable {
    struct Details: Decodable {
      var state: String
      var label: String
      var kept: Int
    }
    var details: Details
    var open: [String]
  }
  struct Name: Decodable {
    var name: String
    var count: Int
  }
  var names: [Name]
  var recorders: [Recorder]
}

/// One that records and is killed at it.
private func dieRecording(_ name: String, _ label: String = "victim") async throws {
  #expect(try await Program.peer.run("die-recording", name, label).signal == SIGKILL)
}

/// Of a file of /proc, whose size is not known beforehand.
private func text(_ path: String) -> String {
  guard let file = try? FileDescriptor.open(FilePath(path), .readOnly) else { return "" }
  defer { try? file.close() }
  var text: [UInt8] = []
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
  defer { buffer.deallocate() }
  while let count = try? file.read(into: buffer), count > 0 { text += buffer[..<count] }
  return String(decoding: text, as: UTF8.self)
}

@Suite("muster trace, from outside", .serialized)
struct TraceProgramTests {
  @Test("What a killed process did last is shown, summed up and exported")
  func afterDeath() async throws {
    let name = testName("trace")
    try await dieRecording(name)
    let ls = try await muster.run("ls")
    #expect(ls.output.split(separator: "\n").contains { $0.hasPrefix("trace ") && $0.hasSuffix(name) })
    let show = try await muster.run("show", name)
    #expect(show.output.contains("records   64 events of each of 4\n") && show.output.contains("frozen    no\n"))
    #expect(show.output.contains("died") && show.output.contains(" 64  199  muster-peer  victim\n"))
    let text = try await muster.run("trace", "summary", name)
    #expect(text.status == 0 && text.output.contains("victim  job 100\n"), "\(text)")
    let summary = try await muster.run("trace", "summary", name, "--json").json(Summary.self)
    #expect(summary.recorders.map(\.open) == [["job 100"]])
    #expect(summary.recorders.first?.details.state == "died" && summary.recorders.first?.details.kept == 64)
    // 31 spans with both ends, and the end of one whose begin is overwritten.
    #expect(summary.names.map(\.name) == ["job"] && summary.names.map(\.count) == [32])
    let export = try await muster.run("trace", "export", name)
    let phases = try export.json(Exported.self).traceEvents.map(\.ph)
    #expect(["B", "E", "X", "i", "M"].map { phase in phases.count { $0 == phase } } == [32, 31, 1, 1, 2])
    let path = FileManager.default.temporaryDirectory.path + "/" + testName("trace.json")
    defer { unlink(path) }
    #expect(try await muster.run("trace", "export", name, "-o", path).output.isEmpty)
    // The same but for what the clocks say at each look.
    let written = try JSONDecoder().decode(Exported.self, from: Data(contentsOf: URL(filePath: path)))
    #expect(written.traceEvents.map(\.ph) == phases)
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("freeze and thaw say whether they did it; what is frozen is kept")
  func freezing() async throws {
    let name = testName("frozen")
    try await dieRecording(name)
    #expect(try await muster.run("trace", "thaw", name).status == 3)
    #expect(try await muster.run("trace", "freeze", name).status == 0)
    let again = try await muster.run("trace", "freeze", name)
    #expect(again.status == 3 && again.errors == "muster: \(name): it is frozen already\n")
    #expect(try await muster.run("show", name).output.contains("frozen    by pid "))
    try await dieRecording(name, "later")
    let summary = try await muster.run("trace", "summary", name, "--json").json(Summary.self)
    #expect(summary.recorders.map(\.details.label) == ["victim", "later"])
    #expect(summary.recorders.map(\.details.kept) == [64, 0])
    #expect(try await muster.run("trace", "thaw", name).status == 0)
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("watch freezes at a death, and says whose it was")
  func watching() async throws {
    let name = testName("watched")
    try await dieRecording(name, "before")
    let none = try await muster.run("trace", "watch", name, "--timeout", "10ms")
    #expect(none.status == 2 && none.errors == "muster: \(name): nobody died\n")
    let watch = try await muster.run("trace", "watch", name) { process in
      // Who died before it came is not told, so it has to be there: asleep, with the trace open.
      try await expectEventually {
        text("/proc/\(process)/maps").contains(name) && text("/proc/\(process)/stat").contains(") S ")
      }
      try await dieRecording(name)
    }
    #expect(watch.status == 0 && watch.output.hasPrefix("victim, pid ") && watch.output.hasSuffix(", died\n"))
    let frozen = try await muster.run("trace", "watch", name)
    #expect(frozen.status == 3 && frozen.errors == "muster: \(name): somebody else has frozen it\n")
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test(
    "What can't be done is one line and the status 1; a wrong command line 64",
    arguments: [
      (["trace", "export", "no-such-trace"], 1), (["trace", "summary", "a/b"], 1), (["trace", "freeze"], 64),
      (["trace", "watch", "x", "--timeout", "soon"], 64), (["trace", "export", "x", "--json"], 64),
    ] as [([String], Int32)])
  func wrong(arguments: [String], status: Int32) async throws {
    let outcome = try await muster.run(arguments)
    #expect(outcome.status == status, "\(outcome)")
    #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("muster: "), "\(outcome.errors)")
  }

  @Test("The summary: spans by name, what was open at last, and ends without begins")
  func summary() {
    var builder = TraceSummaryBuilder()
    builder.add(.end, name: 1, time: 1_000, recorder: 0)
    builder.add(.begin, name: 1, time: 2_000, id: 7, recorder: 0)
    builder.add(.begin, name: 2, time: 2_500, recorder: 0)
    builder.add(.span, name: 3, time: 9_000_000, duration: 4_000_000, recorder: 1)
    builder.add(.end, name: 2, time: 3_002_500, recorder: 0)
    builder.add(.instant, name: 2, time: 3_100_000, recorder: 0)
    builder.add(.begin, name: 1, time: 1, recorder: 2)
    builder.add(.instant, name: 2, time: 2, recorder: 2, lost: 3)
    func recorder(_ index: Int, _ label: String) -> TraceDetails.Recorder {
      .init(
        index: index, state: index == 0 ? .died : .left, process: Int32(100 + index), thread: 5, program: "p",
        label: label, recorded: 10, kept: 5)
    }
    let details = TraceDetails(
      places: 4, events: 16, clock: "counter", names: 3, namesAtMost: 8, frozenBy: 99,
      recorders: [recorder(0, "a\n"), recorder(1, "b"), recorder(2, "c")])
    let summary = builder.summary(details) { "name\($0)" }
    #expect(
      summary.lines() == [
        "frozen by pid 99", "",
        "RECORDER  STATE  PID  EVENTS  COVERS  LABEL  IN",
        "       0  died   100       5  3.1 ms  a\\x0a  name1 7",
        "       1  left   101       5    4 ms  b",
        "       2  left   102       5    1 ns  c",
        "",
        "COUNT  TOTAL  LONGEST  NAME",
        "    1   4 ms     4 ms  name3",
        "    3   3 ms     3 ms  name2",
        "    1                  name1",
      ])
  }
}
