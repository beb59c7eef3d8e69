// The command that a runner runs: started with its life tied to the runner, known to the successor, and ended with all that it has started.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a successor has to know of the command to see that it is gone. It lies in the pair's memory.
struct PairCommandRecord: SharedPayload {
  static let payloadLayout: UInt32 = 0x7275_6E31
  /// Its number, in `MUSTER_TREE` of its environment and in the name of its cgroup. Chosen, and kept, before there is a process: a runner that
  /// dies as it starts one leaves it known.
  var tree: UInt64 = 0
  /// 0: not known yet.
  var pid: UInt64 = 0
  var start: UInt64 = 0

  /// Of one that was seen gone with all that it had started, so that nobody has to look again.
  static let gone = PairCommandRecord()
  var isGone: Bool { tree == 0 }
}

struct PairCommand {
  enum Left {
    case nobody
    /// Those that would not die; more than these if `count` is greater.
    case some([Int32], count: Int)
    /// It can't be looked.
    case unknown(Int32)
  }

  struct NotStarted: Error {
    var errno: Int32
    /// As shells have it.
    var status: Int32 { errno == ENOENT ? 127 : 126 }

    func reason(_ program: String) -> String {
      if errno == ENOENT, !program.contains("/") { return "no program of that name is in PATH" }
      return String(cString: muster_status_text(errno))
    }
  }

  private var process: muster_process
  /// The group that somebody else's leads, or has led; 0: none. C knows it only until its leader is reaped.
  private var group: Int32 = 0

  private static let flags: muster_process_flags = [.MUSTER_PROCESS_GROUP, .MUSTER_PROCESS_CGROUP]

  /// One that somebody else has started, living or not.
  init(_ record: PairCommandRecord, in name: String) throws(ProcessPairError) {
    process = muster_process()
    let pid = Int32(truncatingIfNeeded: record.pid)
    let status = muster_process_open_tree(pid, record.start, record.tree, UInt32(Self.flags.rawValue), &process)
    guard status == 0 else { throw ProcessPairError("find what is left of the command of", name, status: status) }
    group = pid
  }

  /// Starts it. `isHeard`: it may tell something by the socket that its NOTIFY_SOCKET names.
  init(
    _ command: [String], tree: UInt64, adding variables: [String: String], isHeard: Bool
  ) throws(NotStarted) {
    var process = muster_process()
    var status = EINVAL
    PairSpawn.withStrings(command) { arguments in
      PairSpawn.withStrings(Self.environment(variables)) { environment in
        var options = muster_process_options()
        options.path = arguments?[0]
        options.arguments = arguments
        options.environment = environment
        options.tree = tree
        options.flags = UInt32(Self.flags.union([.MUSTER_PROCESS_SEARCH, .MUSTER_PROCESS_GUARD]).rawValue)
        if isHeard { options.readiness = muster_process_readiness.MUSTER_PROCESS_READY_SOCKET.rawValue }
        // A group in the background that reads from the terminal would be stopped.
        if isatty(STDIN_FILENO) == 1 {
          options.streams.0.kind = muster_process_stream_kind.MUSTER_PROCESS_STREAM_NULL.rawValue
        }
        status = muster_process_spawn(&options, &process, nil)
      }
    }
    guard status == 0 else { throw NotStarted(errno: status) }
    self.process = process
  }

  private static func environment(_ variables: [String: String]) -> [String] {
    // Who is meant by the watchdog of this process's own supervisor is this process.
    let kept = PairSpawn.inherited().filter { entry in
      let name = String(entry.prefix { $0 != "=" })
      return variables[name] == nil && !(variables["WATCHDOG_USEC"] != nil && name == "WATCHDOG_PID")
    }
    return kept + variables.map { "\($0)=\($1)" }
  }

  mutating func close() { muster_process_close(&process) }

  var descriptor: Int32 { process.pidfd }
  /// Readable when it has told something; -1: it is not heard.
  var notices: Int32 { process.ready }
  var pid: Int32 { process.pid }

  func record(_ tree: UInt64) -> PairCommandRecord {
    PairCommandRecord(tree: tree, pid: UInt64(process.pid), start: PairPeer.start(of: process))
  }

  func signal(_ number: Int32) { _ = withUnsafePointer(to: process) { muster_process_signal($0, number) } }

  /// As if it were in this process's place: what a terminal sends goes to all of its group. A shell that is told alone waits for what it runs. The
  /// group's number is its own, for nobody but this process reaps it.
  func pass(_ signal: PairSignals.Received) {
    if signal.isFromTerminal { PairGroup.signal(process.pid, signal.number) } else { self.signal(signal.number) }
  }

  /// Whether it has said WATCHDOG=1 since the last time.
  mutating func hasSaidThatItIsWell() -> Bool {
    let before = process.notice.watchdogs
    guard process.ready >= 0 else { return false }
    _ = muster_process_hear(&process)
    return process.notice.watchdogs != before
  }

  /// Kills all of it that lives, and looks again, for so long.
  mutating func kill(within nanoseconds: Int64) -> Left {
    var options = muster_process_stop_options()
    options.grace = 0
    options.deadline = muster_deadline_after(nanoseconds)
    var report = muster_process_stop_report()
    let status = muster_process_stop(&process, &options, &report)
    guard status != 0 else { return leftOfGroup() }
    guard status == EBUSY else { return .unknown(status) }
    let pids = withUnsafeBytes(of: report.pids) { Array($0.bindMemory(to: Int32.self)) }
    return .some(Array(pids.prefix(Int(report.left))), count: Int(report.left))
  }

  /// Those of the group of a leader that is reaped, whom C does not count: by the number alone. As long as the group has anybody, no other
  /// process gets that number; and as long as the leader is not reaped, C has seen to its group. So who has the number says that nobody is left.
  /// But all may have ended, and another group of that number have come and lost its leader meanwhile: so these are told, and not killed.
  private func leftOfGroup() -> Left {
    guard group > 1, !PairGroup.isNumber(group), PairGroup.exists(group) else { return .nobody }
    let pids = PairGroup.members(of: group)
    return pids.isEmpty ? .nobody : .some(Array(pids.prefix(Int(MUSTER_PROCESS_LEFT_MAX))), count: pids.count)
  }

  /// Of one that has ended and was reaped.
  var end: muster_process_end { process.end }
}
