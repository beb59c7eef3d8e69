// What may go wrong around a pair, and must not end it.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

@testable import MusterSupervision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("A process pair in trouble", .serialized, .timeLimit(.minutes(3)))
struct PairTroubleTests {
  func endAll(_ pair: PairUnderTest, _ first: ChildProcess) async throws {
    let (primary, _) = try await pair.both()
    kill(primary, SIGTERM)
    _ = try await first.waitForEnd()
    try await pair.gone()
  }

  @Test("Without descriptors for a backup it goes on alone, and has one again when there are some")
  func noDescriptors() async throws {
    try await withPair("few") { pair in
      let few = pair.folder + "/few"
      let first = try pair.start(["pause=2", "to=100000", "few=" + few])
      let (primary, backup) = try await pair.both()
      close(open(few, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
      let count = pair.numbers.count
      try await pair.eventually("it has seen that") { pair.numbers.count > count + 2 }
      kill(backup, SIGKILL)
      try await pair.eventually("it is alone") { pair.told("goes on alone") > 0 }
      unlink(few)
      #expect(try await pair.both().primary == primary)
      try await endAll(pair, first)
      #expect(pair.numbers == Array(1...UInt64(pair.numbers.count)))
    }
  }

  @Test("A reader that does not read holds the primary up, and is no reason for a takeover")
  func slowReader() async throws {
    try await withPair("slow") { pair in
      let fifo = pair.folder + "/fifo"
      #expect(mkfifo(fifo, 0o600) == 0)
      let reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
      var isOpen = true
      defer { if isOpen { close(reader) } }
      let first = try pair.start(
        ["pause=0", "to=1000000", "period=50", "descriptor=9"], through: "exec \"$0\" \"$@\" 9>\"${2%/*}/fifo\"")
      _ = try await pair.both()
      // Numbers of some bytes each fill the 64 KiB of the pipe; then it is at one of them for many beats.
      var (at, since): (UInt64, UInt64) = (0, 0)
      try await pair.eventually("it is held up") {
        guard let status = pair.status(), let looks = status.backup?.looks else { return false }
        if status.tried != at { (at, since) = (status.tried, looks) }
        return at > 5000 && looks > since + 20
      }
      #expect(pair.status()?.epoch == 1)
      // It goes on when somebody reads.
      var bytes = [UInt8](repeating: 0, count: 65536)
      try await pair.eventually("it goes on") {
        while read(reader, &bytes, bytes.count) > 0 {}
        return (pair.status()?.emitted ?? 0) > at + 5000
      }
      #expect(pair.status()?.epoch == 1)
      close(reader)
      isOpen = false
      let end = try await first.waitForEnd()
      #expect(!end.isSuccess)
      try await pair.gone()
      try? Region.remove(RegionName(pair.name), force: true)
    }
  }

  @Test("A descriptor that the numbers go to is the backup's, too, by the same number", arguments: [3, 9])
  func descriptorOutput(number: Int) async throws {
    try await withPair("descriptor\(number)") { pair in
      let first = try pair.start(
        ["pause=2", "to=100000", "descriptor=\(number)"], through: "exec \"$0\" \"$@\" \(number)>>\"$2\"")
      for _ in 0..<2 {
        let (primary, backup) = try await pair.both()
        kill(primary, SIGKILL)
        try await pair.eventually("\(backup) leads") { pair.status()?.primary?.identity.pid == backup }
        let count = pair.numbers.count
        try await pair.eventually("it counts on") { pair.numbers.count > count + 2 }
      }
      try await endAll(pair, first)
      // Each takeover may repeat one.
      var distinct = pair.numbers
      for k in stride(from: distinct.count - 1, to: 0, by: -1) where distinct[k] == distinct[k - 1] {
        distinct.remove(at: k)
      }
      #expect(distinct == Array(1...UInt64(distinct.count)))
      #expect(pair.numbers.count - distinct.count <= 2)
    }
  }

  @Test("Waiting for a backup that a launcher has started takes no processor")
  func launcherEnds() async throws {
    try await withPair("launcher") { pair in
      let first = try pair.start(["pause=1000", "to=100000", "nobody-comes"])
      try await pair.eventually("nobody has come") { pair.told("has not said anything in time") > 0 }
      let fields = pair.contents("/proc/\(first.pid)/stat").split(separator: " ")
      let ticks = try #require(
        fields.count > 14 ? Int(fields[13]).flatMap { a in Int(fields[14]).map { a + $0 } } : nil)
      // Of five seconds.
      #expect(ticks < sysconf(Int32(_SC_CLK_TCK)), "\(ticks) ticks")
      kill(first.pid, SIGTERM)
      _ = try await first.waitForEnd()
      try await pair.gone()
    }
  }

  @Test("With beats a minute apart both end at once, whoever is asked", arguments: [true, false])
  func longPeriod(isPrimary: Bool) async throws {
    try await withPair("minute\(isPrimary)") { pair in
      let first = try pair.start(["pause=3600000", "to=100000", "period=60000"])
      let (primary, backup) = try await pair.both()
      kill(isPrimary ? primary : backup, SIGTERM)
      try await pair.gone()
      _ = try await first.waitForEnd()
      #expect(pair.told("ending terminated(15)") == 1 && pair.told("ending stoodBy") == 1)
    }
  }

  @Test("Who dies between two steps died of none: nothing is suspected")
  func betweenSteps() async throws {
    try await withPair("between") { pair in
      let first = try pair.start(["pause=3600000", "to=100000", "period=200", "tries=1", "stays"])
      for count in 1...3 {
        let (primary, backup) = try await pair.both()
        try await pair.eventually("step \(count) is done") { pair.status()?.emitted == UInt64(count) }
        kill(primary, SIGSTOP)
        try await pair.eventually("\(backup) leads") { pair.status()?.primary?.identity.pid == backup }
      }
      try await endAll(pair, first)
      #expect(pair.numbers == [1, 2, 3, 4] && pair.told("event tries step") == 0)
    }
  }

  @Test(
    "When both are stopped and the primary is killed, the backup, which the kernel hangs up and lets go on, takes over")
  func orphans() async throws {
    try await withPair("orphans") { pair in
      let first = try pair.start(["pause=2", "to=100000"])
      let (primary, backup) = try await pair.both()
      kill(backup, SIGSTOP)
      kill(primary, SIGSTOP)
      try await pair.eventually("both are stopped") {
        [primary, backup].allSatisfy { pair.contents("/proc/\($0)/stat").contains(") T ") }
      }
      kill(primary, SIGKILL)
      try await pair.eventually("\(backup) leads") { pair.status()?.primary?.identity.pid == backup }
      let count = pair.numbers.count
      try await pair.eventually("it counts on") { pair.numbers.count > count + 2 }
      try await endAll(pair, first)
      #expect(pair.numbers == Array(1...UInt64(pair.numbers.count)))
    }
  }

  @Test("A pause that never ends is one")
  func endlessPause() async throws {
    try await withPair("endless") { pair in
      let first = try pair.start(["pause=\(Int64.max)", "to=100"])
      try await endAll(pair, first)
      #expect(pair.numbers == [1] && pair.told("has lost its primary") == 0)
    }
  }

  @Test("Neither process has a second thread")
  func threads() async throws {
    try await withPair("threads") { pair in
      let first = try pair.start(["pause=2", "to=100000"])
      let (primary, backup) = try await pair.both()
      for pid in [primary, backup] { #expect(pair.contents("/proc/\(pid)/status").contains("\nThreads:\t1\n")) }
      try await endAll(pair, first)
    }
  }

  @Test(
    "A backup that was stopped before it said who it is keeps who comes after its primary alone, and no longer",
    arguments: [SIGCONT, SIGKILL])
  func stoppedUnnamed(signal: Int32) async throws {
    try await withPair("unnamed\(signal)") { pair in
      let stops = pair.folder + "/stops"
      close(open(stops, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
      let arguments = ["pause=2", "to=100000", "stops=" + stops]
      let first = try pair.start(arguments)
      var child: Int32 = 0
      try await pair.eventually("its backup is stopped") {
        child = pair.processes().first { $0 != first.pid } ?? 0
        return child != 0 && pair.contents("/proc/\(child)/stat").contains(") T ")
      }
      kill(first.pid, SIGKILL)
      _ = try await first.waitForEnd()
      let second = try pair.start(arguments)
      try await pair.eventually("it is alone, and works") {
        pair.told("goes on alone: somebody has the backup's seat who has not said who it is (fuser /dev/shm/") > 0
          && pair.status()?.primary?.mode == .degraded
      }
      let count = pair.numbers.count
      try await pair.eventually("it counts on") { pair.numbers.count > count + 2 }
      kill(child, signal)
      let (primary, backup) = try await pair.both()
      #expect(primary == second.pid && backup != child)
      #expect(pair.told("\(child) ending stoodBy") == (signal == SIGCONT ? 1 : 0))
      try await endAll(pair, second)
      pair.expectCounted(to: nil)
    }
  }

  @Test(
    "Who is killed between saying that the pair has ended and removing its memory has ended it: nobody goes on from it",
    arguments: [true, false])
  func killedEnding(isStartedAgain: Bool) async throws {
    try await withPair("ending\(isStartedAgain)") { pair in
      let first = try pair.start(["to=5", "dies-ending"])
      #expect(try await first.waitForEnd().cause == .signaled(SIGKILL, coreDumped: false))
      try await pair.gone()
      #expect(pair.status()?.primary?.mode == .ended)
      // Or one that it had just started comes now.
      let late = PairInvitation(launch: 1, pid: first.pid, start: 0, epoch: 1, seat: -1, name: pair.name)
      let second = try pair.start(
        ["to=8"], through: isStartedAgain ? nil : "MUSTER_PAIR='\(late.text)' exec \"$0\" \"$@\"")
      #expect(try await second.waitForEnd().cause == .exited(0))
      try await pair.gone()
      #expect(pair.numbers == Array(1...5) + (isStartedAgain ? Array(1...8) : []))
      #expect(pair.told("\(second.pid) ending stoodBy") == (isStartedAgain ? 0 : 1))
    }
  }

  @Test("Steps without a pause between them are beats as well, and end when they are asked to")
  func noPause() async throws {
    try await withPair("nopause") { pair in
      let first = try pair.start(["to=100000000", "period=20"])
      let (primary, _) = try await pair.both()
      let looks = pair.status()?.backup?.looks ?? 0
      try await pair.eventually("its backup has looked") { pair.status()?.backup?.looks ?? 0 > looks + 10 }
      #expect(pair.status()?.primary?.identity.pid == primary)
      try await endAll(pair, first)
      #expect(pair.told("ending terminated(15)") == 1)
      pair.expectCounted(to: nil)
    }
  }

  @Test("An invitation with another's descriptor for the seat closes nothing")
  func forgedSeat() async throws {
    try await withPair("forged") { pair in
      let first = try pair.start(["pause=2", "to=100000"])
      _ = try await pair.both()
      let invitation = PairInvitation(launch: 1, pid: first.pid, start: 0, epoch: 1, seat: 2, name: pair.name)
      let forged = try pair.start([], through: "MUSTER_PAIR='\(invitation.text)' exec \"$0\" \"$@\"")
      #expect(try await forged.waitForEnd().cause == .exited(0))
      #expect(pair.told("\(forged.pid) ending stoodBy") == 1)
      try await endAll(pair, first)
    }
  }

  @Test("What is no pair's file is told, and nothing is left beside it")
  func noState() async throws {
    try await withPair("nostate") { pair in
      let state = pair.folder + "/state"
      let file = try FileDescriptor.open(
        FilePath(state), .writeOnly, options: [.create, .closeOnExec], permissions: [.ownerReadWrite])
      try file.closeAfter { _ = try file.writeAll("no state\n".utf8) }
      let first = try pair.start(["file=" + state])
      #expect(try await first.waitForEnd().cause == .exited(1))
      #expect(
        pair.told("error Can't open the pair “\(pair.name)”: its state file \(state): ") == 1
          && access(state + ".alive", F_OK) != 0)
      #expect(pair.contents(state) == "no state\n")
    }
  }

  @Test("A first state that can't be kept is told, and nothing is left", arguments: [true, false])
  func badInitial(isTooLarge: Bool) throws {
    let name = "pair-test-\(getpid())-initial\(isTooLarge)"
    var options = ProcessPairOptions()
    options.termination = .ignoredByPair
    let pair = ProcessPair(
      name, initial: [1, 2, 3], capacity: isTooLarge ? 2 : 100, output: NoProcessPairOutput(), options: options,
      accepts: { _ in isTooLarge })
    let error = #expect(throws: ProcessPairError.self) { try pair.run { _, _ in .finish } }
    #expect(error?.code == (isTooLarge ? .tooLarge : .badState))
    #expect(error?.description.contains("has 7 bytes, and there is room for 2 (capacity)") == isTooLarge)
    for end in ["", ".alive"] { #expect(access("/dev/shm/" + name + end, F_OK) != 0) }
    try? Region.remove(RegionName(name), force: true)
    unlink("/dev/shm/\(name).alive")
  }

  @Test("A folder for evidence that has gone meanwhile keeps no backup away")
  func evidenceGone() async throws {
    try await withPair("evidence") { pair in
      let folder = pair.folder + "/evidence"
      #expect(mkdir(folder, 0o700) == 0)
      let first = try pair.start(["skip=" + folder, "pause=5"])
      let before = try await pair.both()
      #expect(rmdir(folder) == 0)
      kill(before.primary, SIGKILL)
      _ = try await first.waitForEnd()
      try await pair.eventually("there is a new backup, or an error") {
        let status = pair.status()
        return status?.backupLife == .alive && status?.backup?.identity.pid != before.backup || pair.told("error ") > 0
      }
      #expect(pair.told("error ") == 0, "\(pair.contents(pair.events))")
      for process in pair.processes() { kill(process, SIGTERM) }
      try await pair.gone()
    }
  }

  @Test("Options that can't be are told, before anything is done")
  func badOptions() {
    func refused(_ name: String = "pair-test-options", _ change: (inout ProcessPairOptions) -> Void) -> Bool {
      var options = ProcessPairOptions()
      change(&options)
      let pair = ProcessPair(name, initial: Number(), output: NoProcessPairOutput(), options: options)
      do throws(ProcessPairError) {
        _ = try pair.run { _, _ in .finish }
        return false
      } catch {
        return error.code == .invalidArgument
      }
    }
    #expect(refused { $0.period = .seconds(Int64.max) })
    #expect(refused { $0.missed = Int.max })
    #expect(refused { $0.retryFirst = .seconds(Int64.max) })
    #expect(refused { $0.retryMost = .seconds(-1) })
    #expect(refused { $0.patience = .zero })
    #expect(refused { $0.escalation.evidence = "/nowhere/at/all" })
    #expect(refused("pair-test\0options") { _ in })
  }
}

private struct Number: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var number: UInt64 = 0
}
