// What a queue and its jobs have in common: the C handle and the membership.
//
// Any number of threads put, take and end jobs by the one handle, each in a step of the membership (SharedMembership.swift); joining and
// leaving are the keeper's thread's. The handle's memory is in use as long as the place is held, and by whoever waits.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class JobQueueCore: Sendable {
  /// The status of a step that was not made, since the queue is closed.
  static let closed = ESHUTDOWN

  let name: String
  let jobSize: Int
  let places: Int
  let member: Int
  let place: SharedPlace
  let handle: Handle
  let membership: SharedMembership

  /// Opens a handle that has not joined.
  static func open(
    _ operation: String, _ name: RegionName, _ options: inout muster_queue_options
  ) throws(JobQueueError) -> OpaquePointer {
    var object: OpaquePointer?
    var mismatch = muster_mismatch()
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      defer { options.mismatch = nil }
      return name.withCString { muster_queue_open($0, &options, &object) }
    }
    guard status == 0, let object else {
      throw JobQueueError(operation, name.string, status: status, mismatch: mismatch)
    }
    return object
  }

  init(_ operation: String, _ name: RegionName, _ options: muster_queue_options) throws(JobQueueError) {
    var options = options
    // Here, since it may have to wait; the keeper must not be held up by one object's region.
    let queue = try Self.open(operation, name, &options)
    do throws(SharedPlace.Refusal) {
      member = try SharedPlace.join { muster_queue_join(queue, $0) }
    } catch {
      muster_queue_close(queue)
      throw JobQueueError(operation, name.string, status: error.status, code: error.isOurs ? nil : .system)
    }
    place = SharedPlace(
      queue, group: muster_queue_group(queue), leave: { muster_queue_leave($0) }, close: { muster_queue_close($0) })
    handle = place.handle
    membership = place.membership
    self.name = name.string
    self.jobSize = Int(muster_queue_job_size(queue))
    self.places = Int(muster_group_capacity(muster_queue_group(queue)))
  }

  // MARK: Steps

  /// A call of the C core that is over at once.
  @inline(__always)
  func step(_ body: (OpaquePointer) -> Int32) -> Int32 {
    guard membership.begin() else { return Self.closed }
    defer { membership.end() }
    return body(handle.object)
  }

  func check(_ operation: String, _ job: JobID? = nil, _ body: (OpaquePointer) -> Int32) throws(JobQueueError) {
    let status = step(body)
    guard status == 0 else { throw failure(operation, status, job) }
  }

  /// What the C core said.
  func failure(_ operation: String, _ status: Int32, _ job: JobID? = nil) -> JobQueueError {
    if status == Self.closed { return JobQueueError(operation, name, code: .closed, job: job) }
    let code: JobQueueError.Code? = status == EPERM && handle.isInherited ? .inherited : nil
    return JobQueueError(operation, name, status: status, code: code, job: job)
  }

  /// Begins a long step, in which a job is read or written; to be ended by `membership.end(.long)`.
  func beginLong(_ operation: String, _ job: JobID) throws(JobQueueError) {
    guard membership.begin(.long) else { throw failure(operation, Self.closed, job) }
    guard handle.isInherited else { return }
    membership.end(.long)
    throw failure(operation, EPERM, job)
  }

  // MARK: Waiting

  /// Until something was got.
  func wait(_ operation: String, _ wait: JobQueueWait) async throws(JobQueueError) -> Int32 {
    try begin(operation)
    defer { handle.end() }
    return try status(of: await handle.wait(wait), operation)
  }

  /// The same on the caller's thread, which spins a little before it sleeps.
  func waitBlocking(_ operation: String, _ wait: JobQueueWait) throws(JobQueueError) -> Int32 {
    try begin(operation)
    defer { handle.end() }
    if wait.deadline != .now {
      let status = wait.spin()
      if status != ETIMEDOUT { return status }
    }
    return try status(of: handle.waitBlocking(wait), operation)
  }

  private func begin(_ operation: String) throws(JobQueueError) {
    do {
      try handle.begin()
    } catch {
      throw JobQueueError(operation, name, code: .closed)
    }
  }

  private func status(of end: WaitEnd, _ operation: String) throws(JobQueueError) -> Int32 {
    switch end {
    case .status(let status): return status
    case .noThread(let status): throw JobQueueError(operation, name, status: status, code: .system)
    case .closed: throw JobQueueError(operation, name, code: .closed)
    case .cancelled: throw JobQueueError(operation, name, code: .cancelled)
    }
  }

  /// For tests.
  var watchCount: Int { place.watchCount }
}
