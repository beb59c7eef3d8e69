// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The last good state of a process and the ones before it, whatever instruction its writer dies at.
///
/// ```swift
/// let job = try Checkpoint<Work>("job", history: 4)            // creates it or opens it
/// try job.takeOver()                                           // whoever wrote before is fenced
/// var work = try job.load { $0.state.isSound }?.state ?? Work()
/// while let item = work.next() {
///   work.process(item)
///   try job.save(work)
/// }
/// ```
///
/// A save is all or nothing at any instruction. A read finds the newest whole state after any death, stores nothing and
/// waits for nobody. The last `history` states before it can be read as well, and rolled back to.
///
/// ``takeOver()`` begins the next epoch, and the writer before is fenced from that instant, dead or alive: its saves
/// throw ``CheckpointError/Code/fenced``, also where it was stopped in the midst of one and goes on an hour later. So a
/// successor need not know whether its predecessor is dead.
///
/// States are either payloads in place (``SharedPayload``), which are copied as they are, or are encoded, as JSON or by
/// an encoder of yours, and then have any length up to the capacity (``CheckpointCoding``). What they mean stands in the
/// checkpoint, and is compared when it is opened.
///
/// In a file (``RegionName/file(_:)``) the states outlive the machine's restart. ``save(_:)`` leaves it to the kernel
/// when the disk gets them; ``saveDurably(_:)`` returns when it has.
///
/// The object is one `muster_checkpoint` of C (muster/checkpoint.h). It may be used from any thread; saves are made one
/// at a time. The role of the writer is the process's, and ends with it, with ``release()``, ``close()``, or the end of
/// the last reference.
public final class Checkpoint<State: Sendable>: Sendable {
  /// A state, and what is known of it.
  public struct Snapshot: Sendable {
    /// All of one save.
    public let state: State
    /// Which save, by whom, when.
    public let record: CheckpointRecord
    /// The number of its commit.
    public var sequence: UInt64 { record.sequence }
  }

  let core: CheckpointCore
  let coding: CheckpointCoding<State>

  /// The checkpoint's name, or its path.
  public var name: RegionName { core.name }
  /// How many states before the last are kept, 2 to 64.
  public var history: Int { core.history }
  /// The most bytes of a state.
  public var capacity: Int { core.capacity }

  /// Opens a checkpoint to read and, after ``takeOver()``, to write; whoever comes first creates it.
  ///
  /// - Parameters:
  ///   - name: of shared memory, or ``RegionName/file(_:)``. Opening a file that nobody holds reads all of it.
  ///   - history: how many states before the last are kept, 2 to 64. `nil`, when attaching: as it is.
  ///   - capacity: the most bytes of a state, at least 1. `nil`, when attaching: as it is.
  ///   - coding: how states are encoded.
  ///   - writers: how many may live at a time, 1 to 64: the one at work, and those that were fenced and have not noticed.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a checkpoint that is created, whatever the umask. Who may only read can ``attach(_:coding:anyOwner:)``.
  /// - Throws: ``CheckpointError``: `mismatch` (other states, another shape), `alreadyExists`, `notFound`, `corrupt`,
  ///   `permissionDenied`, `invalidArgument`, `system`.
  public init(
    _ name: RegionName, history: Int?, capacity: Int?, coding: CheckpointCoding<State>, writers: Int = 4,
    mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(CheckpointError) {
    self.coding = coding
    core = try CheckpointCore(
      name, CheckpointShape(history: history, capacity: capacity, writers: writers), layout: coding.layout,
      flags: mode.flags, permissions: permissions)
  }

  private init(reading name: RegionName, coding: CheckpointCoding<State>, flags: UInt32) throws(CheckpointError) {
    self.coding = coding
    let shape = CheckpointShape(capacity: coding.size.map { max(1, $0) })
    core = try CheckpointCore(name, shape, layout: coding.layout, flags: flags, permissions: [])
  }

  /// Opens a checkpoint that exists, to read: mapped read-only.
  ///
  /// - Parameters:
  ///   - name: of shared memory, or ``RegionName/file(_:)``.
  ///   - coding: how states are encoded.
  ///   - anyOwner: whether a checkpoint that belongs to another user is accepted.
  /// - Throws: ``CheckpointError``: `notFound`, `mismatch` (other states), `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public static func attach(
    _ name: RegionName, coding: CheckpointCoding<State>, anyOwner: Bool = false
  ) throws(CheckpointError) -> Checkpoint {
    let owner = anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0
    return try Checkpoint(reading: name, coding: coding, flags: CheckpointCore.readOnly | owner)
  }

  /// Releases the writer's role, if this object has it, and lets go of the checkpoint; its name and its states stay.
  /// Closing again does nothing. It waits for a durable save that is under way, and for no other call.
  public func close() { core.close() }

  // MARK: Reading

  /// The newest state. `nil`: none was saved yet.
  ///
  /// - Throws: ``CheckpointError``: `undecodable`; `overtaken` (writers passed the reader 1,000 times in a row);
  ///   `corrupt` (there are states, and none is whole), `closed`.
  public func read() throws(CheckpointError) -> Snapshot? {
    try core.read(at: nil) { (bytes, record) throws(CheckpointError) in try snapshot(bytes, record) }
  }

  /// The state of that sequence, one of the last `history` + 1.
  ///
  /// - Throws: ``CheckpointError``: `notKept`, and as ``read()``.
  public func read(_ sequence: UInt64) throws(CheckpointError) -> Snapshot {
    try core.read(at: sequence) { (bytes, record) throws(CheckpointError) in try snapshot(bytes, record) }!
  }

  /// The newest state that the acceptance test takes for good. It is called with each whole one, from the newest to
  /// older ones; one that can't be decoded is passed over. `nil`: none was saved yet.
  ///
  /// What is newer than the one that was taken stays, until it is overwritten: ``rollBack(to:)`` makes the good one the
  /// newest for others too.
  ///
  /// - Throws: ``CheckpointError``: `noneAccepted` (there are states, and none was taken), `overtaken`, `corrupt`,
  ///   `closed`.
  public func load(accepting isGood: (Snapshot) -> Bool) throws(CheckpointError) -> Snapshot? {
    var taken: Snapshot?
    var flaw: String?
    do throws(CheckpointError) {
      let isThere = try core.load { bytes, record in
        do throws(CheckpointError) {
          let snapshot = try snapshot(bytes, record)
          guard isGood(snapshot) else { return false }
          taken = snapshot
          return true
        } catch {
          flaw = flaw ?? error.reason
          return false
        }
      }
      return isThere ? taken : nil
    } catch {
      guard error.code == .noneAccepted, let flaw else { throw error }
      throw CheckpointError(CheckpointCore.reading, name.string, status: ENOENT, code: .noneAccepted, reason: flaw)
    }
  }

  /// What is kept, from the newest to the oldest, at most `history` + 1.
  ///
  /// - Throws: ``CheckpointError``: `overtaken`, `corrupt`, `closed`.
  public func records() throws(CheckpointError) -> [CheckpointRecord] { try core.records() }

  /// The present epoch. 0: nobody has taken over yet, or the object is closed.
  public var epoch: UInt64 { core.epoch }

  /// Who writes in the present epoch.
  ///
  /// - Throws: ``CheckpointError``: `inherited`, `closed`, `system`.
  public func writer() throws(CheckpointError) -> CheckpointWriter { try core.writer() }

  private func snapshot(
    _ bytes: UnsafeRawBufferPointer, _ record: CheckpointRecord
  ) throws(CheckpointError) -> Snapshot {
    do {
      return Snapshot(state: try coding.decode(bytes), record: record)
    } catch {
      throw CheckpointError(
        CheckpointCore.reading, name.string, status: 0, code: .undecodable,
        reason: "state \(record.sequence) is no \(State.self): \(error)")
    }
  }

  // MARK: Writing

  /// Becomes the writer, with the next epoch, until ``release()``, ``close()`` or the end of the process. Whoever wrote
  /// before is fenced, and nobody waits for it, except for a second at most for a process that was stopped while taking
  /// over or releasing, where there is no other place. In a file it waits for the disk.
  ///
  /// - Returns: the epoch, and who was the writer before.
  /// - Throws: ``CheckpointError``: `tooManyWriters`, `alreadyWriter`, `fenced` (another took over meanwhile),
  ///   `permissionDenied` (attached to read), `mismatch` (another libc or pid namespace), `corrupt`, `beingWritten`,
  ///   `inherited`, `closed`, `system`.
  @discardableResult
  public func takeOver() throws(CheckpointError) -> CheckpointTakeOver { try core.takeOver() }

  /// Gives the writer's role back. The epoch stays until the next writer.
  ///
  /// - Throws: ``CheckpointError``: `notWriter`, `beingWritten`, `inherited`, `closed`.
  public func release() throws(CheckpointError) { try core.release() }

  /// Whether this object may save: it took over, and nobody has since. Some loads: to be asked now and then during long
  /// work that would be in vain. `false` also while a state is filled in by ``saveInPlace(_:)``.
  public var isWriter: Bool { core.check() == 0 }

  /// Commits a state. Readers see it whole, or the one before.
  ///
  /// - Returns: its sequence.
  /// - Throws: ``CheckpointError``: `fenced`, `notWriter`, `tooLarge`, `unencodable`, `beingWritten`, `corrupt`,
  ///   `inherited`, `closed`. Nothing was committed then.
  @discardableResult
  public func save(_ state: State) throws(CheckpointError) -> UInt64 {
    try encoded(state) { (bytes) throws(CheckpointError) in
      try core.commit(CheckpointCore.saving, about: .length(bytes.count)) {
        muster_checkpoint_save($0, bytes.baseAddress, bytes.count, $1)
      }
    }
  }

  /// Commits a state that is on the disk before anybody can see it. Blocks the thread until it is there. In shared
  /// memory it is as ``save(_:)``.
  ///
  /// - Returns: its sequence.
  /// - Throws: ``CheckpointError``: as ``save(_:)``; `system` when the disk failed (`EIO`, `ENOSPC`, `EDQUOT`): nothing
  ///   was committed then.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func saveDurablyBlocking(_ state: State) throws(CheckpointError) -> UInt64 {
    try encoded(state) { (bytes) throws(CheckpointError) in
      try core.commit(CheckpointCore.saving, about: .length(bytes.count)) {
        muster_checkpoint_save_durable($0, bytes.baseAddress, bytes.count, $1)
      }
    }
  }

  /// Commits a state that is on the disk before anybody can see it. The task waits for the disk, no thread of the
  /// cooperative pool does. It is not cut short by cancellation: what was begun ends as it would. Other saves by this
  /// object wait for it, ``save(_:)`` on its caller's thread: let one task make both.
  ///
  /// - Returns: its sequence.
  /// - Throws: ``CheckpointError``: as ``save(_:)``; `system` when the disk failed (`EIO`, `ENOSPC`, `EDQUOT`): nothing
  ///   was committed then.
  @discardableResult
  public func saveDurably(_ state: State) async throws(CheckpointError) -> UInt64 {
    let bytes = try encoded(state) { Array($0) }
    return try await core.commitAside(CheckpointCore.saving, about: .length(bytes.count)) { object, sequence in
      bytes.withUnsafeBytes { muster_checkpoint_save_durable(object, $0.baseAddress, $0.count, sequence) }
    }
  }

  /// Commits the contents of an older state, one of the last `history` + 1, as the next one, whose record says where they
  /// come from. They are not decoded.
  ///
  /// - Returns: the sequence of the new state.
  /// - Throws: ``CheckpointError``: `notKept`; `corrupt` (it is not whole); and as ``save(_:)``.
  @discardableResult
  public func rollBack(to sequence: UInt64) throws(CheckpointError) -> UInt64 {
    try core.commit(CheckpointCore.rollingBack, about: .sequence(sequence)) {
      muster_checkpoint_roll_back($0, sequence, $1)
    }
  }

  /// As ``rollBack(to:)``, with the new state on the disk before anybody can see it. Blocks the thread.
  ///
  /// - Throws: ``CheckpointError``: as ``rollBack(to:)``; `system` when the disk failed.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func rollBackDurablyBlocking(to sequence: UInt64) throws(CheckpointError) -> UInt64 {
    try core.commit(CheckpointCore.rollingBack, about: .sequence(sequence)) {
      muster_checkpoint_roll_back_durable($0, sequence, $1)
    }
  }

  /// As ``rollBack(to:)``, with the new state on the disk before anybody can see it. The task waits for the disk, no
  /// thread of the cooperative pool does.
  ///
  /// - Throws: ``CheckpointError``: as ``rollBack(to:)``; `system` when the disk failed.
  @discardableResult
  public func rollBackDurably(to sequence: UInt64) async throws(CheckpointError) -> UInt64 {
    try await core.commitAside(CheckpointCore.rollingBack, about: .sequence(sequence)) {
      muster_checkpoint_roll_back_durable($0, sequence, $1)
    }
  }

  private func encoded<Result>(
    _ state: State, _ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> Result
  ) throws(CheckpointError) -> Result {
    var outcome: Swift.Result<Result, CheckpointError>?
    do {
      try coding.encode(state) { bytes in
        do throws(CheckpointError) {
          outcome = .success(try body(bytes))
        } catch {
          outcome = .failure(error)
        }
      }
    } catch {
      throw CheckpointError(
        CheckpointCore.saving, name.string, status: 0, code: .unencodable,
        reason: "the state can't be encoded: \(error)")
    }
    return try outcome!.get()
  }
}

extension Checkpoint where State: SharedPayload {
  /// Opens a checkpoint of payloads in place to read and, after ``takeOver()``, to write; whoever comes first creates it.
  ///
  /// - Parameters:
  ///   - name: of shared memory, or ``RegionName/file(_:)``. Opening a file that nobody holds reads all of it.
  ///   - history: how many states before the last are kept, 2 to 64. `nil`, when attaching: as it is.
  ///   - writers: how many may live at a time, 1 to 64: the one at work, and those that were fenced and have not noticed.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a checkpoint that is created, whatever the umask. Who may only read can ``attach(_:anyOwner:)``.
  /// - Throws: ``CheckpointError``: `mismatch` (another payload, another shape), `alreadyExists`, `notFound`, `corrupt`,
  ///   `permissionDenied`, `invalidArgument`, `system`.
  public convenience init(
    _ name: RegionName, history: Int?, writers: Int = 4, mode: OpenMode = .createOrAttach,
    permissions: FilePermissions = [.ownerReadWrite]
  ) throws(CheckpointError) {
    try self.init(
      name, history: history, capacity: max(1, MemoryLayout<State>.size), coding: .inPlace, writers: writers,
      mode: mode, permissions: permissions)
  }

  /// Opens a checkpoint of payloads in place that exists, to read: mapped read-only.
  ///
  /// - Parameters:
  ///   - name: of shared memory, or ``RegionName/file(_:)``.
  ///   - anyOwner: whether a checkpoint that belongs to another user is accepted.
  /// - Throws: ``CheckpointError``: `notFound`, `mismatch` (another payload), `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public static func attach(_ name: RegionName, anyOwner: Bool = false) throws(CheckpointError) -> Checkpoint {
    try attach(name, coding: .inPlace, anyOwner: anyOwner)
  }

  /// Commits a state that a closure fills in where it will lie, for payloads that are not to be copied.
  ///
  /// Saving, taking over and releasing meanwhile throw `beingWritten`. Closing does not wait: the state is not committed
  /// then.
  ///
  /// - Parameter fill: gets the memory of the next state, with unknown contents, all of which it is to store. It is
  ///   called while others may take over: it throws nothing then, the commit does.
  /// - Returns: the sequence.
  /// - Throws: what `fill` throws, and ``CheckpointError`` as ``save(_:)``. Nothing was committed then.
  @discardableResult
  public func saveInPlace(_ fill: (UnsafeMutablePointer<State>) throws -> Void) throws -> UInt64 {
    try saveInPlace(durably: false, fill)
  }

  /// As ``saveInPlace(_:)``, with the state on the disk before anybody can see it. Blocks the thread.
  @available(*, noasync, message: "blocks the thread; use saveDurably")
  @discardableResult
  public func saveInPlaceDurablyBlocking(_ fill: (UnsafeMutablePointer<State>) throws -> Void) throws -> UInt64 {
    try saveInPlace(durably: true, fill)
  }

  private func saveInPlace(
    durably: Bool, _ fill: (UnsafeMutablePointer<State>) throws -> Void
  ) throws -> UInt64 {
    try core.fill(length: MemoryLayout<State>.size, durably: durably) { memory in
      try fill(memory.bindMemory(to: State.self, capacity: 1))
    }
  }
}

extension Checkpoint where State == [UInt8] {
  /// Looks at a checkpoint without holding it, whatever its states are, and whoever it belongs to.
  ///
  /// - Throws: ``CheckpointError``: `notFound`, `mismatch` (no checkpoint), `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public static func look(_ name: RegionName) throws(CheckpointError) -> Checkpoint {
    try Checkpoint(reading: name, coding: .bytes, flags: peek)
  }
}
