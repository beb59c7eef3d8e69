// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a log: which one, why, through whom, and what can be done about it.
public struct LogError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// Living processes are in all of its places (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// A living process drains it (`EBUSY`): see ``LogError/pid``.
    public static let hasDrain = Code(name: "hasDrain")
    /// Writers were ahead of each of many attempts to begin (`EAGAIN`).
    public static let overtaken = Code(name: "overtaken")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// There is nothing of that name (`ENOENT`); of a drain also: no such folder.
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Other numbers of places or bytes, kind, version, libc or pid namespace (`EPROTO`): see ``LogError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no log, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Places, bytes, a level, a position, a filter or a name that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// Another task is reading or draining by this object.
    public static let inUse = Code(name: "inUse")
    /// The object was inherited over fork (`EPERM`): a child opens the log anew.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said, such as a full disk: see ``LogError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The log: its name, or the path of its file.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `cancelled` and `inUse`.
  public var errno: Errno? { failure.errno }
  /// At `hasDrain`: the process that drains it, where it is known.
  public let pid: Int32?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let failure: Failure
  /// Where a number alone would say too little, or another thing.
  private let reason: String?

  /// - Parameter code: the reason, where `status` alone does not tell: a number means another thing in another call.
  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, pid: Int32 = 0,
    mismatch: muster_mismatch? = nil, reason: String? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.pid = pid == 0 ? nil : pid
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
    self.reason = reason
  }

  init(_ operation: String, _ name: String, code: Code) {
    self.init(operation, name, status: 0, code: code)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
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

  /// A sentence that says what could not be done, with which log, why, through whom, and, where there is something, what to
  /// do.
  public var description: String {
    switch code {
    case .full:
      failure.sentence(because: "living processes are in all of its places", advice: "Create it with more places")
    case .hasDrain: failure.sentence(because: "\(pid.map { "process \($0)" } ?? "another process") drains it")
    case .overtaken: failure.sentence(because: "its writers were faster each time", advice: "Try again")
    case .mismatch: failure.sentence(of: mismatch, advice: "Give no places and bytes to take it as it is")
    case .timedOut: failure.sentence(because: "the deadline passed")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inUse: failure.sentence(because: "another task is using this object")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence(because: reason)
    }
  }
}
