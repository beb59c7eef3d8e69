// The pair's shared memory: one `muster_pair` of C, for the one thread of its process.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct PairShape {
  var state: Int
  var output: Int
  var history: Int
}

final class PairStore {
  let name: String
  let place: RegionName
  private let pair: OpaquePointer
  private var isClosed = false
  private let buffer: UnsafeMutableRawBufferPointer

  /// Opens it, and creates it if that may be.
  init(
    _ name: String, _ place: RegionName, _ shape: PairShape, layout: UInt64, mayCreate: Bool
  ) throws(ProcessPairError) {
    self.name = name
    self.place = place
    var mismatch = muster_mismatch()
    pair = try Self.open(name, place, &mismatch) { options in
      options.shape = muster_pair_shape(
        state: UInt64(shape.state), output: UInt64(shape.output), history: UInt32(shape.history), reserved: 0)
      options.layout = layout
      if !mayCreate { options.flags = muster_region_flags.MUSTER_REGION_ATTACH.rawValue }
    }
    buffer = .allocate(byteCount: muster_pair_buffer_size(pair), alignment: 16)
  }

  /// Attaches to look.
  init(looking name: String, _ place: RegionName) throws(ProcessPairError) {
    self.name = name
    self.place = place
    var mismatch = muster_mismatch()
    pair = try Self.open(name, place, &mismatch) { options in
      let looking: muster_region_flags = [.MUSTER_REGION_ATTACH, .MUSTER_REGION_READ_ONLY, .MUSTER_REGION_PEEK]
      options.flags = UInt32(looking.rawValue)
    }
    buffer = .allocate(byteCount: 0, alignment: 16)
  }

  private static func open(
    _ name: String, _ place: RegionName, _ mismatch: inout muster_mismatch, _ set: (inout muster_pair_options) -> Void
  ) throws(ProcessPairError) -> OpaquePointer {
    var pair: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      var options = muster_pair_options()
      set(&options)
      options.flags |= place.flags
      options.mismatch = mismatch
      return place.withCString { muster_pair_open($0, &options, &pair) }
    }
    guard status == 0, let pair else {
      let reason =
        switch status {
        case EPROTO where mismatch.kind != .MUSTER_MISMATCH_NONE:
          "it was made with \(String(cString: muster_mismatch_text(mismatch.kind)))"
        case ENOSPC where !place.isFile: "no space is left in /dev/shm (ENOSPC)"
        default: ProcessPairError.phrase(status)
        }
      let file = place.isFile && place.string != name ? "its state file \(place.string): " : ""
      throw ProcessPairError("open", name, status: status, reason: file + reason)
    }
    return pair
  }

  deinit {
    close()
    buffer.deallocate()
  }

  /// Resigns, and lets go of it. Nothing may be asked of it from here on.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    _ = muster_pair_close(pair)
  }

  @inline(__always)
  private func check(_ status: Int32, _ operation: StaticString) throws(ProcessPairError) {
    guard status == 0 else { throw failure(status, operation) }
  }

  @inline(never)
  private func failure(_ status: Int32, _ operation: StaticString) -> ProcessPairError {
    ProcessPairError("\(operation)", name, status: status)
  }

  var cell: UnsafeMutablePointer<muster_heartbeat_cell>? {
    muster_pair_cell(pair)?.assumingMemoryBound(to: muster_heartbeat_cell.self)
  }

  // MARK: Roles

  func lead() throws(ProcessPairError) -> UInt64 {
    var epoch: UInt64 = 0
    try check(muster_pair_lead(pair, &epoch), "lead")
    return epoch
  }

  func standBy() throws(ProcessPairError) { try check(muster_pair_stand_by(pair), "stand by in") }

  func say(_ primary: muster_pair_primary) throws(ProcessPairError) {
    var primary = primary
    try check(muster_pair_say(pair, &primary), "lead")
  }

  func say(_ backup: muster_pair_backup) throws(ProcessPairError) {
    var backup = backup
    try check(muster_pair_say_standing_by(pair, &backup), "stand by in")
  }

  func look() throws(ProcessPairError) -> muster_pair_status {
    var status = muster_pair_status()
    try check(muster_pair_look(pair, &status), "look at")
    return status
  }

  /// The backup's seat, or nil: somebody has it.
  func seat() throws(ProcessPairError) -> Int32? {
    var descriptor: Int32 = -1
    let status = muster_pair_seat(pair, &descriptor)
    if status == EBUSY { return nil }
    try check(status, "take the backup's seat of")
    return descriptor
  }

  var path: String { place.isFile ? place.string : "/dev/shm/" + place.string }

  /// Whether that is a descriptor of the memory's file, as a seat's is.
  func isSeat(_ descriptor: Int32) -> Bool {
    var (one, other) = (stat(), stat())
    guard descriptor > 2, fstat(descriptor, &one) == 0 else { return false }
    return stat(path, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino
  }

  /// Kills a backup that is known. False: it does not die.
  func killBackup(otherThan own: Int32, within patience: Int64) throws(ProcessPairError) -> Bool {
    let status = try look()
    let pid = Int32(truncatingIfNeeded: status.backup.pid)
    guard status.backup_life == .MUSTER_PAIR_ALIVE, pid != own else { return true }
    guard let backup = try PairPeer(pid: pid, start: status.backup.start, in: name) else { return true }
    return backup.kill(within: patience)
  }

  // MARK: Steps

  func tries(_ step: UInt64) throws(ProcessPairError) { try check(muster_pair_try(pair, step), "take a step of") }

  func emitted(_ step: UInt64) throws(ProcessPairError) { try check(muster_pair_emitted(pair, step), "take a step of") }

  func commit(_ entry: inout muster_pair_entry, isDurable: Bool) throws(ProcessPairError) {
    try check(
      isDurable ? muster_pair_commit_durable(pair, &entry) : muster_pair_commit(pair, &entry), "commit a step of")
  }

  /// What is kept, from the newest on; `accepts` is asked of each.
  func kept(_ accepts: (muster_pair_entry) -> Bool) throws(ProcessPairError) -> [PairKept] {
    var all: [PairKept] = []
    var before: UInt64 = 0
    while let entry = try load(before: before) {
      if accepts(entry) { all.append(PairKept(sequence: entry.sequence, step: entry.step)) }
      before = entry.sequence
    }
    return all
  }

  /// The newest entry below that sequence, 0: of all; it is the buffer's until the next call. `nil`: there is none.
  func load(before: UInt64) throws(ProcessPairError) -> muster_pair_entry? {
    guard before != 1, let start = buffer.baseAddress else { return nil }
    var entry = muster_pair_entry()
    let status = muster_pair_load(pair, before, nil, nil, start, buffer.count, &entry)
    // EBADMSG: none is whole, which is for the escalation to see to.
    if status == ENOENT || status == ENODATA || status == EBADMSG { return nil }
    try check(status, "load a state of")
    return entry
  }

  /// Whoever still looks at it goes on with what has no name.
  func remove() {
    let flags = place.flags | muster_region_flags.MUSTER_REGION_FORCE.rawValue
    _ = place.withCString { muster_region_remove($0, flags) }
  }
}
