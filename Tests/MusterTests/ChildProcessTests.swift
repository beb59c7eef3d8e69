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
