// A primary that can't be killed: the first process of a pid namespace, of which somebody else's child is left. The kernel lets it end when all of the
// namespace are reaped (pid_namespaces(7)), and that child's parent, outside, is stopped.
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

@Suite(
  "A primary that can't be killed", .serialized, .timeLimit(.minutes(3)),
  .enabled("it takes unshare(1)") { try await Unkillable.isPossible() })
struct UnkillableTests {
  @Test("It is told, and taken over from when it is gone; the backup may be ended before", arguments: [true, false])
  func isNotTakenOverFrom(isAwaited: Bool) async throws {
    try await withPair(isAwaited ? "unkillable" : "kept-unkillable") { pair in
      let arguments = ["pause=2", "to=100000", "patience=50"]
      let first = try pair.start(arguments)
      _ = try await pair.both()
      try await pair.killAll()
      _ = try await first.waitForEnd()
      let count = pair.numbers.count

      let primary = try await Unkillable(pair)
      let invitation = PairInvitation(
        launch: 1, pid: primary.pid, start: 0, epoch: 1, seat: -1, name: pair.name)
      let backup = try pair.start(arguments, through: "MUSTER_PAIR='\(invitation.text)' exec \"$0\" \"$@\"")
      do {
        try await pair.eventually("it is told") { pair.told("can't kill its primary, process \(primary.pid)") == 1 }
        #expect(pair.status()?.primaryLife == .dead && pair.numbers.count == count)
        if !isAwaited {
          kill(backup.pid, SIGTERM)
          #expect(try await backup.waitForEnd().cause == .exited(0))
          #expect(pair.told("\(backup.pid) ending stoodBy") == 1)
        }
      } catch {
        try await primary.letGo()
        throw error
      }
      try await primary.letGo()
      guard isAwaited else { return }
      #expect(try await pair.both().primary == backup.pid)
      kill(backup.pid, SIGTERM)
      _ = try await backup.waitForEnd()
      try await pair.gone()
      pair.expectCounted(to: nil)
    }
  }
}

/// It dies of no SIGKILL until it is let go.
private struct Unkillable {
  let pid: Int32
  private let outer: ChildProcess
  private let joined: ChildProcess

  static func isPossible() async throws -> Bool {
    try await start("unshare", ["-p", "-f", "true"]).waitForEnd().cause == .exited(0)
  }

  init(_ pair: PairUnderTest) async throws {
    outer = try Self.start("unshare", ["-p", "-f", "sleep", "600"])
    let first = try await Self.child(of: outer.pid, pair)
    pid = first
    joined = try Self.start("nsenter", ["-t", "\(first)", "-p", "sleep", "600"])
    let parent = joined.pid
    _ = try await Self.child(of: parent, pair)
    kill(parent, SIGSTOP)
    try await pair.eventually("it does not reap") { pair.contents("/proc/\(parent)/stat").contains(") T ") }
  }

  func letGo() async throws {
    kill(joined.pid, SIGCONT)
    for process in [pid, joined.pid, outer.pid] { kill(process, SIGKILL) }
    _ = try await joined.waitForEnd()
    _ = try await outer.waitForEnd()
  }

  private static func start(_ program: String, _ arguments: [String]) throws -> ChildProcess {
    var configuration = ChildProcess.Configuration(
      .named(program), arguments: ChildProcess.Arguments(arguments))
    configuration.output = .null
    configuration.error = .null
    return try ChildProcess(configuration)
  }

  /// When it has become `sleep`.
  private static func child(of parent: Int32, _ pair: PairUnderTest) async throws -> Int32 {
    var child: Int32 = 0
    try await pair.eventually("\(parent) has a child") {
      let text = pair.contents("/proc/\(parent)/task/\(parent)/children").split(separator: " ").first
      child = text.flatMap { Int32($0) } ?? 0
      return child != 0 && pair.contents("/proc/\(child)/comm") == "sleep\n"
    }
    return child
  }
}
