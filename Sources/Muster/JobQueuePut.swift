// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension JobQueue {
  private static let putting = "put a job into the queue"

  // MARK: Bytes

  /// Puts a job. Waits for room if it must: the task does, no thread of the cooperative pool.
  ///
  /// When it returns, the job is queued, whatever becomes of this process.
  ///
  /// - Parameters:
  ///   - bytes: what is to be done.
  ///   - level: 0 is served first.
  ///   - deadline: how long to wait for room, `nil`: for ever. `.now` never waits.
  /// - Throws: ``JobQueueError``: `finished`, `timedOut`, `cancelled`, `tooLarge`, `invalidArgument` (there is no such level), `corrupt`,
  ///   `inherited`, `closed`. Nothing was put then.
  public func put(
    _ bytes: some Collection<UInt8>, level: Int = 0, until deadline: ContinuousClock.Instant? = nil
  ) async throws(JobQueueError) {
    if try putIfRoom(bytes, level: level) { return }
    let wait = JobQueueWait(core, .room, deadline: Deadline(deadline))
    let status = try await core.wait(Self.putting, wait)
    try commit(status, wait.got, bytes, level)
  }

  /// Puts a job. Waits for room if it must, and blocks the thread: the fast form, which spins a little before it sleeps.
  ///
  /// - Parameters: as of ``put(_:level:until:)``.
  /// - Throws: as ``put(_:level:until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func putBlocking(
    _ bytes: some Collection<UInt8>, level: Int = 0, until deadline: ContinuousClock.Instant? = nil
  ) throws(JobQueueError) {
    if try putIfRoom(bytes, level: level) { return }
    let wait = JobQueueWait(core, .room, deadline: Deadline(deadline))
    let status = try core.waitBlocking(Self.putting, wait)
    try commit(status, wait.got, bytes, level)
  }

  /// Puts a job if there is room. Doesn't wait.
  ///
  /// - Returns: whether it is queued. `false`: there are as many jobs as there can be.
  /// - Throws: ``JobQueueError``: `finished`, `tooLarge`, `invalidArgument`, `corrupt`, `inherited`, `closed`.
  public func putIfRoom(_ bytes: some Collection<UInt8>, level: Int = 0) throws(JobQueueError) -> Bool {
    let level = Self.number(of: level)
    func put(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32 {
      core.step { muster_queue_put($0, bytes.baseAddress, bytes.count, level) }
    }
    let status = bytes.withContiguousStorageIfAvailable(put) ?? Array(bytes).withUnsafeBufferPointer(put)
    guard status != ENOSPC else { return false }
    guard status == 0 else { throw core.failure(Self.putting, status) }
    return true
  }

  // MARK: Values

  /// Puts a payload as it lies in memory; ``Job/payload(as:)`` reads it. Waits for room if it must.
  ///
  /// - Throws: as ``put(_:level:until:)``.
  public func put(
    payload: some SharedPayload, level: Int = 0, until deadline: ContinuousClock.Instant? = nil
  ) async throws(JobQueueError) {
    try await put(withUnsafeBytes(of: payload) { Array($0) }, level: level, until: deadline)
  }

  /// Puts a payload as it lies in memory. Blocks the thread.
  ///
  /// - Throws: as ``putBlocking(_:level:until:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func putBlocking(
    payload: some SharedPayload, level: Int = 0, until deadline: ContinuousClock.Instant? = nil
  ) throws(JobQueueError) {
    try putBlocking(withUnsafeBytes(of: payload) { Array($0) }, level: level, until: deadline)
  }

  /// Puts a value as JSON; ``Job/decoded(as:)`` reads it. Waits for room if it must.
  ///
  /// - Throws: ``JobQueueError``: `unencodable`; and as ``put(_:level:until:)``.
  public func put(
    encoding value: some Encodable, level: Int = 0, until deadline: ContinuousClock.Instant? = nil
  ) async throws(JobQueueError) {
    try await put(try encoded(value), level: level, until: deadline)
  }

  /// Puts a value as JSON. Blocks the thread.
  ///
  /// - Throws: ``JobQueueError``: `unencodable`; and as ``putBlocking(_:level:until:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func putBlocking(
    encoding value: some Encodable, level: Int = 0, until deadline: ContinuousClock.Instant? = nil
  ) throws(JobQueueError) {
    try putBlocking(try encoded(value), level: level, until: deadline)
  }

  private func encoded(_ value: some Encodable) throws(JobQueueError) -> [UInt8] {
    do {
      return Array(try JSONEncoder().encode(value))
    } catch {
      let reason = "it can't be encoded: \(error)"
      throw JobQueueError(Self.putting, name, code: .unencodable, reason: reason)
    }
  }

  // MARK: In place

  /// Has a job written where it will be read. Waits for room if it must: the task does, no thread of the cooperative pool.
  ///
  /// - Parameters:
  ///   - level: 0 is served first.
  ///   - deadline: how long to wait for room, `nil`: for ever. `.now` never waits.
  ///   - body: gets the ``jobSize`` bytes, which are aligned to 16 and hold anything, and returns how many of them the job has. If it throws,
  ///     nothing is put.
  /// - Throws: ``JobQueueError`` as ``put(_:level:until:)``; or what `body` throws.
  public func withClaim(
    level: Int = 0, until deadline: ContinuousClock.Instant? = nil,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Int
  ) async throws {
    let wait = JobQueueWait(core, .room, deadline: Deadline(deadline))
    let status = try await core.wait(Self.putting, wait)
    try commit(status, wait.got, level, body)
  }

  /// Has a job written where it will be read. Waits for room if it must, and blocks the thread.
  ///
  /// - Parameters: as of ``withClaim(level:until:_:)``.
  /// - Throws: as ``withClaim(level:until:_:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func withClaimBlocking(
    level: Int = 0, until deadline: ContinuousClock.Instant? = nil,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Int
  ) throws {
    let wait = JobQueueWait(core, .room, deadline: Deadline(deadline))
    let status = try core.waitBlocking(Self.putting, wait)
    try commit(status, wait.got, level, body)
  }

  // MARK: Claims

  /// What can't be a level is refused by C.
  private static func number(of level: Int) -> UInt32 { UInt32(exactly: level) ?? .max }

  private func commit(
    _ status: Int32, _ claim: muster_queue_job, _ bytes: some Collection<UInt8>, _ level: Int
  ) throws(JobQueueError) {
    let place = try begin(status, claim)
    defer { core.membership.end(.long) }
    place.copyBytes(from: bytes)
    try queue(claim, bytes.count, level)
  }

  private func commit(
    _ status: Int32, _ claim: muster_queue_job, _ level: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Int
  ) throws {
    let place = try begin(status, claim)
    defer { core.membership.end(.long) }
    let count: Int
    do {
      count = try body(place)
    } catch {
      muster_queue_cancel(core.handle.object, claim.id)
      throw error
    }
    try queue(claim, count, level)
  }

  /// Begins the step in which what was claimed is filled.
  private func begin(
    _ status: Int32, _ claim: muster_queue_job
  ) throws(JobQueueError) -> UnsafeMutableRawBufferPointer {
    guard status == 0 else { throw core.failure(Self.putting, status) }
    // Where the queue was closed meanwhile, the claim has ended with the membership.
    try core.beginLong(Self.putting, JobID(rawValue: claim.id))
    return UnsafeMutableRawBufferPointer(start: claim.bytes, count: Int(claim.size))
  }

  /// Queues what was filled, or gives it up.
  private func queue(_ claim: muster_queue_job, _ count: Int, _ level: Int) throws(JobQueueError) {
    let status = muster_queue_commit(core.handle.object, claim.id, count < 0 ? .max : count, Self.number(of: level))
    guard status != 0 else { return }
    muster_queue_cancel(core.handle.object, claim.id)
    throw core.failure(Self.putting, status)
  }
}
