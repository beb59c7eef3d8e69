// The drain of a log: everything once, whoever is killed or cancelled.
// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What stands in the files of a folder, one behind the other.
private func contents(of folder: FilePath) throws -> [String] {
  let names = try FileManager.default.contentsOfDirectory(atPath: folder.string).filter { $0.contains("-") }.sorted()
  return try names.map { try String(contentsOfFile: folder.appending($0).string, encoding: .utf8) }
}

/// What they say of the pair n.
private func numbers(_ files: [String]) -> [Int] {
  files.flatMap { $0.split(separator: "\n") }.compactMap { line in
    line.range(of: " n=").flatMap { Int(line[$0.upperBound...].prefix { $0.isNumber }) }
  }
}

@Suite("Draining a log", .timeLimit(.minutes(1)))
struct LogDrainTests {
  @Test("Draining goes on until its task is cancelled, and what was written until then is in the files, which rotate")
  func cancelled() async throws {
    try await withName { name in
      try await withFolder { folder in
        let log = try Log(RegionName(name))
        let drain = try LogDrain(
          RegionName(name), to: .files(in: folder, name: "app", rotateBytes: 4096, keepFiles: 100))
        #expect(try drain.path() == nil)
        let draining = Task { try await drain.run() }
        for number in 0..<100 { try log.write(.info, "x", ["n": .init(number)]) }
        try await eventually { try numbers(contents(of: folder)).last == 99 }
        for number in 100..<400 { try log.write(.info, "x", ["n": .init(number)]) }
        draining.cancel()
        try await draining.value
        #expect(try numbers(contents(of: folder)) == Array(0..<400))
        #expect(try contents(of: folder).count > 5)
        let state = try log.state().drain
        #expect(state.life == .alive(pid: getpid()) && state.records == 400 && state.lost == 0 && state.staged == 0)
        #expect(try drain.path()?.lastComponent?.string == String(format: "app-%06d.log", Int(state.file ?? 0)))
        drain.close()
        #expect(try log.state().drain.life == .none)
      }
    }
  }

  @Test("One at a time: another is refused, with who drains; a closed one makes room, and its run says `closed`")
  func oneAtATime() async throws {
    try await withName { name in
      try await withFolder { folder in
        let log = try Log(RegionName(name))
        let drain = try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        let refused = await code { () throws(LogError) in
          try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        }
        #expect(refused?.code == .hasDrain && refused?.pid == getpid())
        let draining = Task { await code { () throws(LogError) in try await drain.run() } }
        try await eventually { drain.handle.waitCount == 1 }
        #expect(await code { () throws(LogError) in try await drain.drainAll() }?.code == .inUse)
        drain.close()
        #expect(await draining.value?.code == .closed)
        let next = try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        try log.write(.info, "x", ["n": 7])
        #expect(try await next.drainAll() == 1)
        #expect(try numbers(contents(of: folder)) == [7])
        next.close()
        #expect(await code { () throws(LogError) in try await next.run() }?.code == .closed)
      }
    }
  }

  @Test("What is wrong with the folder is said, and nothing is lost by it")
  func folder() async throws {
    try await withName { name in
      try await withFolder { folder in
        let log = try Log(RegionName(name))
        let last = folder.appending("app-999999999999.log").string
        try "x".write(toFile: last, atomically: false, encoding: .utf8)
        let drain = try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        try log.write(.info, "x", ["n": 1])
        let full = await code { () throws(LogError) in try await drain.drainAll() }
        #expect(full?.errno == Errno(rawValue: EOVERFLOW))
        #expect(full.map { "\($0)" }?.contains("highest number that there can be") == true)
        unlink(last)
        _ = try await drain.drainAll()
        #expect(try numbers(contents(of: folder)) == [1])
        drain.close()
        let below = folder.appending("below")
        mkdir(below.string, 0o700)
        let other = try LogDrain(RegionName(name), to: .files(in: below, name: "app"))
        rmdir(below.string)
        try log.write(.info, "x", ["n": 2])
        let removed = await code { () throws(LogError) in try await other.drainAll() }
        #expect(removed.map { "\($0)" }?.contains("the folder of its files was removed") == true)
        other.close()
        let next = try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        _ = try await next.drainAll()
        #expect(try numbers(contents(of: folder)) == [1, 2])
      }
    }
  }

  @Test("A drain that is killed again and again: each record is in the files once")
  func killed() async throws {
    try await withName { name in
      try await withFolder { folder in
        let log = try Log(RegionName(name), places: 2, bytes: 1 << 20)
        var written = 0
        for round in 0..<6 {
          async let ended = run(builtProgram("muster-peer"), ["drain-log", name, folder.string])
          var pid: Int32?
          try await eventually {
            if case .alive(let drainer?) = try log.state().drain.life { pid = drainer }
            return pid != nil
          }
          // It is in the midst of them, or not yet, or done: wherever it is killed.
          for _ in 0..<(200 * (round + 1)) {
            try log.write(.info, "x", ["n": .init(written)], file: "", function: "")
            written += 1
          }
          kill(try #require(pid), SIGKILL)
          #expect(try await ended.status == -SIGKILL)
          guard case .dead(let dead) = try log.state().drain.life else {
            Issue.record("\(try log.state().drain)")
            return
          }
          #expect(dead == pid)
        }
        let last = try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        try await last.drainAll()
        #expect(try numbers(contents(of: folder)) == Array(0..<written))
        #expect(try log.state().drain.records == UInt64(written))
      }
    }
  }

  @Test("What can't be written is told, and tried again when that is wanted; it stays, and is written when it can be")
  func failures() async throws {
    try await withName { name in
      try await withFolder { folder in
        let log = try Log(RegionName(name))
        let full = try FileDescriptor.open("/dev/full", .writeOnly)
        defer { try? full.close() }
        let drain = try LogDrain(RegionName(name), to: .descriptor(full))
        try log.write(.info, "x", ["n": 1])
        let once = await code { () throws(LogError) in try await drain.run() }
        #expect(once?.code == .system && once?.errno == .noSpace, "\(String(describing: once))")
        let tries = Count()
        let stubborn = Task {
          await code { () throws(LogError) in
            try await drain.run { error in
              error.errno == .noSpace && tries.add() < 5 ? .milliseconds(1) : nil
            }
          }
        }
        #expect(await stubborn.value?.errno == .noSpace)
        #expect(tries.value == 5)
        drain.close()
        #expect(try log.state().drain.staged > 0)
        let next = try LogDrain(RegionName(name), to: .files(in: folder, name: "app"))
        try await next.drainAll()
        #expect(try numbers(contents(of: folder)) == [1])
      }
    }
  }

  @Test("To a pipe, as JSON and by a filter")
  func toAPipe() async throws {
    try await withName { name in
      let log = try Log(RegionName(name))
      let (output, input) = try FileDescriptor.pipe()
      defer { try? output.close() }
      let drain = try LogDrain(
        RegionName(name), to: .descriptor(input), format: .json, filter: LogFilter(level: .warning))
      try log.write(.info, "no")
      try log.write(.error, "yes")
      let count = try await blocking { () throws(LogError) in try drain.drainAllBlocking() }
      #expect(count == 1)
      drain.close()
      try input.close()
      let text = try await blocking { () throws in
        try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
          String(decoding: buffer.prefix(try output.read(into: buffer)), as: UTF8.self)
        }
      }
      #expect(text.hasPrefix("{\"time\":") && text.contains("\"message\":\"yes\"") && text.hasSuffix("}\n"))
    }
  }

  @Test("A non-blocking descriptor that takes nothing holds the end up for a second at most; the rest is the next's")
  func stuck() async throws {
    try await withName { name in
      let log = try Log(RegionName(name), places: 1, bytes: 1 << 18)
      let (output, input) = try FileDescriptor.pipe()
      defer {
        try? output.close()
        try? input.close()
      }
      #expect(fcntl(input.rawValue, F_SETFL, O_NONBLOCK) == 0)
      let drain = try LogDrain(RegionName(name), to: .descriptor(input))
      for number in 0..<1500 { try log.write(.info, "x", ["n": .init(number)]) }
      let draining = Task { await code { () throws(LogError) in try await drain.run() } }
      try await eventually { try log.state().drain.staged > 0 }
      draining.cancel()
      #expect(await draining.value?.code == .timedOut)
      drain.close()
      #expect(try log.state().drain.life == .none)
    }
  }
}

private func code<Value>(_ body: () async throws(LogError) -> Value) async -> LogError? {
  do throws(LogError) {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}
