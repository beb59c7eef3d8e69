// Processes that are watched by who has not started them.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("WatchedProcess", .timeLimit(.minutes(1)))
struct WatchedProcessTests {
  @Test("By identity: the very process, told at once when it dies; not who has its number")
  func identity() async throws {
    let child = try ChildProcess(shell("exec sleep 1000"))
    let identity = try child.identity()
    let watched = try WatchedProcess(identity)
    #expect(watched.pid == child.pid)
    #expect(try watched.identity() == identity)
    #expect(try watched.endIfEnded() == nil)
    let other = ProcessIdentity(pid: identity.pid, start: identity.start + 1)
    #expect(await processError { () throws(ProcessError) in _ = try WatchedProcess(other) }?.code == .replaced)
    let none = ProcessIdentity(pid: identity.pid, start: 0)
    #expect(await processError { () throws(ProcessError) in _ = try WatchedProcess(none) }?.code == .invalidArgument)
    async let end = watched.waitForEnd()
    try child.signal(SIGKILL)
    _ = try await end
    try await child.waitForEnd()
    #expect(await processError { () throws(ProcessError) in try watched.signal(0) }?.code == .ended)
    try watched.kill()
    let late = await processError { () throws(ProcessError) in _ = try WatchedProcess(identity) }
    #expect(late?.code == .ended || late?.code == .replaced)
  }

  @Test("By a descriptor that was inherited: the one process, which can't be mistaken")
  func descriptor() async throws {
    let this = try WatchedProcess.thisProcess()
    #expect(this.pid == getpid())
    #expect(try this.identity() == ProcessIdentity.ofThisProcess())
    var configuration = shell("exec grep ^Pid: /proc/self/fdinfo/9")
    configuration.descriptors = [9: this.descriptor]
    #expect(try await output(of: configuration).text == "Pid:\t\(getpid())\n")
    let child = try ChildProcess(shell("exec sleep 1000"))
    let watched = try WatchedProcess(descriptor: child.descriptor)
    // One that is stopped lives, and is killed nevertheless.
    try watched.signal(SIGSTOP)
    try await eventually { try watched.sample().state == "T" }
    try watched.kill()
    let wait = await blocking { try? watched.waitForEndBlocking(until: .now + .seconds(30)) }
    #expect(wait != nil)
    try await child.waitForEnd()
    let dead = await processError { () throws(ProcessError) in _ = try WatchedProcess(descriptor: watched.descriptor) }
    #expect(dead?.code == .ended)
    let null = try FileDescriptor.open("/dev/null", .readOnly)
    defer { try? null.close() }
    for wrong in [null, FileDescriptor(rawValue: -1)] {
      let error = await processError { () throws(ProcessError) in _ = try WatchedProcess(descriptor: wrong) }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test("Closing ends a wait, and nothing else")
  func closing() async throws {
    let child = try ChildProcess(shell("exec sleep 1000"))
    let watched = try WatchedProcess(try child.identity())
    async let end = processError { () throws(ProcessError) in try await watched.waitForEnd() }
    watched.close()
    #expect(await end?.code == .closed)
    #expect(try child.endIfEnded() == nil)
    let again = try WatchedProcess(try child.identity())
    #expect(try await again.stop(grace: .seconds(20)).isComplete)
    try await child.waitForEnd()
  }

  @Test("Who holds an Alive file is watched by what that tells")
  func alive() async throws {
    try await withFolder { folder in
      let alive = try Alive(folder.appending("alive"))
      let owner = try #require(try Alive.probe(folder.appending("alive")).owner)
      #expect(try owner.identity == ProcessIdentity.ofThisProcess())
      alive.close()
    }
  }
}
