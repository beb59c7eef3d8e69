// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Records of any size that one process writes and up to 64 read, each reader all of them: what ``RingWriter`` and
/// ``RingReader`` have in common, and a look at a ring from outside.
///
/// ```swift
/// let writer = try RingWriter("events", capacity: 1 << 20)      // whoever comes first creates it
/// try await writer.write("started".utf8)
///
/// let reader = try RingReader("events", capacity: 1 << 20)      // in another process
/// for try await record in reader.records { print(String(decoding: record.bytes, as: UTF8.self)) }
/// ```
///
/// A record is seen whole or not at all, at whatever instruction its writer dies. A reader gets all that a dead writer
/// had committed, then `writerDied`; the next ``RingWriter`` of that name goes on behind it, and so do the readers. The
/// C functions are in muster/ring.h; how it works and why it is right stands in the repository's docs/ring.md.
public enum Ring {
  /// What becomes of a reader that is slower than the writer. Chosen at creation.
  public enum Delivery: Hashable, Sendable {
    /// The writer waits, by its deadline, for the slowest living reader. A dead one is let go; a stopped one is not.
    case lossless
    /// The writer never waits. A reader that it overtakes goes on further ahead and is told how many it lost.
    case latest

    var core: muster_ring_mode { self == .lossless ? .MUSTER_RING_LOSSLESS : .MUSTER_RING_LATEST }

    init(_ mode: muster_ring_mode) { self = mode == .MUSTER_RING_LATEST ? .latest : .lossless }
  }

  /// A place between two records. It means the same to every process, also after a restart where the ring is a file.
  public struct Place: Hashable, Sendable, Codable {
    /// Bytes from the beginning of all, headers included.
    public let position: UInt64
    /// Records before it, from the beginning of all.
    public let number: UInt64

    /// A place that was noted elsewhere than in a value of this type.
    public init(position: UInt64, number: UInt64) {
      self.position = position
      self.number = number
    }

    init(_ place: muster_ring_place) { self.init(position: place.position, number: place.number) }

    var core: muster_ring_place { muster_ring_place(position: position, number: number) }
  }

  /// Where a reader begins.
  public enum Start: Hashable, Sendable {
    /// At the oldest record that can still be had; up to a 64th of the ring may be passed over.
    case oldest
    /// Behind the last record that was committed: with what comes next.
    case newest
    /// At a place that was remembered. Where that is gone, at the oldest; the first record tells how many were lost.
    case at(Place)

    var core: (from: muster_ring_from, place: muster_ring_place) {
      switch self {
      case .oldest: (.MUSTER_RING_OLDEST, muster_ring_place())
      case .newest: (.MUSTER_RING_NEWEST, muster_ring_place())
      case .at(let place): (.MUSTER_RING_AT, place.core)
      }
    }
  }

  /// A record, copied out of the ring.
  public struct Record: Hashable, Sendable {
    /// What was written.
    public let bytes: [UInt8]
    /// Where it began. Its `number` is how many were committed before it.
    public let place: Place
    /// How many were lost between the record before this one and this; 0 in a lossless ring, unless the place that
    /// reading began at was gone.
    public let lost: UInt64
  }

  /// A record where it lies. Valid until the closure that it was given to returns.
  public struct Lent {
    /// The bytes, aligned to 8. In a ring of ``Delivery/latest`` they may change meanwhile: copy what is to be acted on,
    /// or act when the call has returned.
    public let bytes: UnsafeRawBufferPointer
    /// Where it begins. Its `number` is how many were committed before it.
    public let place: Place
    /// As of ``Record/lost``.
    public let lost: UInt64

    init(_ record: muster_ring_record) {
      bytes = UnsafeRawBufferPointer(start: record.bytes, count: Int(record.size))
      place = Place(position: record.position, number: record.number)
      lost = record.lost
    }
  }

  /// What a new writer found.
  public struct Predecessor: Hashable, Sendable {
    /// Behind the last record that was committed: where it goes on.
    public let end: Place
    /// The process of the writer before, if it died without closing; 0 where it is not known.
    public let diedPID: Int32?

    init(_ found: muster_ring_predecessor) {
      end = Place(found.end)
      diedPID = found.died == 0 ? nil : found.pid
    }
  }

  /// Who writes.
  public enum WriterState: Hashable, Sendable {
    /// Nobody does: whoever did has closed.
    case none
    /// That process, and it lives. 0: one that is just coming, and not yet known.
    case alive(pid: Int32)
    /// That process did, and died.
    case dead(pid: Int32)
  }

  /// A living reader. Those that are read-only are not among them.
  public struct ReaderState: Hashable, Sendable {
    /// The number of its place among the readers, 0 to 63.
    public let index: Int
    /// Its process.
    public let pid: Int32
    /// The position that it has read up to.
    public let position: UInt64
    /// Bytes from there to the end.
    public let lag: UInt64
  }

  /// A ring as it is at a moment.
  public struct State: Hashable, Sendable {
    /// What becomes of slow readers.
    public let delivery: Delivery
    /// Bytes for records and their headers.
    public let capacity: Int
    /// The largest record, in bytes: a quarter of the capacity.
    public let largestRecord: Int
    /// Who writes.
    public let writer: WriterState
    /// Behind the last record that was committed.
    public let end: Place
    /// The position from which on nothing is overwritten.
    public let oldest: UInt64
    /// The living readers, in the order of their places.
    public let readers: [ReaderState]
  }

  /// Looks at a ring without holding or changing it.
  ///
  /// - Throws: ``RingError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `overtaken` (a writer of a ring of
  ///   `latest` passed it again and again), `system`.
  public static func look(_ name: RegionName) throws(RingError) -> State {
    var options = muster_ring_options()
    options.flags = peek | name.flags
    let ring = try RingEnd.open("look at the ring", name, &options)
    defer { muster_ring_close(ring) }
    switch State.of(ring) {
    case .success(let state): return state
    case .failure(let core): throw RingError("look at the ring", name.string, status: core.status)
    }
  }
}

extension Ring.State {
  /// The state, or the status of what can't be read.
  static func of(_ ring: OpaquePointer) -> Result<Ring.State, CoreFailure> {
    var state = muster_ring_state()
    let status = muster_ring_look(ring, &state)
    guard status == 0 else { return .failure(CoreFailure(status: status)) }
    var readers: [Ring.ReaderState] = []
    for index in 0..<UInt32(MUSTER_RING_READERS_MAX) {
      var reader = muster_ring_reader_state()
      let status = muster_ring_look_reader(ring, index, &reader)
      guard status == 0 else { return .failure(CoreFailure(status: status)) }
      guard reader.alive != 0 else { continue }
      readers.append(
        Ring.ReaderState(index: Int(index), pid: reader.pid, position: reader.position, lag: reader.lag))
    }
    return .success(
      Ring.State(
        delivery: Ring.Delivery(state.mode), capacity: Int(state.bytes), largestRecord: Int(state.largest),
        writer: Ring.WriterState(state), end: Ring.Place(state.end), oldest: state.oldest, readers: readers))
  }
}

extension Ring.WriterState {
  init(_ state: muster_ring_state) {
    switch state.writer {
    case 0: self = .alive(pid: state.writer_pid)
    case EOWNERDEAD: self = .dead(pid: state.writer_pid)
    default: self = .none
    }
  }
}
