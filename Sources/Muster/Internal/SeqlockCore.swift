// What the seqlock of a value and the counter region have in common: one C object.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class SeqlockCore: Sendable {
  let name: String
  let words: Int
  /// What stands in the region for the meaning of the words.
  let layout: UInt64
  let handle: Handle
  /// Writing, claiming and releasing change what a write, and what a poll, reads. Reads of the words need it not.
  private let lock = Lock()

  init(
    _ name: String, words: Int, labels: [String] = [], layout: UInt64, flags: UInt32, permissions: FilePermissions
  ) throws(SeqlockError) {
    let operation = "open the seqlock"
    var options = muster_seqlock_options()
    options.words = UInt32(clamping: words)
    options.flags = flags
    options.mode = UInt32(permissions.rawValue)
    options.layout = layout
    options.label_count = UInt32(labels.count)
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let texts = labels.map { strdup($0) }
    defer { for text in texts { free(text) } }
    let status = texts.map { UnsafePointer($0) }.withUnsafeBufferPointer { texts in
      withUnsafeMutablePointer(to: &mismatch) { mismatch in
        options.labels = texts.baseAddress
        options.mismatch = mismatch
        return withName(name) { muster_seqlock_open($0, &options, &object) }
      }
    }
    guard status == 0, let object else {
      let code: SeqlockError.Code? = status == EPERM ? .permissionDenied : nil
      throw SeqlockError(operation, name, status: status, code: code, mismatch: mismatch)
    }
    self.name = name
    self.words = Int(muster_seqlock_words(object))
    self.layout = muster_seqlock_layout(object)
    let lock = self.lock
    self.handle = Handle(object) { object in
      nonisolated(unsafe) let seqlock = object
      _ = try? Keeper.shared.run { lock.withLock { muster_seqlock_release(seqlock) } }
    } letGo: { object in
      nonisolated(unsafe) let seqlock = object
      // On the thread that claimed. Should it not be there, nobody has claimed.
      _ = (try? Keeper.shared.run { muster_seqlock_close(seqlock) }) ?? muster_seqlock_close(seqlock)
    }
  }

  func close() { handle.close() }

  /// Flags to attach with, to read.
  static func reading(_ anyOwner: Bool) -> UInt32 {
    UInt32([.MUSTER_REGION_ATTACH, .MUSTER_REGION_READ_ONLY]) | (anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0)
  }

  // MARK: Reading

  /// Reads whole words, and gives the number of the write that left them.
  func read(into words: UnsafeMutablePointer<UInt64>, count: Int) throws(SeqlockError) -> UInt64 {
    var sequence: UInt64 = 0
    try checkRead { muster_seqlock_snapshot(muster_seqlock_reader_of($0), 0, UInt32(count), words, &sequence) }
    return sequence
  }

  func readWord(_ index: Int) throws(SeqlockError) -> UInt64 {
    var value: UInt64 = 0
    let place = UInt32(exactly: index) ?? .max
    try checkRead { muster_seqlock_snapshot(muster_seqlock_reader_of($0), place, 1, &value, nil) }
    return value
  }

  var sequence: UInt64 {
    do throws(SeqlockError) {
      return try use("ask the seqlock") { muster_seqlock_sequence($0) }
    } catch {
      return 0
    }
  }

  func label(_ index: Int) throws(SeqlockError) -> String {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(MUSTER_SEQLOCK_LABEL_SIZE)) {
      (buffer) throws(SeqlockError) in
      let text = buffer.baseAddress!
      try check("ask the seqlock") { muster_seqlock_label($0, UInt32(index), text) }
      return String(cString: text)
    }
  }

  // MARK: Writing

  func claim() throws(SeqlockError) -> muster_seqlock_claimant {
    let operation = "claim the seqlock"
    var found = muster_seqlock_claimant()
    let status = try onKeeper(operation) { muster_seqlock_claim($0, &found) }
    if status == EBUSY { throw SeqlockError(operation, name, status: status, code: .hasWriter, pid: found.pid) }
    guard status == 0 else { throw failure(operation, status) }
    return found
  }

  func release() throws(SeqlockError) {
    let operation = "release the seqlock"
    let status = try onKeeper(operation) { muster_seqlock_release($0) }
    guard status == 0 else { throw failure(operation, status == EINVAL ? EPERM : status) }
  }

  func writer() throws(SeqlockError) -> (status: Int32, pid: Int32) {
    var pid: Int32 = 0
    let status = try use("ask the seqlock") { muster_seqlock_writer_pid($0, &pid) }
    guard status == 0 || status == ENOENT || status == EOWNERDEAD else {
      throw failure("ask the seqlock", status)
    }
    return (status, pid)
  }

  func write(_ body: (OpaquePointer) -> Int32) throws(SeqlockError) {
    try check("write the seqlock") { object in lock.withLock { body(object) } }
  }

  // MARK: Waiting

  enum Waiting {
    case change(since: UInt64)
    case writer
  }

  func waitBlocking(_ what: Waiting, _ deadline: Deadline) throws(SeqlockError) -> UInt64 {
    try begin(Self.waiting)
    defer { handle.end() }
    let wait = SeqlockWait(self, what, deadline: deadline)
    return try finish(handle.waitBlocking(wait), wait)
  }

  func wait(_ what: Waiting, _ deadline: Deadline) async throws(SeqlockError) -> UInt64 {
    try begin(Self.waiting)
    defer { handle.end() }
    let wait = SeqlockWait(self, what, deadline: deadline)
    return try finish(await handle.wait(wait), wait)
  }

  private static let waiting = "wait for the seqlock"

  private func finish(_ end: WaitEnd, _ wait: SeqlockWait) throws(SeqlockError) -> UInt64 {
    switch end {
    case .status(0): return wait.sequence
    case .status(EOWNERDEAD):
      var pid: Int32 = 0
      _ = muster_seqlock_writer_pid(handle.object, &pid)
      throw SeqlockError(Self.waiting, name, status: EOWNERDEAD, pid: pid)
    case .status(let status): throw failure(Self.waiting, status)
    case .noThread(let status): throw SeqlockError(Self.waiting, name, status: status, code: .system)
    case .closed: throw SeqlockError(Self.waiting, name, code: .closed)
    case .cancelled: throw SeqlockError(Self.waiting, name, code: .cancelled)
    }
  }

  fileprivate func poll(
    _ what: Waiting, _ sequence: inout UInt64, _ set: UnsafeMutablePointer<muster_wait_set>
  ) -> Int32 {
    lock.withLock {
      switch what {
      case .change(let seen): muster_seqlock_poll(handle.object, seen, &sequence, set)
      case .writer: muster_seqlock_poll_writer(handle.object, set)
      }
    }
  }

  // MARK: Using the object

  private func begin(_ operation: String) throws(SeqlockError) {
    do {
      try handle.begin()
    } catch {
      throw SeqlockError(operation, name, code: .closed)
    }
  }

  private func use<Result>(_ operation: String, _ body: (OpaquePointer) -> Result) throws(SeqlockError) -> Result {
    try begin(operation)
    defer { handle.end() }
    return body(handle.object)
  }

  private func check(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(SeqlockError) {
    let status = try use(operation, body)
    guard status == 0 else { throw failure(operation, status) }
  }

  private func checkRead(_ body: (OpaquePointer) -> Int32) throws(SeqlockError) {
    let operation = "read the seqlock"
    let status = try use(operation, body)
    if status == EAGAIN { throw SeqlockError(operation, name, status: status, code: .overtaken) }
    guard status == 0 else { throw failure(operation, status) }
  }

  private func failure(_ operation: String, _ status: Int32) -> SeqlockError {
    SeqlockError(operation, name, status: status, code: status == EPERM && handle.isInherited ? .inherited : nil)
  }

  private func onKeeper(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(SeqlockError) -> Int32 {
    try begin(operation)
    defer { handle.end() }
    let status: Int32
    do throws(ThreadFailure) {
      // Asked under the lock: who closes meanwhile releases under it, and nothing may claim after that.
      status = try Keeper.shared.run { lock.withLock { handle.isClosed ? ESHUTDOWN : body(handle.object) } }
    } catch {
      throw SeqlockError(operation, name, status: error.status, code: .system)
    }
    if status == ESHUTDOWN { throw SeqlockError(operation, name, code: .closed) }
    return status
  }
}

private final class SeqlockWait: PendingWait, @unchecked Sendable {
  private let core: SeqlockCore
  private let what: SeqlockCore.Waiting
  private(set) var sequence: UInt64 = 0

  init(_ core: SeqlockCore, _ what: SeqlockCore.Waiting, deadline: Deadline) {
    self.core = core
    self.what = what
    super.init(deadline: deadline)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { core.poll(what, &sequence, set) }
}
