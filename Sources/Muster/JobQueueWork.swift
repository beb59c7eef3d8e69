// SPDX-License-Identifier: Apache-2.0

extension JobQueue {
  /// Works on jobs, one after the other, until the queue is finished and nothing is left. A job is done when `work` returns, and goes
  /// back when it throws.
  ///
  /// ```swift
  /// try await queue.forEach { job in
  ///   try await work(on: job.bytes())
  /// } failed: { job, error in
  ///   log("\(job.id) failed \(job.attempts + 1) times: \(error)")
  ///   return error is BadInput ? .hopeless : .failed
  /// }
  /// ```
  ///
  /// A sequence can't have elements that can't be copied, so this stands in for one. When the task is cancelled the job in hand, if
  /// `work` throws, goes back untried, and `cancelled` is thrown.
  ///
  /// - Parameters:
  ///   - deadline: until when to wait for jobs, `nil`: for ever.
  ///   - work: does the job.
  ///   - failed: is told what `work` threw, and says what is to become of the job. If it throws, the job goes back as failed, and this
  ///     ends with that error.
  /// - Returns: how many jobs were done.
  /// - Throws: ``JobQueueError`` as ``take(until:)`` and ``Job/done()``; or what `failed` throws.
  @discardableResult
  public func forEach(
    until deadline: ContinuousClock.Instant? = nil,
    _ work: (borrowing Job) async throws -> Void,
    failed: (borrowing Job, any Error) async throws -> Outcome = { _, _ in .failed }
  ) async throws -> Int {
    var count = 0
    while let job = try await take(until: deadline) {
      do {
        try await work(job)
      } catch {
        guard !Task.isCancelled else {
          try job.putBack(.untried)
          throw JobQueueError("work on the queue", name, code: .cancelled)
        }
        let outcome = try await failed(job, error)
        try job.putBack(outcome)
        continue
      }
      try job.done()
      count += 1
    }
    return count
  }

  /// Works on jobs, one after the other: as ``forEach(until:_:failed:)``. Blocks the thread while there is none.
  ///
  /// - Parameters: as of ``forEach(until:_:failed:)``.
  /// - Returns: how many jobs were done.
  /// - Throws: ``JobQueueError`` as ``takeBlocking(until:)`` and ``Job/done()``; or what `failed` throws.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func forEachBlocking(
    until deadline: ContinuousClock.Instant? = nil,
    _ work: (borrowing Job) throws -> Void,
    failed: (borrowing Job, any Error) throws -> Outcome = { _, _ in .failed }
  ) throws -> Int {
    var count = 0
    while let job = try takeBlocking(until: deadline) {
      do {
        try work(job)
      } catch {
        let outcome = try failed(job, error)
        try job.putBack(outcome)
        continue
      }
      try job.done()
      count += 1
    }
    return count
  }
}
