// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a seqlock or a counter region: which one, why, through whom, and what can be done about it.
public struct SeqlockError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// A living process has the claim (`EBUSY`): see ``SeqlockError/pid``.
    public static let hasWriter = Code(name: "hasWriter")
    /// This object has the claim already (`EALREADY`).
    public static let alreadyWriter = Code(name: "alreadyWriter")
    /// This object has no claim, so it can't write (`EPERM`).
    public static let notWriter = Code(name: "notWriter")
    /// The writer died, and nothing newer is there (`EOWNERDEAD`): see ``SeqlockError/pid``.
    public static let writerDied = Code(name: "writerDied")
    /// The writer passed the reader again and again, so that no whole value could be read (`EAGAIN`): try again.
    public static let overtaken = Code(name: "overtaken")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Another payload, other counters, another kind, version, libc or pid namespace (`EPROTO`): see
    /// ``SeqlockError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no seqlock, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// No such counter; labels, a number of counters or a name that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The object was inherited over fork (`EPERM`): a child can read by it, and opens the seqlock anew for the rest.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``SeqlockError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The seqlock, or the counter region.
  public let name: String
  /// What the system or the C core said. `nil` for `closed` and `cancelled`.
  public var errno: Errno? { failure.errno }
  /// At `hasWriter` and `writerDied`: the process of the writer, where it is known.
  public let pid: Int32?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let reason: String?
  private let failure: Failure

  /// - Parameters:
  ///   - code: the reason, where `status` alone does not tell: a number means another thing in another call.
  ///   - reason: what exactly is wrong, instead of what the status means.
  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, pid: Int32 = 0,
    mismatch: muster_mismatch? = nil, reason: String? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.reason = reason
    self.name = name
    self.pid = pid == 0 ? nil : pid
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code) {
    self.code = code
    self.reason = nil
    self.name = name
    self.pid = nil
    self.mismatch = nil
    self.failure = Failure(operation: operation, subject: name, status: 0)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EALREADY: .alreadyWriter
    case EPERM: .notWriter
    case EOWNERDEAD: .writerDied
    case ETIMEDOUT: .timedOut
    case ENOENT: .notFound
    case EEXIST: .alreadyExists
    case EPROTO: .mismatch
    case EBADMSG: .corrupt
    case EACCES: .permissionDenied
    case EINVAL, ENAMETOOLONG: .invalidArgument
    default: .system
    }
  }

  private static let advice = "Use the same payload everywhere"

  /// A sentence that says what could not be done, with which object, why, through whom, and, where there is something,
  /// what to do.
  public var description: String {
    switch code {
    case .hasWriter: failure.sentence(because: "\(pid.map { "process \($0)" } ?? "another process") is its writer")
    case .alreadyWriter: failure.sentence(because: "this object is its writer already")
    case .notWriter: failure.sentence(because: "this object is not its writer", advice: "Claim it first")
    case .writerDied:
      failure.sentence(
        because: "its writer\(pid.map { ", process \($0)," } ?? "") died",
        advice: "The last whole value can be read; wait for a successor")
    case .overtaken: failure.sentence(because: "it was written faster than it could be read", advice: "Try again")
    case .mismatch:
      reason.map { failure.sentence(because: $0, advice: Failure.orRemove(Self.advice)) }
        ?? failure.sentence(of: mismatch, advice: Self.advice)
    case .timedOut: failure.sentence(because: "the deadline passed")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence(because: reason)
    }
  }
}
