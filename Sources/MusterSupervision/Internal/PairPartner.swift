// The primary's side of its backup: starts one, sends it beats, and replaces it when it dies or does not look any more. Never is there a second one.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class PairPartner<State: Sendable> {
  private enum Phase {
    /// There is none. At that time the next one is to be started.
    case none(retry: Int64)
    /// One was started, and has not said anything yet. The child is the backup itself, or whatever starts it.
    case launched(child: PairPeer, until: Int64)
    case present(PairPeer, since: Int64)
  }

  private let pair: ProcessPair<State>
  private let store: PairStore
  private let epoch: UInt64
  private let own: (pid: Int32, start: UInt64)
  private let program: PairProgram
  private var phase = Phase.none(retry: 0)
  private var backoff: Int64
  /// What has started backups in windows, as long as they have to be reaped.
  private var launchers: [PairPeer] = []
  /// So long a backup may take to say something: longer each time that one did not.
  private var launchPatience: Int64
  private var sender: PairSender?
  private var number: UInt64 = 0
  private var looks: UInt64 = 0
  private var quietTicks = 0

  private var launch: UInt64 = 0
  /// Publishes a launch's number. A backup whose number it is not finds itself not needed.
  private let announce: (UInt64) throws(ProcessPairError) -> Void
  private(set) var isDegraded = false
  /// It has asked that the pair end.
  private(set) var asksToEnd = false
  /// Whether the backup or `isDegraded` have changed since that was last asked.
  var hasNews = false

  init(
    _ pair: ProcessPair<State>, _ store: PairStore, _ program: PairProgram, epoch: UInt64,
    own: (pid: Int32, start: UInt64), announce: @escaping (UInt64) throws(ProcessPairError) -> Void
  ) {
    self.announce = announce
    self.pair = pair
    self.store = store
    self.program = program
    self.epoch = epoch
    self.own = own
    backoff = pair.options.retryFirst.coreNanoseconds
    launchPatience = max(5_000_000_000, 20 * pair.options.period.coreNanoseconds)
  }

  /// To be slept on: readable when the backup has died.
  var descriptor: Int32 {
    switch phase {
    case .none: -1
    case .launched(let child, _): child.descriptor
    case .present(let peer, _): peer.descriptor
    }
  }

  var peer: PairPeer? {
    switch phase {
    case .none: nil
    case .launched(let child, _): child
    case .present(let peer, _): peer
    }
  }

  /// When it was started, if it stands by; else 0.
  var knownStart: UInt64 {
    if case .present(let peer, _) = phase { peer.start } else { 0 }
  }

  func beat(_ now: Int64) {
    number += 1
    if let sender, !sender.send(epoch: epoch, number: number, at: now) { self.sender = nil }
  }

  /// Looks after it: once a period, and when it may have died.
  func tend(_ now: Int64, isTick: Bool) throws(ProcessPairError) {
    launchers.removeAll { $0.end() != nil }
    switch phase {
    case .none(let retry): if now >= retry { try start(now) }
    case .launched(let child, let until): try greet(child, until: until, now)
    case .present(let peer, let since): try attend(peer, since: since, now, isTick: isTick)
    }
  }

  // MARK: Starting

  private func start(_ now: Int64) throws(ProcessPairError) {
    let taken: Int32?
    do throws(ProcessPairError) {
      // What a dead primary has left, when this one was started by hand: its backup would be the third process.
      let isClear = try store.killBackup(otherThan: own.pid, within: pair.options.patience.coreNanoseconds)
      guard isClear else { return postpone("the backup of the primary before can't be killed", now) }
      taken = try store.seat()
    } catch {
      // No descriptors, no /proc: what keeps a backup from being there does not keep the work from going on.
      return postpone(error.phrase, now)
    }
    guard let seat = taken else {
      // Nobody knows of a backup from when it is started to when it says who it is; the one before may have died in between.
      return postpone("somebody has the backup's seat who has not said who it is (fuser \(store.path) tells)", now)
    }
    defer { close(seat) }
    launch = UInt64.random(in: 1...UInt64.max)
    try announce(launch)
    hasNews = true
    // A window's server hands no descriptor on: its backup takes the seat itself.
    let isOwnChild = pair.options.launch.wrap == nil
    let invitation = PairInvitation(
      launch: launch, pid: own.pid, start: own.start, epoch: epoch, seat: isOwnChild ? seat : -1,
      name: pair.name)
    switch program.start(invitation, descriptors: handedOn + [seat]) {
    case .success(let process):
      phase = .launched(child: PairPeer(child: process), until: now + launchPatience)
    case .failure(let failure): postpone(failure.reason, now)
    }
  }

  /// Numbers above the standard streams by which the backup has to have what this process has.
  private var handedOn: [Int32] {
    let number = (pair.output as? DescriptorOutput)?.descriptor.rawValue ?? -1
    return number > 2 && fcntl(number, F_GETFD) >= 0 ? [number] : []
  }

  private func postpone(_ why: String, _ now: Int64) {
    phase = .none(retry: now + backoff)
    pair.tell(.degraded(why: why, retry: .nanoseconds(backoff)), level: .warning)
    backoff = min(backoff * 2, max(backoff, pair.options.retryMost.coreNanoseconds))
    if !isDegraded { hasNews = true }
    isDegraded = true
  }

  /// One that was started: until it says who it is.
  private func greet(_ child: PairPeer, until: Int64, _ now: Int64) throws(ProcessPairError) {
    let status = try store.look()
    if status.backup_life == .MUSTER_PAIR_ALIVE, status.backup.launch == launch {
      let pid = Int32(truncatingIfNeeded: status.backup.pid)
      guard pid != child.pid else { return try welcome(child, status, now) }
      // Without a descriptor for it: again the next time.
      guard let peer = try? PairPeer(pid: pid, start: status.backup.start, in: pair.name) else { return }
      launchers.append(child)
      return try welcome(peer, status, now)
    }
    let hasEnded = child.end()
    if let hasEnded, pair.options.launch.wrap == nil || hasEnded.kind != .MUSTER_PROCESS_EXITED || hasEnded.code != 0 {
      return postpone(program.phrase(hasEnded), now)
    }
    guard now >= until else { return }
    _ = child.kill(within: pair.options.patience.coreNanoseconds)
    launchPatience = min(2 * launchPatience, max(launchPatience, 300_000_000_000))
    postpone("the backup that was started has not said anything in time", now)
  }

  private func welcome(_ peer: PairPeer, _ status: muster_pair_status, _ now: Int64) throws(ProcessPairError) {
    phase = .present(peer, since: now)
    looks = status.backup.looks
    quietTicks = 0
    hasNews = true
    isDegraded = false
    try connect(status.backup)
    beat(now)
    pair.tell(.backedUp(ProcessIdentity(pid: peer.pid, start: peer.start)))
  }

  private func connect(_ backup: muster_pair_backup) throws(ProcessPairError) {
    let contact = backup.heartbeatContact
    guard contact.key != 0, sender?.key != contact.key else { return }
    let place = PairBeatPlace(name: pair.name, way: pair.options.heartbeat, cell: store.cell)
    // One that is dying can't be reached any more; that it is dead is told otherwise.
    sender = try? PairSender(place, to: contact, in: pair.name)
  }

  // MARK: Watching

  private func attend(_ peer: PairPeer, since: Int64, _ now: Int64, isTick: Bool) throws(ProcessPairError) {
    if peer.end() != nil { return lose(peer, since: since, now) }
    guard isTick else { return }
    let status = try store.look()
    asksToEnd = status.backup.launch == launch && status.backup.wish == PairWish.endThePair.rawValue
    if sender == nil { try connect(status.backup) }
    if status.backup.looks != looks {
      looks = status.backup.looks
      quietTicks = 0
      if now - since >= pair.options.stable.coreNanoseconds { backoff = pair.options.retryFirst.coreNanoseconds }
      return
    }
    quietTicks += 1
    // It looks once a period of its own; one more, for the two are not in step.
    guard quietTicks > pair.options.missed + 2 else { return }
    if peer.kill(within: pair.options.patience.coreNanoseconds) { lose(peer, since: since, now) }
  }

  private func lose(_ peer: PairPeer, since: Int64, _ now: Int64) {
    sender = nil
    hasNews = true
    pair.tell(.lostBackup(peer.pid), level: .warning)
    if now - since >= pair.options.stable.coreNanoseconds {
      phase = .none(retry: now)
    } else {
      phase = .none(retry: now + backoff)
      backoff = min(backoff * 2, max(backoff, pair.options.retryMost.coreNanoseconds))
    }
  }

  // MARK: The end

  /// Waits for it, which ends when it sees that the pair has; kills it when it does not.
  func end() {
    guard let peer else { return }
    // It looks once a period, and that may be long.
    if pair.options.termination != .ignoredByPair { peer.signal(SIGTERM) }
    let patience = max(4 * pair.options.period.coreNanoseconds, 1_000_000_000)
    if !peer.wait(until: muster_deadline_after(patience)) {
      _ = peer.kill(within: pair.options.patience.coreNanoseconds)
    }
  }
}
