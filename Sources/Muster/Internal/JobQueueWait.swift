// A wait at a queue: for a job to be done, or for room for one more.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Waits until it has taken a job, or claimed one to be written.
final class JobQueueWait: WatchingWait, @unchecked Sendable {
  enum Want {
    case job
    case room
  }

  private static let turns = 64
  /// How soon to look again where others were quicker each time.
  private static let crowded: Int64 = 1_000_000

  private let core: JobQueueCore
  private let want: Want
  private(set) var got = muster_queue_job()

  init(_ core: JobQueueCore, _ want: Want, deadline: Deadline) {
    self.core = core
    self.want = want
    super.init(core.place, deadline: deadline)
  }

  override func look(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 { core.step { look($0, set) } }

  private func look(_ queue: OpaquePointer, _ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    for _ in 0..<Self.turns {
      let status = want == .job ? muster_queue_poll(queue, set) : muster_queue_poll_room(queue, set)
      guard status == 0 else { return status }
      let tried = want == .job ? muster_queue_take(queue, &got) : muster_queue_claim(queue, &got)
      if tried != (want == .job ? EAGAIN : ENOSPC) { return tried }
    }
    set.pointee.count = 0
    set.pointee.recheck = muster_deadline_after(Self.crowded)
    return EAGAIN
  }

  /// Looks for a moment without sleeping: by a deadline that has passed C spins, and does not sleep. ETIMEDOUT: there was nothing.
  func spin() -> Int32 {
    core.step { want == .job ? muster_queue_take_wait($0, 1, &got) : muster_queue_claim_wait($0, 1, &got) }
  }
}
