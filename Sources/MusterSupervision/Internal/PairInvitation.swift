// What a backup is told when it is started: in its environment, so that it goes through whatever starts it.
// SPDX-License-Identifier: Apache-2.0

struct PairInvitation: Hashable {
  static let variable = "MUSTER_PAIR"

  /// Names this launch: a backup that comes late, when there is another one, is not needed.
  var launch: UInt64
  /// The primary.
  var pid: Int32
  var start: UInt64
  var epoch: UInt64
  /// The descriptor of the backup's seat; -1: none was given.
  var seat: Int32
  var name: String

  var text: String { "\(launch) \(pid) \(start) \(epoch) \(seat) \(name)" }

  init(launch: UInt64, pid: Int32, start: UInt64, epoch: UInt64, seat: Int32, name: String) {
    self.launch = launch
    self.pid = pid
    self.start = start
    self.epoch = epoch
    self.seat = seat
    self.name = name
  }

  /// `nil`: of no pair.
  init?(_ text: String) {
    let parts = text.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: false)
    guard parts.count == 6, let launch = UInt64(parts[0]), let pid = Int32(parts[1]), let start = UInt64(parts[2]),
      let epoch = UInt64(parts[3]), let seat = Int32(parts[4])
    else { return nil }
    self.init(launch: launch, pid: pid, start: start, epoch: epoch, seat: seat, name: String(parts[5]))
  }
}
