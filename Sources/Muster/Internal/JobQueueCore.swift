// What a queue and its jobs have in common: the C handle and the membership.
//
// Any number of threads put, take and end jobs by the one handle, each in a step of the membership (SharedMembership.swift); joining and
// leaving are the keeper's thread's. The handle's memory is in use as long as the place is held, and by whoever waits.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization
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
  let handle: Handle
  let membership: SharedMembership
  /// How many waits of this handle are watching for the others (group.h).
  private let watching = Atomic<Int>(0)

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
    nonisolated(unsafe) let queue = try Self.open(operation, name, &options)
    do throws(JobQueueError) {
      member = try Self.join(operation, name.string, queue)
    } catch {
      muster_queue_close(queue)
      throw error
    }
    let membership = Guarded<SharedMembership?>(nil)
    let handle = Handle(queue) { _ in
      membership.value?.leave()
    } letGo: {
      _ = muster_queue_close($0)
    }
    self.name = name.string
    self.jobSize = Int(muster_queue_job_size(queue))
    self.places = Int(muster_group_capacity(muster_queue_group(queue)))
    self.handle = handle
    // That of the place; what has just been made is not closed.
    _ = try? handle.begin()
    self.membership = SharedMembership {
      muster_queue_leave(queue)
      handle.end()
      membership.value = nil
    }
    membership.value = self.membership
  }

  private static func join(_ operation: String, _ name: String, _ queue: OpaquePointer) throws(JobQueueError) -> Int {
    var member: UInt32 = 0
    do throws(ThreadFailure) {
      let status = try Keeper.shared.run { muster_queue_join(queue, &member) }
      if status == 0 { return Int(member) }
      throw ThreadFailure(status: status)
    } catch {
      let isOurs = [EOVERFLOW, EPROTO, EBADMSG, EACCES].contains(error.status)
      throw JobQueueError(operation, name, status: error.status, code: isOurs ? nil : .system)
    }
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
  var watchCount: Int { watching.load(ordering: .acquiring) }

  func beginWatch() { watching.add(1, ordering: .acquiringAndReleasing) }

  /// Who was served, or waits no more, must not be relied on to watch for the others, unless another wait of this handle does it.
  func endWatch() {
    guard watching.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
    _ = step { queue in
      let group = muster_queue_group(queue)
      return muster_group_wait(group, muster_group_roster(group), .now)
    }
  }
}
