// What `muster pair status` and `muster show` tell of a process pair.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import MusterSupervision

struct PairDetails: Equatable, Sendable, Encodable {
  struct Primary: Equatable, Sendable, Encodable {
    var process: Int32
    var state: String
    var epoch: UInt64
    /// ISO 8601.
    var since: String
    var mode: String
    /// How the one before ended.
    var cause: String?
    var heartbeat: String
    var periodSeconds: Double
    var missed: Int
  }

  struct Backup: Equatable, Sendable, Encodable {
    var process: Int32
    var state: String
    var epoch: UInt64
    var since: String
    var looks: UInt64
    var misses: Int
  }

  struct Escalation: Equatable, Sendable, Encodable {
    var step: UInt64
    var rung: String
    var attempt: Int
  }

  var epoch: UInt64
  var takeovers: UInt64
  var tried: UInt64
  var committed: UInt64?
  var emitted: UInt64
  var skipped: UInt64
  var escalation: Escalation?
  var primary: Primary?
  var backup: Backup?

  /// Whether somebody leads, and has not ended.
  var isLed: Bool { primary?.state == "alive" }
}

extension PairDetails {
  init(_ observer: ProcessPairObserver) throws(ProcessPairError) {
    let status = try observer.status()
    epoch = status.epoch
    takeovers = status.takeovers
    tried = status.tried
    committed = status.committed
    emitted = status.emitted
    skipped = status.skipped
    escalation = status.escalation.map { Escalation(step: $0.step, rung: "\($0.rung)", attempt: $0.attempt) }
    primary = status.primary.map { primary in
      Primary(
        process: primary.identity.pid, state: "\(status.primaryLife)", epoch: primary.epoch,
        since: timeText(primary.since.wholeNanoseconds), mode: "\(primary.mode)",
        cause: primary.cause.map { "\($0)" }, heartbeat: primary.heartbeat,
        periodSeconds: Double(primary.period.wholeNanoseconds) / 1e9, missed: primary.missed)
    }
    backup = status.backup.map { backup in
      Backup(
        process: backup.identity.pid, state: "\(status.backupLife)", epoch: backup.epoch,
        since: timeText(backup.since.wholeNanoseconds), looks: backup.looks, misses: backup.misses)
    }
  }

  func lines() -> [String] {
    var all = [
      ("primary", primary?.line ?? "nobody has led yet"), ("backup", backup?.line ?? "nobody has stood by yet"),
    ]
    all.append(("epoch", "\(epoch), after \(takeovers) takeover\(takeovers == 1 ? "" : "s")"))
    if let primary {
      all.append(("mode", primary.mode))
      all.append(("heartbeat", primary.heartbeatLine))
      if let cause = primary.cause { all.append(("before", cause)) }
    }
    all.append(("step", "\(tried) tried, \(committed.map { "\($0)" } ?? "none") committed, \(emitted) emitted"))
    if skipped > 0 { all.append(("skipped", "\(skipped)")) }
    if let escalation {
      all.append(("suspect", "step \(escalation.step) \(escalation.rung), attempt \(escalation.attempt)"))
    }
    return pairs(all)
  }
}

extension PairDetails.Primary {
  fileprivate var line: String {
    state == "alive" ? "pid \(process), since \(since)" : "\(state); it was pid \(process), since \(since)"
  }

  fileprivate var heartbeatLine: String {
    let period = Duration.seconds(periodSeconds).readable()
    return "\(heartbeat), each \(period), \(missed) missing are a hang"
  }
}

extension PairDetails.Backup {
  fileprivate var line: String {
    guard state == "alive" else { return "\(state); it was pid \(process), since \(since)" }
    return "pid \(process), since \(since)" + (misses > 1 ? ", misses \(misses) beats by now" : "")
  }
}
