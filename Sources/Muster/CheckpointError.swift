// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What went wrong with a checkpoint: which one, why, through whom, and what can be done about it.
public struct CheckpointError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The reasons that a program may want to tell apart.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private let name: String

    /// Another has taken over (`ESTALE`): see ``CheckpointError/pid`` and ``CheckpointError/epoch``. Nothing was
    /// committed.
    public static let fenced = Code(name: "fenced")
    /// This object has not taken over, or has released (`EPERM`).
    public static let notWriter = Code(name: "notWriter")
    /// This object is the writer already (`EALREADY`).
    public static let alreadyWriter = Code(name: "alreadyWriter")
    /// A state is just being filled in, in place (`EALREADY`).
    public static let beingWritten = Code(name: "beingWritten")
    /// As many writers live, fenced or stopped, as the checkpoint allows (`EBUSY`).
    public static let tooManyWriters = Code(name: "tooManyWriters")
    /// The state has more bytes than the checkpoint's capacity (`EMSGSIZE`).
    public static let tooLarge = Code(name: "tooLarge")
    /// The encoder could not encode the state.
    public static let unencodable = Code(name: "unencodable")
    /// What is there is a whole state, but no `State`: the decoder said so, or it has another length.
    public static let undecodable = Code(name: "undecodable")
    /// The state of that sequence is not kept any more, or was never committed (`ENOENT`).
    public static let notKept = Code(name: "notKept")
    /// There are states, and the acceptance test took none of them (`ENOENT`).
    public static let noneAccepted = Code(name: "noneAccepted")
    /// Writers passed the reader again and again (`EAGAIN`): try again.
    public static let overtaken = Code(name: "overtaken")
    /// There is nothing of that name (`ENOENT`).
    public static let notFound = Code(name: "notFound")
    /// The name is taken (`EEXIST`).
    public static let alreadyExists = Code(name: "alreadyExists")
    /// Other states, another shape, kind, version, libc or pid namespace (`EPROTO`): see ``CheckpointError/mismatch``.
    public static let mismatch = Code(name: "mismatch")
    /// There are states and none is whole, or what is there is no checkpoint, or a corrupt one (`EBADMSG`).
    public static let corrupt = Code(name: "corrupt")
    /// Permission denied, another user's, or attached to read (`EACCES`).
    public static let permissionDenied = Code(name: "permissionDenied")
    /// A name, a history, a capacity that can't be (`EINVAL`, `ENAMETOOLONG`).
    public static let invalidArgument = Code(name: "invalidArgument")
    /// The object was inherited over fork (`EPERM`): a child can read by it, and opens the checkpoint anew for the rest.
    public static let inherited = Code(name: "inherited")
    /// The object was closed before, or meanwhile.
    public static let closed = Code(name: "closed")
    /// Something else that the system said, such as a disk that failed: see ``CheckpointError/errno``.
    public static let system = Code(name: "system")

    /// The name of the code.
    public var description: String { name }
  }

  /// Why.
  public let code: Code
  /// The checkpoint: its name, or its path.
  public let name: String
  /// What the system or the C core said. `nil` for `closed`, `unencodable` and `undecodable`.
  public var errno: Errno? { failure.errno }
  /// At `fenced`: the process that took over, where it is known.
  public let pid: Int32?
  /// At `fenced`: the present epoch.
  public let epoch: UInt64?
  /// At `mismatch`: what differs, where that is known.
  public let mismatch: Mismatch?
  let reason: String?
  private let failure: Failure

  /// - Parameters:
  ///   - code: the reason, where `status` alone does not tell: a number means another thing in another call.
  ///   - reason: what exactly is wrong, instead of what the status means.
  init(
    _ operation: String, _ name: String, status: Int32, code: Code? = nil, mismatch: muster_mismatch? = nil,
    reason: String? = nil
  ) {
    self.code = code ?? Self.code(status)
    self.reason = reason
    self.name = name
    self.pid = nil
    self.epoch = nil
    self.mismatch = status == EPROTO ? mismatch.flatMap { Mismatch($0) } : nil
    self.failure = Failure(operation: operation, subject: name, status: status)
  }

  /// Another took over.
  init(_ operation: String, _ name: String, fencedBy pid: Int32, epoch: UInt64) {
    self.code = .fenced
    self.reason = nil
    self.name = name
    self.pid = pid == 0 ? nil : pid
    self.epoch = epoch
    self.mismatch = nil
    self.failure = Failure(operation: operation, subject: name, status: ESTALE)
  }

  private static func code(_ status: Int32) -> Code {
    switch status {
    case EPERM: .notWriter
    case EALREADY: .alreadyWriter
    case EMSGSIZE: .tooLarge
    case ENOENT: .notFound
    case EEXIST: .alreadyExists
    case EPROTO: .mismatch
    case EBADMSG: .corrupt
    case EACCES: .permissionDenied
    case EINVAL, ENAMETOOLONG: .invalidArgument
    default: .system
    }
  }

  private static let advice = "Use the same states everywhere"

  /// A sentence that says what could not be done, with which checkpoint, why, through whom, and, where there is
  /// something, what to do.
  public var description: String {
    switch code {
    case .fenced:
      failure.sentence(
        because:
          "\(pid.map { "process \($0)" } ?? "another process") took over\(epoch.map { ", with epoch \($0)" } ?? "")",
        advice: "Nothing was committed")
    case .notWriter: failure.sentence(because: "this object is not its writer", advice: "Take over first")
    case .alreadyWriter: failure.sentence(because: "this object is its writer already")
    case .beingWritten: failure.sentence(because: "a state is just being filled in, in place")
    case .tooManyWriters:
      failure.sentence(
        because: reason ?? "as many writers live as it allows",
        advice: "Some of them were fenced or stopped; they give way when they release or end")
    case .noneAccepted: failure.sentence(because: "no state was accepted\(reason.map { ": \($0)" } ?? "")")
    case .overtaken: failure.sentence(because: "it was written faster than it could be read", advice: "Try again")
    case .mismatch:
      reason.map { failure.sentence(because: $0, advice: Failure.orRemove(Self.advice)) }
        ?? failure.sentence(of: mismatch, advice: Self.advice)
    case .inherited: failure.sentence(because: Failure.inherited)
    case .closed: failure.sentence(because: "it was closed")
    default: failure.sentence(because: reason)
    }
  }
}
