// SPDX-License-Identifier: Apache-2.0
import CMuster
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private func text(_ status: Int32) -> String { String(cString: muster_status_text(status)) }

private func deadline(_ timeout: Int64?) -> muster_deadline {
  timeout.map { $0 == 0 ? 0 : muster_deadline_after($0) } ?? .max
}

private func letters(_ kind: UInt32) -> String {
  let bytes = (0..<4).map { UInt8(truncatingIfNeeded: kind >> ($0 * 8)) }
  return String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self)
}

enum Registry {
  static func list() throws(CommandFailure) -> [RegionEntry] {
    final class Box { var entries: [RegionEntry] = [] }
    let box = Box()
    let status = muster_region_list(
      { info, context in
        guard let context else { return 22 }
        Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().entries.append(RegionEntry(info.pointee))
        return 0
      }, Unmanaged.passUnretained(box).toOpaque())
    guard status == 0 else { throw CommandFailure(text(status)) }
    return box.entries
  }

  static func inspect(_ name: String) throws(CommandFailure) -> RegionEntry {
    var info = muster_region_info()
    let status = muster_region_inspect(name, 0, &info)
    guard status == 0 else {
      throw CommandFailure("\(printable(name)): \(status == ENOENT ? "no such region" : text(status))")
    }
    return RegionEntry(info)
  }

  /// nil when removed, else why not.
  static func remove(_ name: String, force: Bool) -> String? {
    let status = muster_region_remove(name, force ? muster_region_flags.MUSTER_REGION_FORCE.rawValue : 0)
    switch status {
    case 0: return nil
    case EBUSY: return "held; --force removes it all the same"
    case ENOENT: return "no such region"
    default: return text(status)
    }
  }

  private static let peek =
    muster_region_flags.MUSTER_REGION_ATTACH.rawValue | muster_region_flags.MUSTER_REGION_READ_ONLY.rawValue
    | muster_region_flags.MUSTER_REGION_PEEK.rawValue
    | muster_region_flags.MUSTER_REGION_ANY_OWNER.rawValue

  static func details(_ entry: RegionEntry) -> ObjectDetails {
    switch entry.kind {
    case "BARR": barrier(entry.name)
    case "GRUP": group(entry.name)
    case "SEQL": counters(entry.name)
    default: .other(note: nil)
    }
  }

  private static func members(_ group: OpaquePointer) -> [MemberDetails] {
    (0..<muster_group_capacity(group)).compactMap { place in
      var member = muster_member()
      guard muster_group_member(group, place, &member) == 0 else { return nil }
      let state: MemberDetails.State
      switch member.state {
      case .MUSTER_MEMBER_ALIVE: state = .alive
      case .MUSTER_MEMBER_LEFT: state = .left
      case .MUSTER_MEMBER_DEAD: state = .dead
      default: return nil
      }
      return MemberDetails(
        place: Int(place), state: state, process: member.pid, thread: member.thread, incarnation: member.incarnation)
    }
  }

  private static func group(_ name: String) -> ObjectDetails {
    var options = muster_group_options()
    options.flags = peek
    var group: OpaquePointer?
    let status = muster_group_open(name, &options, &group)
    guard status == 0, let group else { return .other(note: text(status)) }
    defer { _ = muster_group_close(group) }
    return .group(capacity: Int(muster_group_capacity(group)), members: members(group))
  }

  private static func barrier(_ name: String) -> ObjectDetails {
    var options = muster_barrier_options()
    options.flags = peek
    options.observe = 1
    var barrier: OpaquePointer?
    let status = muster_barrier_open(name, &options, &barrier)
    guard status == 0, let barrier else { return .other(note: text(status)) }
    defer { _ = muster_barrier_close(barrier) }
    var state = muster_barrier_state()
    let failure = muster_barrier_state_get(barrier, &state)
    guard failure == 0 else { return .other(note: text(failure)) }
    let causes: [muster_barrier_cause: String] = [
      .MUSTER_BARRIER_TIMED_OUT: "timed-out", .MUSTER_BARRIER_ABORTED: "aborted", .MUSTER_BARRIER_DEATH: "death",
      .MUSTER_BARRIER_ACTION: "action",
    ]
    let policies: [muster_on_death: String] = [
      .MUSTER_ON_DEATH_BREAK: "break", .MUSTER_ON_DEATH_SHRINK: "shrink", .MUSTER_ON_DEATH_AWAIT: "await",
    ]
    return .barrier(
      BarrierDetails(
        parties: Int(state.parties), arrived: Int(state.arrived), phase: Int(state.phase),
        onDeath: policies[state.on_death] ?? "unknown", broken: causes[state.cause],
        culprit: state.culprit == UInt32.max ? nil : Int(state.culprit), isInAction: state.in_action != 0,
        members: members(muster_barrier_group(barrier))))
  }

  private static func counters(_ name: String) -> ObjectDetails {
    var options = muster_seqlock_options()
    options.flags = peek
    var counters: OpaquePointer?
    let status = muster_seqlock_open(name, &options, &counters)
    guard status == 0, let counters else { return .other(note: text(status)) }
    defer { _ = muster_seqlock_close(counters) }
    let count = muster_seqlock_words(counters)
    var words = [UInt64](repeating: 0, count: Int(count))
    var sequence: UInt64 = 0
    let failure = muster_seqlock_read(counters, &words, count, &sequence)
    guard failure == 0 else { return .other(note: text(failure)) }
    var writer: Int32 = 0
    let isWritten = muster_seqlock_writer_pid(counters, &writer) == 0 && writer != 0
    let values = words.enumerated().map { index, word in
      var label = [CChar](repeating: 0, count: 64)
      let isLabelled = muster_seqlock_label(counters, UInt32(index), &label) == 0 && label[0] != 0
      let text = String(decoding: label.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      return CounterDetails.Value(index: index, label: isLabelled ? text : nil, value: word)
    }
    return .counters(CounterDetails(sequence: sequence, writer: isWritten ? writer : nil, values: values))
  }
}

extension RegionEntry {
  init(_ info: muster_region_info) {
    let name = withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    self.init(
      name: name, kind: letters(info.kind), size: info.size, fileSize: info.file_size, userID: info.user,
      userName: getpwuid(info.user).map { String(cString: $0.pointee.pw_name) }, mode: info.mode,
      creator: info.creator_pid, isHeld: info.held != 0, created: info.created)
  }
}

enum Meeting {
  static func wait(
    _ name: String, parties: Int, onDeath: OnDeath, timeout: Int64?
  ) throws(CommandFailure) -> BarrierWaitReport {
    let until = deadline(timeout)
    var options = muster_barrier_options()
    options.parties = UInt32(parties)
    options.on_death =
      switch onDeath {
      case .break: .MUSTER_ON_DEATH_BREAK
      case .shrink: .MUSTER_ON_DEATH_SHRINK
      case .await: .MUSTER_ON_DEATH_AWAIT
      }
    var barrier: OpaquePointer?
    var status = muster_barrier_open(name, &options, &barrier)
    guard status == 0, let barrier else {
      if status == ENOTRECOVERABLE || status == EOWNERDEAD {
        return BarrierWaitReport(outcome: .broken, phase: 0, isSerial: false, reason: text(status))
      }
      throw CommandFailure("\(printable(name)): \(text(status))")
    }
    defer { _ = muster_barrier_close(barrier) }
    var result = muster_barrier_result()
    status = muster_barrier_wait(barrier, until, &result)
    var report = BarrierWaitReport(
      outcome: .released, phase: Int(result.phase), index: result.index == .max ? nil : Int(result.index),
      isSerial: result.serial != 0)
    switch status {
    case 0: break
    case ETIMEDOUT: report.outcome = .timedOut
    case EOWNERDEAD, ECANCELED, ENOTRECOVERABLE:
      report.outcome = .broken
      report.reason = text(status)
    default: throw CommandFailure("\(printable(name)): \(text(status))")
    }
    return report
  }

  static func reset(_ name: String) throws(CommandFailure) {
    var options = muster_barrier_options()
    options.flags = muster_region_flags.MUSTER_REGION_ATTACH.rawValue
    options.observe = 1
    var barrier: OpaquePointer?
    var status = muster_barrier_open(name, &options, &barrier)
    if status == 0, let barrier {
      status = muster_barrier_reset(barrier)
      _ = muster_barrier_close(barrier)
    }
    guard status == 0 else {
      throw CommandFailure("\(printable(name)): \(status == ENOENT ? "no such barrier" : text(status))")
    }
  }
}

/// Alive files as the commands use them.
enum AliveFile {
  struct Held: @unchecked Sendable {
    fileprivate let alive: OpaquePointer
    let path: String
    /// What the owner before left, where it did not end cleanly.
    let crash: AliveReport?

    func release() -> CommandFailure? {
      let status = muster_alive_release(alive)
      return status == 0 ? nil : CommandFailure("\(printable(path)): \(text(status))")
    }

    func abandon() { muster_alive_abandon(alive) }
  }

  private static func report(_ path: String, _ found: muster_alive_found) -> AliveReport {
    let state: AliveReport.State =
      switch found.kind {
      case .MUSTER_ALIVE_HELD: .alive
      case .MUSTER_ALIVE_CRASH: .crashed
      case .MUSTER_ALIVE_REBOOT: .rebooted
      default: .nobody
      }
    return AliveReport(
      path: path, state: state, process: found.pid == 0 ? nil : found.pid,
      since: found.since == 0 ? nil : timeText(found.since))
  }

  private static func failure(_ path: String, _ status: Int32, status exit: Int32 = Status.failed) -> CommandFailure {
    CommandFailure("\(printable(path)): \(text(status))", status: exit)
  }

  static func acquire(_ path: String, timeout: Int64?) -> Result<Held, CommandFailure> {
    var found = muster_alive_found()
    var alive: OpaquePointer?
    let status = muster_alive_acquire(path, 0, deadline(timeout), &found, &alive)
    let before = report(path, found)
    if status == 0, let alive {
      let crash = before.state == .nobody ? nil : before
      return .success(Held(alive: alive, path: path, crash: crash))
    }
    let holder = before.process.map { "held by pid \($0)" } ?? "held by another"
    switch status {
    case EBUSY: return .failure(CommandFailure("\(printable(path)): \(holder)", status: Status.no))
    case ETIMEDOUT: return .failure(CommandFailure("\(printable(path)): still \(holder)", status: Status.timedOut))
    default: return .failure(failure(path, status))
    }
  }

  static func probe(_ path: String) throws(CommandFailure) -> AliveReport {
    var found = muster_alive_found()
    let status = muster_alive_probe(path, &found)
    guard status == 0 else { throw failure(path, status) }
    return report(path, found)
  }

  /// nil: timed out.
  static func wait(_ path: String, timeout: Int64?) throws(CommandFailure) -> AliveReport? {
    var found = muster_alive_found()
    let status = muster_alive_wait(path, deadline(timeout), &found)
    if status == ETIMEDOUT { return nil }
    guard status == 0 else { throw failure(path, status) }
    return report(path, found)
  }

  /// nil: timed out.
  static func waitForDeath(_ path: String, timeout: Int64?) throws(CommandFailure) -> AliveReport? {
    var found = muster_alive_found()
    let status = muster_alive_wait_death(path, deadline(timeout), &found)
    if status == ETIMEDOUT { return nil }
    guard status == 0 else { throw failure(path, status) }
    return report(path, found)
  }
}
