// Waiting for a child: for its end, for what it tells, for the end of all that it has started.
// SPDX-License-Identifier: Apache-2.0

extension ChildProcess {
  // MARK: Its end

  /// Waits for its end. The task waits, no thread of the cooperative pool does; a cancellation ends it at once, and does nothing to the child.
  /// While ``stop(signal:grace:patience:firstAlone:)`` is under way the end is told when that is over.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: how it ended; the same again at each call.
  /// - Throws: ``ProcessError``: `timedOut`, `cancelled`, `inherited`, `closed`, `system`.
  @discardableResult
  public func waitForEnd(until deadline: ContinuousClock.Instant? = nil) async throws(ProcessError) -> ProcessEnd {
    try await core.end(Deadline(deadline))
  }

  /// Waits for its end. Blocks the thread.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: how it ended; the same again at each call.
  /// - Throws: ``ProcessError``: `timedOut`, `inherited`, `closed`, `system`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitForEndBlocking(until deadline: ContinuousClock.Instant? = nil) throws(ProcessError) -> ProcessEnd {
    try core.endBlocking(Deadline(deadline))
  }

  /// How it ended, if it has. Never waits.
  ///
  /// - Throws: ``ProcessError``: `inherited`, `closed`.
  public func endIfEnded() throws(ProcessError) -> ProcessEnd? { try core.endIfEnded() }

  // MARK: What it tells

  /// Waits until it says that it is ready. The task waits, no thread of the cooperative pool does; a cancellation ends it at once.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: what it has told so far.
  /// - Throws: ``ProcessError``: `ended` (before it was ready, told at once), `neverReady`, `notAsked`, `timedOut`, `cancelled`, `inherited`,
  ///   `closed`, `system`.
  @discardableResult
  public func waitUntilReady(until deadline: ContinuousClock.Instant? = nil) async throws(ProcessError) -> ProcessNotice
  {
    try await core.notice(ProcessCore.readying, after: nil, Deadline(deadline))
  }

  /// Waits until it says that it is ready. Blocks the thread.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: what it has told so far.
  /// - Throws: ``ProcessError``: as of the form that is awaited, but `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitUntilReadyBlocking(
    until deadline: ContinuousClock.Instant? = nil
  ) throws(ProcessError) -> ProcessNotice {
    try core.noticeBlocking(ProcessCore.readying, after: nil, Deadline(deadline))
  }

  /// What it has told so far. Never waits.
  ///
  /// - Throws: ``ProcessError``: `notAsked`, `inherited`, `closed`.
  public func notice() throws(ProcessError) -> ProcessNotice { try core.notice() }

  private static let listening = "wait for news of"

  /// Waits until it has told something else than is known: a status, a sign of life, that it stops. The task waits, no thread of the
  /// cooperative pool does; a cancellation ends it at once.
  ///
  /// - Parameters:
  ///   - known: what the caller has heard of already.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Returns: what it has told so far.
  /// - Throws: ``ProcessError``: `ended`, `neverReady` (there will be no more news), `notAsked`, `timedOut`, `cancelled`, `inherited`, `closed`,
  ///   `system`.
  public func waitForNotice(
    after known: ProcessNotice, until deadline: ContinuousClock.Instant? = nil
  ) async throws(ProcessError) -> ProcessNotice {
    try await core.notice(Self.listening, after: known, Deadline(deadline))
  }

  /// Waits until it has told something else than is known. Blocks the thread.
  ///
  /// - Parameters:
  ///   - known: what the caller has heard of already.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Returns: what it has told so far.
  /// - Throws: ``ProcessError``: as of the form that is awaited, but `cancelled`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public func waitForNoticeBlocking(
    after known: ProcessNotice, until deadline: ContinuousClock.Instant? = nil
  ) throws(ProcessError) -> ProcessNotice {
    try core.noticeBlocking(Self.listening, after: known, Deadline(deadline))
  }

  // MARK: Stopping it

  /// Ends it with all that it has started: asks politely, waits, kills, and goes on looking until nobody of it is left. It finds whoever is
  /// in its cgroup, its group or its session, descends from it, or has its number in the environment; also when it has itself ended before.
  /// The task waits, no thread of the cooperative pool does.
  ///
  /// **A cancellation does not end it**, since it is what one does when cancelled; its times do.
  ///
  /// - Parameters:
  ///   - signal: the polite one; `nil`: SIGTERM. SIGCONT follows it, so that who was stopped can act on it.
  ///   - grace: how long they may take to end by themselves; zero: SIGKILL at once.
  ///   - patience: how long SIGKILL may take then.
  ///   - firstAlone: the polite signal goes to the process alone, which tells the others.
  /// - Returns: what became of them; who would not die by then is no error: ``ProcessStop/left``.
  /// - Throws: ``ProcessError``: `invalidArgument` (no such signal), `inherited`, `closed`, `system` (others could not be looked for; the
  ///   process and its group have been killed nevertheless).
  @discardableResult
  public func stop(
    signal: Int32? = nil, grace: Duration, patience: Duration = .seconds(2), firstAlone: Bool = false
  ) async throws(ProcessError) -> ProcessStop {
    try await core.stop(
      ProcessStopRequest(signal: signal, grace: grace, patience: patience, isFirstAlone: firstAlone))
  }

  /// Ends it with all that it has started. Blocks the thread.
  ///
  /// - Parameters: as of the form that is awaited.
  /// - Returns: what became of them.
  /// - Throws: ``ProcessError``: as of the form that is awaited.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func stopBlocking(
    signal: Int32? = nil, grace: Duration, patience: Duration = .seconds(2), firstAlone: Bool = false
  ) throws(ProcessError) -> ProcessStop {
    try core.stopBlocking(
      ProcessStopRequest(signal: signal, grace: grace, patience: patience, isFirstAlone: firstAlone))
  }
}
