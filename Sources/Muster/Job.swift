// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension JobQueue {
  /// What became of a job that goes back.
  public enum Outcome: Hashable, Sendable {
    /// An attempt that counts: queued again at the front of its level, or set aside if it was the last.
    case failed
    /// An attempt that doesn't count: queued again at the front of its level.
    case untried
    /// Set aside now, and not counted: nobody will do better.
    case hopeless
  }

  /// A job that this member has taken, and nobody else has meanwhile.
  ///
  /// ```swift
  /// while let job = try await queue.take() {
  ///   do {
  ///     try work(on: job.bytes())
  ///     try job.done()
  ///   } catch {
  ///     try job.putBack()
  ///   }
  /// }
  /// ```
  ///
  /// It can't be copied: who is done with it, or puts it back, has it no more. **Where its value ends before either, it goes back as
  /// ``Outcome/failed``**: whatever path was left without a word, a thrown error or an early return, is as if the worker had died of it.
  ///
  /// It may move between tasks and threads, and keeps its queue open; when that is closed, the job goes back as failed, and every use
  /// of it throws `closed`.
  public struct Job: ~Copyable, Sendable {
    /// What it is known by while it is in these hands.
    public let id: JobID
    /// Its level; 0 is served first.
    public let level: Int
    /// How often others failed at it, or died with it, before.
    public let attempts: Int
    /// How many bytes it has.
    public let size: Int
    private let queue: JobQueue
    private nonisolated(unsafe) let place: UnsafeMutableRawPointer?
    /// Whether there is something to be put back at the end.
    private var isOurs = true

    init(_ queue: JobQueue, _ job: muster_queue_job) {
      self.queue = queue
      id = JobID(rawValue: job.id)
      level = Int(job.level)
      attempts = Int(job.attempts)
      size = Int(job.size)
      place = job.bytes
    }

    deinit {
      if isOurs { _ = queue.core.step { muster_queue_put_back($0, id.rawValue, .MUSTER_QUEUE_FAILED) } }
    }

    // MARK: What is to be done

    /// Lends the bytes to a closure, where they lie, aligned to 16.
    ///
    /// A closing of the queue that comes meanwhile lets the closure end first.
    ///
    /// - Throws: ``JobQueueError``: `closed`, `inherited`; or what `body` throws.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
      try queue.core.beginLong(Self.reading, id)
      defer { queue.core.membership.end(.long) }
      return try body(UnsafeRawBufferPointer(start: place, count: size))
    }

    /// Lends the bytes to a closure as a span.
    ///
    /// - Throws: ``JobQueueError``: `closed`, `inherited`; or what `body` throws.
    public func withSpan<Result>(_ body: (RawSpan) throws -> Result) throws -> Result {
      try withUnsafeBytes { try body(RawSpan(_unsafeBytes: $0)) }
    }

    /// A copy of the bytes.
    ///
    /// - Throws: ``JobQueueError``: `closed`, `inherited`.
    public func bytes() throws(JobQueueError) -> [UInt8] {
      try queue.core.beginLong(Self.reading, id)
      defer { queue.core.membership.end(.long) }
      return Array(UnsafeRawBufferPointer(start: place, count: size))
    }

    /// The payload that was put (``JobQueue/put(payload:level:until:)``).
    ///
    /// - Throws: ``JobQueueError``: `undecodable` (it has another number of bytes), `closed`, `inherited`.
    public func payload<Payload: SharedPayload>(as type: Payload.Type = Payload.self) throws(JobQueueError) -> Payload {
      try queue.core.beginLong(Self.reading, id)
      defer { queue.core.membership.end(.long) }
      let bytes = UnsafeRawBufferPointer(start: place, count: size)
      guard size == MemoryLayout<Payload>.size else {
        throw undecodable("it has \(size) bytes, and a \(type) has \(MemoryLayout<Payload>.size)")
      }
      return bytes.loadUnaligned(as: Payload.self)
    }

    /// The value that was put (``JobQueue/put(encoding:level:until:)``), of JSON.
    ///
    /// - Throws: ``JobQueueError``: `undecodable`, `closed`, `inherited`.
    public func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws(JobQueueError) -> Value {
      let bytes = try bytes()
      do {
        return try JSONDecoder().decode(type, from: Data(bytes))
      } catch {
        throw undecodable("it is no \(type): \(error)")
      }
    }

    private static let reading = "read a job of the queue"

    private func undecodable(_ reason: String) -> JobQueueError {
      JobQueueError(Self.reading, queue.name, code: .undecodable, job: id, reason: reason)
    }

    // MARK: What became of it

    /// It is done, and gone.
    ///
    /// - Throws: ``JobQueueError``: `closed` (it went back when the queue was closed), `inherited`.
    public consuming func done() throws(JobQueueError) {
      try end("end a job of the queue") { muster_queue_done($0, $1) }
    }

    /// It is not done, and goes back.
    ///
    /// - Throws: ``JobQueueError``: `closed` (it went back, as failed, when the queue was closed), `inherited`.
    public consuming func putBack(_ outcome: Outcome = .failed) throws(JobQueueError) {
      try end("put a job back into the queue") { muster_queue_put_back($0, $1, outcome.core) }
    }

    private consuming func end(
      _ operation: String, _ body: (OpaquePointer, UInt64) -> Int32
    ) throws(JobQueueError) {
      let status = queue.core.step { body($0, id.rawValue) }
      guard status == 0 else { throw queue.core.failure(operation, status, id) }
      isOurs = false
    }
  }
}

extension JobQueue.Outcome {
  fileprivate var core: muster_queue_outcome {
    switch self {
    case .failed: .MUSTER_QUEUE_FAILED
    case .untried: .MUSTER_QUEUE_UNTRIED
    case .hopeless: .MUSTER_QUEUE_HOPELESS
    }
  }
}
