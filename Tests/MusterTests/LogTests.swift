// The log: what is written, by whom, and what becomes of it when somebody dies.
// SPDX-License-Identifier: Apache-2.0
import SystemPackage
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Log", .timeLimit(.minutes(1)))
struct LogTests {
  @Test("A record is read as it was written, with all that goes with it")
  func roundTrip() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      let id = CorrelationID()
      let long = String(repeating: "ä", count: 100)
      let before = now()
      let line = #line + 1
      try log.write(
        .warning, "went wrong: ü",
        ["int": -5, "uint": .uint(.max), "half": 0.5, "yes": true, "text": .init(long), "empty": ""],
        tags: ["net", long], correlation: id, label: "http")
      let after = now()
      let record = try #require(try all(name).first)
      #expect(record.kind == .written && record.level == .warning && record.message == "went wrong: ü")
      #expect(record.pid == getpid() && record.thread != 0 && record.place == log.place && record.number == 0)
      #expect(record.time >= before && record.time <= after)
      #expect(record.label == "http" && record.function == "roundTrip()")
      #expect(record.file == "MusterTests/LogTests.swift" && record.line == line)
      #expect(record.tags == ["net", long] && record.correlation == id && !record.isCut)
      #expect(record.pairs.map(\.key) == ["int", "uint", "half", "yes", "text", "empty"])
      #expect(
        record.pairs.map(\.value) == [.int(-5), .uint(.max), .double(0.5), .bool(true), .string(long), .string("")])
      #expect(record["half"] == .double(0.5) && record["none"] == nil)
    }
  }

  @Test("As text and as JSON, and nothing that does something to a terminal")
  func formats() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      let id = try #require(CorrelationID("1b4e28ba-2fa1-11d2-883f-0016d3cca427"))
      try log.write(
        .error, "red\u{1B}[31m", ["n": 7, "s": "a b"], tags: ["t"], correlation: id, label: "l", file: "", function: "")
      let record = try #require(try all(name).first)
      let line = record.formatted()
      #expect(line.hasSuffix(#" l: red\u001b[31m n=7 s="a b" #t {1b4e28ba-2fa1-11d2-883f-0016d3cca427}"#), "\(line)")
      #expect("\(record)" == line && line.contains(" error ") && line.contains(" \(getpid())"))
      #expect(record.formatted(.coloured).contains("\u{1B}[31merror\u{1B}[0m"))
      let json = record.formatted(.json)
      #expect(json.hasPrefix("{") && json.hasSuffix("}"))
      #expect(json.contains(#""message":"red\u001b[31m","tags":["t"],"fields":{"n":7,"s":"a b"}"#), "\(json)")
      #expect(json.contains(#""correlation":"1b4e28ba-2fa1-11d2-883f-0016d3cca427""#) && !json.contains("\"file\""))
    }
  }

  @Test("What is too large is cut and marked; more than 64 pairs and 32 tags are left out, and marked")
  func cut() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), places: 1, bytes: 4096)
      #expect(log.largestRecord == 1024)
      try log.write(
        .info, String(repeating: "m", count: 5000), ["k": .init(String(repeating: "v", count: 90_000))],
        label: "l")
      try log.write(.info, "many", [:], tags: (0..<40).map { "t\($0)" }, file: "", function: "")
      try log.write(.info, "whole")
      let records = try all(name)
      #expect(records.map(\.isCut) == [true, true, false])
      #expect(records[0].message.count > 400 && records[0].message.allSatisfy { $0 == "m" })
      #expect(records[0].label == "l" && records[0].file == "MusterTests/LogTests.swift")
      #expect(records[1].tags == (0..<32).map { "t\($0)" })
    }
  }

  @Test("Below the threshold nothing is even made; the threshold is that of all processes, also from outside")
  func levels() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), level: .notice)
      let other = try Log(RegionName(name))
      let made = Count()
      func message(_ text: String) -> String {
        made.add()
        return text
      }
      try log.write(.info, message("too little"))
      #expect(made.value == 0 && log.level == .notice && !log.isEnabled(.info) && log.isEnabled(.notice))
      try Log.setLevel(.debug, of: RegionName(name))
      #expect(log.level == .debug && other.level == .debug)
      try log.write(.debug, message("enough"))
      try other.setLevel(.off)
      try log.write(.critical, message("nothing gets through"))
      #expect(made.value == 1)
      #expect(try all(name).map(\.message) == ["enough"])
      #expect(try Log.look(RegionName(name)).level == .off)
      #expect(code { try log.write(.off, "no level") } == .invalidArgument)
      #expect(Log.Level("WARNING") == .warning && Log.Level("loud") == nil)
      #expect(Log.Level.critical.description == "critical")
    }
  }

  @Test("Any number of threads write; each one's records come in its order")
  func threads() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), places: 2, bytes: 1 << 18)
      await withTaskGroup(of: Void.self) { group in
        for writer in 0..<4 {
          group.addTask {
            await blocking {
              for number in 0..<500 {
                try? log.write(.info, "\(number)", ["writer": .init(writer)], file: "", function: "")
              }
            }
          }
        }
      }
      var next = [0, 0, 0, 0]
      let records = try all(name)
      for record in records {
        guard case .int(let writer) = record["writer"] else { continue }
        #expect(record.message == "\(next[Int(writer)])")
        next[Int(writer)] += 1
      }
      #expect(next == [500, 500, 500, 500] && records.count == 2000)
    }
  }

  @Test("Of what was overwritten, exactly so many are told")
  func losses() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), places: 1, bytes: 4096)
      let reader = try LogReader(RegionName(name), holdBack: .zero)
      for number in 0..<1000 { try log.write(.info, "\(number)") }
      var lost = 0
      var numbers: [Int] = []
      while let record = try reader.nextIfAvailable() {
        switch record.kind {
        case .lost(let count): lost += Int(count)
        case .written: numbers.append(try #require(Int(record.message)))
        default: Issue.record("\(record)")
        }
      }
      #expect(lost > 900 && numbers == Array(lost..<1000))
    }
  }

  @Test("What a killed process wrote is there to the last record that it committed; its place is taken last")
  func death() async throws {
    try await withName { name in
      let region = RegionName(name)
      let log = try Log(region, places: 3, bytes: 1 << 16)
      let before = try log.state().writers
      #expect(before.map(\.life) == [.alive] && before[0].pid == getpid())
      async let killed = run(builtProgram("muster-peer"), ["keep-logging", name])
      let reader = try LogReader(region)
      let first = try await reader.next()
      kill(first.pid, SIGKILL)
      #expect(try await killed.status == -SIGKILL)
      let writer = try #require(try log.state().writers.last)
      #expect(writer.pid == first.pid && writer.life == .dead && writer.records > 0)
      let records = try all(name).filter { $0.pid == first.pid && $0.kind == .written }
      let numbers = records.compactMap { UInt64($0.message) }
      // It stamped each record with its number: the last one is the last that was committed.
      #expect(numbers.last == writer.records - 1)
      #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $1 == $0 + 1 })
      let third = try Log(region)
      #expect(third.place != writer.place)
      third.close()
      #expect(code { try third.write(.info, "x") } == .closed)
      #expect(code { try third.setLevel(.info) } == .closed)
      #expect(try log.state().writers.map(\.life).contains(.left))
    }
  }

  @Test("A full log, another shape, no log: errors that say so")
  func errors() async throws {
    try await withName { name in try Self.refused(RegionName(name)) }
  }

  private static func refused(_ region: RegionName) throws {
    #expect(code { try LogReader(region) } == .notFound)
    #expect(code { try Log(region, mode: .attach) } == .notFound)
    #expect(code { try Log(region, places: 1) } == .invalidArgument)
    #expect(code { try Log(region, places: 1, bytes: 5000) } == .invalidArgument)
    #expect(code { try Log(region, places: 129, bytes: 4096) } == .invalidArgument)
    let log = try Log(region, places: 1, bytes: 4096)
    let full = caught { () throws(LogError) in try Log(region) }
    #expect(full?.code == .full && full?.description.contains("all of its places") == true)
    #expect(code { try Log(region, places: 2, bytes: 4096) } == .mismatch)
    #expect(code { try Log(region, mode: .create) } == .alreadyExists)
    let many = LogFilter(tags: (0..<33).map { "\($0)" })
    #expect(code { try LogReader(region, filter: many) } == .invalidArgument)
    let strange = LogReader.Position(places: [Ring.Place(position: 0, number: 0), Ring.Place(position: 0, number: 0)])
    #expect(code { try LogReader(region, from: .at(strange)) } == .invalidArgument)
    #expect(log.place == 0)
  }

  @Test("Correlation ids are read and written as UUIDs are")
  func correlation() {
    let text = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    let id = CorrelationID(text)
    #expect(id?.description == text && id == CorrelationID("1B4E28BA2FA111D2883F0016D3CCA427"))
    #expect(id?.bytes.0 == 0x1b && id?.bytes.15 == 0x27 && id.map { CorrelationID(bytes: $0.bytes) } == id)
    let plus = "1b4e28ba+2fa1-11d2-883f-0016d3cca427"
    for wrong in ["", "1b4e28ba", text + "0", plus, "gb4e28ba2fa111d2883f0016d3cca427"] {
      #expect(CorrelationID(wrong) == nil)
    }
    let made = Array(CorrelationID().description)
    #expect(made[14] == "4" && "89ab".contains(made[19]) && CorrelationID() != CorrelationID())
  }
}

@Suite("Reading a log", .timeLimit(.minutes(1)))
struct LogReaderTests {
  @Test("Filters: by level, tag, process, time, correlation id and label")
  func filters() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), level: .trace)
      let id = CorrelationID()
      try log.write(.debug, "0", tags: ["a"])
      try log.write(.error, "1", tags: ["a", "b"], label: "x")
      let middle = now()
      try log.write(.info, "2", correlation: id)
      func messages(_ filter: LogFilter) throws -> [String] { try all(name, filter).map(\.message) }
      #expect(try messages(LogFilter()) == ["0", "1", "2"])
      #expect(try messages(LogFilter(level: .info)) == ["1", "2"])
      #expect(try messages(LogFilter(tags: ["a"])) == ["0", "1"])
      #expect(try messages(LogFilter(tags: ["a", "b"])) == ["1"])
      #expect(try messages(LogFilter(correlation: id)) == ["2"])
      #expect(try messages(LogFilter(label: "x")) == ["1"])
      #expect(try messages(LogFilter(since: middle)) == ["2"])
      #expect(try messages(LogFilter(until: middle)) == ["0", "1"])
      #expect(try messages(LogFilter(pid: getpid())).count == 3)
      #expect(try messages(LogFilter(pid: 1)) == [])
    }
  }

  @Test("A sequence gives what comes, and ends when the reader is closed; a wait by its deadline or its task's end")
  func waiting() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      try log.write(.info, "before")
      let reader = try LogReader(RegionName(name), from: .newest)
      #expect(try reader.nextIfAvailable() == nil)
      let soon = ContinuousClock.now + .milliseconds(3)
      #expect(await asyncCode { () throws(LogError) in try await reader.next(until: soon) } == .timedOut)
      let seen = Guarded<[String]>([])
      let following = Task {
        for try await record in reader.records { seen.value.append(record.message) }
      }
      try await eventually { reader.handle.waitCount == 1 }
      #expect(await asyncCode { () throws(LogError) in try await reader.next() } == .inUse)
      try log.write(.info, "one")
      try log.write(.info, "two")
      try await eventually { seen.value == ["one", "two"] }
      try await eventually { reader.handle.waitCount == 1 }
      reader.close()
      try await following.value
      let other = try LogReader(RegionName(name), from: .newest)
      let waiting = Task { await asyncCode { () throws(LogError) in try await other.next() } }
      try await eventually { other.handle.waitCount == 1 }
      waiting.cancel()
      #expect(await waiting.value == .cancelled)
      let blocked = Task { await blocking { caught { () throws(LogError) in try other.nextBlocking() }?.code } }
      try await eventually { other.handle.waitCount == 1 }
      other.close()
      #expect(await blocked.value == .closed)
    }
  }

  @Test("A position is where the next reader goes on")
  func position() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      for number in 0..<5 { try log.write(.info, "\(number)") }
      let reader = try LogReader(RegionName(name), holdBack: .zero)
      _ = try reader.nextIfAvailable()
      _ = try reader.nextIfAvailable()
      let position = try reader.position()
      let next = try LogReader(RegionName(name), from: .at(position))
      #expect(try await next.next().message == "2")
      #expect(position.places.count == 32 && position.places[log.place].number == 2)
    }
  }
}

/// All that is there by now.
func all(_ name: String, _ filter: LogFilter = LogFilter()) throws -> [LogRecord] {
  let reader = try LogReader(RegionName(name), filter: filter, holdBack: .zero)
  defer { reader.close() }
  var records: [LogRecord] = []
  while let record = try reader.nextIfAvailable() { records.append(record) }
  return records
}

/// Since 1970.
private func now() -> Duration {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}

private func caught<Value, Failure: Error>(_ body: () throws(Failure) -> Value) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

private func code<Value>(_ body: () throws -> Value) -> LogError.Code? {
  do {
    _ = try body()
    return nil
  } catch {
    return (error as? LogError)?.code
  }
}

private func asyncCode<Value>(_ body: () async throws(LogError) -> Value) async -> LogError.Code? {
  do throws(LogError) {
    _ = try await body()
    return nil
  } catch {
    return error.code
  }
}
