// Roots run in processes of their own (muster-root-peer), since they fork: the runner has threads.
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

@Suite("Root", .timeLimit(.minutes(2)))
struct RootTests {
  /// What a scenario of the peer prints.
  private func lines(_ scenario: String) async throws -> [String] {
    let name = freshName(scenario)
    defer { try? Region.remove(RegionName(name), force: true) }
    let ended = try await run(builtProgram("muster-root-peer"), [scenario, name])
    #expect(ended.status == 0, "\(ended.output)")
    #expect(throws: RootError.self, "the region is gone") { try RootObserver(name) }
    return ended.output.split(separator: "\n").map(String.init)
  }

  @Test("Daemons read each other's state, always of one moment")
  func reading() async throws {
    #expect(try await lines("read") == ["ended", "true 0 true 0"])
  }

  @Test("A daemon that dies is started again, with its memory if that is good, and knows how the one before ended")
  func dying() async throws {
    let expected = [
      "1 zeros false as declared 1 0, new",
      "2 memory false as declared 2 1, killed by SIGKILL",
      "3 zeros true as declared 3 0, killed by SIGKILL",
      "4 memory false as declared 4 1, exited with 7",
      "daemon “clumsy”: Trouble()",
      "5 memory false as declared 5 2, exited with 1",
      "6 memory false as declared 5 3, exited with 0",
      "ended",
    ]
    #expect(try await lines("crash") == expected)
  }

  @Test("One that always crashes goes down the ladder and is given up, which run tells")
  func ladder() async throws {
    let expected = [
      "zeros 0", "ended checkpoints, killed by SIGKILL",
      "checkpoint 3 3", "ended checkpoints, killed by SIGKILL",
      "checkpoint 2 2", "ended zeroed, killed by SIGKILL",
      "zeros 0", "ended given up, killed by SIGKILL",
      "gaveUp given up, killed by SIGKILL", "gaveUp",
    ]
    #expect(try await lines("ladder") == expected)
  }

  @Test("A daemon decides with what state it goes on")
  func deciding() async throws {
    let expected = [
      "zeros 0",
      "decides on 2 false 1 killed by SIGKILL", "memory 2",
      "decides on 3 true 1 killed by SIGKILL", "checkpoint 1 1",
      "decides on 1 false 1 killed by SIGKILL", "zeros 0",
      "ended",
    ]
    #expect(try await lines("decide") == expected)
  }

  @Test("One that hangs is killed and started again; one that pauses beats")
  func hanging() async throws {
    let lines = try await lines("hang")
    #expect(Set(lines.dropLast(2)) == ["no heartbeat"] && lines.suffix(2) == ["survived", "ended"], "\(lines)")
  }

  @Test("What a transaction changed is there when it commits, and in no other case")
  func transactions() async throws {
    let expected = [
      "committed 1: 1 0", "aborted with 9 1: 1 0", "aborted with 1 1: 1 0", "crashed by SIGKILL 2: 1 0",
      "exited with 3 1: 1 0", "late 1: 1 0", "too large 1: 1 0", "committed 1: 1 8",
      "9 8, 9 begun, 2 committed", "3 aborted, 3 crashed, 1 late, 7 lost", "ended",
    ]
    #expect(try await lines("transact") == expected)
  }

  @Test("A daemon does something else while a transaction runs, and can cancel it, but not change its state")
  func meanwhile() async throws {
    let expected = [
      "state 0, read 0", "transactionRuns", "transactionRuns", "over: true", "committed 1",
      "over: false", "late 1", "trouble 1", "4", "notDeclared", "ended",
    ]
    #expect(try await lines("meanwhile") == expected)
  }

  @Test("Daemons are stopped in reverse order, by their own signals; a root runs once")
  func stopping() async throws {
    let expected = [
      "third stops, true", "second stops", "first stops", "ended",
      "first ended stopped", "second ended stopped", "third ended stopped", "ranBefore",
    ]
    #expect(try await lines("stop") == expected)
  }

  @Test("What is out of place in a daemon is refused, and leaves it as it was")
  func misuse() async throws {
    let expected = [
      "changing", "changing", "done", "notDeclared", "undeclared", "changing", "timedOut", "invalidArgument",
      "Trouble()", "done", "ended",
    ]
    #expect(try await lines("misuse") == expected)
  }

  @Test("Closed while it runs, it is stopped first")
  func closing() async throws {
    #expect(try await lines("close") == ["started", "ended", "ended", "closed"])
  }

  @Test("A state that no stack has room for is looked at, tested, decided on and read where it lies")
  func large() async throws {
    #expect(try await lines("large") == ["memory", "memory", "ended", "1 1"])
  }

  @Test("A process with threads runs no root, and is told so")
  func otherThreads() throws {
    let root = Root("muster-test-\(UUID().uuidString)")
    root.daemon("count", state: Int.self) { _ in }
    #expect(try root.size() > MemoryLayout<Int>.size)
    let error = #expect(throws: RootError.self) { try root.run() }
    #expect(error?.code == .otherThreads)
    let reason = "this process has other threads, of which a forked daemon would have none."
    #expect(error.map { "\($0)" }?.hasPrefix("Can't run the root “\(root.name)”: \(reason)") == true)
    #expect(throws: RootError.self, "nothing is left of it") { try RootObserver(root.name) }
    #expect(#expect(throws: RootError.self) { try root.run() }?.code == .otherThreads)
    root.close()
    #expect(throws: RootError.self) { try RootObserver(root.name) }
    #expect(#expect(throws: RootError.self) { try root.run() }?.code == .closed)
  }

  @Test("Declarations that can't be are refused by name")
  func declarations() throws {
    func reason(_ declare: (Root) -> Void) -> String {
      let root = Root("muster-test-\(UUID().uuidString)")
      declare(root)
      let error = #expect(throws: RootError.self) { try root.size() }
      #expect(error?.code == .invalidArgument && error?.errno == .invalidArgument)
      return "\(error.map { "\($0)" } ?? "")".replacing(root.name, with: "app")
    }
    let twice = DaemonReference<Int>("twice")
    let elsewhere = DaemonReference<Int>("elsewhere")
    let long = String(repeating: "x", count: 32)
    #expect(reason { _ in } == "Can't ask the root “app”: no daemon is declared.")
    #expect(
      reason { root in
        root.daemon(twice) { _ in }
        root.daemon(twice) { _ in }
      } == "Can't ask the root “app”: “twice” is declared twice.")
    #expect(
      reason { root in
        root.daemon("one", state: Int.self) { _ in }
        root.daemon("one", state: Int.self) { _ in }
      } == "Can't ask the root “app”: “one” is declared twice.")
    #expect(
      reason { $0.daemon(long, state: Int.self) { _ in } }
        == "Can't ask the root “app”: a daemon's name has 1 to 31 bytes, none of them 0, and “\(long)” has not.")
    #expect(
      reason { root in
        Root("other").daemon(elsewhere) { _ in }
        root.daemon(elsewhere) { _ in }
      } == "Can't ask the root “app”: the reference “elsewhere” was declared in another root, and each has its own.")
  }

  @Test("Of numbers that can't be it is said whose they are, and what can be")
  func numbers() throws {
    func reason(_ declare: (Root) -> Void) -> String {
      let root = Root("app")
      root.daemon("fine", state: Int.self) { _ in }
      declare(root)
      let error = #expect(throws: RootError.self) { try root.size() }
      #expect(error?.code == .invalidArgument)
      return "\(error.map { "\($0)" } ?? "")".replacing("Can't ask the root “app”: “x” is declared with ", with: "")
    }
    func restarts(_ restarts: DaemonRestarts) -> String {
      reason { $0.daemon("x", state: Int.self, restarts: restarts) { _ in } }
    }
    let checkpoints = "checkpoints that can't be (0 to 16)."
    #expect(reason { $0.daemon("x", state: Int.self, checkpoints: 17) { _ in } } == checkpoints)
    #expect(reason { $0.daemon("x", state: Int.self, checkpoints: -1) { _ in } } == checkpoints)
    let pages = reason { $0.daemon("x", state: Int.self, transactions: .pages(0)) { _ in } }
    #expect(pages == "transactions that can't be (1 page or more).")
    for beat in [Duration.zero, .seconds(-1)] {
      let heartbeat = reason { $0.daemon("x", state: Int.self, heartbeat: beat) { _ in } }
      #expect(heartbeat == "a heartbeat that can't be (longer than 0).")
    }
    #expect(restarts(.init(.always, tries: 0)) == "tries that can't be (1 or more).")
    #expect(restarts(.init(.always, stable: .seconds(-1))) == "a stable time that can't be (0 or longer).")
    let budget = restarts(.init(.always, budget: .init(restarts: 65, within: .seconds(1))))
    #expect(budget == "a budget that can't be (1 to 64 restarts, within longer than 0).")
    for delay in [DaemonRestarts.Delay(jitter: 1.5), .init(jitter: .nan), .init(most: .zero)] {
      let told = "a delay that can't be (first 0 or longer, most longer than 0, jitter 0 to 1)."
      #expect(restarts(.init(.always, delay: delay)) == told)
    }
    let signal = reason { $0.daemon("x", state: Int.self, stopSignal: 0) { _ in } }
    #expect(signal == "a stop signal that can't be (one that there is, not SIGCHLD).")
    let grace = reason { $0.daemon("x", state: Int.self, stopGrace: .seconds(-1)) { _ in } }
    #expect(grace == "a stop grace that can't be (0 or longer).")
    let several = reason { $0.daemon("x", state: Int.self, checkpoints: 17, heartbeat: .zero) { _ in } }
    #expect(several == "several numbers that can't be.")
    let many = reason { root in for index in 1...4096 { root.daemon("d\(index)", state: Int.self) { _ in } } }
    #expect(many == "Can't ask the root “app”: 4097 daemons are declared, and it can have 4096.")
    let nameless = Root("a/b")
    nameless.daemon("x", state: Int.self) { _ in }
    let name = #expect(throws: RootError.self) { try nameless.run() }
    #expect(name.map { "\($0)" } == "Can't run the root “a/b”: that can't be the name of shared memory.")
    let looked = #expect(throws: RootError.self) { try RootObserver("a/b") }
    #expect(looked.map { "\($0)" } == "Can't look at the root “a/b”: that can't be the name of shared memory.")
  }

  @Test("A root is seen from outside; killed, it takes its daemons with it, and the next one replaces it")
  func observing() async throws {
    try await withName { name in
      let missing = #expect(throws: RootError.self) { try RootObserver(name) }
      #expect(missing?.code == .notFound)
      let living = DaemonReference<Int>("living")
      let (observer, root, daemon) = try await self.whileLiving(name) { observer in
        let root = try observer.root()
        #expect(root.isAlive && !root.isStopping && root.daemons == 1 && root.running == 1 && root.starts == 1)
        #expect(root.size > 0 && root.sinceStart < .seconds(600))
        let status = try observer.daemon(0)
        #expect(status.name == "living" && status.phase == .running && status.starts == 1 && status.failures == 0)
        #expect(status.rung == .asDeclared && status.found == .zeros && status.death == nil && status.attempts == 1)
        #expect(status.heartbeat == .seconds(30) && status.stateSize == 8 && status.arenaSize > 8)
        #expect(status.newestCheckpoint == nil && status.transactions.begun == 0 && !status.isArenaCorrupt)
        #expect(#expect(throws: RootError.self) { try observer.daemon(1) }?.code == .invalidArgument)
        #expect(#expect(throws: RootError.self) { try observer.daemon(-1) }?.code == .invalidArgument)
        let other = DaemonReference<Int>("other")
        #expect(#expect(throws: RootError.self) { try observer.read(other) }?.code == .undeclared)
        let narrow = DaemonReference<Int32>("living")
        #expect(#expect(throws: RootError.self) { try observer.read(narrow) }?.code == .mismatch)
        #expect(try observer.read(living, \.self) == 42)
        #expect(#expect(throws: RootError.self) { try observer.read(living, \.byteSwapped) }?.code == .invalidArgument)
        let pid = try #require(status.pid)
        kill(root.pid, SIGKILL)
        return (observer, root, pid)
      }
      try await eventually { kill(daemon, 0) != 0 }
      #expect(try !observer.root().isAlive && observer.root().pid == root.pid)
      #expect(try observer.read(living) == 42 && observer.daemon(0).pid == daemon)
      // Its region is stale: who comes next replaces it.
      try await self.whileLiving(name) { next in
        #expect(try next.root().isAlive && next.root().pid != root.pid)
        #expect(try !observer.root().isAlive)
        kill(try next.root().pid, SIGTERM)
      }
      #expect(#expect(throws: RootError.self) { try RootObserver(name) }?.code == .notFound)
      observer.close()
      observer.close()
      #expect(#expect(throws: RootError.self) { try observer.root() }?.code == .closed)
    }
  }

  /// Runs the peer "live" until `body`, which ends it, has returned and it is gone.
  private func whileLiving<Result: Sendable>(
    _ name: String, _ body: (RootObserver) throws -> Result
  ) async throws -> Result {
    async let living = run(builtProgram("muster-root-peer"), ["live", name])
    let reference = DaemonReference<Int>("living")
    var observer: RootObserver?
    try await eventually {
      guard let found = try? RootObserver(name), (try? found.root().isAlive) == true else { return false }
      observer = found
      // The daemon runs before the root has told so.
      return (try? found.read(reference)) == 42 && (try? found.daemon(0).phase) == .running
    }
    let result = try body(try #require(observer))
    _ = try await living
    return result
  }

  @Test("What is no root is not looked at as one")
  func noRoot() async throws {
    try await withName { name in
      let counters = try CounterRegion(name, counters: ["one"])
      let error = #expect(throws: RootError.self) { try RootObserver(name) }
      #expect(error?.code == .mismatch)
      let root = Root(name)
      root.daemon("one", state: Int.self) { _ in }
      let other = #expect(throws: RootError.self) { try root.run() }
      let reason = "there is something else of that name. Use another, or remove that: muster rm."
      #expect(other.map { "\($0)" } == "Can't run the root “\(name)”: \(reason)")
      #expect(error.map { "\($0)" } == "Can't look at the root “\(name)”: it is no root, or one of another version.")
      counters.close()
    }
  }
}
