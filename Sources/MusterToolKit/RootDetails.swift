// What `muster root status` and `muster show` tell of a root.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

struct RootDetails: Equatable, Sendable, Encodable {
  enum State: String, Sendable, Encodable {
    case running, stopping
    /// It has stopped its daemons, or none was left.
    case ended
    /// It is gone without that.
    case killed
  }

  struct Daemon: Equatable, Sendable, Encodable {
    struct Death: Equatable, Sendable, Encodable {
      /// For a person: "killed by SIGSEGV".
      var cause: String
      var exitStatus: Int32?
      var signal: Int32?
      var ageSeconds: Double
    }

    struct Transactions: Equatable, Sendable, Encodable {
      var begun: UInt64
      var committed: UInt64
      var aborted: UInt64
      var crashed: UInt64
      var late: UInt64
      /// Of the one that runs.
      var process: Int32?

      var lost: UInt64 { [aborted, crashed, late].reduce(0) { $0.addingReportingOverflow($1).partialValue } }
    }

    var name: String
    /// `running`, `waiting`, `given up`...
    var phase: String
    var process: Int32?
    /// Since its last start.
    var upSeconds: Double?
    /// Until its next start.
    var nextStartSeconds: Double?
    var starts: UInt64
    var failures: UInt64
    /// Where on the ladder it stands: `as declared`, `checkpoints`, `zeroed`, `given up`.
    var rung: String
    var attempts: Int
    /// What the last start found: `zeros`, `memory`, `checkpoint 3`.
    var found: String?
    var death: Death?
    var forkError: String?
    /// As declared.
    var heartbeatSeconds: Double?
    var beatAgeSeconds: Double?
    var beats: UInt64
    var stateSize: UInt64
    var arenaSize: UInt64
    var newestCheckpoint: UInt64?
    var transactions: Transactions
    /// Processor time of all its processes, the living one's, where it may be asked for, included.
    var userSeconds: Double
    var systemSeconds: Double
    /// The most that one of its dead processes had.
    var peakMemory: UInt64
    /// What its process has resident.
    var memory: UInt64?
    /// Processes of its own that were killed after its deaths.
    var drained: UInt64
    var isArenaCorrupt: Bool
  }

  var name: String
  var state: State
  var process: Int32
  var upSeconds: Double
  var size: UInt64
  var running: Int
  var givenUp: Int
  var starts: UInt64
  /// Other children that it reaped.
  var orphans: UInt64
  var wakes: UInt64
  var daemons: [Daemon]

  var isGone: Bool { state == .ended || state == .killed }
}

extension RootDetails {
  init(_ observer: RootObserver) throws(RootError) {
    // The root first: what its daemons do after it was asked for is no contradiction.
    self.init(observer.name, try observer.root(), try observer.daemons())
    guard !isGone else { return }
    let samples = daemons.map { $0.process.flatMap { try? WatchedProcess(pid: $0).sample() } }
    // Who has the same number and the same start still, after it was sampled, had them meanwhile.
    for (index, after) in try observer.daemons().enumerated() {
      guard let sample = samples[index], after.pid == daemons[index].process, after.starts == daemons[index].starts
      else {
        continue
      }
      daemons[index].userSeconds += seconds(sample.user)
      daemons[index].systemSeconds += seconds(sample.system)
      daemons[index].memory = sample.memory
    }
  }

  private init(_ name: String, _ root: RootStatus, _ daemons: [DaemonStatus]) {
    self.name = name
    let isOver = daemons.allSatisfy { $0.phase == .ended || $0.phase == .givenUp }
    // The program may go on without it.
    state = isOver ? .ended : !root.isAlive ? .killed : root.isStopping ? .stopping : .running
    process = root.pid
    upSeconds = seconds(root.sinceStart)
    size = root.size
    running = root.running
    givenUp = root.givenUp
    starts = root.starts
    orphans = root.orphans
    wakes = root.wakes
    self.daemons = daemons.map(Daemon.init)
  }
}

extension RootDetails.Daemon {
  fileprivate init(_ status: DaemonStatus) {
    name = status.name
    phase = "\(status.phase)"
    process = status.pid
    upSeconds = status.pid == nil ? nil : status.sinceStart.map(seconds)
    nextStartSeconds = status.untilStart.map(seconds)
    starts = status.starts
    failures = status.failures
    rung = "\(status.rung)"
    attempts = status.attempts
    found = status.found.map { "\($0)" }
    death = status.death.map(Death.init)
    forkError = status.forkError.map { "\($0)" }
    heartbeatSeconds = status.heartbeat.map(seconds)
    beatAgeSeconds = status.sinceBeat.map(seconds)
    beats = status.beats
    stateSize = status.stateSize
    arenaSize = status.arenaSize
    newestCheckpoint = status.newestCheckpoint
    transactions = Transactions(
      begun: status.transactions.begun, committed: status.transactions.committed,
      aborted: status.transactions.aborted, crashed: status.transactions.crashed, late: status.transactions.late,
      process: status.transactions.pid)
    userSeconds = seconds(status.userTime)
    systemSeconds = seconds(status.systemTime)
    peakMemory = status.peakMemory
    drained = status.drained
    isArenaCorrupt = status.isArenaCorrupt
  }
}

extension RootDetails.Daemon.Death {
  fileprivate init(_ death: DaemonDeath) {
    cause = "\(death.cause)"
    ageSeconds = seconds(death.age)
    switch death.cause {
    case .exited(let value): exitStatus = value
    case .signaled(let number): signal = number
    default: break
    }
  }
}

/// To the millisecond.
private func seconds(_ duration: Duration) -> Double { Double(duration.wholeNanoseconds / 1_000_000) / 1000 }
