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
  private let handle: Handle
  /// Writing, claiming and releasing change what a write, and what a poll, reads. Reads of the words need it not.
  private let lock = Mutex<Void>(())

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
    guard status == 0, let object else { throw SeqlockError(operation, name, status: status, mismatch: mismatch) }
    self.name = name
    self.words = Int(muster_seqlock_words(object))
    self.handle = Handle(object) { object in
      nonisolated(unsafe) let seqlock = object
      // On the thread that claimed. Should it not be there, nobody has claimed.
      _ = (try? Keeper.shared.run { muster_seqlock_close(seqlock) }) ?? muster_seqlock_close(seqlock)
    }
  }

  func close() { handle.close() }

  // MARK: Reading

  /// Reads whole words, and gives the number of the write that left them.
  func read(into words: UnsafeMutablePointer<UInt64>, count: Int) throws(SeqlockError) -> UInt64 {
    var sequence: UInt64 = 0
    try check("read the seqlock") {
      muster_seqlock_snapshot(muster_seqlock_reader_of($0), 0, UInt32(count), words, &sequence)
    }
    return sequence
  }

  func readWord(_ index: Int) throws(SeqlockError) -> UInt64 {
    var value: UInt64 = 0
    let place = UInt32(exactly: index) ?? .max
    try check("read the seqlock") { muster_seqlock_snapshot(muster_seqlock_reader_of($0), place, 1, &value, nil) }
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
    var found = muster_seqlock_claimant()
    let status = try onKeeper("claim the seqlock") { muster_seqlock_claim($0, &found) }
    // An object that can't ever write is told so in other words than one that has not claimed.
    guard status == 0 else {
      throw SeqlockError("claim the seqlock", name, status: status == EPERM ? EACCES : status, pid: found.pid)
    }
    return found
  }

  func release() throws(SeqlockError) {
    let status = try onKeeper("release the seqlock") { muster_seqlock_release($0) }
    guard status == 0 else {
      throw SeqlockError("release the seqlock", name, status: status == EINVAL ? EPERM : status)
    }
  }

  func writer() throws(SeqlockError) -> (status: Int32, pid: Int32) {
    var pid: Int32 = 0
    let status = try use("ask the seqlock") { muster_seqlock_writer_pid($0, &pid) }
    guard status == 0 || status == ENOENT || status == EOWNERDEAD else {
      throw SeqlockError("ask the seqlock", name, status: status)
    }
    return (status, pid)
  }

  func write(_ body: (OpaquePointer) -> Int32) throws(SeqlockError) {
    try check("write the seqlock") { object in lock.withLock { _ in body(object) } }
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
    return try finish(.status(wait.runBlocking()), wait)
  }

  func wait(_ what: Waiting, _ deadline: Deadline) async throws(SeqlockError) -> UInt64 {
    try begin(Self.waiting)
    defer { handle.end() }
    let wait = SeqlockWait(self, what, deadline: deadline)
    return try finish(await Reactor.shared.wait(wait), wait)
  }

  private static let waiting = "wait for the seqlock"

  private func finish(_ end: WaitEnd, _ wait: SeqlockWait) throws(SeqlockError) -> UInt64 {
    switch end {
    case .status(0): return wait.sequence
    case .status(let status), .noThread(let status): throw SeqlockError(Self.waiting, name, status: status)
    case .cancelled: throw SeqlockError(Self.waiting, name, code: .cancelled)
    }
  }

  fileprivate func poll(
    _ what: Waiting, _ sequence: inout UInt64, _ set: UnsafeMutablePointer<muster_wait_set>
  ) -> Int32 {
    lock.withLock { _ in
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
    guard status == 0 else { throw SeqlockError(operation, name, status: status) }
  }

  private func onKeeper(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(SeqlockError) -> Int32 {
    try use(operation) { object in
      do throws(ThreadFailure) {
        return try Keeper.shared.run { lock.withLock { _ in body(object) } }
      } catch {
        return error.status
      }
    }
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
