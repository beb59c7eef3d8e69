// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with an Alive file: which one, why, who holds it, and what can be done about it.
public struct AliveError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// Somebody holds it (`EBUSY`): see ``AliveError/holder``.
    public static let held = Code(name: "held")
    /// The deadline passed (`ETIMEDOUT`).
    public static let timedOut = Code(name: "timedOut")
    /// There is a file that is not an Alive file (`EBADMSG`). It is left as it is.
    public static let notAnAliveFile = Code(name: "notAnAliveFile")
    /// The path is a folder, a symbolic link, a device or the like, or empty (`EISDIR`, `ELOOP`, `EINVAL`).
    public static let notAFile = Code(name: "notAFile")
    /// The folder of the path does not exist (`ENOENT`, `ENOTDIR`).
    public static let noFolder = Code(name: "noFolder")
    /// Permission denied, or a file system that is mounted read-only (`EACCES`, `EPERM`, `EROFS`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Somebody removed or replaced the file that was held (`ESTALE`).
    public static let replaced = Code(name: "replaced")
    /// The task was cancelled while it waited.
    public static let cancelled = Code(name: "cancelled")
    /// The object was inherited over fork (`EPERM`): the file is the parent's.
    public static let inherited = Code(name: "inherited")
    /// The file was released, or abandoned, before.
    public static let closed = Code(name: "closed")
    /// Something else that the system said: see ``AliveError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The Alive file.
  public let path: FilePath
  /// What the system or the C core said. `nil` for `closed` and `cancelled`.
  public var errno: Errno? { failure.errno }
  /// At `held` and `timedOut`: who holds it, where the file tells.
  public let holder: AliveOwner?
  private let failure: Failure

  init(
    _ operation: String, _ path: FilePath, status: Int32, code: Code? = nil, found: muster_alive_found? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.path = path
    self.holder = found.flatMap { $0.kind == .MUSTER_ALIVE_HELD ? AliveOwner($0) : nil }
    self.failure = Failure(operation: operation, subject: path.string, status: status)
  }

  init(_ operation: String, _ path: FilePath, code: Code) {
    self.code = code
    self.path = path
    self.holder = nil
    self.failure = Failure(operation: operation, subject: path.string, status: 0)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EBUSY: .held
    case ETIMEDOUT: .timedOut
    case EBADMSG: .notAnAliveFile
    case EISDIR, ELOOP, EINVAL: .notAFile
    case ENOENT, ENOTDIR: .noFolder
    case EACCES, EPERM, EROFS: .permissionDenied
    case ESTALE: .replaced
    default: .system
    }
  }

  /// A sentence that says what could not be done, with which file, why, and, where there is something, what to do.
  public var description: String {
    let who = holder.map { "process \($0.pid) holds it" } ?? "somebody holds it"
    return switch code {
    case .held: failure.sentence(because: who)
    case .timedOut where holder != nil: failure.sentence(because: "\(who), and the deadline passed")
    case .notAnAliveFile:
      failure.sentence(
        because: "the file there is not an Alive file", advice: "It is left as it is: choose another path")
    case .noFolder: failure.sentence(because: "its folder does not exist", advice: "Create it first")
    case .replaced: failure.sentence(because: "somebody removed or replaced it")
    case .cancelled: failure.sentence(because: "the task was cancelled")
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was released before")
    default: failure.sentence()
    }
  }
}
