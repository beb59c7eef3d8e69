// SPDX-License-Identifier: Apache-2.0
import CMuster

extension JobQueue {
  /// What a job is in the midst of. A set of them says which jobs are asked for.
  public struct Use: OptionSet, Hashable, Sendable {
    /// C's `muster_queue_use`, or a sum of them.
    public let rawValue: UInt32

    /// A set of C's numbers.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It is being written, or on its way into the queue.
    public static let putting = Use(rawValue: 1)
    /// Somebody may take it.
    public static let queued = Use(rawValue: 2)
    /// A member has it.
    public static let taken = Use(rawValue: 4)
    /// It is on its way back into the queue.
    public static let returning = Use(rawValue: 8)
    /// It failed as often as it may, or was given up: ``JobQueue/retry(_:)`` and ``JobQueue/drop(_:)`` are for it.
    public static let aside = Use(rawValue: 16)
    /// All of them.
    public static let any: Use = [.putting, .queued, .taken, .returning, .aside]
  }

  /// A job as it is at a moment.
  public struct Entry: Hashable, Sendable {
    /// What it is known by in this state.
    public let id: JobID
    /// One of ``JobQueue/Use``.
    public let use: Use
    /// How many bytes it has.
    public let size: Int
    /// Its level; 0 is served first.
    public let level: Int
    /// How often somebody failed at it, or died with it.
    public let attempts: Int
    /// Whether it is queued among those that came back, which are taken before the others of their level.
    public let hasReturned: Bool
    /// The place of who has it, or puts it; `nil`: nobody.
    public let member: Int?
    /// The process of that member; `nil`: nobody's.
    public let pid: Int32?
    /// Whether that member lives. What a dead one has goes back.
    public let isMemberAlive: Bool
    /// How long ago it was put, to some milliseconds; `nil` where its queue was made, by another language, without noting that. Means
    /// nothing after a restart of the machine.
    public let age: Duration?
    /// Its first bytes, as many as were asked for.
    public let bytes: [UInt8]
    private let position: UInt64
    private let putAt: Int64

    init(_ entry: muster_queue_entry, _ bytes: [UInt8], now: Int64) {
      id = JobID(rawValue: entry.id)
      use = Use(rawValue: UInt32(entry.use.rawValue))
      size = Int(entry.size)
      level = Int(entry.level)
      attempts = Int(entry.attempts)
      hasReturned = entry.returned != 0
      member = entry.member == .max ? nil : Int(entry.member)
      pid = entry.pid == 0 ? nil : entry.pid
      isMemberAlive = entry.alive != 0
      let (age, overflow) = now.subtractingReportingOverflow(entry.put_at)
      self.age = entry.put_at == 0 ? nil : .nanoseconds(overflow ? 0 : max(0, age))
      self.bytes = bytes
      position = entry.position
      putAt = entry.put_at
    }

    /// What is in hands, what is queued in the order in which it will be taken, what is set aside; the oldest first where nothing else tells.
    fileprivate static func comesBefore(_ one: Entry, _ other: Entry) -> Bool {
      if one.rank != other.rank { return one.rank < other.rank }
      if one.level != other.level { return one.level < other.level }
      if one.hasReturned != other.hasReturned { return one.hasReturned }
      if one.position != other.position { return one.position < other.position }
      if one.putAt != other.putAt { return one.putAt < other.putAt }
      return UInt32(truncatingIfNeeded: one.id.rawValue) < UInt32(truncatingIfNeeded: other.id.rawValue)
    }

    private var rank: Int {
      switch use {
      case .queued: 1
      case .aside: 2
      default: 0
      }
    }
  }

  /// A queue as it is at a moment; of a queue that is in use, each job at another.
  public struct State: Hashable, Sendable {
    /// How many jobs of one level are in which use.
    public struct Level: Hashable, Sendable {
      /// Those that somebody may take.
      public let queued: Int
      /// Those that members have.
      public let taken: Int
      /// Those that are set aside.
      public let aside: Int
    }

    /// The bytes that a job has at most.
    public let jobSize: Int
    /// How many jobs there can be.
    public let jobs: Int
    /// How many members there can be.
    public let places: Int
    /// How many members live.
    public let living: Int
    /// After so many failures a job is set aside; `nil`: never.
    public let attempts: Int?
    /// Whether nothing new may be put.
    public let isFinished: Bool
    /// For how many more there is room.
    public let free: Int
    /// How many are being put.
    public let putting: Int
    /// How many may be taken.
    public let queued: Int
    /// How many are in members' hands.
    public let taken: Int
    /// How many are on their way back.
    public let returning: Int
    /// How many are set aside.
    public let aside: Int
    /// Of those in hands or on their way, how many are of members that have ended, and will go back.
    public let ended: Int
    /// How often somebody has gone to sleep for want of a job. Wraps around.
    public let waits: UInt32
    /// How many were put since the beginning.
    public let put: UInt64
    /// How often one came back.
    public let returned: UInt64
    /// One after the other, from level 0 on, which is served first.
    public let levels: [Level]

    init(_ state: muster_queue_state) {
      jobSize = Int(state.job_size)
      jobs = Int(state.jobs)
      places = Int(state.members)
      living = Int(state.living)
      attempts = state.attempts == 0 ? nil : Int(state.attempts)
      isFinished = state.finished != 0
      free = Int(state.free)
      putting = Int(state.putting)
      queued = Int(state.queued)
      taken = Int(state.taken)
      returning = Int(state.returning)
      aside = Int(state.aside)
      ended = Int(state.ended)
      waits = state.waits
      put = state.put
      returned = state.returned
      levels = Self.levels(state)
    }

    private static func levels(_ state: muster_queue_state) -> [Level] {
      func numbers<Tuple>(_ tuple: Tuple) -> [UInt32] {
        withUnsafeBytes(of: tuple) { Array($0.bindMemory(to: UInt32.self)) }
      }
      let (queued, taken, aside) = (numbers(state.queued_at), numbers(state.taken_at), numbers(state.aside_at))
      return (0..<min(Int(state.levels), queued.count)).map {
        Level(queued: Int(queued[$0]), taken: Int(taken[$0]), aside: Int(aside[$0]))
      }
    }
  }

  /// Looks at a queue without joining, holding or changing it.
  ///
  /// - Parameters:
  ///   - name: shared memory, or a file.
  ///   - uses: which jobs to tell of; none: the state alone.
  ///   - bytes: how many bytes of each to copy, at most.
  /// - Returns: the state, and the jobs: those in hands, those that are queued in the order in which they will be taken, those set aside.
  /// - Throws: ``JobQueueError``: `notFound`, `mismatch`, `corrupt`, `permissionDenied`, `system`.
  public static func look(
    _ name: RegionName, entries uses: Use = [], bytes: Int = 0
  ) throws(JobQueueError) -> (state: State, entries: [Entry]) {
    let operation = "look at the queue"
    var options = muster_queue_options()
    options.flags = peek | name.flags
    let queue = try JobQueueCore.open(operation, name, &options)
    defer { muster_queue_close(queue) }
    var state = muster_queue_state()
    var entries: [Entry] = []
    var status = muster_queue_look(queue, &state)
    if status == 0 { status = Entry.all(of: queue, uses, bytes: bytes, &entries) }
    guard status == 0 else { throw JobQueueError(operation, name.string, status: status) }
    return (State(state), entries)
  }
}

extension JobQueue.Entry {
  /// Those of a C queue, or the status of what can't be read.
  static func all(
    of queue: OpaquePointer, _ uses: JobQueue.Use, bytes: Int, _ entries: inout [JobQueue.Entry]
  ) -> Int32 {
    guard !uses.isEmpty else { return 0 }
    let capacity = max(0, min(bytes, Int(muster_queue_job_size(queue))))
    let now = muster_clock_now()
    var cursor: UInt32 = 0
    while true {
      var entry = muster_queue_entry()
      var status: Int32 = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        status = muster_queue_next(queue, uses.rawValue, &cursor, &entry, buffer.baseAddress, capacity)
        count = status == 0 && entry.use != .MUSTER_QUEUE_PUTTING ? min(capacity, Int(entry.size)) : 0
      }
      guard status == 0 else {
        entries.sort(by: Self.comesBefore)
        return status == ENOENT ? 0 : status
      }
      entries.append(JobQueue.Entry(entry, bytes, now: now))
    }
  }
}
