// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A process that is no child of this one: its end is told at once, and it is signalled and killed without a race of numbers.
///
/// ```swift
/// let primary = try WatchedProcess(descriptor: FileDescriptor(rawValue: 3))   // inherited from who has started this process
/// try await primary.waitForEnd()                                              // by whatever death
/// try takeOver()
/// ```
///
/// It is meant by a pidfd from the moment that this is made: what became of its number afterwards doesn't matter. Before that it is named by a
/// ``ProcessIdentity``, which no two processes ever have (sent, written down, or found in an Alive file: ``AliveOwner/identity``); or, with no
/// number at all, by a pidfd that was inherited or came by a socket:
///
/// ```swift
/// var backup = ChildProcess.Configuration(.itself, arguments: ["backup"])
/// let this = try WatchedProcess.thisProcess()
/// backup.descriptors = [3: this.descriptor]
/// ```
///
/// Who may be stopped (SIGSTOP), not dead, keeps what it has: before its work is taken over it is to be killed, ``kill()``, and seen to have
/// ended, ``waitForEnd(until:)``.
///
/// A child of this process can be watched so, too. Whichever object sees its end first reaps it; another one is told all the same, and since Linux
/// 6.15 how it ended.
///
/// Any number of tasks and threads may use the object. The C functions are `muster_process_open` and `muster_process_open_descriptor` of
/// muster/process.h.
public final class WatchedProcess: Sendable {
  let core: ProcessCore

  /// The process of that identity.
  ///
  /// - Throws: ``ProcessError``: `ended` (there is none of that number), `replaced` (another one has it: that process has ended, or `/proc` can't
  ///   be read), `invalidArgument`, `system`.
  public convenience init(_ identity: ProcessIdentity) throws(ProcessError) {
    // 0 is "whichever" to C.
    guard identity.start != 0 else { throw Self.failure(identity.pid, EINVAL) }
    try self.init(identity.pid, start: identity.start)
  }

  /// Whichever process has the number now: for one that can't have ended, as this process, or that it does not matter of.
  ///
  /// - Throws: ``ProcessError``: `ended`, `invalidArgument` (no number of a process, or that of a thread), `system`.
  public convenience init(pid: Int32) throws(ProcessError) { try self.init(pid, start: 0) }

  private init(_ pid: Int32, start: UInt64) throws(ProcessError) {
    var process = muster_process()
    let status = muster_process_open(pid, start, &process)
    guard status == 0 else { throw Self.failure(pid, status) }
    core = Self.core(process)
  }

  /// The process of a pidfd, which is duplicated and stays the caller's.
  ///
  /// - Throws: ``ProcessError``: `ended` (and was reaped), `invalidArgument` (not open, no pidfd, or of a process that this pid namespace does
  ///   not have), `system`.
  public init(descriptor: FileDescriptor) throws(ProcessError) {
    var process = muster_process()
    let status = muster_process_open_descriptor(descriptor.rawValue, &process)
    guard status == 0 else {
      throw ProcessError("watch the process of", "descriptor \(descriptor.rawValue)", status: status)
    }
    core = Self.core(process)
  }

  /// This process, for its ``descriptor``: who gets that can watch it.
  ///
  /// - Throws: ``ProcessError``: `system`.
  public static func thisProcess() throws(ProcessError) -> WatchedProcess { try WatchedProcess(pid: getpid()) }

  private static func failure(_ pid: Int32, _ status: Int32) -> ProcessError {
    ProcessError("watch", "process \(pid)", status: status)
  }

  private static func core(_ process: muster_process) -> ProcessCore {
    ProcessCore(ProcessObject(process), subject: "process \(process.pid)") { _ in }
  }

  deinit { core.handle.close() }

  /// Its number, in this process's pid namespace. It may be another's when the process has ended.
  public var pid: Int32 { core.object.pid }

  /// Its name for good.
  ///
  /// - Throws: ``ProcessError``: `ended` (it was reaped), `inherited`, `closed`, `system`.
  public func identity() throws(ProcessError) -> ProcessIdentity { try core.identity() }

  /// Its pidfd, which is this object's: for ``ChildProcess/Configuration/descriptors``, and for event loops: it is readable when the process
  /// has ended. Not to be used when the object is closed.
  public var descriptor: FileDescriptor { FileDescriptor(rawValue: core.object.descriptor) }

  /// Lets go of it. Waits in progress end, and throw `closed`. Closing again does nothing.
  public func close() { core.handle.close() }

  /// Waits for its end. The task waits, no thread of the cooperative pool does; a cancellation ends it at once.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: how it ended: ``ProcessEnd/Cause/unknown`` before Linux 6.15, and as long as its parent has not reaped it.
  /// - Throws: ``ProcessError``: `timedOut`, `cancelled`, `inherited`, `closed`, `system`.
  @discardableResult
  public func waitForEnd(until deadline: ContinuousClock.Instant? = nil) async throws(ProcessError) -> ProcessEnd {
    try await core.end(Deadline(deadline))
  }

  /// Waits for its end. Blocks the thread.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: how it ended, as of the form that is awaited.
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

  /// Sends it a signal; 0: none, only asks whether it lives. It is never another process that is meant.
  ///
  /// - Throws: ``ProcessError``: `ended`, `permissionDenied` (another user's), `invalidArgument` (no such signal), `inherited`, `closed`,
  ///   `system`.
  public func signal(_ number: Int32) throws(ProcessError) { try core.signal(number) }

  /// Kills it, stopped or not (SIGKILL). It has ended when ``waitForEnd(until:)`` says so. One that has ended already is killed.
  ///
  /// - Throws: ``ProcessError``: `permissionDenied` (another user's), `inherited`, `closed`, `system`.
  public func kill() throws(ProcessError) {
    do {
      try core.signal(SIGKILL)
    } catch  where error.code == .ended {
      return
    }
  }

  /// How it is now.
  ///
  /// - Throws: ``ProcessError``: `ended` (it was reaped), `inherited`, `closed`, `system`.
  public func sample() throws(ProcessError) -> ProcessSample { try core.sample() }

  /// Ends it with all that descends from it: asks politely, waits, kills. What has lost its parents up to it is not found. The task waits, no
  /// thread of the cooperative pool does; a cancellation does not end it.
  ///
  /// - Parameters: as of ``ChildProcess/stop(signal:grace:patience:firstAlone:)``.
  /// - Returns: what became of them.
  /// - Throws: ``ProcessError``: `invalidArgument` (no such signal), `inherited`, `closed`, `system`.
  @discardableResult
  public func stop(
    signal: Int32? = nil, grace: Duration, patience: Duration = .seconds(2), firstAlone: Bool = false
  ) async throws(ProcessError) -> ProcessStop {
    try await core.stop(
      ProcessStopRequest(signal: signal, grace: grace, patience: patience, isFirstAlone: firstAlone))
  }

  /// Ends it with all that descends from it. Blocks the thread.
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
