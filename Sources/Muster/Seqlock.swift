// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

/// One value that one process writes, and any number read as one consistent snapshot, without waiting.
///
/// ```swift
/// let load = try Seqlock<Load>("load")                        // the writer
/// try load.claim()
/// try load.write(Load(requests: 1, latency: 0.3))
///
/// let seen = try Seqlock<Load>.attach("load")                 // any reader, mapped read-only
/// if let snapshot = try seen.read() { print(snapshot.value.requests) }
/// ```
///
/// A read takes no lock and makes no system call; it depends on nobody: not on a writer that was stopped, or killed at
/// whatever instruction. There is one writer at a time: a second claim is refused, and a successor takes over from a
/// dead one and finds the last whole value. A claim is the process's, and ends with it. After a restart of the machine
/// only a file would have the value; this is shared memory.
///
/// The object is one `muster_seqlock` of C (muster/seqlock.h). It may be used from any thread; writes are made one at
/// a time. The end of the last reference releases the claim.
public final class Seqlock<Value: SharedPayload>: Sendable {
  /// A value, and which write left it.
  public struct Snapshot: Sendable {
    /// All of one write.
    public let value: Value
    /// The number of that write, from 1. Each write, by whichever writer, has the next.
    public let sequence: UInt64
  }

  let core: SeqlockCore

  /// The seqlock's name.
  public var name: String { core.name }

  /// Opens a seqlock to read and, after ``claim()``, to write; whoever comes first creates it.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a seqlock that is created, whatever the umask. Who may only read can ``attach(_:)``.
  /// - Throws: ``SeqlockError``: `mismatch` (another payload), `alreadyExists`, `notFound`, `corrupt`,
  ///   `permissionDenied`, `invalidArgument` (a value of more than 32 KiB), `system`.
  public init(
    _ name: String, mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(SeqlockError) {
    core = try SeqlockCore(
      name, words: Value.payloadWords, layout: Value.payloadIdentity, flags: mode.flags, permissions: permissions)
  }

  private init(_ core: SeqlockCore) { self.core = core }

  /// Attaches to a seqlock that exists, to read. The memory is mapped read-only; waiting for a change then looks every
  /// few milliseconds, and costs the writer nothing.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - anyOwner: whether a seqlock that belongs to another user is accepted.
  /// - Throws: ``SeqlockError``: `notFound`, `mismatch` (another payload), `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public static func attach(_ name: String, anyOwner: Bool = false) throws(SeqlockError) -> Seqlock {
    Seqlock(
      try SeqlockCore(
        name, words: Value.payloadWords, layout: Value.payloadIdentity, flags: SeqlockCore.reading(anyOwner),
        permissions: []))
  }

  /// Releases the claim, if there is one, and lets go of the seqlock; its name and its value stay. Closing again does
  /// nothing. Waits in progress end, and throw `closed`.
  public func close() { core.close() }

  /// The newest value. `nil`: none was written yet.
  ///
  /// - Throws: ``SeqlockError``: `overtaken` (the writer passed the reader 100,000 times in a row), `corrupt`,
  ///   `closed`.
  public func read() throws(SeqlockError) -> Snapshot? {
    let words = Value.payloadWords
    return try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { (buffer) throws(SeqlockError) in
      let sequence = try core.read(into: buffer.baseAddress!, count: words)
      guard sequence != 0 else { return nil }
      return Snapshot(value: UnsafeRawPointer(buffer.baseAddress!).loadUnaligned(as: Value.self), sequence: sequence)
    }
  }

  /// The number of the newest write; 0: there was none, or the object is closed.
  public var sequence: UInt64 { core.sequence }

  /// Becomes the writer, for this process, until ``release()``, ``close()`` or the end of the process. It waits for
  /// nobody, except for a second at most for a process that was stopped while claiming.
  ///
  /// - Returns: what it found: which write was the last, and whether the writer before died.
  /// - Throws: ``SeqlockError``: `hasWriter` with its process, `alreadyWriter`, `permissionDenied` (attached to read),
  ///   `mismatch` (another libc or pid namespace), `corrupt`, `inherited`, `closed`, `system`.
  @discardableResult
  public func claim() throws(SeqlockError) -> SeqlockPredecessor { SeqlockPredecessor(try core.claim()) }

  /// Gives the claim back.
  ///
  /// - Throws: ``SeqlockError``: `notWriter`, `closed`.
  public func release() throws(SeqlockError) { try core.release() }

  /// Who has the claim.
  ///
  /// - Throws: ``SeqlockError``: `closed`, `system`.
  public func writer() throws(SeqlockError) -> SeqlockWriter { SeqlockWriter(try core.writer()) }

  /// Publishes a value. Readers see it whole, or the one before.
  ///
  /// - Throws: ``SeqlockError``: `notWriter`, `closed`.
  public func write(_ value: Value) throws(SeqlockError) {
    let words = Value.payloadWords
    try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { (buffer) throws(SeqlockError) in
      buffer.initialize(repeating: 0)
      withUnsafeBytes(of: value) { UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0) }
      try core.write { muster_seqlock_publish(muster_seqlock_writer_of($0), 0, UInt32(words), buffer.baseAddress!) }
    }
  }

  /// Waits until another write than `seen` is the newest. Blocks the thread.
  ///
  /// - Parameters:
  ///   - seen: the sequence that the caller knows; 0: none.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Returns: the number of the newest write.
  /// - Throws: ``SeqlockError``: `timedOut`; `writerDied` when nothing newer is there and its writer died; `corrupt`,
  ///   `closed`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitForChangeBlocking(
    since seen: UInt64, until deadline: ContinuousClock.Instant? = nil
  ) throws(SeqlockError) -> UInt64 {
    try core.waitBlocking(.change(since: seen), Deadline(deadline))
  }

  /// Waits until another write than `seen` is the newest. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters:
  ///   - seen: the sequence that the caller knows; 0: none.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Returns: the number of the newest write.
  /// - Throws: ``SeqlockError``: `timedOut`, `cancelled`; `writerDied` when nothing newer is there and its writer
  ///   died; `corrupt`, `closed`.
  @discardableResult
  public func waitForChange(
    since seen: UInt64, until deadline: ContinuousClock.Instant? = nil
  ) async throws(SeqlockError) -> UInt64 {
    try await core.wait(.change(since: seen), Deadline(deadline))
  }

  /// Waits until a living process has the claim. Blocks the thread.
  ///
  /// - Throws: ``SeqlockError``: `timedOut`, `corrupt`, `closed`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func waitForWriterBlocking(until deadline: ContinuousClock.Instant? = nil) throws(SeqlockError) {
    _ = try core.waitBlocking(.writer, Deadline(deadline))
  }

  /// Waits until a living process has the claim. The task waits, no thread of the cooperative pool does.
  ///
  /// - Throws: ``SeqlockError``: `timedOut`, `cancelled`, `corrupt`, `closed`.
  public func waitForWriter(until deadline: ContinuousClock.Instant? = nil) async throws(SeqlockError) {
    _ = try await core.wait(.writer, Deadline(deadline))
  }
}
