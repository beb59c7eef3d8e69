// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a process: which one, at what step, why, and what can be done about it.
public struct ProcessError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// There is no such program, or no such folder (`ENOENT`, `ENOTDIR`): ``ProcessError/step`` tells which.
    public static let notFound = Code(name: "notFound")
    /// Permission denied (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// The file is no program that can be executed here (`ENOEXEC`).
    public static let notExecutable = Code(name: "notExecutable")
    /// The arguments and the environment are too long (`E2BIG`).
    public static let tooLong = Code(name: "tooLong")
    /// The limit of processes is reached (`EAGAIN`).
    public static let tooManyProcesses = Code(name: "tooManyProcesses")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// It has ended (`ESRCH`, `EOWNERDEAD`): before it was ready, or before it could be signalled, looked at, watched.
    public static let ended = Code(name: "ended")
    /// Another process has its number by now (`ESTALE`).
    public static let replaced = Code(name: "replaced")
    /// It has closed the descriptor by which it was to say that it is ready (`EPIPE`).
    public static let neverReady = Code(name: "neverReady")
    /// It was started with ``ChildProcess/Readiness/none`` (`EINVAL`).
    public static let notAsked = Code(name: "notAsked")
    /// What was asked for can't be (`EINVAL`, `EBADF`): see ``ProcessError/description``.
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// This process was forked from the one whose object it is (`EPERM`).
    public static let inherited = Code(name: "inherited")
    /// The object was closed before.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``ProcessError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// What starting it has failed at; `nil`: it was no start.
  public let step: ChildProcess.Step?
  /// Which: its path, or "process" and its number.
  public var subject: String { failure.subject }
  /// What the system or the C core said. `nil` for `closed` and `cancelled`.
  public var errno: Errno? { failure.errno }
  private let failure: Failure
  private let reason: String?

  init(
    _ operation: String, _ subject: String, status: Int32 = 0, code: Code? = nil, step: ChildProcess.Step? = nil,
    reason: String? = nil
  ) {
    self.code = code ?? Self.code(status, step)
    self.step = step
    self.failure = Failure(operation: operation, subject: subject, status: status)
    self.reason = reason
  }

  private static func code(_ status: Int32, _ step: ChildProcess.Step?) -> Code {
    switch status {
    case ENOENT, ENOTDIR: .notFound
    case EACCES, EPERM: .permissionDenied
    case ENOEXEC: .notExecutable
    case E2BIG: .tooLong
    case EAGAIN where step == .clone: .tooManyProcesses
    case ETIMEDOUT: .timedOut
    case ESRCH, EOWNERDEAD: .ended
    case ESTALE: .replaced
    case EPIPE: .neverReady
    case EINVAL, EBADF: .invalidArgument
    default: .system
    }
  }

  /// A sentence that says what could not be done, with which process, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .notFound where step == .execute:
      failure.sentence(because: "there is no such program, or none to interpret it")
    case .notFound where step == .folder: failure.sentence(because: "there is no such folder")
    case .notExecutable: failure.sentence(because: "it is no program that can be executed here")
    case .tooLong: failure.sentence(because: "its arguments and environment are too long")
    case .tooManyProcesses:
      failure.sentence(because: "there are too many processes", advice: "See RLIMIT_NPROC and pids.max")
    case .ended where step == .tie: failure.sentence(because: "its parent, or its guard, has ended meanwhile")
    case .ended: failure.sentence(because: "it has ended")
    case .replaced: failure.sentence(because: "another process has its number by now, so it has ended")
    case .neverReady: failure.sentence(because: "it has closed the descriptor to say so by")
    case .notAsked: failure.sentence(because: "it was not asked to say so", advice: "Start it with a readiness")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence(because: reason)
    }
  }
}
