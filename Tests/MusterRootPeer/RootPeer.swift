// A process with one thread, for the tests of Root: what its daemons see is printed, and the root's end last.
//
// Not a part of muster-peer, whose `main` is async and has threads before its first line.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@main
struct RootPeer {
  static func main() throws {
    let name = CommandLine.arguments.dropFirst(2).first ?? ""
    switch CommandLine.arguments.dropFirst().first {
    case "read": try readEachOther(name)
    case "crash": try crash(name)
    case "ladder": try ladder(name)
    case "decide": try decide(name)
    case "transact": try transact(name)
    case "meanwhile": try meanwhile(name)
    case "hang": try hang(name)
    case "stop": try stop(name)
    case "misuse": try misuse(name)
    case "live": try live(name)
    case "board": try board(name)
    case "linger": try linger(name)
    case "large": try large(name)
    case "close": try closeWithin(name)
    default: exit(2)
    }
  }

  /// One line, at once: a daemon's stdio buffers are not written out.
  static func say(_ line: String) {
    _ = try? FileDescriptor.standardOutput.writeAll("\(line)\n".utf8)
  }

  /// By the signal that can't be blocked, as others are in a child of the runner's threads, and that no runtime prints a backtrace for.
  static func die() -> Never {
    kill(getpid(), SIGKILL)
    while true { sleep(60) }
  }

  /// Runs a root to its end, and says how it ended.
  static func run(_ root: Root) {
    do throws(RootError) {
      try root.run()
      say("ended")
    } catch {
      say("\(error.code)")
    }
  }

  /// In a daemon: has the root end, and waits for that.
  static func end<State>(_ daemon: Daemon<State>) throws {
    kill(getppid(), SIGTERM)
    while true { daemon.pause(for: .seconds(60)) }
  }

  static var quick: DaemonRestarts { DaemonRestarts(.always, tries: 20, delay: nil) }

  // MARK: Reading

  struct Pair: SharedPayload {
    static let payloadLayout: UInt32 = 1
    var up: Int
    var down: Int
  }

  struct Seen: SharedPayload {
    static let payloadLayout: UInt32 = 1
    var reads: Int
    var torn: Int
  }

  static func readEachOther(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let pair = DaemonReference<Pair>("pair")
    let reader = DaemonReference<Seen>("reader")
    root.daemon(pair) { daemon in
      while try daemon.read(reader, \.reads, within: .seconds(30)) < 1000 || daemon.state.up < 1000 {
        try daemon.change { state in
          state.up += 1
          state.down -= 1
        }
      }
      try end(daemon)
    }
    root.daemon(reader) { daemon in
      try daemon.catchStop()
      var seen = Pair(up: 0, down: 0)
      repeat {
        try daemon.read(pair, into: &seen, within: .seconds(30))
        try daemon.change { state in
          state.reads += 1
          if seen.up + seen.down != 0 { state.torn += 1 }
        }
      } while !daemon.isStopping
    }
    run(root)
    let observer = try RootObserver(name)
    let (last, seen) = try (observer.read(pair), observer.read(reader))
    say("\(last.up >= 1000) \(last.up + last.down) \(seen.reads >= 1000) \(seen.torn)")
  }

  // MARK: Dying

  struct Trouble: Error {}

  static func crash(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    root.daemon("clumsy", state: Int.self, policy: .keep { $0 >= 0 }, restarts: quick) { daemon in
      let start = daemon.start
      let death = start.death.map { "\($0)" } ?? "new"
      let what = "\(start.starts) \(start.found) \(start.wasChanging) \(start.rung) \(start.attempts)"
      say("\(what) \(daemon.state), \(death)")
      try daemon.change { $0 += 1 }
      switch start.starts {
      case 1: die()
      case 2:
        try daemon.change {
          $0 = -5
          kill(getpid(), SIGKILL)
        }
      case 3: throw DaemonExit(7)
      case 4: throw Trouble()
      case 5: return
      default: try end(daemon)
      }
    }
    run(root)
  }

  /// Crashes whatever it is started with, and is given up.
  static func ladder(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    root.tell = { event in
      let death = event.daemon.death.map { ", \($0)" } ?? ""
      if event.kind != .started { say("\(event.kind) \(event.daemon.rung)\(death)") }
    }
    let restarts = DaemonRestarts(.always, tries: 1, delay: nil)
    root.daemon("doomed", state: Int.self, policy: .keep(), checkpoints: 2, restarts: restarts) { daemon in
      say("\(daemon.start.found) \(daemon.state)")
      if daemon.start.starts == 1 {
        for value in 1...3 {
          try daemon.change { $0 = value }
          try daemon.save()
        }
      }
      die()
    }
    run(root)
  }

  static func decide(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let policy = DaemonPolicy<Int>.decide { found in
      let (state, death) = (found.withState { copy $0 }, found.death.map { "\($0)" } ?? "")
      say("decides on \(state) \(found.wasChanging) \(found.newestCheckpoint ?? 0) \(death)")
      return found.wasChanging ? .checkpoint : found.attempts > 3 ? .zeros : .memory
    }
    root.daemon("decided", state: Int.self, policy: policy, checkpoints: 1, restarts: quick) { daemon in
      say("\(daemon.start.found) \(daemon.state)")
      switch daemon.start.starts {
      case 1:
        try daemon.change { $0 = 1 }
        try daemon.save()
        try daemon.change { $0 = 2 }
        die()
      case 2:
        try daemon.change {
          $0 = 3
          die()
        }
      case 3: die()
      default: try end(daemon)
      }
    }
    run(root)
  }

  static func hang(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    root.daemon("hung", state: Int.self, heartbeat: .milliseconds(300), restarts: quick) { daemon in
      if daemon.start.starts == 1 { while true { sleep(60) } }
      say("\(daemon.start.death.map { "\($0)" } ?? "new")")
      // Longer than its heartbeat: it beats in there. On a busy machine it may not come to that, and tries again.
      daemon.pause(for: .milliseconds(700))
      say("survived")
      try end(daemon)
    }
    run(root)
  }

  // MARK: Transactions

  /// Four pages.
  typealias Large = InlineArray<2048, Int>

  static func transact(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let large = DaemonReference<Large>("large")
    root.daemon(large, transactions: .pages(1)) { daemon in
      func tell(_ result: TransactionResult) {
        let (first, last) = daemon.withState { ($0[0], $0[2047]) }
        say("\(result.outcome) \(result.attempts): \(first) \(last)")
      }
      tell(try daemon.transaction { $0[0] = 1 })
      tell(
        try daemon.transaction {
          $0[0] = 2
          throw TransactionAbort(9)
        })
      tell(
        try daemon.transaction {
          $0[0] = 3
          throw Trouble()
        })
      tell(
        try daemon.transaction(tries: 2) {
          $0[0] = 4
          die()
        })
      tell(
        try daemon.transaction(tries: 1) {
          $0[0] = 5
          exit(3)
        })
      tell(
        try daemon.transaction(timeout: .milliseconds(50)) {
          $0[0] = 6
          while true { sleep(60) }
        })
      tell(
        try daemon.transaction {
          $0[0] = 7
          $0[2047] = 7
        })
      tell(try daemon.transaction { $0[2047] = 8 })
      try daemon.change { $0[0] = 9 }
      let counts = try daemon.look(at: large).transactions
      let (first, last) = daemon.withState { ($0[0], $0[2047]) }
      say("\(first) \(last), \(counts.begun) begun, \(counts.committed) committed")
      say("\(counts.aborted) aborted, \(counts.crashed) crashed, \(counts.late) late, \(counts.lost) lost")
      try end(daemon)
    }
    run(root)
  }

  static func meanwhile(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let busy = DaemonReference<Int>("busy")
    root.daemon(busy) { daemon in
      let committed = try daemon.transaction {
        $0 = 1
      } meanwhile: { transaction in
        say("state \(daemon.state), read \(try daemon.read(busy))")
        say(code { try daemon.change { $0 = 5 } })
        say(code { try daemon.transaction { $0 = 5 } })
        while !transaction.wait(for: .milliseconds(1)) {}
        say("over: \(transaction.wait(for: .zero))")
      }
      say("\(committed.outcome) \(daemon.state)")
      let cancelled = try daemon.transaction {
        $0 = 2
        while true { sleep(60) }
      } meanwhile: { transaction in
        say("over: \(transaction.wait(for: .zero))")
        transaction.cancel()
      }
      say("\(cancelled.outcome) \(daemon.state)")
      do {
        try daemon.transaction {
          $0 = 3
          while true { sleep(60) }
        } meanwhile: { _ in
          throw Trouble()
        }
      } catch is Trouble {
        say("trouble \(daemon.state)")
      }
      try daemon.change { $0 = 4 }
      say("\(try daemon.read(busy))")
      say(code { try daemon.save() })
      try end(daemon)
    }
    run(root)
  }

  // MARK: The end, and what is refused

  static func stop(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let first = DaemonReference<Int>("first")
    let second = DaemonReference<Int>("second")
    for reference in [first, second] {
      root.daemon(reference) { daemon in
        try daemon.catchStop()
        daemon.beat()
        while daemon.pause(for: .seconds(60)) {}
        say("\(daemon.name) stops")
      }
    }
    root.daemon("third", state: Int.self, stopSignal: SIGUSR1) { daemon in
      try daemon.catchStop()
      for other in [first, second] {
        while try daemon.look(at: other).beats == 0 { daemon.pause(for: .milliseconds(1)) }
      }
      kill(getppid(), SIGTERM)
      while daemon.pause(for: .seconds(60)) {}
      say("\(daemon.name) stops, \(daemon.isStopping)")
    }
    run(root)
    for daemon in try RootObserver(name).daemons() {
      say("\(daemon.name) \(daemon.phase) \(daemon.death.map { "\($0)" } ?? "")")
    }
    run(root)
  }

  static func code(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "done"
    } catch let error as RootError {
      return "\(error.code)"
    } catch {
      return "\(error)"
    }
  }

  static func misuse(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let own = DaemonReference<Pair>("own")
    root.daemon(own, checkpoints: 1, transactions: .none) { daemon in
      say(code { try daemon.change { _ in try daemon.change { _ in } } })
      say(code { try daemon.change { _ in try daemon.save() } })
      say(code { try daemon.save() })
      say(code { try daemon.transaction { _ in } })
      say(code { _ = try daemon.read(DaemonReference<Pair>("own")) })
      say(code { try daemon.change { _ in _ = try daemon.read(own) } })
      say(code { try daemon.change { _ in _ = try daemon.read(own, within: .milliseconds(10)) } })
      say(code { _ = try daemon.read(own, \.sum) })
      say(code { try daemon.change { _ in throw Trouble() } })
      say(code { try daemon.change { $0.up = 1 } })
      try end(daemon)
    }
    root.daemon("other", state: Int.self) { daemon in
      let result = try daemon.transaction { _ in
        // Reads, but does not change, in a process that is not the daemon's.
        let codes = [code { _ = try daemon.read(own, within: .seconds(30)) }, code { try daemon.change { $0 = 5 } }]
        throw TransactionAbort(codes == ["done", "inherited"] ? 1 : 2)
      }
      if result.outcome != .aborted(1) { say("\(result.outcome)") }
      while true { daemon.pause(for: .seconds(60)) }
    }
    root.daemon("deaf", state: Int.self, stopSignal: SIGKILL) { daemon in
      let told = [
        code { try daemon.catchStop() }, code { try daemon.change { _ in _ = try daemon.transaction { _ in } } },
      ]
      if told != ["invalidArgument", "changing"] { say("\(told)") }
      while true { daemon.pause(for: .seconds(60)) }
    }
    run(root)
  }

  /// `tell` closes the root that runs.
  static func closeWithin(_ name: String) throws {
    let root = Root(name)
    root.daemon("one", state: Int.self) { daemon in
      while true { daemon.pause(for: .seconds(60)) }
    }
    root.tell = { event in
      say("\(event.kind)")
      root.close()
    }
    run(root)
    run(root)
  }

  // MARK: Large states

  /// More than a stack has room for.
  struct Huge: SharedPayload {
    static let payloadLayout: UInt32 = 1
    var first: Int
    var cells: InlineArray<2_097_152, Int>
  }

  static func large(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    let kept = DaemonReference<Huge>("kept")
    let decided = DaemonReference<Huge>("decided")
    let policies = [
      DaemonPolicy<Huge>.keep { $0.cells[2_000_000] == 1 },
      .decide { found in found.withState { $0.cells[2_000_000] } == 1 ? .memory : .zeros },
    ]
    for (reference, policy) in zip([kept, decided], policies) {
      root.daemon(reference, policy: policy, transactions: .none, restarts: quick) { daemon in
        if daemon.start.starts == 1 {
          try daemon.change { $0.cells[2_000_000] = 1 }
          die()
        }
        try daemon.change { $0.first = $0.cells[2_000_000] }
        while true { daemon.pause(for: .seconds(60)) }
      }
    }
    root.daemon("reader", state: Int.self) { daemon in
      for other in [kept, decided] {
        while try daemon.read(other, \.first, within: .seconds(30)) == 0 { daemon.pause(for: .milliseconds(1)) }
        say("\(try daemon.look(at: other).found.map { "\($0)" } ?? "")")
      }
      try end(daemon)
    }
    run(root)
    let copy = UnsafeMutablePointer<Huge>.allocate(capacity: 1)
    defer { copy.deallocate() }
    let observer = try RootObserver(name)
    try observer.read(decided, into: &copy.pointee)
    say("\(copy.pointer(to: \.first)!.pointee) \(try observer.read(kept, \.first))")
  }

  // MARK: For who looks from outside

  /// A root with a daemon whose state is 42, until it is ended from outside.
  static func live(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    root.daemon("living", state: Int.self, heartbeat: .seconds(30)) { daemon in
      try daemon.change { $0 = 42 }
      while true { daemon.pause(for: .seconds(60)) }
    }
    run(root)
  }

  /// A root that has ended, in a program that goes on.
  static func linger(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    root.daemon("short", state: Int.self, restarts: .never) { _ in }
    run(root)
    while true { sleep(60) }
  }

  /// One that lives and has had transactions, one that crashed once, one that is given up.
  static func board(_ name: String) throws {
    let root = Root(name)
    defer { root.close() }
    root.daemon("steady", state: Pair.self, checkpoints: 2, heartbeat: .seconds(30)) { daemon in
      try daemon.transaction { $0.up = 1 }
      try daemon.transaction(tries: 1) { _ in die() }
      try daemon.save()
      while true { daemon.pause(for: .seconds(60)) }
    }
    root.daemon("clumsy", state: Int.self, restarts: quick) { daemon in
      if daemon.start.starts == 1 { die() }
      while true { daemon.pause(for: .seconds(60)) }
    }
    root.daemon("doomed", state: Int.self, restarts: DaemonRestarts(.always, tries: 1, delay: nil)) { _ in
      throw DaemonExit(7)
    }
    run(root)
  }
}

extension RootPeer.Pair {
  var sum: Int { up + down }
}
