// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a trace: which one, why, and what can be done about it.
public struct TraceError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// All recorders are held by the living (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// The trace is frozen, and all recorders that nobody has hold records (`EAGAIN`).
    public static let frozen = Code(name: "frozen")
    /// The processor's counter is not to be used here (`ENOTSUP`).
    public static let noCounter = Code(name: "noCounter")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Another shape, kind, version, libc or pid namespace (`EPROTO`): see ``TraceError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no trace, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, another user's region, or an object that only looks (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// A shape, a recorder or a name that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// Another task is watching by this object.
    public static let inUse = Code(name: "inUse")
    /// The object was inherited over fork (`EPERM`): a child opens the trace anew.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``TraceError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The trace: its name, or the path of its file.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `cancelled` and `inUse`.
  public var errno: Errno? { failure.errno }
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let failure: Failure

  /// - Parameter code: the reason, where `status` alone does not tell: a number means another thing in another call.
  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, mismatch: muster_mismatch? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code) {
    self.init(operation, name, status: 0, code: code)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EOVERFLOW: .full
    case EAGAIN: .frozen
    case ENOTSUP: .noCounter
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

  /// A sentence that says what could not be done, with which trace, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .full: failure.sentence(because: "all its recorders are held by the living")
    case .frozen:
      failure.sentence(
        because: "it is frozen, and its other recorders hold records", advice: "Join again when it is thawed")
    case .noCounter: failure.sentence(because: "the processor's counter is not to be used here")
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same shape everywhere")
    case .timedOut: failure.sentence(because: "the deadline passed")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inUse: failure.sentence(because: "another task is watching by this object")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence()
    }
  }
}
