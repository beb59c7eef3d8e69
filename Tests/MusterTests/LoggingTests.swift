// The backend for swift-log: what becomes of what is logged, and of what can't be.
// SPDX-License-Identifier: Apache-2.0
import Foundation
import Logging
import MusterLogging
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("swift-log", .timeLimit(.minutes(1)))
struct LoggingTests {
  private struct Broken: Error, CustomStringConvertible {
    var description: String { "out of order" }
  }

  private enum Context {
    @TaskLocal static var request: String?

    static let provider = Logger.MetadataProvider { request.map { ["request": "\($0)", "from": "provider"] } ?? [:] }
  }

  private func logger(_ log: Log, _ provider: Logger.MetadataProvider? = nil) -> Logger {
    Logger(label: "net") { MusterLogHandler(label: $0, log: log, metadataProvider: provider) }
  }

  @Test("Label, place in the source, levels, and metadata: numbers stay numbers, the rest is text")
  func fields() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), level: .trace)
      let logger = logger(log)
      let line = #line + 1
      logger.warning(
        "listens",
        metadata: [
          "port": .stringConvertible(80), "big": .stringConvertible(UInt64.max), "half": .stringConvertible(0.5),
          "yes": .stringConvertible(true), "text": "a b", "list": ["x", "y"], "other": .stringConvertible(Broken()),
          "small": .stringConvertible(UInt8(7)), "short": .stringConvertible(Int16(-7)),
          "tiny": .stringConvertible(Int8(-1)), "float": .stringConvertible(Float(0.25)),
        ])
      for level in Logger.Level.allCases { logger.log(level: level, "\(level)", source: "elsewhere") }
      let records = try all(name)
      let first = try #require(records.first)
      #expect(first.message == "listens" && first.level == .warning && first.label == "net")
      #expect(first.line == line)
      #expect(first.file == "MusterTests/LoggingTests.swift" && first.function == "fields()")
      #expect(
        Dictionary(uniqueKeysWithValues: first.pairs.map { ($0.key, $0.value) }) == [
          "port": 80, "big": .uint(.max), "half": 0.5, "yes": true, "text": "a b", "list": #"["x", "y"]"#,
          "other": "out of order", "small": 7, "short": -7, "tiny": -1,
          "float": 0.25,
        ])
      #expect(records.dropFirst().map(\.message) == records.dropFirst().map { "\($0.level)" })
      #expect(records.count == 8 && records.dropFirst().allSatisfy { $0["source"] == "elsewhere" })
    }
  }

  @Test("Metadata of the handler, of the provider with what is local to the task, of the statement: the last holds")
  func metadata() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      var logger = logger(log, Context.provider)
      logger[metadataKey: "from"] = "handler"
      logger[metadataKey: "own"] = "1"
      logger.info("a")
      Context.$request.withValue("r1") {
        logger.info("b")
        logger.info("c", metadata: ["from": "statement"])
        logger.error("d", error: Broken(), metadata: ["error.message": "hidden"])
      }
      var records = try all(name)
      let type = records[3].pairs.firstIndex { $0.key == "error.type" }
      let error = records[3].pairs.remove(at: try #require(type))
      #expect(error.value.description.hasSuffix("Broken"))
      #expect(
        records.map { record in record.pairs.map { "\($0.key)=\($0.value)" }.sorted() } == [
          ["from=handler", "own=1"],
          ["from=provider", "own=1", "request=r1"],
          ["from=statement", "own=1", "request=r1"],
          ["error.message=out of order", "from=provider", "own=1", "request=r1"],
        ])
    }
  }

  @Test("Two keys are the correlation id and the tags; what is no UUID is a pair")
  func keys() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      var logger = logger(log)
      let id = CorrelationID()
      let uuid = UUID()
      logger[metadataKey: "correlation-id"] = "\(id)"
      logger.info("of the handler", metadata: ["tags": ["a", "b"]])
      logger.info("of the statement", metadata: ["correlation-id": .stringConvertible(uuid), "tags": "c"])
      logger.info("typed", metadata: ["correlation-id": .stringConvertible(id)])
      logger.info("none", metadata: ["correlation-id": "no uuid"])
      let records = try all(name)
      #expect(records.map(\.correlation) == [id, CorrelationID(bytes: uuid.uuid), id, nil])
      #expect(records.map(\.tags) == [["a", "b"], ["c"], [], []])
      #expect(records.map { $0.pairs.count } == [0, 0, 0, 1] && records[3]["correlation-id"] == "no uuid")
      let handler = { (label: String) -> MusterLogHandler in
        var handler = MusterLogHandler(label: label, log: log)
        handler.tagsKey = nil
        handler.correlationKey = "trace"
        return handler
      }
      Logger(label: "x", factory: handler).info("others", metadata: ["trace": "\(id)", "tags": "c"])
      let last = try #require(try all(name).last)
      #expect(last.correlation == id && last.tags == [] && last["tags"] == "c")
    }
  }

  @Test("A handler is a value, as swift-log asks for; a level is that of its logger and of the log's threshold")
  func values() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), level: .trace)
      var first = logger(log)
      first.logLevel = .debug
      first[metadataKey: "only-on"] = "first"
      var second = first
      second.logLevel = .error
      second[metadataKey: "only-on"] = "second"
      #expect(first.logLevel == .debug && second.logLevel == .error)
      #expect(first[metadataKey: "only-on"] == "first" && second[metadataKey: "only-on"] == "second")
      let made = Count()
      first.trace("\(made.add())")
      try log.setLevel(.warning)
      #expect(first.logLevel == .warning && second.logLevel == .error)
      first.info("\(made.add())")
      try log.setLevel(.off)
      first.critical("nothing gets through")
      #expect(made.value == 0)
      #expect(try all(name).isEmpty)
      try log.setLevel(.info)
      #expect(first.logLevel == .info)
      first.info("\(made.add())")
      #expect(try all(name).map(\.message) == ["1"])
    }
  }

  @Test("A closed log: the line goes to standard error, and is counted; a full pipe there holds nobody up")
  func closed() async throws {
    try await withName { name in
      let outcome = try await #require(
        processExitsWith: .success, observing: [\.standardErrorContent]
      ) { [name = name as String] in
        let log = try Log(RegionName(name))
        defer { try? Region.remove(RegionName(name), force: true) }
        let handler = MusterLogHandler(label: "late", log: log, metadataProvider: nil)
        let logger = Logger(label: "late") { _ in handler }
        logger.info("in time")
        log.close()
        logger.error("too late\u{1B}", metadata: ["n": .stringConvertible(1), "tags": "t"])
        Logger(label: "mute") { MusterLogHandler(label: $0, log: log, metadataProvider: nil, fallback: .none) }
          .error("not shown")
        let counted = MusterLogHandler.unwritten
        // A pipe that nobody reads from: full after some of these, and then closed on its other side.
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        let saved = dup(STDERR_FILENO)
        dup2(ends[1], STDERR_FILENO)
        for _ in 0..<2000 { logger.error("\(String(repeating: "x", count: 100))") }
        close(ends[0])
        for _ in 0..<10 { logger.error("nobody reads") }
        dup2(saved, STDERR_FILENO)
        // `exit` runs no `defer`.
        try? Region.remove(RegionName(name), force: true)
        if counted != 2 || MusterLogHandler.unwritten != 2012 { exit(2) }
      }
      let errors = String(decoding: outcome.standardErrorContent, as: UTF8.self)
      #expect(errors.contains(#" late: too late\u001b n=1 #t "#) && !errors.contains("not shown"), "\(errors)")
      #expect(!errors.contains("in time"))
    }
  }

  @Test("A forked child logs on as a writer of its own, as soon as it logs; where no place is left its lines are shown")
  func forked() async throws {
    try await withName { name in
      let outcome = try await #require(
        processExitsWith: .success, observing: [\.standardErrorContent]
      ) { [name = name as String] in
        let region = RegionName(name)
        let log = try Log(region, places: 2, bytes: 1 << 16)
        let logger = Logger(label: "x") { MusterLogHandler(label: $0, log: log, metadataProvider: nil) }
        logger.info("parent")
        let failed = inChild { note in
          logger.info("child")
          logger.info("child again")
          note(MusterLogHandler.unwritten == 0, #line)
          // Another child of a parent that still lives: both places are taken.
          let failed = inChild { note in
            logger.info("grandchild")
            note(MusterLogHandler.unwritten == 1, #line)
          }
          note(failed == 0, #line)
        }
        logger.info("parent again")
        let records = (try? all(name)) ?? []
        try? Region.remove(region, force: true)
        if failed != 0 { exit(failed > 0 ? failed : 128 - failed) }
        let own = records.filter { $0.pid == getpid() }.map(\.message)
        let child = records.filter { $0.pid != getpid() }.map(\.message)
        if own != ["parent", "parent again"] || child != ["child", "child again"] { exit(2) }
      }
      let errors = String(decoding: outcome.standardErrorContent, as: UTF8.self)
      #expect(errors.contains(" x: grandchild"), "\(errors)")
    }
  }
}
