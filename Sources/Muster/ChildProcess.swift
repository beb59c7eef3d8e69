// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A program that this process has started: watched, told to be ready, and stopped with all that it has started, without a race of
/// numbers, a zombie, or a descriptor that leaks.
///
/// ```swift
/// var worker = ChildProcess.Configuration(.path("/usr/bin/worker"), arguments: ["--fast"])
/// worker.tie = .tree                                 // nothing of it outlives this process
/// worker.readiness = .socket                         // it says READY=1, as services do for systemd
/// let child = try ChildProcess(worker)               // throws: Can't execute “/usr/bin/worker”: there is no such program.
/// try await child.waitUntilReady(until: .now + .seconds(5))
/// let end = try await child.waitForEnd()             // "exited with 3", "killed by SIGSEGV (core dumped)"
/// ```
///
/// The process is meant by a pidfd, made by the kernel together with it, and never by its number: who ends and is reaped, by whomever, can't
/// be taken for who has its number next. No handler of SIGCHLD is installed, and no other child of this process is ever waited for.
///
/// Waiting for it and giving that up do nothing to it: a task that is cancelled leaves a child that lives on. Neither does ``close()`` nor the
/// end of the last reference: who is not to outlive the object is stopped, who is not to outlive this process is tied
/// (``Configuration/tie``). Whoever ends after that is reaped all the same, as long as this process lives.
///
/// Programs are started, not functions: fork needs that there is no other thread, which Swift's runtime does not promise. ``Root`` forks its
/// daemons in a process that has but one.
///
/// Any number of tasks and threads may use the object. The C functions are in muster/process.h and muster/process_stop.h; how it works and
/// why it is right stands in the repository's docs/process.md.
public final class ChildProcess: Sendable {
  /// What it was started with.
  public let configuration: Configuration
  let core: ProcessCore

  /// Starts a program. When it returns the program is executed: `exec` has succeeded. The thread stands still until then, commonly half a
  /// millisecond; a file system that does not answer holds it up.
  ///
  /// - Throws: ``ProcessError``, whose ``ProcessError/step`` says what failed, nothing being left of the child: `notFound`,
  ///   `permissionDenied`, `notExecutable`, `tooLong`, `tooManyProcesses`, `invalidArgument`, `system`.
  public init(_ configuration: Configuration) throws(ProcessError) {
    self.configuration = configuration
    let object = try ProcessStart(configuration).start()
    core = ProcessCore(object, subject: configuration.program.subject) { Children.shared.letGo($0) }
  }

  // Not left to the end of `core`: the thread that a wait was handed to lets go of it a little later than the task goes on.
  deinit { core.handle.close() }

  /// Its number, in this process's pid namespace. It is another's when this child has been reaped: ``signal(_:)`` and ``stop(signal:grace:patience:firstAlone:)``
  /// don't go by it.
  public var pid: Int32 { core.object.pid }

  /// Its name for good, by which any process can watch it: ``WatchedProcess``.
  ///
  /// - Throws: ``ProcessError``: `ended` (it was reaped), `inherited`, `closed`, `system`.
  public func identity() throws(ProcessError) -> ProcessIdentity { try core.identity() }

  /// Its pidfd, which is this object's: for ``Configuration/descriptors`` of others that are to watch it, and for event loops: it is readable
  /// when the process has ended. Not to be used when the object is closed.
  public var descriptor: FileDescriptor { FileDescriptor(rawValue: core.object.descriptor) }

  /// Whether it is in a cgroup of its own: ``Configuration/hasCgroup`` was asked for and could be had.
  public var hasCgroup: Bool { core.object.hasCgroup }

  /// Lets go of it. Waits for nothing and kills nobody; waits in progress end, and throw `closed`. Closing again does nothing.
  public func close() { core.handle.close() }

  /// Sends it a signal; 0: none, only asks whether it lives. It is never another process that is meant.
  ///
  /// - Throws: ``ProcessError``: `ended`, `permissionDenied` (it has become another user's), `invalidArgument` (no such signal), `inherited`,
  ///   `closed`, `system`.
  public func signal(_ number: Int32) throws(ProcessError) { try core.signal(number) }

  /// How it is now.
  ///
  /// - Throws: ``ProcessError``: `ended` (it was reaped), `inherited`, `closed`, `system`.
  public func sample() throws(ProcessError) -> ProcessSample { try core.sample() }

  // MARK: Orphans

  /// Makes this process the one that inherits the orphans below it, instead of init. It has to reap them then: ``stop(signal:grace:patience:firstAlone:)``
  /// does so with those that it stops, ``reapOrphans()`` with those that end by themselves.
  ///
  /// - Throws: ``ProcessError``: `system`.
  public static func becomeSubreaper() throws(ProcessError) {
    let status = muster_process_become_subreaper()
    guard status == 0 else { throw ProcessError("inherit the orphans of", "this process", status: status) }
  }

  /// Reaps all children of this process that have ended, but those that are a ``ChildProcess``.
  ///
  /// **Not where children are started by other means**: an orphan that has ended can't be told from a child that Foundation's `Process`,
  /// or `system(3)`, has started; it would be reaped too. Waits for starts in progress.
  ///
  /// - Returns: how many.
  /// - Throws: ``ProcessError``: `system`, where `/proc` can't be read.
  @discardableResult
  public static func reapOrphans() throws(ProcessError) -> Int {
    do throws(CoreFailure) {
      return try Children.shared.reapOrphans().get()
    } catch {
      throw ProcessError("reap the orphans of", "this process", status: error.status, code: .system)
    }
  }
}
