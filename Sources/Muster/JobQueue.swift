// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Jobs from many processes to many, each taken by exactly one. A job outlives who put it, and comes back when the one who took it dies.
///
/// ```swift
/// let queue = try JobQueue("thumbnails", jobSize: 256, jobs: 1024, members: 16, attempts: 3)
/// try await queue.put(path.utf8)                             // one side
///
/// try await queue.forEach { job in                           // the other, until the queue is finished
///   try makeThumbnail(of: String(decoding: job.bytes(), as: UTF8.self))
/// }
/// ```
///
/// A job that was put is queued, or one member has it, or it was done, or it is set aside: always exactly one of these, whoever dies. A
/// member that dies or leaves while it has a job has failed at it: the job is queued again, at the front of its level, or set aside
/// after `attempts` failures. So work on a job may have been begun before by those who died: make it fit to be repeated.
///
/// Opening is joining: the object is a member from then until it is closed, or its process ends. What it has put stays.
///
/// Any number of tasks and threads may use the object. The C functions are in muster/queue.h; how it works and why it is right
/// stands in the repository's docs/queue.md.
public final class JobQueue: Sendable {
  /// The queue's name, or the path of its file.
  public var name: String { core.name }
  /// The bytes that a job has at most.
  public var jobSize: Int { core.jobSize }
  /// How many members there can be.
  public var places: Int { core.places }
  /// The place of this member, as ``Entry/member`` tells it.
  public var member: Int { core.member }
  let core: JobQueueCore

  /// Opens a queue and becomes a member; whoever comes first creates it.
  ///
  /// It waits for nobody, except for a second at most for a process that was stopped while removing the region, or while joining in the
  /// last free place.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file. Jobs outlive a time when nobody holds it, and in a file a restart of the machine.
  ///   - jobSize: the bytes that a job has at most, 0 to 1 GiB. `nil`, in mode `attach` alone: as it is.
  ///   - jobs: how many there can be at a time, queued, taken or set aside, 1 to 2^24. `nil`, when attaching: as it is.
  ///   - levels: 1 to 16; level 0 is served first. `nil`: one, when attaching as it is.
  ///   - members: how many can put and take at a time, 1 to 256. `nil`, when attaching: as it is.
  ///   - attempts: after so many failures, 1 or more, a job is set aside; `nil`: never. When attaching, it is as it is.
  ///   - layout: what the jobs mean, as a number of yours; 0, when attaching: not compared.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a queue that is created, whatever the umask.
  /// - Throws: ``JobQueueError``: `full`, `mismatch`, `alreadyExists`, `notFound`, `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public init(
    _ name: RegionName, jobSize: Int?, jobs: Int?, levels: Int? = nil, members: Int?, attempts: Int? = nil,
    layout: UInt64 = 0, mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(JobQueueError) {
    var options = muster_queue_options()
    options.job_size = Self.size(jobSize, mode)
    options.jobs = Self.number(jobs)
    options.levels = Self.number(levels)
    options.members = Self.number(members)
    options.attempts = try Self.limit(attempts, name)
    options.times = 1
    options.layout = layout
    options.flags = mode.flags | name.flags
    options.permissions = UInt32(permissions.rawValue)
    core = try JobQueueCore(Self.opening, name, options)
  }

  /// Becomes a member of a queue that exists, whatever its numbers are.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - layout: compared, unless it is 0.
  /// - Throws: ``JobQueueError``: `full`, `mismatch`, `notFound`, `corrupt`, `permissionDenied`, `system`.
  public static func attach(_ name: RegionName, layout: UInt64 = 0) throws(JobQueueError) -> JobQueue {
    try JobQueue(name, jobSize: nil, jobs: nil, members: nil, layout: layout, mode: .attach)
  }

  private static let opening = "open the queue"

  /// A queue can have jobs of 0 bytes, which is no size to create one by that was not given.
  private static func size(_ given: Int?, _ mode: OpenMode) -> UInt32 {
    guard let given else { return mode == .attach ? 0 : .max }
    return UInt32(exactly: given) ?? .max
  }

  /// Any number is a limit to C, and 0 none.
  private static func limit(_ given: Int?, _ name: RegionName) throws(JobQueueError) -> UInt32 {
    guard let given else { return 0 }
    guard given > 0, let limit = UInt32(exactly: given) else {
      throw JobQueueError(opening, name.string, status: EINVAL)
    }
    return limit
  }

  /// 0 is "as it is" to C, and what can't be a number of anything is refused there.
  private static func number(_ given: Int?) -> UInt32 {
    guard let given else { return 0 }
    return given > 0 ? UInt32(exactly: given) ?? .max : .max
  }

  // Not left to the end of `core`: the thread that a wait was handed to lets go of it a little later than the task goes on.
  deinit { close() }

  /// Leaves, and lets go of the queue; its name stays, and so do its jobs: those that this member has taken go back as failed.
  /// Closing again does nothing.
  ///
  /// A task that waits throws `closed`. A closure that was lent a job ends first, and the membership with it.
  public func close() { core.handle.close() }

  // MARK: Taking

  /// The next job, or `nil`: the queue is finished, and none is left or could come back. Waits for one if it must: the task does,
  /// no thread of the cooperative pool.
  ///
  /// Who waits longest is not served first. A death of a member that has jobs ends the wait, as its jobs come back.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever. `.now` never waits.
  /// - Throws: ``JobQueueError``: `timedOut`, `cancelled`, `corrupt` (the job that was next, which is set aside),
  ///   `inherited`, `closed`.
  public func take(until deadline: ContinuousClock.Instant? = nil) async throws(JobQueueError) -> Job? {
    var job = muster_queue_job()
    let status = core.step { muster_queue_take($0, &job) }
    if status != EAGAIN { return try taken(status, job) }
    let wait = JobQueueWait(core, .job, deadline: Deadline(deadline))
    return try taken(await core.wait(Self.taking, wait), wait.got)
  }

  /// The next job, or `nil`: as ``take(until:)``. Waits for one if it must, and blocks the thread: the fast form, which spins a
  /// little before it sleeps.
  ///
  /// - Parameter deadline: as of ``take(until:)``.
  /// - Throws: as ``take(until:)``, without `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func takeBlocking(until deadline: ContinuousClock.Instant? = nil) throws(JobQueueError) -> Job? {
    var job = muster_queue_job()
    let status = core.step { muster_queue_take($0, &job) }
    if status != EAGAIN { return try taken(status, job) }
    let wait = JobQueueWait(core, .job, deadline: Deadline(deadline))
    return try taken(core.waitBlocking(Self.taking, wait), wait.got)
  }

  /// The next job, or `nil`: none is queued at the moment, be the queue finished or not. Doesn't wait.
  ///
  /// - Throws: ``JobQueueError``: `corrupt`, `inherited`, `closed`.
  public func takeIfAvailable() throws(JobQueueError) -> Job? {
    var job = muster_queue_job()
    let status = core.step { muster_queue_take($0, &job) }
    return status == EAGAIN ? nil : try taken(status, job)
  }

  private static let taking = "take a job of the queue"

  private func taken(_ status: Int32, _ job: muster_queue_job) throws(JobQueueError) -> Job? {
    if status == ENODATA { return nil }
    guard status == 0 else { throw core.failure(Self.taking, status) }
    return Job(self, job)
  }

  // MARK: The end

  /// Nothing new may be put from here on: who waits for room throws `finished`, and who takes gets `nil` when all is done.
  ///
  /// - Throws: ``JobQueueError``: `inherited`, `closed`.
  public func finish() throws(JobQueueError) { try core.check("finish the queue") { muster_queue_finish($0) } }

  /// New jobs may be put again.
  ///
  /// - Throws: ``JobQueueError``: `inherited`, `closed`.
  public func reopen() throws(JobQueueError) { try core.check("reopen the queue") { muster_queue_reopen($0) } }

  // MARK: What was set aside

  /// Queues a job that was set aside again, at the front of its level and with no attempts. ``entries(_:bytes:)`` with ``Use/aside``
  /// tells which there are.
  ///
  /// - Throws: ``JobQueueError``: `finished` (the queue is), `stale`, `busy` (it is not set aside), `invalidArgument` (there is no such job),
  ///   `inherited`, `closed`.
  public func retry(_ job: JobID) throws(JobQueueError) {
    try core.check("retry a job of the queue", job) { muster_queue_retry($0, job.rawValue) }
  }

  /// Drops a job that was set aside.
  ///
  /// - Throws: ``JobQueueError``: `stale`, `busy` (it is not set aside), `invalidArgument` (there is no such job), `inherited`, `closed`.
  public func drop(_ job: JobID) throws(JobQueueError) {
    try core.check("drop a job of the queue", job) { muster_queue_drop($0, job.rawValue) }
  }

  /// Puts back what all members had that have died or left. Who takes, puts or waits does so by itself, soon: this is for who wants to
  /// know at once.
  ///
  /// - Returns: how many jobs this call settled.
  /// - Throws: ``JobQueueError``: `corrupt`, `inherited`, `closed`.
  @discardableResult
  public func reclaim() throws(JobQueueError) -> Int {
    var count: UInt32 = 0
    try core.check("reclaim jobs of the queue") {
      let status = muster_queue_reclaim($0, &count)
      return status == EAGAIN ? EBADMSG : status
    }
    return Int(count)
  }

  // MARK: Asking

  private static let asking = "ask the queue"

  /// How many jobs are in which use, and how many members live. Goes over all jobs.
  ///
  /// - Throws: ``JobQueueError``: `inherited`, `closed`.
  public func state() throws(JobQueueError) -> State {
    var state = muster_queue_state()
    try core.check(Self.asking) { muster_queue_look($0, &state) }
    return State(state)
  }

  /// The jobs that are in one of those uses: those in hands, those that are queued in the order in which they will be taken, those set
  /// aside. Those that come and go meanwhile may be told or not.
  ///
  /// - Parameters:
  ///   - uses: which ones.
  ///   - bytes: how many bytes of each to copy, at most.
  /// - Throws: ``JobQueueError``: `inherited`, `closed`.
  public func entries(_ uses: Use = .any, bytes: Int = .max) throws(JobQueueError) -> [Entry] {
    var entries: [Entry] = []
    try core.check(Self.asking) { Entry.all(of: $0, uses, bytes: bytes, &entries) }
    return entries
  }
}
