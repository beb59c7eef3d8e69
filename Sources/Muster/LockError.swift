// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a lock: which one, why, through whom, and what can be done about it.
public struct LockError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// A holder died, and nobody has repaired what it left (`EOWNERDEAD`): see ``LockError/pid``. Who locks without a
    /// closure that repairs has poisoned the lock by that; who only reads has left it as it was.
    public static let holderDied = Code(name: "holderDied")
    /// A holder died, and somebody gave up repairing (`ENOTRECOVERABLE`): until it is reset.
    public static let poisoned = Code(name: "poisoned")
    /// The caller's own closure could not repair: ``LockError/reason`` says what it threw. The lock is poisoned now.
    public static let repairFailed = Code(name: "repairFailed")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// The calling thread holds it already, in a section around this one (`EDEADLK`).
    public static let alreadyHeld = Code(name: "alreadyHeld")
    /// As many hold a read-write lock, or wait for it, as it has places (`EOVERFLOW`).
    public static let full = Code(name: "full")
    /// There is no lock of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// The other kind of lock, another capacity, version, libc or pid namespace (`EPROTO`): see ``LockError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is no lock, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// A capacity or a name that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The object was inherited over fork (`EPERM`): a child opens the lock anew.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or while it was waited for.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``LockError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The lock.
  public let name: String
  /// What the system or the C core said. `nil` for `closed` and `cancelled`.
  public var errno: Errno? { failure.errno }
  /// At `holderDied` and `repairFailed`: the process that died, where it is known.
  public let pid: Int32?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  /// At `repairFailed`: what the closure threw.
  public let reason: String?
  /// At `holderDied`: whether this poisoned the lock.
  private let poisons: Bool
  private let failure: Failure

  /// - Parameters:
  ///   - code: the reason, where `status` alone does not tell: a number means another thing in another call.
  ///   - pid: the dead holder's, 0: not known.
  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, pid: Int32 = 0, poisons: Bool = false,
    mismatch: muster_mismatch? = nil, reason: String? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.pid = pid == 0 ? nil : pid
    self.poisons = poisons
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.reason = reason
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  init(_ operation: String, _ name: String, code: Code) { self.init(operation, name, status: 0, code: code) }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EOWNERDEAD: .holderDied
    case ENOTRECOVERABLE: .poisoned
    case ETIMEDOUT: .timedOut
    case EDEADLK: .alreadyHeld
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

  private var death: String { "its holder\(pid.map { ", process \($0)," } ?? "") died" }

  /// A sentence that says what could not be done, with which lock, why, through whom, and, where there is something,
  /// what to do.
  public var description: String {
    let reset = "It is poisoned until somebody resets it"
    return switch code {
    case .holderDied:
      failure.sentence(because: death, advice: poisons ? reset : "Lock it for writing, with a closure that repairs")
    case .poisoned: failure.sentence(because: "it was not repaired after a death", advice: reset)
    case .repairFailed:
      failure.sentence(because: "\(death), and repairing failed: \(reason ?? "")", advice: reset)
    case .timedOut: failure.sentence(because: "the deadline passed")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .alreadyHeld: failure.sentence(because: "this thread holds it already")
    case .full:
      failure.sentence(because: "all its places are held by the living", advice: "Create it with a larger capacity")
    case .mismatch: failure.sentence(of: mismatch, advice: "Use the same kind of lock and capacity everywhere")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence()
    }
  }
}
