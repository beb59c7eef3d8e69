// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Muster
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
  struct Log: Decodable {
    struct Writer: Decodable {
      var process: Int32?
      var state: String
      var records: UInt64
    }

    struct Drain: Decodable {
      var process: Int32?
      var isDead: Bool
      var records: UInt64
    }

    var places: Int
    var level: String
    var writers: [Writer]
    var drain: Drain
  }

  var log: Log?
}

private let muster = Program.muster

private func shown(_ name: String) async throws -> Show.Log? {
  let outcome = try await muster.run("show", name, "--json")
  return outcome.status == 0 ? try outcome.json(Show.self).log : nil
}

/// A shell script in which `$muster` is the command, `$peer` the tests' peer, `$name` the log and `$dir` a folder of its own.
private func script(_ name: String, _ lines: String) async throws -> Program.Outcome {
  let before = "set -u; dir=$(mktemp -d) || exit 99; trap 'rm -rf \"$dir\"' EXIT\n"
  return try await Program(path: "/bin/sh").run(
    ["-c", before + lines], environment: ["muster": muster.path, "peer": Program.peer.path, "name": name])
}

/// Lends the name of a log, and removes what it left.
private func withLog(_ purpose: String, _ body: (String) async throws -> Void) async throws {
  let name = testName(purpose)
  defer { try? Region.remove(RegionName(name), force: true) }
  try await body(name)
}

/// What stands behind time, level and process.
private func messages(_ outcome: Program.Outcome) -> [String] {
  outcome.output.split(separator: "\n").map { line in
    let parts = line.split(separator: " ", maxSplits: 3)
    return parts.count > 3 ? String(parts[3]) : ""
  }
}

@Suite("muster log, from outside", .serialized)
struct LogProgramTests {
  @Test("put writes its words, or the lines of standard input, with what belongs to them; show prints them")
  func putAndShow() async throws {
    try await withLog("log") { name in
      let id = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
      let put = try await muster.run(
        "log", "put", name, "backup", "done", "--level", "notice", "--tag", "nightly", "--pair", "bytes=17", "--pair",
        "to=a b", "--label", "backup", "--correlation", id)
      #expect(put.status == 0 && put.output.isEmpty && put.errors.isEmpty, "\(put)")
      let lines = try await script(name, #"printf 'one\n\nthr\033ee' | "$muster" log put "$name""#)
      #expect(lines.status == 0, "\(lines.errors)")
      let show = try await muster.run("log", "show", name)
      #expect(
        messages(show) == [
          "backup: backup done bytes=17 to=\"a b\" #nightly {\(id)}", "one", "", "thr\\u001bee",
        ], "\(show.output)")
      #expect(show.output.contains(" notice  "))
      let json = try await muster.run("log", "show", name, "--json", "-n", "4")
      let first = try #require(json.output.split(separator: "\n").first)
      #expect(first.contains(#""fields":{"bytes":17,"to":"a b"}"#) && first.contains(#""level":"notice""#))
      #expect(json.output.split(separator: "\n").count == 4)
      #expect(try await muster.run("log", "show", name, "-n", "1").output.hasSuffix("thr\\u001bee\n"))
      let all = try await muster.run("log", "show", name, "-n", "\(Int.max)")
      #expect(all.status == 0 && messages(all).count == 4, "\(all)")
      let full = try await script(
        name,
        #"""
        "$muster" log show "$name" >/dev/full; echo $?
        "$muster" log tail "$name" --from oldest -n 1 >/dev/full; echo $?
        """#)
      #expect(full.output == "1\n1\n" && full.errors.contains("No space left"), "\(full)")
      let table = try await muster.run("ls")
      #expect(table.output.split(separator: "\n").contains { $0.hasPrefix("log ") && $0.hasSuffix(name) })
      let state = try #require(try await shown(name))
      #expect(state.places == 32 && state.level == "info" && state.writers.map(\.state) == ["left", "left"])
      #expect(state.writers.reduce(0) { $0 + $1.records } == 4 && state.drain.process == nil)
    }
  }

  @Test("Filters: level, tag, process, time, correlation id, label")
  func filters() async throws {
    try await withLog("filters") { name in
      let id = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
      let outcome = try await script(
        name,
        #"""
        "$muster" log put "$name" old --tag a --tag b &&
          "$muster" log put "$name" bad --level error --tag a --label x || exit
        middle=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
        "$muster" log put "$name" new --correlation \#(id) || exit
        process=$("$muster" log show "$name" --json -n 1 | sed 's/.*"pid":\([0-9]*\).*/\1/')
        for filter in --level=warning --tag=a "--tag=a --tag=b" "--since=$middle" "--until=$middle" --since=1h --until=1h \
          "--since=2001-01-01T00:00:00Z" "--correlation=\#(id)" --label=x "--pid=$process"; do
          echo $("$muster" log show "$name" $filter | sed 's/.* \([a-z]*\)\( #.*\| {.*\|\)$/\1/')
        done
        """#)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(
        outcome.output
          == "bad\nold bad\nold\nnew\nold bad\nold bad new\n\nold bad new\nnew\nbad\nnew\n", "\(outcome)")
    }
  }

  @Test("The level holds for all, and can be set from outside")
  func level() async throws {
    try await withLog("level") { name in
      let dropped = try await muster.run("log", "put", name, "dropped", "--level", "debug")
      #expect(dropped.status == 0)
      #expect(try await muster.run("log", "level", name).output == "info\n")
      #expect(try await muster.run("log", "level", name, "debug").output.isEmpty)
      #expect(try await muster.run("log", "level", name).output == "debug\n")
      #expect(try await muster.run("log", "put", name, "taken", "--level", "debug").status == 0)
      #expect(try await muster.run("log", "level", name, "OFF").status == 0)
      #expect(try await muster.run("log", "put", name, "dropped", "--level", "critical").status == 0)
      #expect(messages(try await muster.run("log", "show", name)) == ["taken"])
    }
  }

  @Test("tail prints what comes, across the death of a writer, whose last records are there")
  func tail() async throws {
    try await withLog("tail") { name in
      #expect(try await muster.run("log", "put", name, "before").status == 0)
      let nothing = try await muster.run("log", "tail", name, "--timeout", "20ms")
      #expect(nothing.status == 2 && nothing.errors == "muster: \(name): nothing came within 20 ms\n", "\(nothing)")
      #expect(messages(try await muster.run("log", "tail", name, "--from", "oldest", "-n", "1")) == ["before"])
      let outcome = try await script(
        name,
        #"""
        : >"$dir/tail"
        "$muster" log tail "$name" --from oldest -n 1000000 >>"$dir/tail" & tail=$!
        until grep -q ' before$' "$dir/tail"; do :; done
        "$peer" keep-logging "$name" & peer=$!
        until [ "$(wc -l <"$dir/tail")" -gt 500 ]; do :; done
        kill -9 $peer; wait $peer 2>/dev/null
        "$muster" log put "$name" end
        until tail -n 1 "$dir/tail" | grep -q ' end$'; do :; done
        kill $tail; wait $tail 2>/dev/null
        last=$("$muster" log show "$name" --pid $peer | tail -n 1)
        tail -n 2 "$dir/tail" | head -n 1 | grep -qxF -- "$last" && echo same
        head -n 1 "$dir/tail" | grep -o 'before$'
        "$muster" show "$name" | grep -o " dead *$peer"
        """#)
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.count == 3 && lines.first == "same" && lines[1] == "before", "\(outcome)")
      #expect(lines.last?.hasPrefix(" dead ") == true)
    }
  }

  @Test("drain writes until a signal, and then what is left, into files that rotate; a killed one is gone on for")
  func drain() async throws {
    try await withLog("drain") { name in
      let outcome = try await script(
        name,
        #"""
        "$muster" log put "$name" x
        drain() { exec "$muster" log drain "$name" --folder "$dir" --prefix app --rotate-size 2k --keep 50; }
        lines() { cat "$dir"/app-*.log 2>/dev/null | wc -l; }
        drain & drain=$!
        until [ "$(lines)" = 1 ]; do :; done
        "$muster" log drain "$name" 2>"$dir/errors"; echo "second $?"
        grep -q "pid $drain drains it" "$dir/errors" && echo told
        seq 1 60 | "$muster" log put "$name"
        kill -9 $drain; wait $drain 2>/dev/null
        "$muster" show "$name" | grep -q "drain *pid $drain, dead" && echo dead
        seq 61 120 | "$muster" log put "$name"
        drain & drain=$!
        until [ "$(lines)" -ge 100 ]; do :; done
        seq 121 200 | "$muster" log put "$name"
        kill -TERM $drain; wait $drain; echo "ended $?"
        seq 1 200 | tr '\n' ' ' >"$dir/expected"
        cat "$dir"/app-*.log | sed 's/.* //' | tail -n +2 | tr '\n' ' ' | cmp - "$dir/expected" && echo all
        [ "$(ls "$dir"/app-*.log | wc -l)" -gt 3 ] && echo rotated
        [ "$(cat "$dir/app.log")" = "$(cat "$(ls "$dir"/app-*.log | tail -n 1)")" ] && echo led
        """#)
      #expect(
        outcome.output == "second 3\ntold\ndead\nended 0\nall\nrotated\nled\n", "\(outcome)")
    }
  }

  @Test("drain to standard output: once, or until a signal; nobody reading it is no failure, a full disk is told")
  func drainToOutput() async throws {
    try await withLog("output") { name in
      let outcome = try await script(
        name,
        #"""
        seq 1 3 | "$muster" log put "$name"
        "$muster" log drain "$name" --once | sed 's/.* //' | tr '\n' ' '
        "$muster" log drain "$name" --once | wc -l
        "$muster" log put "$name" bad --level error; "$muster" log put "$name" good
        "$muster" log drain "$name" --json --level warning >"$dir/json" & drain=$!
        until [ -s "$dir/json" ]; do :; done
        kill $drain; wait $drain; echo "ended $?"
        grep -c '"message":"bad"' "$dir/json"
        "$muster" log put "$name" unread
        mkfifo "$dir/pipe"; exec 4<>"$dir/pipe" 5>"$dir/pipe" 4>&-
        "$muster" log drain "$name" --once >&5; echo "unread $?"
        exec 5>&-
        "$muster" log drain "$name" --once >/dev/full; echo "full $?"
        : >"$dir/errors"
        "$muster" log drain "$name" >/dev/full 2>>"$dir/errors" & drain=$!
        until grep -q 'No space.*trying again' "$dir/errors"; do :; done
        kill -TERM $drain; wait $drain; echo "full $?"
        "$muster" log drain "$name" --once | sed 's/.* //'
        """#)
      #expect(
        outcome.output == "1 2 3 0\nended 0\n1\nunread 0\nfull 1\nfull 1\nunread\n", "\(outcome)")
      #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
    }
  }

  @Test("Ctrl-C ends a drain as well, with what was written just before", arguments: [SIGINT, SIGHUP])
  func interrupted(signal: Int32) async throws {
    try await withLog("interrupted") { name in
      let log = try Log(RegionName(name))
      let drain = try await muster.run("log", "drain", name) { process in
        try await expectEventually {
          try await shown(name)?.drain.process == process
        }
        for number in 0..<100 { try log.write(.info, "\(number)", file: "", function: "") }
        kill(process, signal)
      }
      #expect(drain.status == 0 && messages(drain) == (0..<100).map { "\($0)" }, "\(drain)")
    }
  }

  @Test("Colour on a terminal, unless NO_COLOR is set")
  func colour() async throws {
    try await withLog("colour") { name in
      let outcome = try await script(
        name,
        #"""
        "$muster" log put "$name" bad --level error
        export TERM=xterm
        script -qec "'$muster' log show $name" /dev/null </dev/null | grep -c "$(printf '\033')\[31merror"
        NO_COLOR=1 script -qec "'$muster' log show $name" /dev/null </dev/null | grep -c "$(printf '\033')"
        "$muster" log show "$name" | grep -c "$(printf '\033')"
        """#)
      #expect(outcome.output == "1\n0\n0\n", "\(outcome)")
    }
  }

  @Test("A log in a file")
  func file() async throws {
    let outcome = try await script(
      "x", #""$muster" log put --file "$dir/log" one && "$muster" log show --file "$dir/log""#)
    #expect(outcome.status == 0 && messages(outcome) == ["one"], "\(outcome)")
  }

  @Test("A place that is corrupt is told, and the others are shown")
  func corruptPlace() async throws {
    let path = "/tmp/" + testName("corrupt")
    defer { unlink(path) }
    for word in ["one", "two"] {
      #expect(try await muster.run("log", "put", "--file", path, word).status == 0)
    }
    // The head of the first place's ring.
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let magic = Array("MSGRING".utf8)
    let head = try #require(bytes.indices.first { bytes[$0...].starts(with: magic) })
    bytes[head] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    let show = try await muster.run("log", "show", "--file", path)
    #expect(
      show.status == 0 && messages(show) == ["place 0 of the log is corrupt: nothing more is read there", "two"],
      "\(show)")
  }

  @Test(
    "What can't be done is one line and the status 1; a wrong command line 64",
    arguments: [
      (["log", "show", "no-such-log"], 1), (["log", "drain", "no-such-log"], 1), (["log", "put", "a/b", "x"], 1),
      (["log", "level", "no-such-log"], 1), (["log", "tail"], 64), (["log", "tail", "x", "-n", "0"], 64),
      (["log", "show", "x", "--level", "loud"], 64), (["log", "show", "x", "--since", "noon"], 64),
      (["log", "show", "x", "--correlation", "1"], 64), (["log", "put", "x", "y", "--pair", "z"], 64),
      (["log", "put", "x", "y", "--level", "off"], 64), (["log", "drain", "x", "--keep", "3"], 64),
      (["log", "drain", "x", "--folder", "/", "--rotate-every", "1ms"], 64), (["log", "level", "x", "loud"], 64),
      (["log", "drain", "x", "--folder", "/", "--prefix", "a/b"], 64), (["log", "drain", ".x", "--folder", "/"], 64),
    ] as [([String], Int32)])
  func wrong(arguments: [String], status: Int32) async throws {
    let outcome = try await muster.run(arguments)
    #expect(outcome.status == status, "\(outcome)")
    #expect(outcome.errorLines.count == 1 && outcome.errors.hasPrefix("muster: "), "\(outcome.errors)")
  }

  @Test("show: a log whose drain died")
  func details() {
    let drain = LogDetails.Drain(
      process: 77, isDead: true, records: 1, lost: 3, file: 4, length: 2048, staged: 100)
    var details = LogDetails(
      places: 32, bytes: 1 << 16, largestRecord: 1 << 14, level: "info", drain: drain,
      writers: [
        .init(place: 0, state: "alive", process: 100, records: 12, idle: 3_000_000_000),
        .init(place: 3, state: "dead", process: nil, records: 7, idle: 0),
      ])
    #expect(
      ObjectDetails.log(details).lines() == [
        "places    32 of 64.0 KiB, records up to 16.0 KiB",
        "level     info",
        "writers   1",
        "records   19 so far",
        "drain     pid 77, dead",
        "drained   1 record, 3 lost, file 4 with 2.0 KiB, 100 B not written yet",
        "",
        "PLACE  STATE  PID  RECORDS  IDLE",
        "    0  alive  100       12   3 s",
        "    3  dead     -        7   0 s",
      ])
    details.writers = []
    #expect(details.lines().last == "nobody has logged")
  }

  @Test("Times and pairs as they are typed")
  func arguments() throws {
    #expect(try TimeArgument(typed: "10m") == .ago(600_000_000_000))
    #expect(try TimeArgument(typed: "1970-01-02T00:00:00.000000007Z") == .at(86_400_000_000_007))
    #expect(try TimeArgument(typed: "1970-01-01T01:00:00+01:00") == .at(0))
    #expect(TimeArgument.ago(5).duration(now: 12) == .nanoseconds(7))
    for wrong in ["", "noon", "12:00", "2026-13-01T00:00:00Z"] {
      #expect(throws: (any Error).self) { try TimeArgument(typed: wrong) }
    }
    #expect(try PairArgument(typed: "n=-5").value == .int(-5))
    for (typed, text) in [("a=007", "007"), ("a=", ""), ("a=x=y", "x=y"), ("a=1.5", "1.5")] {
      #expect(try PairArgument(typed: typed).value == .string(text))
    }
    #expect(try SizeArgument(typed: "10m").bytes == 10 << 20)
    for wrong in ["", "m", "0", "-1", "1t"] { #expect(throws: (any Error).self) { try SizeArgument(typed: wrong) } }
  }
}
