// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension Log {
  /// A log as it is at a moment.
  public struct State: Hashable, Sendable {
    /// How many processes can log at the same time.
    public let places: Int
    /// Bytes of each place.
    public let bytes: Int
    /// The threshold.
    public let level: Level
    /// Bytes of the largest record.
    public let largestRecord: Int
    /// The places in which anybody ever was, in their order.
    public let writers: [Writer]
    /// How far it was drained.
    public let drain: DrainState
  }

  /// Who logs in a place, or did last.
  public struct Writer: Hashable, Sendable {
    /// What became of it.
    public enum Life: Hashable, Sendable {
      /// It lives, and logs here.
      case alive
      /// It has left, or its log was closed.
      case left
      /// It died without leaving.
      case dead
      /// The place's memory is corrupt, so that nothing is known.
      case corrupt
    }

    /// The number of the place.
    public let place: Int
    /// The process; `nil`: one that is just joining.
    public let pid: Int32?
    /// What became of it.
    public let life: Life
    /// Records written in this place, by all that ever were there.
    public let records: UInt64
    /// When it joined: since 1970.
    public let joined: Duration
    /// When it wrote its last record, or joined: since 1970.
    public let touched: Duration
  }

  /// How far a log was drained, and by whom.
  public struct DrainState: Hashable, Sendable {
    /// Who drains.
    public enum Life: Hashable, Sendable {
      /// Nobody does.
      case none
      /// That process. `nil`: one that is just coming.
      case alive(pid: Int32?)
      /// That process did, and died.
      case dead(pid: Int32?)
    }

    /// Who drains.
    public let life: Life
    /// Records written, by all drains that ever were.
    public let records: UInt64
    /// Records that were overwritten before a drain came to them.
    public let lost: UInt64
    /// The number of the present file; `nil`: there were no files so far.
    public let file: UInt64?
    /// Its bytes.
    public let length: UInt64
    /// Bytes that are being written, or that a drain which died or failed left to the next.
    public let staged: Int
  }
}

extension Log.State {
  static func of(_ core: LogCore) -> Result<Log.State, CoreFailure> {
    var state = muster_log_state()
    let status = muster_log_look(core.object, &state)
    guard status == 0 else { return .failure(CoreFailure(status: status)) }
    var drain = muster_log_drain_state()
    let drained = muster_log_look_drain(core.object, &drain)
    // A corrupt part is no reason not to tell of the others.
    guard drained == 0 || drained == EBADMSG else { return .failure(CoreFailure(status: drained)) }
    return .success(
      Log.State(
        places: Int(state.places), bytes: Int(state.bytes), level: Log.Level(state.level),
        largestRecord: Int(state.largest), writers: (0..<state.places).compactMap { Log.Writer(core, $0) },
        drain: Log.DrainState(drain)))
  }
}

extension Log.Writer {
  /// nil: nobody was ever there.
  fileprivate init?(_ core: LogCore, _ place: UInt32) {
    var state = muster_log_place_state()
    let status = muster_log_look_place(core.object, place, &state)
    guard status != 0 || state.joined != 0 || state.records > 0 else { return nil }
    self.place = Int(place)
    pid = state.pid == 0 ? nil : state.pid
    life =
      switch (status, state.life) {
      // A writer that overtakes each look lives.
      case (EAGAIN, _), (0, 0): .alive
      case (0, EOWNERDEAD): .dead
      case (0, _): .left
      default: .corrupt
      }
    records = state.records
    joined = .nanoseconds(state.joined)
    touched = .nanoseconds(state.touched)
  }
}

extension Log.DrainState {
  fileprivate init(_ state: muster_log_drain_state) {
    let pid = state.pid == 0 ? nil : state.pid
    life =
      switch state.life {
      case 0: .alive(pid: pid)
      case EOWNERDEAD: .dead(pid: pid)
      default: .none
      }
    records = state.records
    lost = state.lost
    file = state.file == 0 ? nil : state.file
    length = state.length
    staged = Int(state.staged)
  }
}
