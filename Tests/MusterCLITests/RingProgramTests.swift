// SPDX-License-Identifier: Apache-2.0
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

private struct Show: Decodable {
  struct Ring: Decodable {
    struct Reader: Decodable {
      var process: Int32
      var lag: UInt64
    }

    var mode: String
    var capacity: Int
    var writer: Int32?
    var isWriterDead: Bool
    var records: UInt64
    var readers: [Reader]
  }

  var ring: Ring?
}

private let muster = Program.muster

private func shown(_ name: String) async throws -> Show.Ring? {
  let outcome = try await muster.run("show", name, "--json")
  return outcome.status == 0 ? try outcome.json(Show.self).ring : nil
}

/// A shell script in which `$muster` is the command, `$name` the ring and `$dir` a folder of its own.
private func script(_ name: String, _ lines: String) async throws -> Program.Outcome {
  let before = "set -u; dir=$(mktemp -d) || exit 99; trap 'rm -rf \"$dir\"' EXIT\n"
  return try await Program(path: "/bin/sh").run(
    ["-c", before + lines], environment: ["muster": muster.path, "name": name])
}

@Suite("muster ring, from outside", .serialized)
struct RingProgramTests {
  @Test("put writes its arguments, or the lines of standard input; tail prints them, and ends with the writer")
  func putAndTail() async throws {
    let name = testName("events")
    #expect(try await muster.run("ring", "put", name, "one", "two words", "").status == 0)
    let put = try await script(name, #"printf 'three\n\nfo\tur' | "$muster" ring put "$name""#)
    #expect(put.status == 0, "\(put.errors)")
    let tail = try await muster.run("ring", "tail", name)
    #expect(tail.status == 0)
    #expect(tail.output == "one\ntwo words\n\nthree\n\nfo\\x09ur\n")
    #expect(tail.errors == "muster: \(name): its writer has ended\n")
    #expect(try await muster.run("ring", "tail", name, "-n", "2").output == "one\ntwo words\n")
    let nothing = try await muster.run("ring", "tail", name, "--from", "newest", "--follow", "--timeout", "20ms")
    #expect(nothing.status == 2 && nothing.errors == "muster: \(name): nothing came within 20 ms\n")
    let table = try await muster.run("ls")
    #expect(table.output.split(separator: "\n").contains { $0.hasPrefix("ring ") && $0.hasSuffix(name) })
    let show = try #require(try await shown(name))
    #expect(show.mode == "lossless" && show.capacity == 1 << 20 && show.records == 6)
    #expect(show.writer == nil && show.readers.isEmpty)
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("What is no text is printed in hexadecimal, as it is, or as JSON")
  func styles() async throws {
    let name = testName("binary")
    let put = try await script(name, #"printf '\303\244\n\377\000\n' | "$muster" ring put "$name""#)
    #expect(put.status == 0, "\(put.errors)")
    #expect(try await muster.run("ring", "tail", name).output == "ä\n0xff00\n")
    #expect(try await muster.run("ring", "tail", name, "--hex").output == "c3a4\nff00\n")
    #expect(
      try await muster.run("ring", "tail", name, "--json").output
        == "{\"lost\":0,\"number\":0,\"size\":2,\"text\":\"ä\"}\n{\"hex\":\"ff00\",\"lost\":0,\"number\":1,\"size\":2}\n"
    )
    let raw = try await script(name, #""$muster" ring tail "$name" --raw | od -An -tx1"#)
    #expect(raw.output == " c3 a4 ff 00\n")
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("A killed writer's records come first, then the status says that it died; --follow goes on with the next")
  func death() async throws {
    let name = testName("died")
    let outcome = try await script(
      name,
      #"""
      mkfifo "$dir/lines"
      "$muster" ring put "$name" <"$dir/lines" & writer=$!
      exec 3>"$dir/lines"
      printf 'one\ntwo\n' >&3
      until "$muster" show "$name" 2>/dev/null | grep -q 'records *2 so far'; do :; done
      "$muster" ring put "$name" three; echo "put $?"
      "$muster" show "$name" | grep -q "writer *pid $writer\$" && echo alive
      kill -9 $writer; wait $writer 2>/dev/null
      "$muster" show "$name" | grep -q "writer *pid $writer, dead" && echo dead
      "$muster" ring tail "$name" 2>"$dir/errors"; echo "tail $?"
      grep -q "its writer, pid $writer, died" "$dir/errors" && echo told
      "$muster" ring tail "$name" --follow -n 3 2>/dev/null & follow=$!
      "$muster" ring put "$name" three 2>"$dir/errors"; echo "put $?"
      grep -q "the writer before, pid $writer, died" "$dir/errors" && echo told
      wait $follow; echo "follow $?"
      """#)
    #expect(outcome.status == 0)
    let lines = outcome.output.split(separator: "\n").map(String.init)
    #expect(lines.prefix(7) == ["put 3", "alive", "dead", "one", "two", "tail 3", "told"], "\(outcome)")
    // What both print is mixed.
    #expect(lines.dropFirst(7).sorted() == ["follow 0", "one", "put 0", "three", "told", "two"], "\(outcome)")
    #expect(outcome.errors.contains("\(name): pid ") && outcome.errors.contains(" is its writer"))
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test(
    "A stopped tail holds the writer of a lossless ring; put gives up at its timeout, and a killed tail lets it go on")
  func held() async throws {
    let name = testName("held")
    #expect(try await muster.run("ring", "put", name, "first", "--lossless", "--capacity", "4k").status == 0)
    let tail = try await muster.run("ring", "tail", name, "--follow") { process in
      try await expectEventually {
        try await shown(name)?.readers.contains { $0.process == process && $0.lag == 0 } == true
      }
      kill(process, SIGSTOP)
      let fill = #"yes "$(head -c 500 /dev/zero | tr '\0' x)" | head -n 20 | "$muster" ring put "$name" --timeout 50ms"#
      let stuck = try await script(name, fill)
      #expect(stuck.status == 2)
      #expect(stuck.errors == "muster: \(name): its readers made no room within 50 ms\n")
      let show = try #require(try await shown(name))
      #expect(show.readers.first.map { $0.lag > 2000 } == true)
      kill(process, SIGKILL)
      #expect(try await script(name, fill).status == 0)
    }
    #expect(tail.signal == SIGKILL && tail.output == "first\n")
    let large = try await muster.run("ring", "put", name, String(repeating: "x", count: 1025))
    #expect(large.status == 1 && large.errors == "muster: \(name): a record has 1024 bytes at most here\n")
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("A tail that is overtaken in latest mode tells how many it lost, and that nobody knew of it")
  func losses() async throws {
    let name = testName("lost")
    #expect(try await muster.run("ring", "put", name, "0", "--latest", "--capacity", "4k").status == 0)
    let tail = try await muster.run("ring", "tail", name, "--follow", "-n", "50") { process in
      // It takes no place among the readers; that it has come shows in what it maps.
      try await expectEventually {
        try await script(name, #"grep -q "$name" /proc/\#(process)/maps"#).status == 0
      }
      kill(process, SIGSTOP)
      #expect(try await shown(name)?.readers.isEmpty == true)
      #expect(try await script(name, #"seq 1 5000 | "$muster" ring put "$name""#).status == 0)
      kill(process, SIGCONT)
    }
    #expect(tail.status == 0, "\(tail.errors)")
    // Where it was stopped is not known; that nothing is missing unsaid is.
    let numbers = tail.output.split(separator: "\n").compactMap { Int($0) }
    #expect(numbers.count == 50)
    let lost = tail.errorLines.compactMap { line in
      line.hasSuffix(" lost") ? line.split(separator: " ").compactMap { Int($0) }.first : nil
    }
    let gaps = zip([-1] + numbers, numbers).map { $1 - $0 - 1 }.filter { $0 != 0 }
    #expect(lost == gaps || lost == Array(gaps.dropFirst()), "\(numbers) \(tail.errors)")
    #expect(!gaps.isEmpty)
    #expect(try await muster.run("rm", name).status == 0)
  }

  @Test("A ring in a file")
  func file() async throws {
    let outcome = try await script(
      "x",
      #"""
      "$muster" ring put --file "$dir/ring" one && "$muster" ring put --file "$dir/ring" two &&
        "$muster" ring tail --file "$dir/ring" 2>/dev/null
      """#)
    #expect(outcome.status == 0 && outcome.output == "one\ntwo\n", "\(outcome.errors)")
  }

  @Test(
    "What can't be done is one line and the status 1; a wrong command line 64",
    arguments: [
      (["ring", "tail", "no-such-ring"], 1), (["ring", "put", "a/b", "x"], 1), (["ring", "tail"], 64),
      (["ring", "tail", "x", "--count", "0"], 64), (["ring", "tail", "x", "--raw", "--json"], 64),
      (["ring", "tail", "x", "--from", "middle"], 64), (["ring", "put", "x", "y", "--capacity", "5000"], 64),
      (["ring", "put", "x", "y", "--capacity", "2g"], 64), (["ring", "put", "x", "y", "--lossless", "--latest"], 64),
    ] as [([String], Int32)])
  func wrong(arguments: [String], status: Int32) async throws {
    let outcome = try await muster.run(arguments)
    #expect(outcome.status == status, "\(outcome)")
    #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("muster: "), "\(outcome.errors)")
  }

  @Test("show: a ring whose writer died, and its readers")
  func details() {
    let details = RingDetails(
      mode: "lossless", capacity: 1 << 16, largestRecord: 1 << 14, writer: 77, isWriterDead: true, records: 12,
      position: 2048, readers: [.init(place: 0, process: 100, lag: 0), .init(place: 12, process: 2000, lag: 1536)])
    #expect(
      ObjectDetails.ring(details).lines() == [
        "mode      lossless",
        "bytes     64.0 KiB, records up to 16.0 KiB",
        "writer    pid 77, dead",
        "records   12 so far, 2.0 KiB",
        "",
        "PLACE   PID      LAG",
        "    0   100      0 B",
        "   12  2000  1.5 KiB",
      ])
  }

  @Test("Capacities", arguments: [("4k", 4096), ("65536", 65536), ("1M", 1 << 20), ("1g", 1 << 30)])
  func capacities(text: String, bytes: Int) throws {
    #expect(try CapacityArgument(typed: text).bytes == bytes)
  }

  @Test("Capacities that can't be", arguments: ["", "k", "0", "3k", "2k", "2g", "-4k", "4kk", "99999999999999999999"])
  func impossible(text: String) {
    #expect(throws: (any Error).self) { try CapacityArgument(typed: text) }
  }
}
