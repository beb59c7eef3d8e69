// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Thrown from a transaction's body, aborts it with a value. Another error aborts it with 1: nothing else comes back from another process.
public struct TransactionAbort: Error, Hashable, Sendable {
  /// What ``TransactionResult/Outcome/aborted(_:)`` tells.
  public let value: UInt8

  /// 1 to 255; 0 is told as 255.
  public init(_ value: UInt8) { self.value = value }
}

/// What came of a transaction.
public struct TransactionResult: Hashable, Sendable {
  /// How it ended.
  public enum Outcome: Hashable, Sendable, CustomStringConvertible {
    /// Its changes are the daemon's state now.
    case committed
    /// Its body threw: with which value, see ``TransactionAbort``.
    case aborted(Int32)
    /// A signal ended it, each attempt; this is the last one's.
    case crashed(signal: Int32)
    /// It called `exit`, each attempt; this is the last one's value.
    case exited(Int32)
    /// It was not done by its deadline, or was cancelled.
    case late
    /// It changed more pages than its daemon declared (``DaemonTransactions``).
    case tooLarge
    /// It could not be run, or what it did not be logged.
    case failed(Errno)

    /// "committed", "crashed by SIGABRT".
    public var description: String {
      switch self {
      case .committed: "committed"
      case .aborted(let value): "aborted with \(value)"
      case .crashed(let signal): "crashed by \(signalName(signal))"
      case .exited(let value): "exited with \(value)"
      case .late: "late"
      case .tooLarge: "too large"
      case .failed(let errno): "failed: \(errno)"
      }
    }
  }

  /// How it ended. But for `committed` the state is as it was.
  public let outcome: Outcome
  /// How often it was forked.
  public let attempts: Int
  /// Processor time of all attempts, in the program.
  public let userTime: Duration
  /// The same, in the kernel.
  public let systemTime: Duration
  /// The most memory that an attempt had, in bytes.
  public let peakMemory: Int

  /// Whether its changes are the daemon's state now.
  public var isCommitted: Bool { outcome == .committed }

  init(_ outcome: muster_transaction_outcome) {
    self.outcome =
      switch outcome.how {
      case .MUSTER_TRANSACTION_COMMITTED: .committed
      case .MUSTER_TRANSACTION_ABORTED: .aborted(outcome.value)
      case .MUSTER_TRANSACTION_CRASHED: outcome.signal != 0 ? .crashed(signal: outcome.value) : .exited(outcome.value)
      case .MUSTER_TRANSACTION_LATE: .late
      case .MUSTER_TRANSACTION_TOO_LARGE: .tooLarge
      default: .failed(Errno(rawValue: outcome.value))
      }
    attempts = Int(outcome.attempts)
    userTime = .nanoseconds(outcome.user_ns)
    systemTime = .nanoseconds(outcome.system_ns)
    peakMemory = Int(clamping: outcome.most_kib.multipliedReportingOverflow(by: 1024).partialValue)
  }
}

/// A transaction that goes on, for what its daemon does meanwhile.
public struct RunningTransaction: ~Copyable {
  private let core: OpaquePointer
  private var outcome: muster_transaction_outcome?
  private var failure: Int32 = 0

  fileprivate init(_ core: OpaquePointer) { self.core = core }

  /// Waits for its end, beating meanwhile.
  ///
  /// - Parameter time: how long, `.zero`: just looks.
  /// - Returns: whether it is over. `false` also, at once, when the daemon is to stop: ``cancel()`` ends it then.
  public mutating func wait(for time: Duration) -> Bool { wait(until: Deadline(time)) }

  private mutating func wait(until deadline: Deadline) -> Bool {
    if outcome != nil || failure != 0 { return true }
    var ended = muster_transaction_outcome()
    return note(muster_daemon_finish(core, deadline, &ended), ended)
  }

  /// Ends it as if it were late, unless it has committed.
  public mutating func cancel() {
    if outcome != nil || failure != 0 { return }
    var ended = muster_transaction_outcome()
    _ = note(muster_daemon_cancel(core, &ended), ended)
  }

  private mutating func note(_ status: Int32, _ ended: muster_transaction_outcome) -> Bool {
    switch status {
    case 0: outcome = ended
    case ETIMEDOUT, ECANCELED: return false
    default: failure = status
    }
    return true
  }

  /// 0, or why it could not be ended.
  fileprivate mutating func finish(_ result: inout muster_transaction_outcome) -> Int32 {
    if !wait(until: .never) { cancel() }
    if let outcome { result = outcome }
    return failure
  }
}

extension Daemon {
  private static var transacting: String { "run a transaction of the daemon" }

  /// Has another process, a fork of this one, work on a snapshot of the state. Its changes become the state all at once when `body` has
  /// returned, and not at all when it throws, crashes, or is not done in time. Waits for it, and beats meanwhile.
  ///
  /// While it runs others read the state as it was.
  ///
  /// - Parameters:
  ///   - timeout: for all attempts together, `nil`: none.
  ///   - tries: how often it is forked when it crashes.
  ///   - body: gets the snapshot. What it does otherwise (files, other memory, what it captures) stays in its process, or doesn't: that
  ///     is its own business. It may have threads.
  /// - Returns: how it ended, which is no error of this daemon's.
  /// - Throws: ``RootError``: `transactionRuns`, `changing` (within a change), `notDeclared`, `corrupt`, `inherited` (within a
  ///   transaction), `invalidArgument` (`tries`), `system` (no process is to be had).
  @discardableResult
  public func transaction(
    timeout: Duration? = nil, tries: Int = 3, _ body: (inout State) throws -> Void
  ) throws(RootError) -> TransactionResult {
    var options = try options(timeout, tries)
    var outcome = muster_transaction_outcome()
    let status = withBody(body) { muster_daemon_transact(core, TransactionBody.call, $0, &options, &outcome) }
    try checkTransaction(status)
    return TransactionResult(outcome)
  }

  /// The same, while this process does something else.
  ///
  /// ```swift
  /// let result = try daemon.transaction(timeout: .seconds(10)) { state in
  ///   state.total = try longComputation()
  /// } meanwhile: { transaction in
  ///   while !transaction.wait(for: .milliseconds(100)) && !daemon.isStopping { answerQuestions() }
  /// }
  /// ```
  ///
  /// - Parameter meanwhile: runs in this process, which can read its state and not change it. When it returns, the end of the
  ///   transaction is waited for; when it throws, or the daemon is to stop, it is cancelled.
  /// - Throws: what `meanwhile` throws; ``RootError`` as ``transaction(timeout:tries:_:)``.
  @discardableResult
  public func transaction(
    timeout: Duration? = nil, tries: Int = 3, _ body: (inout State) throws -> Void,
    meanwhile: (inout RunningTransaction) throws -> Void
  ) throws -> TransactionResult {
    var options = try options(timeout, tries)
    var outcome = muster_transaction_outcome()
    var thrown: (any Error)?
    let status = withBody(body) { body in
      let status = muster_daemon_begin(core, TransactionBody.call, body, &options)
      guard status == 0 else { return status }
      var running = RunningTransaction(core)
      do {
        try meanwhile(&running)
      } catch {
        thrown = error
        running.cancel()
      }
      return running.finish(&outcome)
    }
    if let thrown { throw thrown }
    try checkTransaction(status)
    return TransactionResult(outcome)
  }

  private func options(_ timeout: Duration?, _ tries: Int) throws(RootError) -> muster_transaction_options {
    guard let tries = UInt32(exactly: tries), tries > 0 else {
      throw RootError(Self.transacting, root, daemon: name, status: EINVAL, reason: "it is to be tried 1 time or more")
    }
    // 0 is none to C.
    return muster_transaction_options(deadline: timeout.map { max(1, Deadline($0)) } ?? 0, tries: tries, reserved: 0)
  }

  private func checkTransaction(_ status: Int32) throws(RootError) {
    guard status != 0 else { return }
    // Both are EBUSY to C.
    let isChanging = muster_daemon_arena(core, muster_daemon_self(core)).map { muster_arena_changing($0) != 0 } ?? false
    try check(
      Self.transacting, status, isChanging ? [EBUSY: .changing] : [EAGAIN: .system],
      reason: status == ENOTSUP
        ? "it was declared without transactions" : status == EBUSY && !isChanging ? "another runs" : nil)
  }

  /// For C, as long as `call` lasts.
  private func withBody(
    _ body: (inout State) throws -> Void, _ call: (UnsafeMutableRawPointer) -> Int32
  ) -> Int32 {
    withoutActuallyEscaping(body) { body in
      var body = TransactionBody { try body(&$0.assumingMemoryBound(to: State.self).pointee) }
      return withUnsafeMutablePointer(to: &body) { call(UnsafeMutableRawPointer($0)) }
    }
  }
}

/// What C calls in the transaction's process.
private struct TransactionBody {
  let run: (UnsafeMutableRawPointer) throws -> Void

  static let call: muster_transaction_body = { state, _, context in
    do {
      try context!.assumingMemoryBound(to: TransactionBody.self).pointee.run(state)
      return 0
    } catch let abort as TransactionAbort {
      return abort.value == 0 ? 255 : Int32(abort.value)
    } catch {
      return 1
    }
  }
}
