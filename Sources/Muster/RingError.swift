// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a ring: which one, why, through whom, and what can be done about it.
public struct RingError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// A living process writes it (`EBUSY`): see ``RingError/pid``.
    public static let hasWriter = Code(name: "hasWriter")
    /// The writer died, and all that it committed has been read (`EOWNERDEAD`): see ``RingError/pid``.
    public static let writerDied = Code(name: "writerDied")
    /// In a ring of ``Ring/Delivery/latest`` the writer was faster than what was read in place (`ESTALE`), or than each
    /// attempt to read (`EAGAIN`): the next record tells how many were lost.
    public static let overtaken = Code(name: "overtaken")
    /// A record of more than a quarter of the ring (`EINVAL`), or a batch of more than three quarters (`EOVERFLOW`).
    public static let tooLarge = Code(name: "tooLarge")
    /// 64 readers are there (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Another capacity, delivery, layout, kind, version, libc or pid namespace (`EPROTO`): see ``RingError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no ring, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, another user's region, or a read-only reader of a lossless ring (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// A capacity, a place or a name that can't be; a commit of nothing (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// Another task is writing or reading by this object.
    public static let inUse = Code(name: "inUse")
    /// The object was inherited over fork (`EPERM`): a child opens the ring anew.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``RingError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The ring: its name, or the path of its file.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `cancelled` and `inUse`.
  public var errno: Errno? { failure.errno }
  /// At `hasWriter` and `writerDied`: the process of the writer, where it is known.
  public let pid: Int32?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let failure: Failure

  /// - Parameter code: the reason, where `status` alone does not tell: a number means another thing in another call.
  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, pid: Int32 = 0,
    mismatch: muster_mismatch? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.pid = pid == 0 ? nil : pid
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code) {
    self.init(operation, name, status: 0, code: code)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EOWNERDEAD: .writerDied
    case EAGAIN, ESTALE: .overtaken
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

  /// A sentence that says what could not be done, with which ring, why, through whom, and, where there is something,
  /// what to do.
  public var description: String {
    switch code {
    case .hasWriter: failure.sentence(because: "\(pid.map { "process \($0)" } ?? "another process") is its writer")
    case .writerDied:
      failure.sentence(
        because: "its writer\(pid.map { ", process \($0)," } ?? "") died",
        advice: "All that it committed has been read; wait for a successor, or be it")
    case .overtaken: failure.sentence(because: "the writer was faster", advice: "Go on with the next record")
    case .tooLarge:
      failure.sentence(
        because: "it is too large for this ring",
        advice: "A record takes at most a quarter of the capacity, a batch three quarters")
    case .full: failure.sentence(because: "it has as many readers as there can be")
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same capacity, delivery and layout everywhere")
    case .timedOut: failure.sentence(because: "the deadline passed")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inUse: failure.sentence(because: "another task is using this object")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence()
    }
  }
}
