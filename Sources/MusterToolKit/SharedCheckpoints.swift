// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

/// Checkpoints as the commands use them.
enum SharedCheckpoint {
  /// A path has a slash, which is not its first letter alone: `./job` is a file, `job` and `/job` are names.
  static func place(_ name: String) -> RegionName {
    name.dropFirst().contains("/") ? .file(FilePath(name)) : RegionName(name)
  }

  /// Looks at all that is kept.
  static func details(_ name: String) throws(CommandFailure) -> CheckpointDetails {
    try reading(name) { (checkpoint) throws(CheckpointError) in try CheckpointDetails(checkpoint, now: wallClock()) }
  }

  /// Looks at one state; nil is the newest.
  static func state(
    _ name: String, _ sequence: UInt64?
  ) throws(CommandFailure) -> (state: CheckpointDetails.State, bytes: [UInt8]) {
    let found = try reading(name) { (checkpoint) throws(CheckpointError) in
      if let sequence { try checkpoint.read(sequence) } else { try checkpoint.read() }
    }
    guard let found else { throw CommandFailure("\(printable(name)): nothing was saved yet", status: Status.failed) }
    return (CheckpointDetails.State(found.record, now: wallClock()), found.state)
  }

  static func rollBack(
    _ name: String, to sequence: UInt64, force: Bool
  ) throws(CommandFailure) -> RollBackReport {
    // Before anybody is fenced: the state is there, and is whole.
    _ = try state(name, sequence)
    do {
      let checkpoint = try Checkpoint(place(name), history: nil, capacity: nil, coding: .bytes, mode: .attach)
      defer { checkpoint.close() }
      if !force, case .alive(let pid) = try checkpoint.writer() {
        throw CommandFailure(
          "\(printable(name)): pid \(pid) is its writer and lives; --force takes over, and it can't save any more")
      }
      let taken = try checkpoint.takeOver()
      let made = try checkpoint.rollBackDurablyBlocking(to: sequence)
      var report = RollBackReport(restored: sequence, sequence: made, epoch: taken.epoch)
      if case .alive(let pid) = taken.predecessor { report.fenced = pid }
      return report
    } catch let failure as CommandFailure {
      throw failure
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  private static func reading<Result>(
    _ name: String, _ body: (Checkpoint<[UInt8]>) throws(CheckpointError) -> Result
  ) throws(CommandFailure) -> Result {
    do throws(CheckpointError) {
      let checkpoint = try Checkpoint.look(place(name))
      defer { checkpoint.close() }
      return try body(checkpoint)
    } catch {
      switch error.code {
      case .notFound: throw CommandFailure("\(printable(name)): no such checkpoint")
      case .mismatch: throw CommandFailure("\(printable(name)): \(error.mismatch.map { "\($0)" } ?? "no checkpoint")")
      default: throw CommandFailure(printable("\(error)"))
      }
    }
  }
}

extension CheckpointDetails {
  /// - Parameter now: nanoseconds since 1970, for the ages.
  init(_ checkpoint: Checkpoint<[UInt8]>, now: Int64) throws(CheckpointError) {
    history = checkpoint.history
    capacity = checkpoint.capacity
    epoch = checkpoint.epoch
    states = try checkpoint.records().map { State($0, now: now) }
    switch try checkpoint.writer() {
    case .none: writer = nil
    case .alive(let pid): writer = pid
    case .dead(let pid):
      writer = pid
      isWriterDead = true
    }
  }
}

extension CheckpointDetails.State {
  init(_ record: CheckpointRecord, now: Int64) {
    let committed = record.time.wholeNanoseconds
    sequence = record.sequence
    epoch = record.epoch
    time = timeText(committed)
    ageSeconds = Double(max(0, now - committed) / 1_000_000) / 1000
    length = record.length
    checksum = CheckpointContents.padded(String(record.checksum, radix: 16), 8)
    isWhole = record.isWhole
    restored = record.restored
  }
}
