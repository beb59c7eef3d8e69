// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a process pair: which one, what could not be done, why, and what can be done about it.
public struct ProcessPairError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// A pair of this name runs already: see ``ProcessPairError/pid``.
    public static let alreadyRunning = Code(name: "alreadyRunning")
    /// The pair gave up: its escalation or its budget of takeovers is at its end.
    public static let gaveUp = Code(name: "gaveUp")
    /// Other states, another shape, kind or version (`EPROTO`).
    public static let mismatch = Code(name: "mismatch")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// What is there is no pair's memory, or corrupt, or no state in it is whole or accepted (`EBADMSG`, `ENOENT`).
    public static let corrupt = Code(name: "corrupt")
    /// A state or an output has more bytes than the pair keeps room for (`EMSGSIZE`).
    public static let tooLarge = Code(name: "tooLarge")
    /// The encoder or the decoder of states failed, or the initial state is not accepted.
    public static let badState = Code(name: "badState")
    /// Another primary has taken over (`ESTALE`, `EBUSY`).
    public static let fenced = Code(name: "fenced")
    /// The output failed.
    public static let output = Code(name: "output")
    /// An option that can't be (`EINVAL`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// Permission denied, or another user's (`EACCES`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// Something else that the system said: see ``ProcessPairError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The pair.
  public let name: String
  /// What the system or the C core said; `nil` where that does not tell.
  public let errno: Errno?
  /// At `alreadyRunning`: the primary.
  public let pid: Int32?
  private let operation: String
  private let reason: String

  init(_ operation: String, _ name: String, status: Int32, code: Code? = nil, reason: String? = nil) {
    self.operation = operation
    self.name = name
    self.errno = Errno(rawValue: status)
    self.code = code ?? Self.code(status)
    self.pid = nil
    self.reason = reason ?? Self.phrase(status)
  }

  static func phrase(_ status: Int32) -> String {
    "\(String(cString: muster_status_text(status))) (\(String(cString: muster_status_name(status))))"
  }

  init(_ operation: String, _ name: String, _ code: Code, because reason: String, pid: Int32? = nil) {
    self.operation = operation
    self.name = name
    self.errno = nil
    self.code = code
    self.pid = pid
    self.reason = reason
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EPROTO: .mismatch
    case ENOENT: .notFound
    case EBADMSG: .corrupt
    case EMSGSIZE: .tooLarge
    case ESTALE, EBUSY: .fenced
    case EINVAL, ENAMETOOLONG: .invalidArgument
    case EACCES, EPERM, EROFS: .permissionDenied
    default: .system
    }
  }

  /// For within a sentence about that pair.
  var phrase: String { "can't \(operation) it: \(reason)" }

  /// A sentence that says what could not be done, with which pair, why, and, where there is something, what to do.
  public var description: String {
    let first = "Can't \(operation) the pair “\(name)”: \(reason)."
    return switch code {
    case .alreadyRunning: "\(first) End that one first, or use another name."
    case .mismatch, .corrupt: "\(first) Use another name, or remove it when nobody needs it."
    case .tooLarge: "\(first) Give the pair room for it."
    case .gaveUp: "\(first) Remove the cause; its state stays, and the next start goes on from it."
    default: first
    }
  }
}
