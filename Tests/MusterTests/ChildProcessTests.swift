// Starting programs: what they get, how they end, what starting them fails at.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("ChildProcess", .timeLimit(.minutes(1)))
struct ChildProcessTests {
  @Test("How it ended is told, again and again, with what it has used")
  func ends() async throws {
    let first = try ChildProcess(shell("exit 7"))
    let end = try await first.waitForEnd()
    #expect(end.cause == .exited(7) && !end.isSuccess && "\(end)" == "exited with 7")
    #expect(try #require(end.usage).memoryPeak > 100_000)
    #expect(try await first.waitForEnd() == end)
    #expect(try first.endIfEnded() == end)
    let second = try ChildProcess(shell("kill -KILL $$"))
    #expect(try await second.waitForEnd().cause == .signaled(SIGKILL, coreDumped: false))
    #expect("\(try await second.waitForEnd())" == "killed by SIGKILL")
    #expect(try await ChildProcess(shell("true")).waitForEnd().isSuccess)
  }

  @Test("It is signalled while it lives, and not afterwards")
  func signals() async throws {
    let child = try ChildProcess(shell("exec sleep 1000"))
    #expect(try child.endIfEnded() == nil)
    try child.signal(0)
    #expect(await processError { () throws(ProcessError) in try child.signal(1000) }?.code == .invalidArgument)
    let identity = try child.identity()
    #expect(identity.pid == child.pid && identity.start > 0)
    #expect(try child.sample().threads == 1)
    try child.signal(SIGTERM)
    #expect(try await child.waitForEnd().cause == .signaled(SIGTERM, coreDumped: false))
    #expect(await processError { () throws(ProcessError) in try child.signal(SIGTERM) }?.code == .ended)
    #expect(await processError { () throws(ProcessError) in _ = try child.sample() }?.code == .ended)
    child.close()
    child.close()
    #expect(await processError { () throws(ProcessError) in try child.signal(0) }?.code == .closed)
    #expect(await processError { () throws(ProcessError) in try await child.waitForEnd() }?.code == .closed)
  }
}

@Suite("ChildProcess: what it gets", .timeLimit(.minutes(1)))
struct ChildProcessSurroundingsTests {
  @Test("Arguments as bytes, its name, its folder, its umask, its limits, its niceness")
  func options() async throws {
    try await withFolder { folder in
      var configuration = shell("")
      let script = "pwd -P; echo $0; printf %s \"$1\" | od -An -tx1; umask; ulimit -n; ulimit -c; nice"
      configuration.arguments = ChildProcess.Arguments(
        bytes: [Array("-c".utf8), Array(script.utf8), Array("zero".utf8), [0xff, 0x20, 0x0a]])
      configuration.folder = folder
      configuration.umask = [.groupReadWriteExecute, .otherRead]
      configuration.limits = [.init(.openFiles, soft: 37, hard: 41), .init(.coreSize, 0)]
      configuration.niceness = 3
      let (text, end) = try await output(of: configuration)
      #expect(end == .exited(0))
      let lines = text.split(separator: "\n").map(String.init)
      #expect(
        lines == [folder.string, "zero", " ff 20 0a", "0074", "37", "0", "\(nice(0) + 3)"])
    }
  }

  @Test("An environment that is changed, or other")
  func environment() async throws {
    let script = "echo ${HOME-none} ${PATH:+path} ${MUSTER_TEST_A-none} ${MUSTER_TREE:+marked}"
    var configuration = shell(script)
    configuration.environment = .changed(["HOME": nil, "MUSTER_TEST_A": "a=b c"])
    #expect(try await output(of: configuration).text == "none path a=b c marked\n")
    configuration.environment = .exactly(["MUSTER_TEST_A": "x"])
    configuration.isMarked = false
    let (text, _) = try await output(of: configuration)
    // A shell without a PATH has one of its own.
    #expect(text == "none path x\n" || text == "none x\n")
    configuration.arguments = ["-c", "printenv MUSTER_TEST_A | od -An -tx1"]
    configuration.environment = .entries([Array("MUSTER_TEST_A=".utf8) + [0xfe], Array("PATH=/usr/bin:/bin".utf8)])
    #expect(try await output(of: configuration).text == " fe 0a\n")
  }

  @Test("Streams, further descriptors, and no others")
  func descriptors() async throws {
    let (reading, writing) = try pipe()
    defer { try? reading.close() }
    // Not close-on-exec, as of a library that knows no better.
    let leak = try FileDescriptor.open("/dev/null", .readOnly, options: [])
    defer { try? leak.close() }
    _ = fcntl(leak.rawValue, F_SETFD, 0)
    var configuration = shell("echo to seven >&7; exec ls /proc/self/fd")
    configuration.descriptors = [7: writing]
    configuration.error = .null
    // 3 is the folder that ls looks at.
    #expect(try await output(of: configuration).text == "0\n1\n2\n3\n7\n")
    try writing.close()
    #expect(String(decoding: try readAll(reading), as: UTF8.self) == "to seven\n")
    configuration = shell("echo x")
    configuration.error = .null
    configuration.output = .closed
    #expect(try await ChildProcess(configuration).waitForEnd().isSuccess == false)
    configuration = shell("exec ls /proc/self/fd")
    configuration.keepsDescriptors = true
    #expect(try await output(of: configuration).text.split(separator: "\n").contains("\(leak.rawValue)"))
  }

  @Test("Programs by name and by descriptor")
  func programs() async throws {
    #expect(try await output(of: .init(.named("echo"), arguments: ["a", "b"])).text == "a b\n")
    let echo = try FileDescriptor.open("/bin/echo", .readOnly)
    defer { try? echo.close() }
    var configuration = ChildProcess.Configuration(.descriptor(echo), arguments: ["c"])
    configuration.name = "echo"
    #expect(try await output(of: configuration).text == "c\n")
  }

  @Test("Group and session; signals as for a new program, or as they are")
  func groups() async throws {
    for (group, leads) in [(ChildProcess.ProcessGroup.inherited, false), (.own, true), (.ownSession, true)] {
      var configuration = shell("exec sleep 1000")
      configuration.group = group
      let child = try ChildProcess(configuration)
      #expect((getpgid(child.pid) == child.pid) == leads)
      #expect((getsid(child.pid) == child.pid) == (group == .ownSession))
      if group == .own {
        var other = shell("exec sleep 1000")
        other.group = .existing(child.pid)
        let second = try ChildProcess(other)
        #expect(getpgid(second.pid) == child.pid)
        try await second.stop(grace: .zero)
      }
      try await child.stop(grace: .zero)
    }
    // Threads of the runtime block signals, and the kernel shows which.
    var configuration = shell("exec grep SigBlk /proc/self/status")
    #expect(try await output(of: configuration).text == "SigBlk:\t0000000000000000\n")
    configuration.keepsSignals = true
    configuration.tie = .child
    let kept = configuration
    let text = await blocking { () -> String? in
      var mask = sigset_t()
      sigemptyset(&mask)
      sigaddset(&mask, SIGUSR2)
      pthread_sigmask(SIG_SETMASK, &mask, nil)
      guard let (reading, writing) = try? pipe() else { return nil }
      var kept = kept
      kept.output = .descriptor(writing)
      guard let child = try? ChildProcess(kept) else { return nil }
      try? writing.close()
      defer { try? reading.close() }
      _ = try? child.waitForEndBlocking()
      return (try? readAll(reading)).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(text == "SigBlk:\t0000000000000800\n")
  }
}

@Suite("ChildProcess: what starting fails at", .timeLimit(.minutes(1)))
struct ChildProcessStartTests {
  @Test("Each error says at which step, and reads as a sentence")
  func errors() async throws {
    let missing = startError(.init(.path("/no/such/program")))
    #expect(missing?.code == .notFound && missing?.step == .execute && missing?.errno == .noSuchFileOrDirectory)
    #expect("\(missing!)" == "Can't execute “/no/such/program”: there is no such program, or none to interpret it.")
    #expect(startError(.init(.path("/etc/passwd")))?.code == .permissionDenied)
    #expect(startError(.init(.named("muster-no-such-program")))?.code == .notFound)
    try await withFolder { folder in
      let script = folder.appending("script")
      let file = try FileDescriptor.open(
        script, .writeOnly, options: [.create], permissions: [.ownerReadWriteExecute])
      _ = try file.closeAfter { try file.writeAll("no program\n".utf8) }
      // Whom somebody has just forked has it open for a moment (ETXTBSY).
      try await eventually { startError(.init(.path(script)))?.code == .notExecutable }
    }
    var configuration = shell("true")
    configuration.folder = "/no/such/folder"
    #expect(
      "\(startError(configuration)!)"
        == "Can't enter the folder “/no/such/folder” of “/bin/sh”: there is no such folder.")
    configuration = shell("true")
    configuration.output = .descriptor(FileDescriptor(rawValue: 12345))
    #expect(startError(configuration)?.step == .descriptors)
    configuration = shell("true", arguments: ["a\0b"])
    #expect("\(startError(configuration)!)".contains("zero byte"))
    configuration = shell("true", arguments: [String(repeating: "x", count: 1 << 18)])
    #expect(startError(configuration)?.code == .tooLong)
    configuration = shell("true")
    configuration.limits = [.init(.init(rawValue: 1000), 0)]
    #expect(startError(configuration)?.step == .limits)
    configuration = shell("true")
    configuration.group = .existing(-5)
    #expect(startError(configuration)?.code == .invalidArgument)
    configuration = shell("true")
    configuration.descriptors = [2: FileDescriptor(rawValue: 0)]
    #expect(startError(configuration)?.code == .invalidArgument)
    for tie in [ChildProcess.Tie.child, .tree] {
      configuration = .init(.path("/no/such/program"))
      configuration.tie = tie
      #expect(startError(configuration)?.step == .execute)
    }
  }
}
