// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a region: which one, why, and what can be done about it.
public struct RegionError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// There is no region of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// The name did not appear by the deadline (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// Another kind, version, layout or size than asked for (`EPROTO`): see ``RegionError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no region, or a cut or corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Somebody holds it, or is removing it (`EBUSY`).
    public static let inUse = Code(name: "inUse")
    /// A name or a size that no region can have (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// The handle was closed before.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``RegionError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The region: its name, or its path.
  public let name: String
  /// What the system or the C core said. `nil` for `closed` and `cancelled`.
  public var errno: Errno? { failure.errno }
  /// At `mismatch`: what differs.
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
    case ETIMEDOUT: .timedOut
    case EPROTO: .mismatch
    case EBADMSG: .corrupt
    case EACCES, EPERM: .permissionDenied
    case EBUSY: .inUse
    case EINVAL, ENAMETOOLONG: .invalidArgument
    default: .system
    }
  }

  /// A sentence that says what could not be done, with which region, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .mismatch:
      failure.sentence(of: mismatch, advice: "Use one version of the program everywhere")
    case .corrupt: failure.sentence(advice: "It is left as it is; remove it by hand if nobody needs it")
    case .inUse: failure.sentence(advice: "Try again when its processes have ended")
    case .timedOut: failure.sentence(because: "no region of that name appeared by the deadline")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .closed: failure.sentence(because: "it was closed before")
    default: failure.sentence()
    }
  }
}
