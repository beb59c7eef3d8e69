// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A named row of labelled 64-bit counters that one process writes, and any number read as one consistent snapshot,
/// without waiting.
///
/// ```swift
/// let counters = try CounterRegion("load", counters: ["requests", "errors"])
/// try counters.claim()
/// try counters.add(1, to: "requests")
///
/// let seen = try CounterRegion.attach("load").snapshot()      // in any other process
/// print(seen["requests"] ?? 0, "requests, as of write", seen.sequence)
/// ```
///
/// What ``Seqlock`` promises holds here as well: reads that depend on nobody, one writer at a time, succession after a
/// death.
///
/// The object is one `muster_seqlock` of C (muster/seqlock.h). It may be used from any thread; writes are made one at
/// a time. The end of the last reference releases the claim.
public final class CounterRegion: Sendable {
  /// All counters as one write left them.
  public struct Snapshot: Hashable, Sendable {
    /// The labels, in order; "" for a counter without one.
    public let labels: [String]
    /// The values, in the order of the labels.
    public let values: [UInt64]
    /// The number of the write that left them, from 1; 0: none was written yet, and all are 0.
    public let sequence: UInt64

    /// The first counter of that label, or `nil`.
    public subscript(label: String) -> UInt64? { labels.firstIndex(of: label).map { values[$0] } }
  }

  /// The labels, in order; "" for a counter without one.
  public let labels: [String]
  private let core: SeqlockCore

  /// The region's name.
  public var name: String { core.name }

  /// Opens a region to read and, after ``claim()``, to write; whoever comes first creates it.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - counters: their labels, 1 to 4096, each of 1 to 31 bytes, no two the same. Compared when attaching.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a region that is created, whatever the umask. Who may only read can ``attach(_:)``.
  /// - Throws: ``SeqlockError``: `invalidArgument`, `mismatch` (other counters), `alreadyExists`, `notFound`,
  ///   `corrupt`, `permissionDenied`, `system`.
  public convenience init(
    _ name: String, counters: [String], mode: OpenMode = .createOrAttach,
    permissions: FilePermissions = [.ownerReadWrite]
  ) throws(SeqlockError) {
    if let reason = Self.flaw(of: counters) { throw SeqlockError(Self.opening, name, status: EINVAL, reason: reason) }
    // Any layout: the labels themselves are compared, so that C programs, which give no number, meet them too.
    let core: SeqlockCore
    do throws(SeqlockError) {
      core = try SeqlockCore(
        name, words: counters.count, labels: counters, layout: 0, flags: mode.flags, permissions: permissions)
    } catch {
      guard let mismatch = error.mismatch, mismatch.property == .layout else { throw error }
      throw SeqlockError(
        Self.opening, name, status: EPROTO, mismatch: mismatch.core,
        reason: "it has \(mismatch.found) counters, not \(mismatch.expected)")
    }
    try self.init(core)
    if let index = labels.indices.first(where: { labels[$0] != counters[$0] }) {
      let (asked, found) = (counters[index], labels[index])
      close()
      throw SeqlockError(
        Self.opening, name, status: EPROTO, reason: "its counter \(index) is “\(found)”, not “\(asked)”")
    }
  }

  private static let opening = "open the counter region"

  /// Why these can't be the labels of a region.
  private static func flaw(of labels: [String]) -> String? {
    let most = Int(MUSTER_SEQLOCK_WORDS_MAX), longest = Int(MUSTER_SEQLOCK_LABEL_SIZE) - 1
    guard 1...most ~= labels.count else { return "it has 1 to \(most) counters, not \(labels.count)" }
    var seen: Set<String> = []
    for (index, label) in labels.enumerated() {
      if label.isEmpty { return "the label of counter \(index) is empty" }
      if label.utf8.count > longest { return "the label “\(label)” has more than \(longest) bytes" }
      if label.utf8.contains(0) { return "the label of counter \(index) has a zero in it" }
      if !seen.insert(label).inserted { return "two counters have the label “\(label)”" }
    }
    return nil
  }

  /// Attaches to a region that exists, to read, whatever its counters are. The memory is mapped read-only; waiting for
  /// a change then looks every few milliseconds, and costs the writer nothing.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - anyOwner: whether a region that belongs to another user is accepted.
  /// - Throws: ``SeqlockError``: `notFound`, `mismatch` (not a counter region, or a ``Seqlock``), `corrupt`,
  ///   `permissionDenied`, `invalidArgument`, `system`.
  public static func attach(_ name: String, anyOwner: Bool = false) throws(SeqlockError) -> CounterRegion {
    let flags = SeqlockCore.reading(anyOwner)
    return try CounterRegion(try SeqlockCore(name, words: 0, layout: 0, flags: flags, permissions: []))
  }

  /// Looks at a region without holding it: its counters, and who writes them.
  ///
  /// - Throws: ``SeqlockError``: as ``attach(_:)``, `overtaken`.
  public static func look(_ name: String) throws(SeqlockError) -> (snapshot: Snapshot, writer: SeqlockWriter) {
    let region = try CounterRegion(try SeqlockCore(name, words: 0, layout: 0, flags: peek, permissions: []))
    defer { region.close() }
    return (try region.snapshot(), try region.writer())
  }

  private init(_ core: SeqlockCore) throws(SeqlockError) {
    self.core = core
    var labels: [String] = []
    for index in 0..<core.words { labels.append(try core.label(index)) }
    self.labels = labels
    guard labels.allSatisfy(\.isEmpty), isPayloadIdentity(core.layout, words: core.words) else { return }
    core.close()
    throw SeqlockError(
      Self.opening, name, status: EPROTO, reason: "there is a value of \(core.layout & 0xffff) bytes, not counters")
  }

  /// Releases the claim, if there is one, and lets go of the region; its name and its counters stay. Closing again
  /// does nothing. Waits in progress end, and throw `closed`.
  public func close() { core.close() }

  // MARK: Reading

  /// All counters, as one write left them.
  ///
  /// - Throws: ``SeqlockError``: `overtaken` (the writer passed the reader 100,000 times in a row), `corrupt`,
  ///   `closed`.
  public func snapshot() throws(SeqlockError) -> Snapshot {
    var values = [UInt64](repeating: 0, count: core.words)
    let sequence = try read(into: &values)
    return Snapshot(labels: labels, values: values, sequence: sequence)
  }

  /// All counters into an array that is there already, which saves its allocation.
  ///
  /// - Parameter values: as many as there are ``labels``.
  /// - Returns: the number of the write that left them.
  /// - Throws: ``SeqlockError``: `invalidArgument` for another number of values, and as ``snapshot()``.
  public func read(into values: inout [UInt64]) throws(SeqlockError) -> UInt64 {
    guard values.count == core.words else {
      throw SeqlockError(
        "read the counter region", name, status: EINVAL,
        reason: "it has \(core.words) counters, and the array \(values.count)")
    }
    let count = values.count
    return try values.withUnsafeMutableBufferPointer { (buffer) throws(SeqlockError) in
      try core.read(into: buffer.baseAddress!, count: count)
    }
  }

  /// One counter.
  ///
  /// - Throws: ``SeqlockError``: `invalidArgument` for a label that is not there, and as ``snapshot()``.
  public func value(of label: String) throws(SeqlockError) -> UInt64 { try core.readWord(try index(of: label)) }

  /// The number of the newest write; 0: there was none, or the object is closed.
  public var sequence: UInt64 { core.sequence }

  // MARK: Writing

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

  /// Publishes all counters at once, in the order of the labels; of fewer values, the first counters.
  ///
  /// - Throws: ``SeqlockError``: `notWriter`, `invalidArgument` (more values than counters), `closed`.
  public func write(_ values: [UInt64]) throws(SeqlockError) {
    let count = UInt32(clamping: values.count)
    guard values.count <= core.words else {
      throw SeqlockError(
        "write the counter region", name, status: EINVAL,
        reason: "it has \(core.words) counters, and there are \(values.count) values")
    }
    try values.withUnsafeBufferPointer { (buffer) throws(SeqlockError) in
      guard let first = buffer.baseAddress else { return }
      try core.write { muster_seqlock_publish(muster_seqlock_writer_of($0), 0, count, first) }
    }
  }

  /// Publishes one counter's new value.
  ///
  /// - Throws: ``SeqlockError``: `notWriter`, `invalidArgument` for a label that is not there, `closed`.
  public func set(_ label: String, to value: UInt64) throws(SeqlockError) {
    let index = UInt32(try index(of: label))
    try core.write { muster_seqlock_publish_word(muster_seqlock_writer_of($0), index, value) }
  }

  /// Adds to one counter, modulo 2^64, and publishes it.
  ///
  /// - Throws: ``SeqlockError``: `notWriter`, `invalidArgument` for a label that is not there, `closed`.
  public func add(_ delta: UInt64, to label: String) throws(SeqlockError) {
    let index = UInt32(try index(of: label))
    try core.write { muster_seqlock_publish_sum(muster_seqlock_writer_of($0), index, delta) }
  }

  private func index(of label: String) throws(SeqlockError) -> Int {
    guard let index = labels.firstIndex(of: label) else {
      throw SeqlockError(
        "find the counter “\(label)” of", name, status: EINVAL, reason: "it has no counter of that label")
    }
    return index
  }

  // MARK: Waiting

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
