// The flight recorder, from Swift.
// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import Muster

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

/// What the export says, as far as these tests look at it.
private struct Exported: Decodable {
  struct Event: Decodable {
    struct Arguments: Decodable {
      var id: UInt64?
      var name: String?
    }
    var ph: String
    var pid: Int32
    var ts: Double
    var name: String?
    var args: Arguments?
  }
  var traceEvents: [Event]
}

private func exported(_ trace: Trace) async throws -> Exported {
  var text: [UInt8] = []
  try await withFolder { folder in
    let path = folder.appending("trace.json")
    let file = try FileDescriptor.open(path, .writeOnly, options: [.create], permissions: [.ownerReadWrite])
    try file.closeAfter { try trace.export(to: file) }
    text = Array(try Data(contentsOf: URL(filePath: path.string)))
  }
  return try JSONDecoder().decode(Exported.self, from: Data(text))
}

@Suite("Trace", .timeLimit(.minutes(1)))
struct TraceTests {
  @Test("What is recorded is read, in the order of time, and exported")
  func recordsAndReads() async throws {
    try await withName { name in
      let trace = try Trace(RegionName(name), shape: .init(recorders: 4, events: 64, names: 8))
      #expect(trace.shape.recorders == 4 && trace.shape.events == 64 && trace.shape.clock != nil)
      let work = try trace.name("work")
      let depth = try trace.name("depth")
      #expect(try trace.name("work") == work && work != depth)
      let first = try trace.join(label: "first")
      let second = try trace.join(label: "second")
      let sum = first.span(work, id: 7) {
        second.counter(depth, -3)
        return 1 + 1
      }
      #expect(sum == 2)
      #expect(throws: CancellationError.self) { try second.wholeSpan(work) { throw CancellationError() } }
      second.flowOut(work, id: 9)
      first.flowIn(work, id: 9)
      let looking = try Trace.look(RegionName(name))
      let events = Array(try looking.events())
      #expect(events.map(\.kind) == [.begin, .counter, .end, .span, .flowOut, .flowIn])
      #expect(events.map(\.recorder) == [0, 1, 0, 1, 1, 0])
      #expect(events[0].id == 7 && events[1].counter == -3 && events[3].duration >= .zero && events[5].id == 9)
      #expect(try events.map { try looking.text(of: $0.name) } == ["work", "depth", "work", "work", "work", "work"])
      #expect(zip(events, events.dropFirst()).allSatisfy { $0.time <= $1.time })
      #expect(Array(try looking.events(of: 1)).count == 3)
      #expect(throws: TraceError.self) { try looking.events(of: 4) }
      let export = try await exported(looking)
      #expect(export.traceEvents.filter { $0.ph != "M" }.map(\.ph) == ["B", "E", "f", "C", "X", "s"])
      #expect(export.traceEvents.compactMap(\.args?.name).contains("second"))
      #expect(export.traceEvents.allSatisfy { $0.pid == getpid() })
      // In the text of the clock itself.
      let begin = try #require(export.traceEvents.first { $0.ph == "B" })
      #expect(abs(begin.ts * 1000 - Double(events[0].time)) < 100 && begin.args?.id == 7)
      first.close()
      #expect(!first.instant(work))
      second.close()
      let recorders = try looking.recorders()
      #expect(recorders.map(\.label) == ["first", "second"] && recorders.map(\.life) == [.left, .left])
      #expect(recorders.map(\.kept) == [3, 3] && recorders.allSatisfy { $0.pid == getpid() && !$0.isOfEarlierBoot })
    }
  }

  @Test("A frozen trace keeps what it has, and says who froze it")
  func freezing() async throws {
    try await withName { name in
      let trace = try Trace(RegionName(name), shape: .init(recorders: 1, events: 16, names: 1))
      let mark = try trace.name("mark")
      #expect(try trace.name("one too many") == .other)
      let recorder = try trace.join(label: "only")
      #expect(recorder.instant(mark))
      #expect(throws: TraceError.self) { try trace.join(label: "another") }
      let other = try Trace.attach(RegionName(name))
      #expect(try other.freeze() && !trace.freeze())
      #expect(!recorder.instant(mark))
      let freeze = try #require(try trace.state().freeze)
      #expect(freeze.pid == getpid())
      recorder.close()
      #expect { try trace.join(label: "later") } throws: { ($0 as? TraceError)?.code == .frozen }
      #expect(Array(try trace.events()).count == 1)
      #expect(try trace.thaw() && !other.thaw())
      #expect(try trace.join(label: "later").instant(mark))
    }
  }

  @Test("A watch ends with a death, a freeze, its deadline, its task, and its object")
  func watching() async throws {
    try await withName { name in
      let shape = Trace.Shape(recorders: 4, events: 64, names: 4)
      let trace = try Trace(RegionName(name), shape: shape)
      await #expect(throws: TraceError.self) { try await trace.watch(until: .now + .milliseconds(2)) }
      let task = Task { try await trace.watch() }
      try await eventually { trace.isWatched }
      task.cancel()
      await #expect(throws: TraceError.self) { _ = try await task.value }
      await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
        let trace = try Trace.attach(RegionName(name))
        let recorder = try trace.join(label: "victim")
        for id in 1...100 as ClosedRange<UInt64> { recorder.begin(try trace.name("work"), id: id) }
        kill(getpid(), SIGKILL)
      }
      #expect(try await trace.watch() == 0)
      #expect(try trace.state().freeze?.pid == getpid() && trace.state().died == 1)
      #expect(Array(try trace.events(of: 0)).map(\.id) == Array(37...100))
      #expect(try await trace.watch() == nil)
      try trace.thaw()
      let frozen = Task { try await trace.watch() }
      try await eventually { trace.isWatched }
      try Trace.attach(RegionName(name)).freeze()
      #expect(try await frozen.value == nil)
      try trace.thaw()
      let closed = Task { try await trace.watch() }
      try await eventually { trace.isWatched }
      trace.close()
      await #expect(throws: TraceError.self) { _ = try await closed.value }
    }
  }

  @Test("What is closed says so; recorders and cursors keep what they use")
  func closing() async throws {
    try await withName { name in
      let trace = try Trace(RegionName(name))
      let mark = try trace.name("mark")
      let recorder = try trace.join(label: "mine")
      recorder.instant(mark)
      let events = try trace.events()
      trace.close()
      #expect(recorder.instant(mark))
      #expect(Array(events).count == 1)
      for attempt in [
        { _ = try trace.name("x") }, { _ = try trace.events() }, { try trace.freeze() }, { _ = try trace.state() },
        { _ = try trace.join(label: "x") },
      ] as [() throws -> Void] {
        #expect { try attempt() } throws: { ($0 as? TraceError)?.code == .closed }
      }
      recorder.close()
      #expect(try Trace.look(RegionName(name)).state().left == 1)
      #expect { try Trace.look(RegionName(name)).freeze() } throws: { ($0 as? TraceError)?.code == .permissionDenied }
      #expect { try Trace(RegionName(name), shape: .init(recorders: 3)) } throws: {
        ($0 as? TraceError)?.code == .mismatch
      }
      #expect { try Trace.attach(RegionName(name + "-no")) } throws: { error in
        (error as? TraceError)?.code == .notFound && "\(error)".hasPrefix("Can't attach to the trace “\(name)-no”")
      }
    }
  }
}
