// Committing states as bytes: copied, rolled back to, or filled in where they lie.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension CheckpointCore {
  static let saving = "save to the checkpoint"
  static let rollingBack = "roll back the checkpoint"

  typealias Step = (OpaquePointer, UnsafeMutablePointer<UInt64>) -> Int32

  /// Makes a step that commits, and gives the sequence.
  func commit(_ operation: String, about state: About, _ step: Step) throws(CheckpointError) -> UInt64 {
    try use(operation) { (object) throws(CheckpointError) in
      var sequence: UInt64 = 0
      let status = role.step { step(object, &sequence) }
      try checkCommit(operation, status, state)
      return sequence
    }
  }

  /// The same on a thread of its own, for what waits for a disk. It is not cut short: a cancelled task's commit ends as
  /// it would.
  func commitAside(
    _ operation: String, about state: About,
    _ step: @escaping @Sendable (OpaquePointer, UnsafeMutablePointer<UInt64>) -> Int32
  ) async throws(CheckpointError) -> UInt64 {
    try begin(operation)
    defer { handle.end() }
    let sequence = Box<UInt64>()
    let end = await OwnThread.wait(stop: {}) { [role, handle] in
      var committed: UInt64 = 0
      let status = role.step { step(handle.object, &committed) }
      sequence.value = committed
      return status
    }
    switch end {
    case .status(let status): try checkCommit(operation, status, state)
    case .noThread(let status): throw CheckpointError(operation, name.string, status: status, code: .system)
    case .closed, .cancelled: throw closed(operation)
    }
    return sequence.value ?? 0
  }

  /// What a commit is about, for saying what is wrong.
  enum About {
    case length(Int)
    case sequence(UInt64)
  }

  /// Lends the memory of the next state, and commits what was filled in. The lock is not held meanwhile, so that closing
  /// waits for nobody; and nobody gives the memory to another before `fill` has returned.
  func fill(
    length: Int, durably: Bool, _ fill: (UnsafeMutableRawPointer) throws -> Void
  ) throws -> UInt64 {
    try begin(Self.saving)
    defer { handle.end() }
    let object = handle.object
    var memory: UnsafeMutableRawPointer?
    try checkCommit(Self.saving, role.beginFilling { muster_checkpoint_begin(object, &memory) }, .length(length))
    var sequence: UInt64 = 0
    let filled = Swift.Result { try fill(memory!) }
    let (status, isLeaving) = role.endFilling { isLeaving in
      guard !isLeaving, case .success = filled else { return muster_checkpoint_abandon(object) }
      return durably
        ? muster_checkpoint_commit_durable(object, length, &sequence)
        : muster_checkpoint_commit(object, length, &sequence)
    }
    if isLeaving {
      nonisolated(unsafe) let checkpoint = object
      _ = try? Self.keeper(name.isFile).run { role.leave(checkpoint) }
    }
    try filled.get()
    if isLeaving { throw closed(Self.saving) }
    try checkCommit(Self.saving, status, .length(length))
    return sequence
  }

  private func checkCommit(_ operation: String, _ status: Int32, _ state: About) throws(CheckpointError) {
    switch (status, state) {
    case (0, _): return
    case (CheckpointRole.filling, _), (EALREADY, _): throw beingWritten(operation)
    case (EMSGSIZE, .length(let length)):
      throw CheckpointError(
        operation, name.string, status: status,
        reason: "the state has \(length) bytes, and its capacity is \(capacity)")
    case (ENOENT, .sequence(let sequence)): throw notKept(operation, sequence)
    case (EBADMSG, .sequence(let sequence)):
      throw CheckpointError(operation, name.string, status: status, reason: "state \(sequence) is torn or corrupt")
    default: throw failure(operation, status)
    }
  }
}
