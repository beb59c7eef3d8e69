// Waiting for children, by many, who give up, are cancelled, or let go.
// SPDX-License-Identifier: Apache-2.0
import Foundation
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("ChildProcess: waiting", .timeLimit(.minutes(1)))
struct ChildProcessWaitTests {
  @Test("A deadline, a cancellation and closing end a wait, and do nothing to the child")
  func ends() async throws {
    let child = try ChildProcess(shell("exec sleep 1000"))
    let watched = try WatchedProcess(try child.identity())
    #expect(
      await processError { () throws(ProcessError) in try await child.waitForEnd(until: .now + .milliseconds(1)) }?.code
        == .timedOut)
    let past = await processError { () throws(ProcessError) in try await child.waitForEnd(until: .now) }
    #expect(past?.code == .timedOut)
    let late = await blocking { () -> ProcessError? in
      do throws(ProcessError) {
        try child.waitForEndBlocking(until: .now + .milliseconds(1))
        return nil
      } catch {
        return error
      }
    }
    #expect(late?.code == .timedOut)
    let waiting = Task { await processError { () throws(ProcessError) in try await child.waitForEnd() } }
    waiting.cancel()
    #expect(await waiting.value?.code == .cancelled)
    try watched.signal(0)
    async let closed = processError { () throws(ProcessError) in try await child.waitForEnd() }
    async let alsoClosed = blocking { () -> Bool in
      do throws(ProcessError) {
        try child.waitForEndBlocking()
        return false
      } catch {
        return error.code == .closed
      }
    }
    child.close()
    #expect(await closed?.code == .closed)
    #expect(await alsoClosed)
    // Nobody waits for it by this object any more; it lives, and is reaped when it ends.
    try watched.kill()
    try await watched.waitForEnd()
    try await eventually { kill(watched.pid, 0) != 0 }
  }

  @Test("Many wait for one, and one for many, and each is told, with two threads of the pool")
  func crowd() async throws {
    let one = try ChildProcess(shell("exec sleep 1000"))
    let ends = try await withThrowingTaskGroup(of: ProcessEnd.Cause.self) { group in
      for _ in 0..<200 { group.addTask { try await one.waitForEnd().cause } }
      for value in 0..<20 {
        group.addTask { try await ChildProcess(shell("exit \(value)")).waitForEnd().cause }
      }
      try one.signal(SIGKILL)
      return try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }
    #expect(ends[.signaled(SIGKILL, coreDumped: false)] == 200)
    #expect((0..<20).allSatisfy { ends[.exited($0)] == 1 })
  }

  @Test("It says that it is ready by a socket, with more to tell")
  func socket() async throws {
    // Muster's own side of it, in a program that is there anyhow.
    var configuration = ChildProcess.Configuration(.path(FilePath(builtProgram("muster-peer").path)))
    configuration.arguments = ["tell"]
    configuration.readiness = .socket
    let (reading, writing) = try pipe()
    configuration.input = .descriptor(reading)
    let child = try ChildProcess(configuration)
    try reading.close()
    defer { try? writing.close() }
    let first = try await child.waitUntilReady()
    #expect(first.isReady && first.status == "on its way")
    try writing.writeAll("\n".utf8)
    let second = try await child.waitForNotice(after: first)
    #expect(second.watchdogs == 1 && second.isStopping && second.error == .noSpace)
    #expect(try child.notice() == second)
    try child.signal(SIGKILL)
    #expect(
      await processError { () throws(ProcessError) in _ = try await child.waitForNotice(after: second) }?.code == .ended
    )
    // Ready it was.
    #expect(try await child.waitUntilReady() == second)
  }

  @Test("It says so by a newline; or ends before, closes the pipe, was not asked")
  func line() async throws {
    func child(_ script: String) throws -> ChildProcess {
      var configuration = shell(script)
      configuration.readiness = .line(5)
      return try ChildProcess(configuration)
    }
    let ready = try child("echo >&5; exec sleep 1000")
    #expect(try await ready.waitUntilReady().isReady)
    #expect(try ready.notice().isReady)
    try await ready.stop(grace: .zero)
    let dead = try child("exit 3")
    #expect(await processError { () throws(ProcessError) in try await dead.waitUntilReady() }?.code == .ended)
    let mute = try child("exec 5>&-; exec sleep 1000")
    #expect(await processError { () throws(ProcessError) in try await mute.waitUntilReady() }?.code == .neverReady)
    try await mute.stop(grace: .zero)
    let late = try child("exec sleep 1000")
    #expect(
      await processError { () throws(ProcessError) in try await late.waitUntilReady(until: .now + .milliseconds(1)) }?
        .code == .timedOut)
    try await late.stop(grace: .zero)
    let other = try ChildProcess(shell("true"))
    #expect(await processError { () throws(ProcessError) in try await other.waitUntilReady() }?.code == .notAsked)
  }

  @Test("Of a storm of children that are killed, cancelled, closed and forgotten nothing is left")
  func storm() async throws {
    let seed = testSeed()
    await #expect(processExitsWith: .success) { [seed = seed as UInt64] in
      var random = Random(seed: seed)
      let (descriptors, children) = (heldDescriptors(), childNumbers().count)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<150 {
          let choice = random.next() % 6
          let tie: ChildProcess.Tie = [.nothing, .nothing, .child, .child, .tree][Int(random.next() % 5)]
          group.addTask { try await live(choice, tie) }
          if random.next() % 4 == 0 { try await group.next() }
        }
        try await group.waitForAll()
      }
      // Those that were let go of are reaped by a thread of Muster's, which ends when it has nothing to do.
      try await eventually { childNumbers().count == children && heldDescriptors() <= descriptors }
    }
  }
}

/// One child of the storm.
func live(_ choice: UInt64, _ tie: ChildProcess.Tie) async throws {
  var configuration = shell(choice == 0 ? "exit 3" : "exec sleep 1000")
  configuration.tie = tie
  if choice == 1 { configuration.readiness = .socket }
  let child = try ChildProcess(configuration)
  switch choice {
  case 0: #expect(try await child.waitForEnd().cause == .exited(3))
  case 1:
    let waiting = Task { try await child.waitUntilReady() }
    waiting.cancel()
    _ = try? await waiting.value
    try await child.stop(grace: .zero)
  case 2:
    try child.signal(SIGKILL)
    child.close()
  case 3:
    async let end = child.waitForEnd()
    try child.signal(SIGKILL)
    #expect(try await end.cause == .signaled(SIGKILL, coreDumped: false))
  case 4:
    let watched = try WatchedProcess(descriptor: child.descriptor)
    child.close()
    try watched.kill()
  default: #expect(try await child.stop(grace: .seconds(20)).isComplete)
  }
}
