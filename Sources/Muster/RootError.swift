// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a root or one of its daemons: which, why, and what can be done about it.
public struct RootError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// The process has other threads than the one that runs the root (`EBUSY`).
    public static let otherThreads = Code(name: "otherThreads")
    /// A root of that name runs, or the daemons of one that was killed are not gone yet (`EBUSY`).
    public static let running = Code(name: "running")
    /// Daemons were given up, and no other is left, or the root ends then (`ENOTRECOVERABLE`).
    public static let gaveUp = Code(name: "gaveUp")
    /// The root has run before: it does so once (`EALREADY`).
    public static let ranBefore = Code(name: "ranBefore")
    /// The daemon that was asked for was not declared in this root.
    public static let undeclared = Code(name: "undeclared")
    /// The state is being changed, or its daemon died while changing it (`EAGAIN`). In a daemon, of its own state: a change is under way.
    public static let changing = Code(name: "changing")
    /// A transaction runs, and until it is over its daemon's state can't be changed, nor another begin (`EBUSY`).
    public static let transactionRuns = Code(name: "transactionRuns")
    /// The daemon declared no checkpoints, or no transactions (`ENOTSUP`).
    public static let notDeclared = Code(name: "notDeclared")
    /// The daemon is to stop (`ECANCELED`).
    public static let stopping = Code(name: "stopping")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is that of something else (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// What is there is no root, or one of another version (`EPROTO`); or the state of a daemon has another size than was asked for.
    public static let mismatch = Code(name: "mismatch")
    /// What is there is corrupt (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, or another user's region (`EACCES`, `EPERM`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// What was declared can't be (`EINVAL`, `ENAMETOOLONG`): see ``RootError/description``.
    public static let invalidArgument = Code(name: "invalidArgument")
    /// This process was forked from the one whose root, or daemon, it is (`EPERM`): as a transaction is.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``RootError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The root.
  public let name: String
  /// The daemon that it was about, if any.
  public let daemon: String?
  /// What the system or the C core said. `nil` for `undeclared` and `closed`.
  public var errno: Errno? { failure.errno }
  private let failure: Failure
  private let reason: String?

  init(
    _ operation: String, _ name: String, daemon: String? = nil, status: Int32 = 0, code: Code? = nil,
    reason: String? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.name = name
    self.daemon = daemon
    self.failure = Failure(
      operation: daemon.map { "\(operation) “\($0)” of the root" } ?? operation, subject: name, status: status)
    self.reason = reason
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case ENOTRECOVERABLE: .gaveUp
    case EALREADY: .ranBefore
    case EAGAIN: .changing
    case EBUSY: .transactionRuns
    case ENOTSUP: .notDeclared
    case ECANCELED: .stopping
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

  /// A sentence that says what could not be done, with which root and daemon, why, and, where there is something, what to do.
  public var description: String {
    switch code {
    case .otherThreads:
      failure.sentence(
        because: "this process has other threads, of which a forked daemon would have none",
        advice: "Run it before anything else: before a task, a dispatch queue, a library that starts a thread")
    case .running:
      failure.sentence(because: "a root of that name runs already, or the daemons of a killed one are not gone yet")
    case .gaveUp:
      failure.sentence(
        because: "daemons were given up", advice: "RootObserver and muster root status tell which, and why")
    case .ranBefore: failure.sentence(because: "it has run before, and does so once")
    case .undeclared: failure.sentence(because: "no such daemon was declared in it")
    case .changing: failure.sentence(because: reason ?? "it is being changed, or its daemon died while changing it")
    case .transactionRuns: failure.sentence(because: reason ?? "a transaction of it runs")
    case .alreadyExists:
      failure.sentence(
        because: "there is something else of that name", advice: "Use another, or remove that: muster rm")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence(because: reason)
    }
  }
}
