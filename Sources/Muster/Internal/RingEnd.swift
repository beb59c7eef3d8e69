// What the two ends of a ring have in common: two C handles, and how to wait by them.
//
// One writes or reads, on the keeper's thread as far as locks go, and by one task at a time, which has the exclusive
// part of the handle. The other one only looks, so that who writes and who reads can be asked meanwhile.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class RingEnd: Sendable {
  let name: String
  let delivery: Ring.Delivery
  let capacity: Int
  let largestRecord: Int
  let handle: Handle
  /// Of the end: steps are made within it, so that closing gives the end back between two of them and never in one.
  let membership: Membership
  private nonisolated(unsafe) let observer: OpaquePointer
  private let observing = Lock()

  /// The options of an end that is opened to write or to read.
  static func options(
    _ name: RegionName, capacity: Int?, delivery: Ring.Delivery?, layout: UInt64, mode: OpenMode,
    permissions: FilePermissions
  ) -> muster_ring_options {
    var options = muster_ring_options()
    // One that is too large for the type is too large for a ring, and refused as such.
    options.bytes = capacity.map { UInt32(exactly: $0) ?? .max } ?? 0
    if let delivery { options.mode = delivery.core }
    options.layout = layout
    options.flags = mode.flags | name.flags
    options.permissions = UInt32(permissions.rawValue)
    return options
  }

  /// Flags to attach with, to read.
  static func attaching(_ name: RegionName, readOnly: Bool, anyOwner: Bool) -> UInt32 {
    UInt32(.MUSTER_REGION_ATTACH) | name.flags | (readOnly ? UInt32(.MUSTER_REGION_READ_ONLY) : 0)
      | (anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0)
  }

  /// Opens a handle that neither writes nor reads.
  static func open(
    _ operation: String, _ name: RegionName, _ options: inout muster_ring_options
  ) throws(RingError) -> OpaquePointer {
    var object: OpaquePointer?
    var mismatch = muster_mismatch()
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      defer { options.mismatch = nil }
      return name.withCString { muster_ring_open($0, &options, &object) }
    }
    guard status == 0, let object else { throw RingError(operation, name.string, status: status, mismatch: mismatch) }
    return object
  }

  /// - Parameter start: makes the handle an end, on the keeper's thread. What it returns is thrown.
  init(
    _ operation: String, _ name: RegionName, _ options: muster_ring_options, start: (OpaquePointer) -> RingError?
  ) throws(RingError) {
    var options = options
    // Here, since it may have to wait; the keeper must not be held up by one object's region.
    let opened = try Self.open(operation, name, &options)
    let readOnly = options.flags & UInt32(.MUSTER_REGION_READ_ONLY) != 0
    let end: OpaquePointer
    do throws(RingError) {
      end = try Self.attach(operation, name.string, opened, readOnly: readOnly, start: start)
    } catch {
      muster_ring_close(opened)
      throw error
    }
    // These stand in the state whatever becomes of the rest.
    var shape = muster_ring_state()
    _ = muster_ring_look(opened, &shape)
    nonisolated(unsafe) let ring = end
    nonisolated(unsafe) let observer = opened
    let membership = Membership {
      if muster_ring_stop_writing(ring) == EINVAL { muster_ring_stop_reading(ring) }
    }
    self.name = name.string
    self.delivery = Ring.Delivery(shape.mode)
    self.capacity = Int(shape.bytes)
    self.largestRecord = Int(shape.largest)
    self.observer = observer
    self.membership = membership
    self.handle = Handle(end) { _ in
      membership.leave()
    } letGo: { _ in
      // The keeper runs: the end was started there.
      _ = try? Keeper.shared.run { muster_ring_close(ring) }
      muster_ring_close(observer)
    }
  }

  private static func attach(
    _ operation: String, _ name: String, _ opened: OpaquePointer, readOnly: Bool, start: (OpaquePointer) -> RingError?
  ) throws(RingError) -> OpaquePointer {
    let region = muster_ring_region(opened)!
    let payload = muster_region_payload(region)
    let size = muster_region_size(region)
    var object: OpaquePointer?
    let status =
      readOnly
      ? muster_ring_attach_read_only(payload, size, &object) : muster_ring_attach(payload, size, &object)
    guard status == 0, let object else { throw RingError(operation, name, status: status) }
    var failure: RingError?
    do throws(ThreadFailure) {
      failure = try Keeper.shared.run { start(object) }
    } catch {
      failure = RingError(operation, name, status: error.status, code: .system)
    }
    guard let failure else { return object }
    muster_ring_close(object)
    throw failure
  }

  // MARK: Asking

  func state() throws(RingError) -> Ring.State {
    let operation = "look at the ring"
    try begin(operation, exclusive: false)
    defer { handle.end() }
    switch observing.withLock({ Ring.State.of(observer) }) {
    case .success(let state): return state
    case .failure(let core): throw failure(operation, core.status)
    }
  }

  func position() throws(RingError) -> Ring.Place {
    let operation = "ask the ring"
    var place = muster_ring_place()
    try check(operation) { muster_ring_position($0, &place) }
    return Ring.Place(place)
  }

  fileprivate var writer: muster_ring_state {
    observing.withLock {
      var state = muster_ring_state()
      // The writer stands in it whatever becomes of the rest.
      _ = muster_ring_look(observer, &state)
      return state
    }
  }

  // MARK: Using the end

  func begin(_ operation: String, exclusive: Bool = true) throws(RingError) {
    do {
      try handle.begin(exclusive: exclusive)
    } catch {
      throw RingError(operation, name, code: error == .taken ? .inUse : .closed)
    }
  }

  /// A call of the C core that is over at once.
  func check(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(RingError) {
    try begin(operation)
    defer { handle.end(exclusive: true) }
    let status = membership.step { body(handle.object) }
    guard status == 0 else { throw failure(operation, status) }
  }

  /// What the C core said, in an operation that has begun.
  func failure(_ operation: String, _ status: Int32, code: RingError.Code? = nil) -> RingError {
    switch status {
    // An end that is closed meanwhile has been given back, and so has one of a parent.
    case EPERM where handle.isInherited: RingError(operation, name, status: status, code: .inherited)
    case EPERM where handle.isClosed: RingError(operation, name, code: .closed)
    case EOWNERDEAD: RingError(operation, name, status: status, pid: writer.writer_pid)
    default: RingError(operation, name, status: status, code: code)
    }
  }

  // MARK: Waiting

  enum Waiting: Sendable {
    /// For a record. `untilEnd`: or until nobody writes.
    case record(untilEnd: Bool)
    case room(UInt32)
    /// For a living writer, or for a record.
    case writer
  }

  /// How a wait for a record that may end without one did.
  enum Found {
    case something
    case nobodyWrites
  }

  /// Waits in a task. The handle is in use.
  @discardableResult
  func wait(_ operation: String, _ what: Waiting, _ deadline: Deadline) async throws(RingError) -> Found {
    try found(operation, await handle.wait(RingWait(self, what, deadline)))
  }

  /// Waits on the caller's thread, which sleeps. The handle is in use.
  @discardableResult
  func waitBlocking(_ operation: String, _ what: Waiting, _ deadline: Deadline) throws(RingError) -> Found {
    try found(operation, handle.waitBlocking(RingWait(self, what, deadline)))
  }

  private func found(_ operation: String, _ end: WaitEnd) throws(RingError) -> Found {
    switch end {
    case .status(0): return .something
    case .status(ENODATA): return .nobodyWrites
    case .status(let status): throw failure(operation, status)
    case .noThread(let status): throw RingError(operation, name, status: status, code: .system)
    case .closed: throw RingError(operation, name, code: .closed)
    case .cancelled: throw RingError(operation, name, code: .cancelled)
    }
  }

  fileprivate func poll(_ what: Waiting, _ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    switch what {
    case .room(let size): membership.look { muster_ring_poll_room(handle.object, size, set) }
    case .record(untilEnd: false): membership.look { muster_ring_poll(handle.object, set) }
    case .record(untilEnd: true): pollUntilEnd(set)
    case .writer: pollWriter(set)
    }
  }

  /// A successor may have come, written and closed before anybody looked: then what it wrote is what is waited for. The
  /// second look comes after the words to sleep at, which its coming has changed, were read.
  private func pollWriter(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    let status = observing.withLock { muster_ring_poll_writer(observer, set) }
    guard status == EAGAIN else { return status }
    let there = withWaitSet { poll(.record(untilEnd: false), $0) }
    return there == EAGAIN || there == EOWNERDEAD ? EAGAIN : there
  }

  /// Whoever leaves changes a word at which the poll says to sleep. What it committed last is found by the second look.
  private func pollUntilEnd(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    let status = poll(.record(untilEnd: false), set)
    guard status == EAGAIN, writer.writer == ENOENT else { return status }
    let again = poll(.record(untilEnd: false), set)
    return again == EAGAIN ? ENODATA : again
  }
}

private final class RingWait: PendingWait, @unchecked Sendable {
  private let end: RingEnd
  private let what: RingEnd.Waiting

  init(_ end: RingEnd, _ what: RingEnd.Waiting, _ deadline: Deadline) {
    self.end = end
    self.what = what
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { end.poll(what, set) }
}
