// Reading a checkpoint's states as bytes: nothing here takes a lock, or stores anything in the shared memory.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension CheckpointCore {
  /// Uses a state's bytes, which no other touches. `nil`: nothing was committed yet.
  func read<Result>(
    at sequence: UInt64?, _ body: (UnsafeRawBufferPointer, CheckpointRecord) throws(CheckpointError) -> Result
  ) throws(CheckpointError) -> Result? {
    try withBuffer { (buffer, object) throws(CheckpointError) in
      var info = muster_checkpoint_info()
      let status =
        sequence.map { muster_checkpoint_read_at(object, $0, buffer.baseAddress, buffer.count, &info) }
        ?? muster_checkpoint_read(object, buffer.baseAddress, buffer.count, &info)
      if status == ENODATA, sequence == nil { return nil }
      try checkRead(status, sequence)
      return try body(UnsafeRawBufferPointer(rebasing: buffer.prefix(Int(info.length))), CheckpointRecord(info))
    }
  }

  /// Shows whole states, from the newest to older ones, until one is taken. `false`: nothing was committed yet.
  func load(_ accept: (UnsafeRawBufferPointer, CheckpointRecord) -> Bool) throws(CheckpointError) -> Bool {
    try withBuffer { (buffer, object) throws(CheckpointError) in
      let status = withoutActuallyEscaping(accept) { accept in
        withUnsafePointer(to: Acceptance(test: accept)) { acceptance in
          muster_checkpoint_load(
            object,
            { bytes, info, context in
              let acceptance = context!.assumingMemoryBound(to: Acceptance.self).pointee
              let info = info.pointee
              let state = UnsafeRawBufferPointer(start: bytes, count: Int(info.length))
              return acceptance.test(state, CheckpointRecord(info)) ? 1 : 0
            }, UnsafeMutableRawPointer(mutating: acceptance), buffer.baseAddress, buffer.count, nil)
        }
      }
      if status == ENODATA { return false }
      if status == ENOENT { throw CheckpointError(Self.reading, name.string, status: ENOENT, code: .noneAccepted) }
      try checkRead(status, nil)
      return true
    }
  }

  private struct Acceptance {
    var test: (UnsafeRawBufferPointer, CheckpointRecord) -> Bool
  }

  /// From the newest to the oldest.
  func records() throws(CheckpointError) -> [CheckpointRecord] {
    try use(Self.reading) { (object) throws(CheckpointError) in
      var infos = [muster_checkpoint_info](repeating: muster_checkpoint_info(), count: history + 1)
      var kept: UInt32 = 0
      let status = muster_checkpoint_list(object, &infos, UInt32(infos.count), &kept)
      try checkRead(status, nil)
      return infos.prefix(Int(kept)).map { CheckpointRecord($0) }
    }
  }

  var epoch: UInt64 {
    do throws(CheckpointError) {
      return try use("ask the checkpoint") { muster_checkpoint_epoch($0) }
    } catch {
      return 0
    }
  }

  func writer() throws(CheckpointError) -> CheckpointWriter {
    let operation = "ask the checkpoint"
    return try use(operation) { (object) throws(CheckpointError) in
      var pid: Int32 = 0
      let status = muster_checkpoint_writer_pid(object, &pid)
      guard status == 0 || status == ENOENT || status == EOWNERDEAD else { throw failure(operation, status) }
      return CheckpointWriter(status: status, pid: pid)
    }
  }

  static let reading = "read the checkpoint"

  private func checkRead(_ status: Int32, _ sequence: UInt64?) throws(CheckpointError) {
    switch status {
    case 0: return
    case EAGAIN: throw CheckpointError(Self.reading, name.string, status: status, code: .overtaken)
    case ENOENT, ENODATA: throw notKept(Self.reading, sequence ?? 0)
    // The buffer is the capacity, so a state that is longer is none.
    case EMSGSIZE: throw CheckpointError(Self.reading, name.string, status: status, code: .corrupt)
    case EBADMSG:
      throw CheckpointError(
        Self.reading, name.string, status: status,
        reason: sequence.map { "state \($0) is torn or corrupt" } ?? "there are states, and none is whole")
    default: throw failure(Self.reading, status)
    }
  }

  func notKept(_ operation: String, _ sequence: UInt64) -> CheckpointError {
    let kept = ((try? records()) ?? []).map(\.sequence)
    let range = kept.isEmpty ? "none yet" : "\(kept.last!) to \(kept.first!)"
    return CheckpointError(
      operation, name.string, status: ENOENT, code: .notKept,
      reason: "state \(sequence) is not among those that it keeps: \(range)")
  }

  private func withBuffer<Result>(
    _ body: (UnsafeMutableRawBufferPointer, OpaquePointer) throws(CheckpointError) -> Result
  ) throws(CheckpointError) -> Result {
    try use(Self.reading) { (object) throws(CheckpointError) in
      try withUnsafeTemporaryAllocation(byteCount: capacity, alignment: Int(MUSTER_CHECKPOINT_PAYLOAD_ALIGNMENT)) {
        (buffer) throws(CheckpointError) in try body(buffer, object)
      }
    }
  }
}
