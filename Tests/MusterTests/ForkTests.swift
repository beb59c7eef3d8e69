// What a forked child can do with what it inherited, and with what it opens itself: never hang.
// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Runs a closure in a forked child of this process, which Swift does not let one do by name. The exit status: how many
/// of its checks failed; of one that hung, the signal below 0.
private func inChild(_ body: ((Bool) -> Void) -> Void) -> Int32 {
  typealias Fork = @convention(c) () -> pid_t
  let fork = unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)
  let child = fork()
  if child == 0 {
    alarm(20)
    var failed: Int32 = 0
    body { if !$0 { failed += 1 } }
    _exit(failed)
  }
  var status: Int32 = 0
  while waitpid(child, &status, 0) != child {}
  return status & 0x7f == 0 ? status >> 8 & 0xff : -(status & 0x7f)
}

@Suite("After a fork", .timeLimit(.minutes(1)))
struct ForkTests {
  @Test("Inherited objects say so, and can be closed; reading goes on; what the child opens itself works")
  func child() async throws {
    try await withName { name in
      await #expect(processExitsWith: .success) { [name = name as String] in
        let seqlock = try Seqlock<Int>(name + "-s")
        let group = try Muster.Group(name + "-g", capacity: 3)
        let barrier = try Barrier(name + "-b", parties: 1)
        defer { for kind in ["-s", "-g", "-b"] { try? Region.remove(RegionName(name + kind), force: true) } }
        try seqlock.claim()
        try seqlock.write(3)
        try group.join()
        // Both kinds of thread are there, and are not in the child.
        _ = await Task { try? await group.waitForChange(since: group.roster, until: .now + .milliseconds(1)) }.value
        let failed = inChild { check in
          check((try? seqlock.read()?.value) == 3)
          check(caught { () throws(SeqlockError) in try seqlock.claim() }?.code == .inherited)
          check(caught { () throws(SeqlockError) in try seqlock.release() }?.code == .inherited)
          check(caught { () throws(SeqlockError) in try seqlock.write(4) }?.code == .inherited)
          check(caught { () throws(GroupError) in try group.leave() }?.code == .inherited)
          check(caught { () throws(GroupError) in try group.waitForChangeBlocking(since: 0) }?.code == .inherited)
          check(caught { () throws(BarrierError) in try barrier.waitBlocking() }?.code == .inherited)
          check(caught { () throws(BarrierError) in try barrier.arrive() }?.description.contains("forked") == true)
          seqlock.close()
          group.close()
          barrier.close()
          let own = try? Muster.Group(name + "-g", capacity: 3)
          check((try? own?.join()) == 1)
          check((try? own?.member(1).pid) == getpid())
          own?.close()
        }
        // The parent's are as they were.
        let state = try group.member(0).state
        try seqlock.write(5)
        if failed != 0 || state != .alive { exit(1) }
      }
    }
  }
}

private func caught<Value, Failure: Error>(_ body: () throws(Failure) -> Value) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}
