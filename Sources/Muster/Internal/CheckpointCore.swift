// One C checkpoint: opening it, and the writer's role. Its states are bytes here; what they mean is the business of
// Checkpoint. Reading is in CheckpointReads, writing in CheckpointCommits.
//
// Taking over and releasing run on a keeper's thread. Those of a file wait for the disk, so they have a keeper of their
// own, and keep nobody else's joining or closing waiting.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a checkpoint is asked to be. `nil`, when attaching: as it is.
struct CheckpointShape {
  var history: Int?
  var capacity: Int?
  /// 0: as many as C has it.
  var writers = 0
}

final class CheckpointCore: Sendable {
  let name: RegionName
  let history: Int
  let capacity: Int
  let writers: Int
  let handle: Handle
  let role: CheckpointRole

  static let readOnly = UInt32([.MUSTER_REGION_ATTACH, .MUSTER_REGION_READ_ONLY])

  init(
    _ name: RegionName, _ shape: CheckpointShape, layout: UInt64, flags: UInt32, permissions: FilePermissions
  ) throws(CheckpointError) {
    let operation = "open the checkpoint"
    if let flaw = shape.flaw(flags) { throw CheckpointError(operation, name.string, status: EINVAL, reason: flaw) }
    var options = muster_checkpoint_options()
    options.shape = shape.core
    options.layout = layout
    options.flags = flags | name.flags
    options.mode = UInt32(permissions.rawValue)
    let (object, status, mismatch) = Self.open(name, options)
    guard status == 0, let object else {
      let reason = status == EPROTO ? Self.difference(name, shape, mismatch) : nil
      let code: CheckpointError.Code? = status == EPERM ? .permissionDenied : nil
      throw CheckpointError(operation, name.string, status: status, code: code, mismatch: mismatch, reason: reason)
    }
    var found = muster_checkpoint_shape()
    muster_checkpoint_shape_of(object, &found)
    if !shape.fits(found) {
      muster_checkpoint_close(object)
      throw CheckpointError(operation, name.string, status: EPROTO, reason: Self.text(found))
    }
    self.name = name
    self.history = Int(found.history)
    self.capacity = Int(found.capacity)
    self.writers = Int(found.writers)
    let isFile = name.isFile
    let role = CheckpointRole()
    self.role = role
    self.handle = Handle(object) { object in
      nonisolated(unsafe) let checkpoint = object
      _ = try? Self.keeper(isFile).run { role.leave(checkpoint) }
    } letGo: { object in
      // On the thread that took over. Should it not be there, nobody has.
      nonisolated(unsafe) let checkpoint = object
      _ = (try? Self.keeper(isFile).run { muster_checkpoint_close(checkpoint) }) ?? muster_checkpoint_close(checkpoint)
    }
  }

  static func keeper(_ isFile: Bool) -> Keeper { isFile ? .disk : .shared }

  private static func open(
    _ name: RegionName, _ options: muster_checkpoint_options
  ) -> (object: OpaquePointer?, status: Int32, mismatch: muster_mismatch) {
    var options = options
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return name.withCString { muster_checkpoint_open($0, &options, &object) }
    }
    return (object, status, mismatch)
  }

  /// What a checkpoint of another shape is. Sizes in bytes of the whole, which is what the core compares, say nothing to
  /// a person.
  private static func difference(_ name: RegionName, _ asked: CheckpointShape, _ mismatch: muster_mismatch) -> String? {
    guard let property = Mismatch(mismatch)?.property, property == .size || property == .layout else { return nil }
    var options = muster_checkpoint_options()
    options.flags = peek | name.flags
    guard let object = open(name, options).object else { return nil }
    defer { muster_checkpoint_close(object) }
    var found = muster_checkpoint_shape()
    muster_checkpoint_shape_of(object, &found)
    return asked.fits(found) ? nil : text(found)
  }

  private static func text(_ found: muster_checkpoint_shape) -> String {
    "it keeps \(found.history) states before the last, of \(found.capacity) bytes at most, for \(found.writers) writers"
  }

  // MARK: The writer's role

  func takeOver() throws(CheckpointError) -> CheckpointTakeOver {
    let operation = "take over the checkpoint"
    var epoch: UInt64 = 0
    var pid: Int32 = 0
    var before: Int32 = 0
    let status = try onKeeper(operation) { object in
      before = muster_checkpoint_writer_pid(object, &pid)
      return muster_checkpoint_take_over(object, &epoch)
    }
    switch status {
    case 0: return CheckpointTakeOver(epoch: epoch, predecessor: CheckpointWriter(status: before, pid: pid))
    case EBUSY:
      throw CheckpointError(
        operation, name.string, status: status, code: .tooManyWriters,
        reason: "\(writers) writers live, and it allows no more")
    case EACCES:
      throw CheckpointError(operation, name.string, status: status, reason: "it was opened to read")
    default: throw failure(operation, status)
    }
  }

  func release() throws(CheckpointError) {
    let operation = "release the checkpoint"
    let status = try onKeeper(operation) { muster_checkpoint_release($0) }
    guard status == 0 else { throw failure(operation, status == EINVAL ? EPERM : status) }
  }

  /// 0 while this may commit.
  func check() -> Int32 {
    do throws(CheckpointError) {
      return try use("ask the checkpoint") { object in role.step { muster_checkpoint_check(object) } }
    } catch {
      return EPERM
    }
  }

  private func onKeeper(_ operation: String, _ body: (OpaquePointer) -> Int32) throws(CheckpointError) -> Int32 {
    try use(operation) { (object) throws(CheckpointError) in
      let status: Int32
      do throws(ThreadFailure) {
        // Asked under the lock: who closes meanwhile releases under it, and nothing may take over after that.
        status = try Self.keeper(name.isFile).run { role.step { handle.isClosed ? ESHUTDOWN : body(object) } }
      } catch {
        throw CheckpointError(operation, name.string, status: error.status, code: .system)
      }
      if status == ESHUTDOWN { throw closed(operation) }
      if status == CheckpointRole.filling { throw beingWritten(operation) }
      return status
    }
  }

  // MARK: Using the object

  func close() { handle.close() }

  func beingWritten(_ operation: String) -> CheckpointError {
    CheckpointError(operation, name.string, status: EALREADY, code: .beingWritten)
  }

  func closed(_ operation: String) -> CheckpointError {
    CheckpointError(operation, name.string, status: 0, code: .closed)
  }

  func begin(_ operation: String) throws(CheckpointError) {
    do {
      try handle.begin()
    } catch {
      throw closed(operation)
    }
  }

  func use<Result>(
    _ operation: String, _ body: (OpaquePointer) throws(CheckpointError) -> Result
  ) throws(CheckpointError) -> Result {
    try begin(operation)
    defer { handle.end() }
    return try body(handle.object)
  }

  func failure(_ operation: String, _ status: Int32) -> CheckpointError {
    if status == EPERM, handle.isInherited {
      return CheckpointError(operation, name.string, status: status, code: .inherited)
    }
    if status == EPERM, handle.isClosed { return closed(operation) }
    guard status == ESTALE else { return CheckpointError(operation, name.string, status: status) }
    var pid: Int32 = 0
    _ = muster_checkpoint_writer_pid(handle.object, &pid)
    return CheckpointError(operation, name.string, fencedBy: pid, epoch: muster_checkpoint_epoch(handle.object))
  }
}

extension CheckpointShape {
  /// As C has it: all, or, to attach to whatever is there, nothing.
  fileprivate var core: muster_checkpoint_shape {
    var shape = muster_checkpoint_shape()
    guard let history, let capacity else { return shape }
    shape.history = UInt32(clamping: history)
    shape.capacity = UInt64(clamping: capacity)
    shape.writers = UInt32(clamping: writers)
    return shape
  }

  /// Why there can't be such a one.
  fileprivate func flaw(_ flags: UInt32) -> String? {
    let least = Int(MUSTER_CHECKPOINT_HISTORY_MIN), most = Int(MUSTER_CHECKPOINT_HISTORY_MAX)
    if flags & UInt32(.MUSTER_REGION_CREATE) != 0, history == nil || capacity == nil {
      return "to create one takes a history and a capacity"
    }
    if let history, !(least...most ~= history) { return "its history is \(least) to \(most) states, not \(history)" }
    if let capacity, capacity < 1 { return "its capacity is at least 1 byte, not \(capacity)" }
    let writersMost = Int(MUSTER_CHECKPOINT_WRITERS_MAX)
    return 0...writersMost ~= writers ? nil : "it has 1 to \(writersMost) writers, not \(writers)"
  }

  fileprivate func fits(_ found: muster_checkpoint_shape) -> Bool {
    let isWhole = history != nil && capacity != nil && writers != 0
    return (history ?? Int(found.history)) == Int(found.history)
      && (capacity ?? Int(found.capacity)) == Int(found.capacity) && (!isWhole || writers == Int(found.writers))
  }
}
