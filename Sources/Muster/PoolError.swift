// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a pool: which one, why, with which block or member, and what can be done about it.
public struct PoolError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// The block was freed since it had that name (`ESTALE`), perhaps because its owner died.
    public static let stale = Code(name: "stale")
    /// Another member owns the block (`EBUSY`).
    public static let notOwner = Code(name: "notOwner")
    /// Nobody lives in the place that the block was to be given to (`EOWNERDEAD`): see ``PoolError/member``.
    public static let memberDied = Code(name: "memberDied")
    /// The block is offered: ``Pool/take(_:)`` and ``Pool/withdraw(_:)`` are for it.
    public static let offered = Code(name: "offered")
    /// The block is this member's and not offered (`EALREADY`).
    public static let notOffered = Code(name: "notOffered")
    /// There is a ``PoolBlock`` for it in this process.
    public static let inUse = Code(name: "inUse")
    /// All places are held by living members (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Other numbers, another layout, kind, version, libc or pid namespace (`EPROTO`): see ``PoolError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no pool, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Numbers, a name, a block or a place that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The object was inherited over fork (`EPERM`): a child opens the pool anew.
    public static let inherited = Code(name: "inherited")
    /// The pool was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``PoolError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The pool: its name, or the path of its file.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `cancelled`, `inUse` and `offered`.
  public var errno: Errno? { failure.errno }
  /// The block that it was about, if any.
  public let block: PoolBlockName?
  /// The place that it was about, if any.
  public let member: Int?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  private let failure: Failure

  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, block: PoolBlockName? = nil,
    member: Int? = nil, mismatch: muster_mismatch? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.block = block
    self.member = member
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code, block: PoolBlockName? = nil) {
    self.init(operation, name, status: 0, code: code, block: block)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case ESTALE: .stale
    case EOWNERDEAD: .memberDied
    case EALREADY: .notOffered
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

  private var subject: String { block.map { "\($0)" } ?? "the block" }
  /// A sentence that says what could not be done, with which pool, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .stale: failure.sentence(because: "\(subject) was freed since it had that name, or its owner died")
    case .notOwner: failure.sentence(because: "another member owns \(subject)")
    case .memberDied: failure.sentence(because: "nobody lives in place \(member ?? 0)")
    case .offered:
      failure.sentence(because: "\(subject) is offered", advice: "Take it, or withdraw the offer if it is yours")
    case .notOffered: failure.sentence(because: "\(subject) is this member's own, and not offered")
    case .inUse: failure.sentence(because: "this process uses \(subject) already")
    case .full: failure.sentence(because: "all its places are held by living members")
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same numbers and layout everywhere")
    case .timedOut: failure.sentence(because: "no block was free by the deadline")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence()
    }
  }
}
