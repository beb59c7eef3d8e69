// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a queue: which one, why, with which job, and what can be done about it.
public struct JobQueueError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// Nothing new may be put: the queue is finished (`EPIPE`).
    public static let finished = Code(name: "finished")
    /// More bytes than a job may have (`EMSGSIZE`).
    public static let tooLarge = Code(name: "tooLarge")
    /// The job is not there any more under that id (`ESTALE`).
    public static let stale = Code(name: "stale")
    /// The job is there, and in another state than it would have to be (`EBUSY`): not set aside, or not this member's.
    public static let busy = Code(name: "busy")
    /// All places are held by living members (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// The value can't be encoded: see ``JobQueueError/description``.
    public static let unencodable = Code(name: "unencodable")
    /// The job is none of the type that it was to be decoded as: see ``JobQueueError/description``.
    public static let undecodable = Code(name: "undecodable")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Other numbers, another layout, kind, version, libc or pid namespace (`EPROTO`): see ``JobQueueError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no queue, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Numbers, a name, a level or an id that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The object was inherited over fork (`EPERM`): a child opens the queue anew.
    public static let inherited = Code(name: "inherited")
    /// The queue was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``JobQueueError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The queue: its name, or the path of its file.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `cancelled`, `unencodable` and `undecodable`.
  public var errno: Errno? { failure.errno }
  /// The job that it was about, if any.
  public let job: JobID?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let failure: Failure
  private let reason: String?

  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, job: JobID? = nil,
    mismatch: muster_mismatch? = nil, reason: String? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.job = job
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
    self.reason = reason
  }

  init(_ operation: String, _ name: String, code: Code, job: JobID? = nil, reason: String? = nil) {
    self.init(operation, name, status: 0, code: code, job: job, reason: reason)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EPIPE: .finished
    case EMSGSIZE: .tooLarge
    case ESTALE: .stale
    case EBUSY: .busy
    case EOVERFLOW: .full
    case ETIMEDOUT: .timedOut
    case ENOENT: .notFound
    case EEXIST: .alreadyExists
    case EPROTO: .mismatch
    case EBADMSG: .corrupt
    case EACCES, EPERM: .permissionDenied
    case EINVAL, ENAMETOOLONG: .invalidArgument
    default: .system
    }
  }

  private var subject: String { job.map { "job \($0)" } ?? "the job" }
  /// A sentence that says what could not be done, with which queue, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .finished: failure.sentence(because: "it is finished", advice: "Reopen it to put more")
    case .tooLarge: failure.sentence(because: "it has more bytes than a job may have here")
    case .stale: failure.sentence(because: "\(subject) is not there any more under that id")
    case .busy: failure.sentence(because: "\(subject) is in other hands, or not set aside")
    case .full: failure.sentence(because: "all its places are held by living members")
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same numbers and layout everywhere")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence(because: reason)
    }
  }
}
