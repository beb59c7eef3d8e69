// Stopping trees, tied lives, orphans.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One that has a helper in a session of its own, and says when it is there.
private func family(_ rest: String) -> ChildProcess.Configuration {
  var configuration = shell("setsid sh -c 'echo >&5; exec sleep 1000' & \(rest)")
  configuration.readiness = .line(5)
  return configuration
}

private func seeEnd(of identity: ProcessIdentity, killed: Bool) async throws(ProcessError) {
  let process = try WatchedProcess(identity)
  if killed { try process.kill() }
  try await process.waitForEnd()
}

@Suite("ChildProcess: stopping", .timeLimit(.minutes(1)))
struct ChildProcessStopTests {
  @Test("The whole tree ends politely, also who has left group and session")
  func tree() async throws {
    let child = try ChildProcess(family("exec sleep 1000"))
    try await child.waitUntilReady()
    let report = try await child.stop(grace: .seconds(20))
    #expect(report.isComplete && report.found == 2 && report.killed == 0)
    #expect("\(report)" == "2 processes stopped")
    #expect(try await child.waitForEnd().cause == .signaled(SIGTERM, coreDumped: false))
  }

  @Test("What the process has left behind ends, too")
  func leftBehind() async throws {
    var configuration = family("read line; exit 3")
    let (reading, writing) = try pipe()
    configuration.input = .descriptor(reading)
    let child = try ChildProcess(configuration)
    try reading.close()
    try await child.waitUntilReady()
    try writing.close()
    #expect(try await child.waitForEnd().cause == .exited(3))
    let report = try await child.stop(grace: .zero)
    #expect(report.killed == 1 && report.isComplete)
  }

  @Test("Who does not heed the signal is killed; a wait meanwhile is told when it is over")
  func deaf() async throws {
    var configuration = shell("trap '' TERM; echo >&5; while :; do sleep 0.01; done")
    configuration.readiness = .line(5)
    let child = try ChildProcess(configuration)
    try await child.waitUntilReady()
    async let end = child.waitForEnd()
    let report = try await blocking { () throws(ProcessError) in
      try child.stopBlocking(grace: .milliseconds(20), patience: .seconds(20))
    }
    #expect(report.killed > 0 && report.isComplete)
    #expect(try await end.cause == .signaled(SIGKILL, coreDumped: false))
    #expect(
      await processError { () throws(ProcessError) in try await child.stop(signal: -1, grace: .zero) }?.code
        == .invalidArgument)
  }

  @Test("A cancelled task stops all the same, and two stops at a time are one after the other")
  func cancelled() async throws {
    let child = try ChildProcess(family("exec sleep 1000"))
    try await child.waitUntilReady()
    let stopping = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await child.stop(grace: .seconds(20))
    }
    async let second = child.stop(grace: .seconds(20))
    let reports = try await [stopping.value, second]
    #expect(reports.map(\.isComplete) == [true, true])
    #expect(try child.endIfEnded() != nil)
  }

  @Test(
    "What is tied dies with the process that is killed; with a guard all that it has started", arguments: [false, true])
  func tied(hasGuard: Bool) async throws {
    try await withFolder { folder in
      let file = folder.appending("processes")
      await #expect(processExitsWith: .signal(SIGKILL)) { [path = file.string as String, hasGuard = hasGuard as Bool] in
        var configuration = shell("setsid sleep 1000 & echo $! >&5; exec sleep 1000")
        configuration.tie = hasGuard ? .tree : .child
        let (reading, writing) = try pipe()
        configuration.descriptors = [5: writing]
        let child = try ChildProcess(configuration)
        var digits = [UInt8](repeating: 0, count: 16)
        let count = try digits.withUnsafeMutableBytes { try reading.read(into: $0) }
        let helper = Int32(String(decoding: digits.prefix(count - 1), as: UTF8.self))!
        let identities = [try child.identity(), try WatchedProcess(pid: helper).identity()]
        let text = identities.map { "\($0.pid) \($0.start)\n" }.joined()
        let file = try FileDescriptor.open(
          FilePath(path), .writeOnly, options: [.create], permissions: [.ownerReadWrite])
        try file.closeAfter { _ = try file.writeAll(text.utf8) }
        raise(SIGKILL)
      }
      let text = String(decoding: try readAllAndClose(FileDescriptor.open(file, .readOnly)), as: UTF8.self)
      let identities = text.split(separator: "\n").map { line in
        let numbers = line.split(separator: " ")
        return ProcessIdentity(pid: Int32(numbers[0])!, start: UInt64(numbers[1])!)
      }
      #expect(identities.count == 2)
      for (index, identity) in identities.enumerated() {
        let error = await processError { () throws(ProcessError) in
          try await seeEnd(of: identity, killed: index == 1 && !hasGuard)
        }
        // As soon as that.
        #expect(error == nil || error?.code == .ended || error?.code == .replaced)
      }
    }
  }

  @Test("Orphans that this process inherits are reaped, and nobody's children")
  func orphans() async throws {
    await #expect(processExitsWith: .success) {
      try ChildProcess.becomeSubreaper()
      let own = try ChildProcess(shell("exit 3"))
      try await eventually { try own.sample().state == "Z" }
      // Its child is an orphan, and ends when the pipe is closed.
      let (reading, writing) = try pipe()
      var configuration = shell("sh -c 'read line <&5; exit 4' &")
      configuration.descriptors = [5: reading]
      let parent = try ChildProcess(configuration)
      try await parent.waitForEnd()
      try writing.close()
      try await eventually { try ChildProcess.reapOrphans() == 1 }
      #expect(try await own.waitForEnd().cause == .exited(3))
      #expect(try await own.waitForEnd().usage != nil)
      #expect(try ChildProcess.reapOrphans() == 0)
      try reading.close()
    }
  }
}
