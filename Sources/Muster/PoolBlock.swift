// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A block of a ``Pool`` that this member owns, and nobody else reads or writes. The end of the value frees it.
///
/// ```swift
/// var block = try await pool.allocate()
/// try block.withUnsafeMutableBytes { $0.storeBytes(of: 7, as: Int.self) }
/// let name = block.name
/// try block.give(to: receiver)                    // the block is gone from here, and its name tells the receiver which
/// ```
///
/// It can't be copied: whoever gives it, offers it or frees it has it no more. It may move between tasks and threads, and keeps
/// its pool open; when that is closed, the block is free, and every use of it throws `closed`.
public struct PoolBlock: ~Copyable, Sendable {
  /// What others know it by.
  public let name: PoolBlockName
  private let pool: Pool
  private nonisolated(unsafe) let place: UnsafeMutableRawPointer
  /// Whether there is something to be freed at the end.
  private var isOurs = true

  init(_ pool: Pool, _ name: PoolBlockName, at place: UnsafeMutableRawPointer) {
    self.pool = pool
    self.name = name
    self.place = place
  }

  deinit {
    if isOurs { pool.core.free(name) }
  }

  /// Its usable bytes.
  public var size: Int { pool.core.blockSize }

  // MARK: What is in it

  /// Lends the bytes to a closure, to read. They are aligned to 16, from a size of 64 on to 64, and not zeroed: they hold what its
  /// owner before left.
  ///
  /// A closing of the pool that comes meanwhile lets the closure end first.
  ///
  /// - Throws: ``PoolError``: `closed`; or what `body` throws.
  public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
    try begin()
    defer { pool.core.membership.end(.long) }
    return try body(UnsafeRawBufferPointer(start: place, count: size))
  }

  /// Lends the bytes to a closure, to read and write: as ``withUnsafeBytes(_:)``.
  ///
  /// - Throws: ``PoolError``: `closed`; or what `body` throws.
  public mutating func withUnsafeMutableBytes<Result>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) throws -> Result {
    try begin()
    defer { pool.core.membership.end(.long) }
    return try body(UnsafeMutableRawBufferPointer(start: place, count: size))
  }

  /// Lends the bytes to a closure as a span, to read.
  ///
  /// - Throws: ``PoolError``: `closed`; or what `body` throws.
  public func withSpan<Result>(_ body: (RawSpan) throws -> Result) throws -> Result {
    try withUnsafeBytes { try body(RawSpan(_unsafeBytes: $0)) }
  }

  /// Lends the bytes to a closure as a span, to read and write.
  ///
  /// - Throws: ``PoolError``: `closed`; or what `body` throws.
  public mutating func withMutableSpan<Result>(_ body: (inout MutableRawSpan) throws -> Result) throws -> Result {
    try withUnsafeMutableBytes { bytes in
      var span = MutableRawSpan(_unsafeBytes: bytes)
      return try body(&span)
    }
  }

  /// Begins a long step, in which the pool stays open; it is asked whether this is still the process that opened it.
  private func begin() throws(PoolError) {
    let operation = "use a block of the pool"
    guard pool.core.membership.begin(.long) else { throw pool.core.failure(operation, PoolCore.closed, name) }
    var place: UnsafeMutableRawPointer?
    let status = muster_pool_get(pool.core.handle.object, name.rawValue, &place)
    guard status == 0 else {
      pool.core.membership.end(.long)
      throw pool.core.failure(operation, status, name)
    }
  }

  // MARK: Whose it is

  /// Makes another member its owner, whatever becomes of this one afterwards. That one has to be told the ``name``, and
  /// has it by ``Pool/adopt(_:)``; should the news be lost, it finds it by ``Pool/blocks(of:)``.
  ///
  /// - Parameter member: its place: ``Pool/member`` there.
  /// - Throws: ``PoolError``: `memberDied` (nobody lives in that place), `invalidArgument` (there is no such place),
  ///   `closed`, `inherited`. The block is free then; ``giveIfAlive(to:)`` keeps it.
  public consuming func give(to member: Int) throws(PoolError) {
    let status = hand(to: member)
    if status != 0 { throw failure(Self.giving, status, member: member) }
    isOurs = false
  }

  /// Makes another member its owner, if one lives in that place.
  ///
  /// - Parameter member: its place: ``Pool/member`` there.
  /// - Returns: `nil`: it was given. Else nobody lives there, and here it is.
  /// - Throws: ``PoolError``: `invalidArgument` (there is no such place), `closed`, `inherited`. The block is free then.
  public consuming func giveIfAlive(to member: Int) throws(PoolError) -> PoolBlock? {
    let status = hand(to: member)
    if status == EOWNERDEAD { return self }
    if status != 0 { throw failure(Self.giving, status, member: member) }
    isOurs = false
    return nil
  }

  private static let giving = "give a block of the pool"

  private func hand(to member: Int) -> Int32 {
    let place = UInt32(exactly: member) ?? .max
    let status = pool.core.step { muster_pool_give($0, name.rawValue, place) }
    if status == 0 { pool.core.letGo(name) }
    return status
  }

  /// Offers it to whoever takes it first, by ``Pool/take(_:)``. It stays this member's until then: ``Pool/withdraw(_:)`` has it back,
  /// and when this member ends before anybody has taken it, it goes back to the pool.
  ///
  /// - Returns: its name, for those who may take it.
  /// - Throws: ``PoolError``: `closed`, `inherited`. The block is free then.
  public consuming func offer() throws(PoolError) -> PoolBlockName {
    let status = pool.core.step { muster_pool_offer($0, name.rawValue) }
    if status != 0 { throw failure("offer a block of the pool", status) }
    return detach()
  }

  /// Lets the block be, without freeing it: it is this member's until that one ends, or ``Pool/adopt(_:)`` has it back.
  ///
  /// - Returns: its name.
  @discardableResult
  public consuming func detach() -> PoolBlockName {
    isOurs = false
    pool.core.letGo(name)
    return name
  }

  /// Frees it, which its end does too.
  public consuming func free() {}

  private func failure(_ operation: String, _ status: Int32, member: Int? = nil) -> PoolError {
    pool.core.failure(operation, status, name, member: member)
  }
}
