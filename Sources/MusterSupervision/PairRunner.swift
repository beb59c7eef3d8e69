// One of two processes that run the same command: the first runs it, the other stands by. Nobody starts the other one.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `muster pair run` does.
package final class PairRunner {
  /// What is to be run, and how it is watched.
  package struct Task: Sendable {
    package var name: String
    package var command: [String]
    /// Given to the command; nobody here reads it.
    package var checkpoint: String
    /// Whether to go on although processes of the old command would not die.
    package var isForced = false
    /// Within this time, again and again, the command has to say that it is well. `nil`: it need not.
    package var watchdog: Duration?
    package var options = ProcessPairOptions()

    package init(name: String, command: [String], checkpoint: String) {
      self.name = name
      self.command = command
      self.checkpoint = checkpoint
    }
  }

  /// The runner's own exit status, where the command has none to give.
  package static let gaveUp: Int32 = 125

  let task: Task
  let pair: ProcessPair<PairCommandRecord>
  let tell: @Sendable (String) -> Void

  package init(_ task: Task, tell: @escaping @Sendable (String) -> Void) {
    self.task = task
    self.tell = tell
    var options = task.options
    // Ctrl-C ends a standby alone.
    options.termination = .endsProcess
    options.history = 2
    options.onEvent = { tell("\($0)") }
    pair = ProcessPair(
      task.name, initial: PairCommandRecord(), outputCapacity: 0, output: NoProcessPairOutput(), options: options)
  }

  /// Runs the command, or stands by for who does. Blocks the thread.
  ///
  /// - Returns: the exit status of this process.
  /// - Throws: ``ProcessPairError``: `alreadyRunning` (there are two), and what the pair's memory and files give.
  package func run() throws(ProcessPairError) -> Int32 {
    try pair.checkOptions()
    let signals = try PairSignals(in: task.name)
    while true {
      switch try PairAlive.take(pair.aliveFile, in: task.name, until: 0) {
      case .taken(let alive): return try lead(signals, alive)
      case .held(let pid, let start):
        if pid != 0, let status = try standBy(signals, pid, start) { return status }
      }
      // Whoever has the file is beginning, or ending.
      PairWaiting.sleep([signals.descriptor], until: muster_deadline_after(10_000_000))
      if let number = signals.next() { return 128 + number }
    }
  }

  private func store(mayCreate: Bool) throws(ProcessPairError) -> PairStore {
    try PairStore(task.name, pair.place, pair.shape, layout: pair.coding.layout, mayCreate: mayCreate)
  }

  private func lead(_ signals: PairSignals, _ alive: PairAlive) throws(ProcessPairError) -> Int32 {
    let store: PairStore
    do throws(ProcessPairError) {
      store = try self.store(mayCreate: true)
    } catch {
      // Nobody has led.
      alive.release()
      throw error
    }
    return try PairRunnerLead(self, store, signals, alive, after: nil).run()
  }

  /// `nil`: the pair is beginning, or ending: it is to be looked again.
  private func standBy(_ signals: PairSignals, _ pid: Int32, _ start: UInt64) throws(ProcessPairError) -> Int32? {
    guard let (store, seat) = try takeSeat(for: pid) else { return nil }
    let status = try store.look()
    let invitation = PairInvitation(
      launch: status.primary.launch, pid: pid, start: start, epoch: status.epoch, seat: seat, name: task.name)
    let backup = try PairBackup(pair, store, signals, invitation)
    switch try backup.watch() {
    case .leads(let alive, let death):
      let mode = try store.look().primary.mode
      // It came to its end before this one had begun to watch it: what was watched is nobody's, and its memory has no name any more.
      if mode == UInt64(muster_pair_mode.MUSTER_PAIR_ENDED.rawValue) {
        alive.release()
        return try ending(store)
      }
      return try PairRunnerLead(self, store, signals, alive, after: death).run()
    case .ends:
      if let number = backup.signal { return 128 + number }
      return try ending(store)
    }
  }

  private func takeSeat(for primary: Int32) throws(ProcessPairError) -> (PairStore, Int32)? {
    do throws(ProcessPairError) {
      let store = try store(mayCreate: false)
      if let seat = try store.seat() { return (store, seat) }
      let status = try store.look()
      // Who ends takes the seat, so that nobody begins to stand by for him.
      guard status.backup_life == .MUSTER_PAIR_ALIVE else { return nil }
      throw ProcessPairError(
        "join", task.name, .alreadyRunning,
        because: "process \(primary) runs the command and process \(status.backup.pid) stands by", pid: primary)
    } catch {
      // Removed meanwhile.
      guard error.code == .notFound || error.code == .fenced else { throw error }
      return nil
    }
  }

  private func ending(_ store: PairStore) throws(ProcessPairError) -> Int32 {
    let mode = try store.look().primary.mode
    let isGivenUp = mode == UInt64(muster_pair_mode.MUSTER_PAIR_GIVEN_UP.rawValue)
    tell(isGivenUp ? "the pair gave up" : "the pair has ended")
    return isGivenUp ? Self.gaveUp : 0
  }
}
