// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a group: which one, why, and what can be done about it.
public struct GroupError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// There is no group of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Another capacity, kind, version, libc or pid namespace (`EPROTO`): see ``GroupError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no group, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// All places are held by the living (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// This object has joined already (`EALREADY`).
    public static let alreadyJoined = Code(name: "alreadyJoined")
    /// Not joined; a capacity, a name or a place that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// The object was inherited over fork (`EPERM`): a child opens the group anew.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``GroupError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The group.
  public let name: String
  /// What the system or the C core said. `nil` for `closed` and `cancelled`.
  public var errno: Errno? { failure.errno }
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let failure: Failure

  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, mismatch: muster_mismatch? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code) {
    self.code = code
    self.name = name
    self.mismatch = nil
    self.failure = Failure(operation: operation, subject: name, status: 0)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case ENOENT: .notFound
    case EEXIST: .alreadyExists
    case EPROTO: .mismatch
    case EBADMSG: .corrupt
    case EACCES, EPERM: .permissionDenied
    case EOVERFLOW: .full
    case EALREADY: .alreadyJoined
    case EINVAL, ENAMETOOLONG: .invalidArgument
    case ETIMEDOUT: .timedOut
    default: .system
    }
  }

  /// A sentence that says what could not be done, with which group, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same capacity everywhere")
    case .full: failure.sentence(because: "all its places are held by living members")
    case .alreadyJoined: failure.sentence(because: "this object has joined it already")
    case .timedOut: failure.sentence(because: "nobody joined, left or died by the deadline")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence()
    }
  }
}
