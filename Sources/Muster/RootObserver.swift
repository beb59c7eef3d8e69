// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Looks at a ``Root`` and its daemons from another process, or from its own when it has run, without disturbing anybody.
///
/// ```swift
/// let observer = try RootObserver("app")
/// for daemon in try observer.daemons() { print(daemon.name, daemon.phase, daemon.starts) }
/// print(try observer.read(DaemonReference<Counter>("counter")).turns)
/// ```
///
/// The memory is mapped read-only, and held by it no more than a file is by who reads it: the root may end, or be killed, meanwhile, and
/// what was there last stays to be seen. All of it is input, and read as such.
///
/// Any number of threads may use the object.
public final class RootObserver: Sendable {
  /// The root's name.
  public let name: String
  /// How many daemons it has.
  public let count: Int
  private let handle: Handle

  /// Looks at the root of that name.
  ///
  /// - Parameters:
  ///   - name: of shared memory.
  ///   - anyOwner: whether a root of another user is accepted.
  /// - Throws: ``RootError``: `notFound`, `mismatch` (it is no root, or of another version), `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public init(_ name: String, anyOwner: Bool = false) throws(RootError) {
    var view: OpaquePointer?
    let flags = anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0
    let status = withName(name) { muster_root_observe($0, flags, &view) }
    guard status == 0, let view else {
      let reason =
        status == EPROTO
        ? "it is no root, or one of another version"
        : status == EINVAL ? "that can't be the name of shared memory" : nil
      throw RootError(Self.looking, name, status: status, reason: reason)
    }
    self.name = name
    count = Int(muster_root_view_count(view))
    handle = Handle(view) { muster_root_view_close($0) }
  }

  private static let looking = "look at the root"

  /// Lets go of the memory. Closing again does nothing.
  public func close() { handle.close() }

  /// What is known of the root.
  ///
  /// - Throws: ``RootError``: `changing` (it was quicker each of many times), `corrupt`, `closed`; `system`: whether it is alive could
  ///   not be found out, for want of a descriptor, say.
  public func root() throws(RootError) -> RootStatus {
    var status = muster_root_status()
    try check { muster_root_view_root($0, &status) }
    return RootStatus(status, now: muster_clock_now())
  }

  /// What is known of a daemon.
  ///
  /// - Parameter index: 0 is the first that was declared.
  /// - Throws: as ``root()``; `invalidArgument`: there is no such daemon.
  public func daemon(_ index: Int) throws(RootError) -> DaemonStatus {
    var status = muster_daemon_status()
    let place = UInt32(exactly: index) ?? .max
    try check(invalid: "it has \(count) daemons, and none with the index \(index)") {
      muster_root_view_daemon($0, place, &status)
    }
    return DaemonStatus(status, now: muster_clock_now())
  }

  /// What is known of all of them, each of another moment.
  ///
  /// - Throws: as ``root()``.
  public func daemons() throws(RootError) -> [DaemonStatus] {
    var all: [DaemonStatus] = []
    for index in 0..<count { all.append(try daemon(index)) }
    return all
  }

  /// A copy of a daemon's state, as one moment had it.
  ///
  /// - Parameter daemon: goes by its name here. That the state is of this type is known of its size alone.
  /// - Throws: ``RootError``: `changing` (it is being changed, or its daemon died in that), `undeclared`, `mismatch` (it has another
  ///   size), `corrupt`, `closed`.
  public func read<State>(_ daemon: DaemonReference<State>) throws(RootError) -> State {
    try withUnsafeTemporaryAllocation(of: State.self, capacity: 1) { (copy) throws(RootError) in
      try read(daemon, 0, copy.baseAddress!, MemoryLayout<State>.size)
      return copy[0]
    }
  }

  /// A copy of one field of a daemon's state, as one moment had it.
  ///
  /// - Parameter field: a stored property.
  /// - Throws: as ``read(_:)``; `invalidArgument`: it is no stored property.
  public func read<State, Field: SharedPayload>(
    _ daemon: DaemonReference<State>, _ field: KeyPath<State, Field>
  ) throws(RootError) -> Field {
    guard let offset = MemoryLayout<State>.offset(of: field) else {
      throw RootError(
        Self.reading, name, daemon: daemon.name, status: EINVAL, reason: "what was asked for is no stored property")
    }
    return try withUnsafeTemporaryAllocation(of: Field.self, capacity: 1) { (copy) throws(RootError) in
      try read(daemon, offset, copy.baseAddress!, MemoryLayout<Field>.size)
      return copy[0]
    }
  }

  /// Copies a daemon's state, as one moment had it, to where the caller has room: for states that a stack has none for.
  ///
  /// - Parameter copy: is of no use after an error.
  /// - Throws: as ``read(_:)``.
  public func read<State>(_ daemon: DaemonReference<State>, into copy: inout State) throws(RootError) {
    try withUnsafeMutablePointer(to: &copy) { (copy) throws(RootError) in
      try read(daemon, 0, copy, MemoryLayout<State>.size)
    }
  }

  private static let reading = "read the state of the daemon"

  private func read<State>(
    _ daemon: DaemonReference<State>, _ offset: Int, _ to: UnsafeMutableRawPointer, _ size: Int
  ) throws(RootError) {
    let index = try index(of: daemon)
    let status = try use { muster_root_view_read($0, index, UInt64(offset), to, UInt64(size)) }
    guard status == 0 else { throw RootError(Self.reading, name, daemon: daemon.name, status: status) }
  }

  private func index<State>(of reference: DaemonReference<State>) throws(RootError) -> UInt32 {
    for index in 0..<count {
      let found = try daemon(index)
      guard found.name == reference.name else { continue }
      let size = max(1, MemoryLayout<State>.size)
      guard found.stateSize == UInt64(size) else {
        throw RootError(
          Self.reading, name, daemon: reference.name, status: EPROTO,
          reason: "it has \(found.stateSize) bytes, not \(size)")
      }
      return UInt32(index)
    }
    throw RootError(Self.reading, name, daemon: reference.name, code: .undeclared)
  }

  private func use<Result>(_ body: (OpaquePointer) -> Result) throws(RootError) -> Result {
    do {
      try handle.begin()
    } catch {
      throw RootError(Self.looking, name, code: .closed)
    }
    defer { handle.end() }
    return body(handle.object)
  }

  private func check(invalid reason: String? = nil, _ body: (OpaquePointer) -> Int32) throws(RootError) {
    let status = try use(body)
    guard status != 0 else { return }
    let overtaken = status == EAGAIN ? "the root was quicker each of many times" : nil
    throw RootError(Self.looking, name, status: status, reason: status == EINVAL ? reason : overtaken)
  }
}
