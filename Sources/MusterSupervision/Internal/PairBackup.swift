// The backup's loop: watches the primary until it has to take over, or the pair ends.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a backup asks of its primary.
enum PairWish: UInt64 {
  case nothing = 0
  case endThePair = 1
}

final class PairBackup<State: Sendable> {
  enum Outcome {
    case leads(PairAlive, after: ProcessPairDeath)
    case ends
  }

  private let pair: ProcessPair<State>
  private let store: PairStore
  private let signals: PairSignals
  private let invitation: PairInvitation
  private let period: Int64
  private var seat: Int32
  private var said = muster_pair_backup()
  private var listener: PairListener?
  private var primary: PairPeer?
  /// One that has come: it has asked for the pair's end, which its primary has not lived to see to, or for this process's.
  private(set) var signal: Int32?

  init(
    _ pair: ProcessPair<State>, _ store: PairStore, _ signals: PairSignals, _ invitation: PairInvitation
  ) throws(ProcessPairError) {
    self.pair = pair
    self.store = store
    self.signals = signals
    self.invitation = invitation
    period = pair.options.period.coreNanoseconds
    // What is none of ours is nothing to be closed, either.
    seat = store.isSeat(invitation.seat) ? invitation.seat : -1
    if seat >= 0 { _ = fcntl(seat, F_SETFD, FD_CLOEXEC) }
  }

  deinit { if seat >= 0 { close(seat) } }

  func watch() throws(ProcessPairError) -> Outcome {
    guard try takePlace() else { return .ends }
    primary = try PairPeer(pid: invitation.pid, start: invitation.start, in: pair.name)
    pair.tell(.standsBy(primary: ProcessIdentity(pid: invitation.pid, start: invitation.start)))
    var death = ProcessPairDeath.unknown
    while true {
      if let primary {
        switch try watch(primary) {
        case .ended: return .ends
        case .lost(let how): death = how
        }
      }
      if let primary, !seeGone(primary) { return .ends }
      switch try takeAliveFile() {
      case .taken(let alive):
        listener = nil
        if seat >= 0 { close(seat) }
        seat = -1
        return .leads(alive, after: death)
      case .held(let pid, let start):
        // Somebody was started by hand meanwhile and leads. He is watched from now on, as long as he lets this one live.
        primary = pid == 0 ? nil : try PairPeer(pid: pid, start: start, in: pair.name)
      }
    }
  }

  /// The backup's place and the heartbeat. False: another backup has it, so this one is not needed.
  private func takePlace() throws(ProcessPairError) -> Bool {
    if seat < 0 {
      guard let taken = try store.seat() else { return false }
      seat = taken
    }
    let status = try store.look()
    // A launch that is over: the primary has started another one since.
    if status.primary_life == .MUSTER_PAIR_ALIVE && status.primary.launch != invitation.launch { return false }
    try store.standBy()
    said.launch = invitation.launch
    said.pid = UInt64(getpid())
    said.start = PairClock.ownStart
    said.since = PairClock.wall()
    said.epoch = invitation.epoch
    try listen()
    // What is read once in a process's life has been read, and is not in a takeover's way.
    PairAlive.probe(pair.aliveFile)
    return true
  }

  private func listen() throws(ProcessPairError) {
    let place = PairBeatPlace(name: pair.name, way: pair.options.heartbeat, cell: store.cell)
    let listener = try PairListener(place, after: invitation.epoch, in: pair.name)
    said.heartbeatContact = listener.contact
    self.listener = listener
    try store.say(said)
  }

  private enum Watched {
    case ended
    case lost(ProcessPairDeath)
  }

  /// Until it is dead, or hangs, or the pair ends.
  private func watch(_ primary: PairPeer) throws(ProcessPairError) -> Watched {
    // It has to come to know that somebody listens before it can send.
    var missesLeft = pair.options.missed + 1
    var next = muster_clock_now() + period
    while true {
      PairWaiting.sleep([primary.descriptor, listener?.descriptor ?? -1, signals.descriptor], until: next)
      if let end = primary.end() { return try hasEnded(primary) ? .ended : .lost(ProcessPairDeath(end)) }
      if let number = signals.next() {
        guard try heed(number), try !hasEnded(primary) else { return .ended }
        // It need not be long until the next look of either, but may.
        primary.signal(number)
      }
      if listener?.hasHeard() == true {
        missesLeft = pair.options.missed
        said.misses = 0
      }
      guard muster_clock_now() >= next else { continue }
      // By looks, not by the clock: when this process was not let run it has missed nothing.
      next = muster_clock_now() + period
      missesLeft -= 1
      said.looks += 1
      said.misses = UInt64(max(0, pair.options.missed - missesLeft))
      try store.say(said)
      if try hasEnded(primary) { return .ended }
      if missesLeft < 0 { return .lost(.hung) }
    }
  }

  /// Whether the primary says that it is at its end, on purpose.
  private func hasEnded(_ primary: PairPeer) throws(ProcessPairError) -> Bool {
    let said = try store.look().primary
    guard said.pid == UInt64(primary.pid), said.start == primary.start else { return false }
    return said.isOver
  }

  /// A signal. Whether to go on.
  private func heed(_ number: Int32) throws(ProcessPairError) -> Bool {
    signal = number
    guard pair.options.termination == .endsPair else { return false }
    said.wish = PairWish.endThePair.rawValue
    try store.say(said)
    return true
  }

  /// Kills whom it has watched, and sees him gone. One that can't be killed is told, and not taken over from: false when
  /// this one was then asked to end.
  private func seeGone(_ primary: PairPeer) -> Bool {
    let patience = pair.options.patience.coreNanoseconds
    var isTold = false
    while !primary.kill(within: isTold ? min(patience, 100_000_000) : patience) {
      // What comes before is for whoever leads then.
      if isTold, let number = signals.next() {
        signal = number
        return false
      }
      if !isTold {
        pair.tell(.primaryCannotBeKilled(ProcessIdentity(pid: primary.pid, start: primary.start)), level: .error)
      }
      isTold = true
    }
    return true
  }

  private func takeAliveFile() throws(ProcessPairError) -> PairAlive.Attempt {
    // Gone is gone; but a child that it was just starting has the lock as well, until it has come to its program.
    return try PairAlive.take(pair.aliveFile, in: pair.name, until: muster_deadline_after(1_000_000_000))
  }
}

extension muster_pair_primary {
  /// The work is done, or was ended on purpose.
  var hasEnded: Bool { mode == UInt64(muster_pair_mode.MUSTER_PAIR_ENDED.rawValue) }

  /// Nobody goes on who was not started by hand.
  var isOver: Bool { hasEnded || mode == UInt64(muster_pair_mode.MUSTER_PAIR_GIVEN_UP.rawValue) }
}
