// SPDX-License-Identifier: Apache-2.0
import Muster
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

private struct Queue: Decodable {
  struct Entry: Decodable {
    var id: String
    var state: String
    var level: Int
    var attempts: Int
    var process: Int32?
    var text: String?
    var hex: String?
  }

  var jobs: Int
  var jobSize: Int
  var isFinished: Bool
  var queued: Int
  var taken: Int
  var aside: Int
  var ended: Int
  var put: UInt64
  var living: Int
  var entries: [Entry]
}

private let muster = Program.muster

private func shown(_ name: String) async throws -> Queue {
  try await muster.run("queue", "show", name, "--json").json(Queue.self)
}

/// A shell script in which `$muster` is the command, `$name` the queue and `$dir` a folder of its own.
private func script(_ name: String, _ lines: String) async throws -> Program.Outcome {
  let before = "set -u; dir=$(mktemp -d) || exit 99; trap 'rm -rf \"$dir\"' EXIT\n"
  return try await Program(path: "/bin/sh").run(
    ["-c", before + lines], environment: ["muster": muster.path, "name": name])
}

/// Lends a test a name, and looks that nothing of it is left.
private func withQueue(_ purpose: String, _ body: (String) async throws -> Void) async throws {
  let name = testName(purpose)
  do {
    defer { try? Region.remove(RegionName(name), force: true) }
    try await body(name)
  }
  expectNothingLeft(name)
}

@Suite("muster queue, from outside", .serialized, .timeLimit(.minutes(3)))
struct QueueProgramTests {
  @Test("put takes arguments or lines; take prints them by level and in order, and ends when the queue is finished")
  func putAndTake() async throws {
    try await withQueue("list") { name in
      #expect(try await muster.run("queue", "take", name).errors == "muster: \(name): no such queue\n")
      #expect(try await muster.run("queue", "put", name, "--level", "2", "last").status == 0)
      let put = try await script(name, #"printf 'one\n\ntwo words' | "$muster" queue put "$name""#)
      #expect(put.status == 0, "\(put.errors)")
      let once = try await muster.run("queue", "take", name, "--once")
      #expect(once.status == 0 && once.output == "one\n")
      let some = try await muster.run("queue", "take", name, "--timeout", "20ms")
      #expect(some.status == 2 && some.output == "\ntwo words\nlast\n")
      #expect(some.errors == "muster: \(name): no job came within 20 ms\n")
      #expect(try await muster.run("queue", "take", name, "--timeout", "0").status == 2)
      let zeros = try await script(name, #"printf 'a\nb\0c\0' | "$muster" queue put "$name" -0 --finish"#)
      #expect(zeros.status == 0, "\(zeros.errors)")
      let late = try await muster.run("queue", "put", name, "x")
      #expect(late.status == 4 && late.errors.contains("it is finished; muster queue reopen lets more be put"))
      let rest = try await script(name, #""$muster" queue take "$name" -0 | tr '\0\n' '!_'"#)
      #expect(rest.output == "a_b!c!")
      #expect(try await muster.run("queue", "take", name).status == 4)
      #expect(try await muster.run("queue", "reopen", name).status == 0)
      #expect(try await muster.run("queue", "put", name, "x").status == 0)
      let table = try await muster.run("ls")
      #expect(table.output.split(separator: "\n").contains { $0.hasPrefix("queue ") && $0.hasSuffix(name) })
      let region = try await muster.run("show", name)
      #expect(region.output.contains("\njobs      1 queued, 0 taken, 0 aside\n"), "\(region.output)")
    }
  }

  @Test("What is asked for is refused where it can't be: sizes, levels, room, numbers of a queue that is there")
  func refusals() async throws {
    try await withQueue("small") { name in
      let shape = ["--size", "4", "--jobs", "1", "--levels", "2", "--members", "1"]
      #expect(try await muster.run(["queue", "put", name, "abcd"] + shape).status == 0)
      let long = try await muster.run("queue", "put", name, "abcde")
      #expect(long.status == 1 && long.errors == "muster: \(name): a job has 4 bytes at most here\n")
      let level = try await muster.run("queue", "put", name, "a", "--level", "2")
      #expect(level.status == 1 && level.errors == "muster: \(name): there is no level 2 here\n")
      let full = try await muster.run("queue", "put", name, "a", "--timeout", "10ms")
      #expect(full.status == 2 && full.errors == "muster: \(name): there was no room within 10 ms\n")
      #expect(try await muster.run("queue", "put", name, "a", "--jobs", "2").status == 1)
      for size in ["0", "-1", "1073741825", "1025m", "2g", "\(Int.max)g"] {
        let wrong = try await muster.run("queue", "put", name, "a", "--size=\(size)")
        #expect(wrong.status == 64 && wrong.errors.contains("a number of bytes from 1 to 1g"), "\(size): \(wrong)")
      }
      for wrong in [["--jobs", "0"], ["--levels", "17"], ["--size", "x"], ["--level", "16"], ["--members", "257"]] {
        #expect(try await muster.run(["queue", "put", name, "a"] + wrong).status == 64)
      }
      #expect(try await muster.run("queue", "retry", name).status == 64)
      #expect(try await muster.run("queue", "drop", name, "one").status == 64)
      let queue = try await shown(name)
      #expect(queue.jobs == 1 && queue.jobSize == 4 && queue.put == 1 && queue.queued == 1)
    }
  }

  @Test("A command has its job on standard input, in variables and in its arguments")
  func command() async throws {
    try await withQueue("command") { name in
      let outcome = try await script(
        name,
        #"""
        "$muster" queue put "$name" 'a  b' '$x{}"' --level 1 --finish
        "$muster" queue take "$name" -- sh -c 'printf "%s|" "$1" "$2" "$MUSTER_JOB" "$MUSTER_JOB_ATTEMPT" \
          "$MUSTER_JOB_LEVEL" "$MUSTER_QUEUE"; cat; echo' 0 '<{}{}>' '{'; echo $?
        """#)
      #expect(
        outcome.output == """
          <a  ba  b>|{|a  b|1|1|\(name)|a  b
          <$x{}"$x{}">|{|$x{}"|1|1|\(name)|$x{}"

          """ + "4\n", "\(outcome.errors)")
      // Signals are as they were for muster, whatever its threads block.
      let signals = try await script(
        name,
        #"""
        "$muster" queue reopen "$name" && "$muster" queue put "$name" x --finish
        "$muster" queue take "$name" -- grep '^SigBlk' /proc/self/status >"$dir/taken"
        grep '^SigBlk' /proc/self/status | cmp - "$dir/taken" && echo same
        """#)
      #expect(signals.output == "same\n", "\(signals)")
      // A zero byte comes by standard input alone.
      let zero = try await script(
        name,
        #"""
        "$muster" queue reopen "$name"
        printf 'x\0y\nz\n' | "$muster" queue put "$name" --finish
        "$muster" queue take "$name" --once -- sh -c 'echo ${MUSTER_JOB-none}; od -An -tx1'
        "$muster" queue reopen "$name"
        printf 'x\0y\n' | "$muster" queue put "$name" --finish
        "$muster" queue take "$name" -- echo {} 2>"$dir/errors"; echo $?
        grep -q 'zero byte.*set aside' "$dir/errors" && echo told
        """#)
      #expect(zero.output == "none\n 78 00 79\nz\n4\ntold\n", "\(zero.errors)")
      let queue = try await shown(name)
      #expect(queue.aside == 1 && queue.entries.first?.text == "x\0y")
    }
  }

  @Test("A job is set aside when it is itself too long for an argument, not when its command is")
  func tooLong() async throws {
    try await withQueue("too-long") { name in
      let command = try await script(
        name,
        #"""
        "$muster" queue put "$name" "a job of more bytes than are free in the argument" --size 400k --jobs 4
        exec "$muster" queue take "$name" -- true "$(head -c 131060 /dev/zero | tr '\0' x){}"
        """#)
      #expect(command.status == 126 && command.output.isEmpty)
      #expect(command.errors == "muster: true: its arguments and the environment are too long, whatever the job\n")
      let left = try await shown(name)
      #expect(left.entries.map(\.state) == ["queued"] && left.entries.map(\.attempts) == [0])
      let job = try await script(
        name,
        #"""
        "$muster" queue take "$name" --once >/dev/null
        head -c 300000 /dev/zero | tr '\0' x | "$muster" queue put "$name"
        "$muster" queue take "$name" --once -- true {}; echo $?
        """#)
      #expect(job.output == "3\n" && job.errors.hasSuffix("it is too long for the arguments of a command; set aside\n"))
      #expect(try await shown(name).entries.map(\.state) == ["aside"])
    }
  }

  @Test("Standard streams that are closed are not taken for what is opened, neither here nor by the command")
  func closedStreams() async throws {
    try await withQueue("closed") { name in
      let outcome = try await script(
        name,
        #"""
        "$muster" queue put "$name" job --finish
        "$muster" queue take "$name" -- sh -c 'streams=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); cat >"$0"
          echo "$streams" >>"$0"' "$dir/seen" <&- >&- 2>&-; echo $?
        cat "$dir/seen"
        "$muster" queue put "$name" <&-; echo $?
        "$muster" queue show "$name" >&-; echo $?
        """#)
      #expect(outcome.output == "4\njob/dev/null\n/dev/null\n1\n1\n", "\(outcome)")
      #expect(
        outcome.errors == """
          muster: standard input: Bad file descriptor
          muster: standard output: Bad file descriptor

          """)
    }
  }

  @Test("A job longer than a pipe comes whole, and a command that reads nothing holds nobody up")
  func long() async throws {
    try await withQueue("long") { name in
      let outcome = try await script(
        name,
        #"""
        head -c 300000 /dev/zero | tr '\0' x | "$muster" queue put "$name" --size 400k --jobs 2 --finish
        "$muster" queue take "$name" --once -- sh -c 'exit 1' 2>/dev/null; echo $?
        "$muster" queue take "$name" --once -- sh -c 'wc -c; echo ${MUSTER_JOB-none} $MUSTER_JOB_ATTEMPT' ; echo $?
        "$muster" queue take "$name"; echo $?
        """#)
      #expect(outcome.output == "3\n300000\nnone 2\n0\n4\n", "\(outcome.errors)")
    }
  }

  @Test("A command that fails is tried again, then its job is set aside; retry and drop see to it; show tells")
  func failures() async throws {
    try await withQueue("failing") { name in
      let work = try await script(
        name,
        #"""
        "$muster" queue put "$name" good bad worse --attempts 2 --finish
        "$muster" queue take "$name" -- sh -c 'echo "$MUSTER_JOB $MUSTER_JOB_ATTEMPT"; \
          case $MUSTER_JOB in bad) exit 7;; worse) kill -9 $$;; esac'; echo $?
        """#)
      #expect(work.output == "good 1\nbad 1\nbad 2\nworse 1\nworse 2\n4\n")
      #expect(work.errorLines.count == 4, "\(work.errors)")
      #expect(work.errorLines.first?.hasSuffix("exit status 7 at attempt 1") == true)
      #expect(work.errorLines.last?.hasSuffix("killed by signal 9 at attempt 2") == true)
      let queue = try await shown(name)
      #expect(queue.aside == 2 && queue.isFinished && Set(queue.entries.map(\.text)) == ["bad", "worse"])
      #expect(queue.entries.allSatisfy { $0.state == "aside" && $0.attempts == 2 && $0.process == nil })
      let table = try await muster.run("queue", "show", name, "--limit", "1")
      #expect(table.output.contains("jobs      0 queued, 0 taken, 2 aside; finished\n"), "\(table.output)")
      #expect(table.output.contains("\(queue.entries[0].id)") && table.output.hasSuffix("and 1 more\n"))
      #expect(try await muster.run("queue", "retry", name, "--all").status == 4)
      #expect(try await muster.run("queue", "reopen", name).status == 0)
      let retry = try await muster.run("queue", "retry", name, queue.entries[0].id)
      #expect(retry.status == 0 && retry.output == "1 queued again\n")
      let stale = try await muster.run("queue", "drop", name, queue.entries[0].id, queue.entries[1].id)
      #expect(stale.status == 3 && stale.output == "1 dropped\n")
      #expect(stale.errors == "muster: \(name): \(queue.entries[0].id): no such job\n")
      let left = try await shown(name)
      #expect(left.entries.map(\.state) == ["queued"] && left.entries[0].attempts == 0)
      let queued = try await muster.run("queue", "drop", name, left.entries[0].id)
      #expect(queued.status == 3 && queued.errors == "muster: \(name): \(left.entries[0].id): not set aside\n")
      for (command, status): (String, Int32) in [("no-such-command", 127), ("/etc/passwd", 126)] {
        #expect(try await muster.run("queue", "take", name, "--", command).status == status)
      }
      #expect(try await shown(name).entries.map(\.attempts) == [0])
      #expect(try await muster.run("queue", "take", name, "--once", "--", "true").status == 0)
    }
  }

  @Test("A killed worker's job goes back by its death, and nothing that its command has begun goes on")
  func killed() async throws {
    try await withQueue("killed") { name in
      #expect(try await muster.run("queue", "put", name, "job").status == 0)
      // A shell, a child of it in the background, and one that it waits for.
      let words = ["queue", "take", name, "--", "sh", "-c", "sleep 600 & sleep 601; true"]
      let tag = "\(name)-worker"
      let worker = try await muster.run(words, environment: ["MUSTER_TEST_TAG": tag]) { process in
        try await expectEventually { descendants(tag).count == 5 }
        let queue = try await shown(name)
        #expect(queue.taken == 1 && queue.entries.first?.process == process)
        kill(process, SIGKILL)
        try await expectEventually { descendants(tag).isEmpty }
      }
      #expect(worker.signal == SIGKILL)
      let next = try await muster.run(
        "queue", "take", name, "--once", "--", "sh", "-c", "echo $MUSTER_JOB $MUSTER_JOB_ATTEMPT")
      #expect(next.status == 0 && next.output == "job 2\n")
    }
  }

  @Test(
    "A signal is passed on, and puts the job back uncounted; a command that does not care is killed by the next one",
    arguments: [SIGINT, SIGTERM, SIGHUP])
  func signals(number: Int32) async throws {
    try await withQueue("signal\(number)") { name in
      #expect(try await muster.run("queue", "put", name, "job").status == 0)
      let heard = "/tmp/\(name)-heard"
      defer { unlink(heard) }
      for command in ["sleep 600; true", "trap ': >\(heard)' INT TERM HUP; while :; do sleep 0.01; done"] {
        let tag = "\(name)-worker"
        let worker = try await muster.run(
          ["queue", "take", name, "--", "sh", "-c", command], environment: ["MUSTER_TEST_TAG": tag]
        ) { process in
          try await expectEventually { descendants(tag).count >= 4 }
          kill(process, number)
          if command.hasPrefix("trap") {
            try await expectEventually { access(heard, F_OK) == 0 }
            kill(process, number)
          }
        }
        #expect(worker.signal == number, "\(worker)")
        // The guard kills the group as soon as the kernel has told it.
        try await expectEventually { descendants(tag).isEmpty }
        let queue = try await shown(name)
        #expect(queue.entries.map(\.state) == ["queued"] && queue.entries.map(\.attempts) == [0])
      }
      // One that ends well all the same has done it.
      let tag = "\(name)-worker"
      let polite = "trap 'exit 0' INT TERM HUP; while :; do sleep 0.01; done"
      let worker = try await muster.run(
        ["queue", "take", name, "--", "sh", "-c", polite], environment: ["MUSTER_TEST_TAG": tag]
      ) { process in
        try await expectEventually { descendants(tag).count >= 4 }
        kill(process, number)
      }
      #expect(worker.signal == number)
      #expect(try await shown(name).entries.isEmpty)
      // One that waits for a job ends too.
      let waiting = try await muster.run("queue", "take", name) { process in
        try await expectEventually { try await shown(name).living == 1 }
        kill(process, number)
      }
      #expect(waiting.signal == number)
    }
  }

  @Test("Workers that are killed all the time do every job")
  func everyJob() async throws {
    try await withQueue("crew") { name in
      let outcome = try await script(
        name,
        #"""
        seq 1 60 | "$muster" queue put "$name" --attempts 0 --finish || exit 1
        mkdir "$dir/done"
        worker() {
          exec "$muster" queue take "$name" -- \
            sh -c 'until [ -e "$1/go" ]; do sleep 0.01; done; sleep 0.02; : >"$1/done/$MUSTER_JOB"' 0 "$dir"
        }
        for k in 1 2 3; do (until (worker); [ $? = 4 ]; do :; done) 2>/dev/null & done
        n=0
        while [ $n -lt 12 ] && ! "$muster" queue show "$name" | grep -q '^jobs *0 queued, 0 taken'; do
          victim=$("$muster" queue show "$name" --json | sed -n 's/.*"process" : \([0-9]*\).*/\1/p' | head -n 1)
          [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null && n=$((n + 1)) && : >"$dir/go"
        done
        wait
        echo "killed $n"
        ls "$dir/done" | sort -n | tr '\n' ' '
        """#)
      let lines = outcome.output.split(separator: "\n")
      #expect(lines.last.map(String.init) == (1...60).map { "\($0) " }.joined(), "\(outcome)")
      #expect(lines.first != "killed 0")
      let queue = try await shown(name)
      #expect(queue.entries.isEmpty && queue.put == 60)
    }
  }

  @Test("What is printed is done when it was written, and goes back when nobody reads")
  func brokenPipe() async throws {
    try await withQueue("pipe") { name in
      let outcome = try await script(
        name,
        #"""
        "$muster" queue put "$name" </dev/null
        mkfifo "$dir/pipe"
        ("$muster" queue take "$name" >"$dir/pipe"; echo "take $?" >"$dir/status") &
        exec 3<"$dir/pipe"
        "$muster" queue put "$name" one two
        read -r line <&3; read -r line2 <&3
        exec 3<&-
        "$muster" queue put "$name" three
        wait
        cat "$dir/status"; echo "$line $line2"
        """#)
      #expect(outcome.output == "take 1\none two\n", "\(outcome)")
      let queue = try await shown(name)
      #expect(queue.entries.map(\.text) == ["three"] && queue.entries.map(\.attempts) == [0])
    }
  }
}

/// The processes, zombies left out, whose environment has the tag.
private func descendants(_ tag: String) -> [Int32] {
  let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
  return all.compactMap { Int32($0) }.filter { process in
    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/environ") else { return false }
    return data.split(separator: 0).contains { $0.elementsEqual("MUSTER_TEST_TAG=\(tag)".utf8) }
  }
}
