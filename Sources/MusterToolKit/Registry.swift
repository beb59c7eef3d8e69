// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import MusterSupervision
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The regions of this machine, and what they hold.
enum Registry {
  static func list() throws(CommandFailure) -> [RegionEntry] {
    do {
      return try Region.list().map(RegionEntry.init)
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  static func inspect(_ name: String) throws(CommandFailure) -> RegionEntry {
    do {
      return RegionEntry(try Region.inspect(RegionName(name)))
    } catch {
      throw CommandFailure(error.code == .notFound ? "\(printable(name)): no such region" : "\(error)")
    }
  }

  /// nil when removed, else why not.
  static func remove(_ name: String, force: Bool) -> String? {
    do {
      try Region.remove(RegionName(name), force: force)
      return nil
    } catch {
      switch error.code {
      case .inUse: return "held; --force removes it all the same"
      case .notFound: return "no such region"
      case .corrupt: return "not a region: left as it is"
      case .permissionDenied: return "permission denied"
      case .invalidArgument: return "a name that no region can have"
      default: return "\(error)"
      }
    }
  }

  /// Through read-only mappings that hold nothing: neither places of the dead are freed nor is anybody kept from removing.
  static func details(_ entry: RegionEntry) -> ObjectDetails {
    do {
      switch entry.kind {
      case "BARR":
        let (state, members) = try Barrier.look(entry.name)
        return .barrier(BarrierDetails(state, members))
      case "GRUP":
        let members = try Group.look(entry.name)
        return .group(capacity: members.count, members: members.compactMap(MemberDetails.init))
      case "SEQL":
        let (snapshot, writer) = try CounterRegion.look(entry.name)
        return .counters(CounterDetails(snapshot, writer))
      case "LOCK":
        return .lock(LockDetails(try LockState.look(entry.name), now: .now))
      case "CKPT":
        return .checkpoint(try SharedCheckpoint.details(entry.name))
      case "RING":
        return .ring(RingDetails(try Ring.look(RegionName(entry.name))))
      case "POOL":
        let (state, owners) = try Pool.look(RegionName(entry.name))
        return .pool(PoolDetails(state, owners))
      case "QUEU":
        return .queue(QueueDetails(try JobQueue.look(RegionName(entry.name)).state))
      case "TRAC":
        return .trace(try TraceDetails(try Trace.look(RegionName(entry.name))))
      case "LOGS":
        return .log(LogDetails(try Log.look(RegionName(entry.name)), now: wallClock()))
      case "ROOT":
        let observer = try RootObserver(entry.name, anyOwner: true)
        defer { observer.close() }
        return .root(try RootDetails(observer))
      case "PAIR":
        return .pair(try PairDetails(try ProcessPairObserver(entry.name)))
      default:
        return .other(note: nil)
      }
    } catch {
      return .other(note: "\(error)")
    }
  }
}

extension RegionEntry {
  init(_ info: RegionInfo) {
    self.init(
      name: info.name, kind: "\(info.kind)", size: info.size, fileSize: info.fileSize, userID: info.user,
      userName: getpwuid(info.user).map { String(cString: $0.pointee.pw_name) },
      mode: UInt32(info.permissions.rawValue), creator: info.creatorPID, isHeld: info.isHeld,
      created: info.created.wholeNanoseconds)
  }
}

extension MemberDetails {
  /// nil for a place in which nobody is or was.
  init?(_ member: Member) {
    switch member.state {
    case .free: return nil
    case .alive: state = .alive
    case .left: state = .left
    case .dead: state = .dead
    }
    place = member.index
    process = member.pid
    thread = member.thread
    incarnation = member.incarnation
  }
}

extension BarrierDetails {
  init(_ state: Barrier.State, _ members: [Member]) {
    parties = state.parties
    arrived = state.arrived
    phase = Int(state.phase)
    isInAction = state.isInAction
    onDeath =
      switch state.onDeath {
      case .break: "break"
      case .shrink: "shrink"
      case .await: "await"
      }
    (broken, culprit) =
      switch state.broken {
      case nil: (nil, nil)
      case .timedOut(let member): ("timed-out", member)
      case .aborted: ("aborted", nil)
      case .death(let member): ("death", member)
      case .action(let member): ("action", member)
      }
    self.members = members.compactMap(MemberDetails.init)
  }
}

extension LockDetails {
  init(_ state: LockState, now: ContinuousClock.Instant) {
    capacity = state.capacity
    condition =
      switch state.condition {
      case .whole: .whole
      case .unrepaired: .unrepaired
      case .poisoned: .poisoned
      }
    holder = state.holder.map { Holder($0, now: now) }
    lastDeath = state.lastDeathPID
    readers = state.readers.map { Holder($0, now: now) }
  }
}

extension LockDetails.Holder {
  init(_ holder: LockHolder, now: ContinuousClock.Instant) {
    place = holder.place
    state = holder.isAlive ? .alive : .dead
    process = holder.pid
    thread = holder.thread
    heldSeconds = holder.since.map { max(0, Double(($0.duration(to: now) / .milliseconds(1)).rounded(.down)) / 1000) }
  }
}

extension CounterDetails {
  init(_ snapshot: CounterRegion.Snapshot, _ writer: SeqlockWriter) {
    sequence = snapshot.sequence
    values = zip(snapshot.labels, snapshot.values).enumerated().map { index, pair in
      Value(index: index, label: pair.0.isEmpty ? nil : pair.0, value: pair.1)
    }
    switch writer {
    case .none: self.writer = nil
    case .alive(let pid): self.writer = pid
    case .dead(let pid):
      self.writer = pid
      isWriterDead = true
    }
  }
}
