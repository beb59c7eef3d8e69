// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

/// What `muster barrier` does at a barrier.
enum Meeting {
  static func wait(
    _ name: String, parties: Int, onDeath: OnDeath, timeout: Int64?
  ) throws(CommandFailure) -> BarrierWaitReport {
    let deadline = instant(timeout)
    let policy: Barrier.OnDeath =
      switch onDeath {
      case .break: .break
      case .shrink: .shrink
      case .await: .await
      }
    do {
      let barrier = try Barrier(name, parties: parties, onDeath: policy)
      defer { barrier.close() }
      let arrival = try barrier.waitBlocking(until: deadline)
      return BarrierWaitReport(
        outcome: .released, phase: Int(arrival.phase), index: arrival.index, isSerial: arrival.isSerial)
    } catch {
      guard let report = BarrierWaitReport(error) else { throw failure(name, error) }
      return report
    }
  }

  static func reset(_ name: String) throws(CommandFailure) {
    do {
      let barrier = try Barrier.observe(name)
      defer { barrier.close() }
      try barrier.reset()
    } catch {
      throw failure(name, error)
    }
  }

  private static func failure(_ name: String, _ error: BarrierError) -> CommandFailure {
    let reason: String? =
      switch error.code {
      case .notFound: "no such barrier"
      case .full: "all its places are taken"
      default: nil
      }
    return CommandFailure(reason.map { "\(printable(name)): \($0)" } ?? "\(error)")
  }
}

extension BarrierWaitReport {
  /// nil for an error that is no outcome of a wait.
  init?(_ error: BarrierError) {
    let who = error.member.map { "member \($0)" } ?? "a member"
    switch error.code {
    case .timedOut: self.init(outcome: .timedOut)
    case .memberDied: self.init(outcome: .broken, reason: "\(who) died")
    case .broken:
      self.init(
        outcome: .broken, reason: error.member == nil ? "another timed out, or it was broken before" : "\(who) died")
    case .aborted: self.init(outcome: .broken, reason: "it was aborted or reset")
    default: return nil
    }
  }

  private init(outcome: Outcome, reason: String? = nil) {
    self.init(outcome: outcome, phase: nil, index: nil, isSerial: false, reason: reason)
  }
}

/// Alive files as the commands use them.
enum AliveFile {
  static func acquire(_ path: String, timeout: Int64?) -> Result<Alive, CommandFailure> {
    do {
      let file = FilePath(path)
      return .success(timeout == 0 ? try Alive(file) : try Alive.acquireBlocking(file, until: instant(timeout)))
    } catch {
      let holder = error.holder.map { "held by pid \($0.pid)" } ?? "held by another"
      switch error.code {
      case .held: return .failure(CommandFailure("\(printable(path)): \(holder)", status: Status.no))
      case .timedOut: return .failure(CommandFailure("\(printable(path)): still \(holder)", status: Status.timedOut))
      default: return .failure(CommandFailure("\(error)"))
      }
    }
  }

  /// nil when it was let go of and removed, else what went wrong.
  static func release(_ alive: Alive) -> CommandFailure? {
    do {
      try alive.release()
      return nil
    } catch {
      return CommandFailure("\(error)")
    }
  }

  static func probe(_ path: String) throws(CommandFailure) -> AliveReport {
    do {
      return AliveReport(path, try Alive.probe(FilePath(path)))
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  /// nil: timed out.
  static func wait(_ path: String, timeout: Int64?) throws(CommandFailure) -> AliveReport? {
    do {
      return AliveReport(path, .held(try Alive.waitUntilHeldBlocking(FilePath(path), until: instant(timeout))))
    } catch {
      if error.code == .timedOut { return nil }
      throw CommandFailure("\(error)")
    }
  }

  /// nil: timed out.
  static func waitForDeath(_ path: String, timeout: Int64?) throws(CommandFailure) -> AliveReport? {
    do {
      return AliveReport(path, try Alive.waitForDeathBlocking(FilePath(path), until: instant(timeout)))
    } catch {
      if error.code == .timedOut { return nil }
      throw CommandFailure("\(error)")
    }
  }
}

extension AliveReport {
  init(_ path: String, _ found: AliveFound) {
    let state: State =
      switch found {
      case .nothing: .nobody
      case .crash: .crashed
      case .reboot: .rebooted
      case .held: .alive
      }
    self.init(
      path: path, state: state, process: found.owner?.pid,
      since: found.owner.map { timeText($0.since.wholeNanoseconds) })
  }
}

/// The end of a wait that begins now; nil: no end.
private func instant(_ timeout: Int64?) -> ContinuousClock.Instant? {
  timeout.map { .now + .nanoseconds($0) }
}
