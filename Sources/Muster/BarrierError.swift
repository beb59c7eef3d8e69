// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong at a barrier: which one, why, through whom, and what can be done about it.
public struct BarrierError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// The caller's deadline passed (`ETIMEDOUT`). The barrier is broken now.
    public static let timedOut = Code(name: "timedOut")
    /// A member died, or closed without dropping out, and the policy is to break (`EOWNERDEAD`): see
    /// ``BarrierError/member``. The barrier is broken now.
    public static let memberDied = Code(name: "memberDied")
    /// Somebody aborted or reset the barrier while the caller waited (`ECANCELED`).
    public static let aborted = Code(name: "aborted")
    /// The barrier is broken: by another's deadline, cancelled task or action while the caller waited, or by whatever
    /// before (`ENOTRECOVERABLE`). ``Barrier/state()`` tells why.
    public static let broken = Code(name: "broken")
    /// The caller's own action threw: ``BarrierError/reason`` says what. The barrier is broken now.
    public static let actionFailed = Code(name: "actionFailed")
    /// The task was cancelled while it waited. The barrier is broken now.
    public static let cancelled = Code(name: "cancelled")
    /// This member arrived at this phase already (`EALREADY`): wait for that phase.
    public static let alreadyArrived = Code(name: "alreadyArrived")
    /// The one before in this place arrived at this phase (`EAGAIN`): this member starts at the next.
    public static let placeHasArrived = Code(name: "placeHasArrived")
    /// All places are held by living members, or were dropped (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// Another task or thread is waiting or arriving with this object.
    public static let inUse = Code(name: "inUse")
    /// There is no barrier of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Other parties or another policy, kind, version, libc or pid namespace (`EPROTO`): see
    /// ``BarrierError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no barrier, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Not for an observer or one who dropped out; parties, a name or a phase that can't be (`EINVAL`,
    /// `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The object was inherited over fork (`EPERM`): a child opens the barrier anew.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``BarrierError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The barrier.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `inUse`, `cancelled` and `actionFailed`.
  public var errno: Errno? { failure.errno }
  /// The place of the member that died, at `memberDied`, and at `broken` by a death.
  public let member: Int?
  /// The process of that member, where it is known.
  public let memberPID: Int32?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  /// At `actionFailed`: what the action threw.
  public let reason: String?
  private let failure: Failure

  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, member: Member? = nil,
    mismatch: muster_mismatch? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.member = member?.index
    self.memberPID = member.flatMap { $0.pid == 0 ? nil : $0.pid }
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.reason = nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code, reason: String? = nil) {
    self.code = code
    self.name = name
    self.member = nil
    self.memberPID = nil
    self.mismatch = nil
    self.reason = reason
    self.failure = Failure(operation: operation, subject: name, status: 0)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case ETIMEDOUT: .timedOut
    case EOWNERDEAD: .memberDied
    case ECANCELED: .aborted
    case ENOTRECOVERABLE: .broken
    case EALREADY: .alreadyArrived
    case EOVERFLOW: .full
    case ENOENT: .notFound
    case EEXIST: .alreadyExists
    case EPROTO: .mismatch
    case EBADMSG: .corrupt
    case EACCES, EPERM: .permissionDenied
    case EINVAL, ENAMETOOLONG: .invalidArgument
    default: .system
    }
  }

  private var who: String {
    guard let member else { return "a member" }
    return memberPID.map { "member \(member) (process \($0))" } ?? "member \(member)"
  }

  /// A sentence that says what could not be done, at which barrier, why, through whom, and, where there is something,
  /// what to do.
  public var description: String {
    let reset = "It stays broken until somebody resets it"
    return switch code {
    case .timedOut: failure.sentence(because: "the deadline passed", advice: reset)
    case .memberDied: failure.sentence(because: "\(who) died", advice: reset)
    case .aborted: failure.sentence(because: "somebody aborted or reset it")
    case .broken:
      failure.sentence(because: member == nil ? "it is broken" : "it is broken, because \(who) died", advice: reset)
    case .actionFailed: failure.sentence(because: "its action failed: \(reason ?? "")", advice: reset)
    case .cancelled: failure.sentence(because: "the task was cancelled", advice: reset)
    case .alreadyArrived: failure.sentence(because: "this member has arrived already", advice: "Wait for that phase")
    case .placeHasArrived:
      failure.sentence(
        because: "the one before in this place has arrived already", advice: "Wait for that phase, then arrive")
    case .full: failure.sentence(because: "all its places are held by living members, or were dropped")
    case .inUse: failure.sentence(because: "another task is at it with the same object", advice: "Give each its own")
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same parties and policy everywhere")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence()
    }
  }
}
