// Waiting at a barrier, on the thread or in a task.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension Barrier {
  /// Arrives, and waits until all have arrived. Blocks the thread. This is the fast form, which spins a little before
  /// it sleeps.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever. One that has passed breaks the barrier unless this
  ///   arrival is the last.
  /// - Throws: ``BarrierError``: `timedOut`, `memberDied`, `aborted`, `broken`, `actionFailed`, `alreadyArrived`,
  ///   `invalidArgument` (an observer, or dropped out), `inUse`, `corrupt`, `closed`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitBlocking(until deadline: ContinuousClock.Instant? = nil) throws(BarrierError) -> Arrival {
    try waitBlocking(Deadline(deadline))
  }

  /// Arrives, and waits for so long until all have arrived: as ``waitBlocking(until:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitBlocking(for timeout: Duration) throws(BarrierError) -> Arrival {
    try waitBlocking(Deadline(timeout))
  }

  /// Waits for a phase that this member arrived at. Blocks the thread.
  ///
  /// - Parameters:
  ///   - phase: what ``arrive()`` gave.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Throws: ``BarrierError``: as ``waitBlocking(until:)``; `invalidArgument` for a phase yet to come.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitBlocking(
    phase: UInt32, until deadline: ContinuousClock.Instant? = nil
  ) throws(BarrierError) -> Arrival {
    try begin(Self.waiting, exclusive: true)
    defer { handle.end(exclusive: true) }
    var result = muster_barrier_result()
    let status = membership.step { muster_barrier_wait_phase(handle.object, phase, Deadline(deadline), &result) }
    return try arrival(Self.waiting, status, result)
  }

  private func waitBlocking(_ deadline: Deadline) throws(BarrierError) -> Arrival {
    try begin(Self.waiting, exclusive: true)
    defer { handle.end(exclusive: true) }
    var result = muster_barrier_result()
    let status = membership.step { muster_barrier_wait(handle.object, deadline, &result) }
    return try arrival(Self.waiting, status, result)
  }

  /// Arrives, and waits until all have arrived. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever. One that has passed breaks the barrier unless this
  ///   arrival is the last.
  /// - Throws: ``BarrierError``: `timedOut`; `cancelled` when the task was, which breaks the barrier as a deadline
  ///   does; `memberDied`, `aborted`, `broken`, `actionFailed`, `alreadyArrived`, `invalidArgument` (an observer, or
  ///   dropped out), `inUse`, `corrupt`, `closed`.
  @discardableResult
  public func wait(until deadline: ContinuousClock.Instant? = nil) async throws(BarrierError) -> Arrival {
    try await wait(phase: nil, Deadline(deadline))
  }

  /// Arrives, and waits for so long until all have arrived: as ``wait(until:)``.
  @discardableResult
  public func wait(for timeout: Duration) async throws(BarrierError) -> Arrival {
    try await wait(phase: nil, Deadline(timeout))
  }

  /// Waits for a phase that this member arrived at. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameters:
  ///   - phase: what ``arrive()`` gave.
  ///   - deadline: how long to wait, `nil`: for ever.
  /// - Throws: ``BarrierError``: as ``wait(until:)``; `invalidArgument` for a phase yet to come.
  @discardableResult
  public func wait(
    phase: UInt32, until deadline: ContinuousClock.Instant? = nil
  ) async throws(BarrierError) -> Arrival {
    try await wait(phase: phase, Deadline(deadline))
  }

  private static let waiting = "wait at the barrier"

  private func wait(phase: UInt32?, _ deadline: Deadline) async throws(BarrierError) -> Arrival {
    try begin(Self.waiting, exclusive: true)
    defer { handle.end(exclusive: true) }
    let wait = BarrierWait(membership, handle.object, phase: phase, deadline: deadline, hasAction: hasAction)
    switch await handle.wait(wait) {
    case .status(let status): return try arrival(Self.waiting, status, wait.result)
    case .noThread(let status): throw BarrierError(Self.waiting, name, status: status, code: .system)
    case .closed: throw BarrierError(Self.waiting, name, code: .closed)
    case .cancelled: throw BarrierError(Self.waiting, name, code: .cancelled)
    }
  }
}

/// muster_barrier_wait in steps that don't sleep. The exclusive part of the handle is the task's until the wait ends,
/// so nobody else touches what the C handle keeps of its own arrival.
final class BarrierWait: PendingWait, @unchecked Sendable {
  /// What is still to be done before the phase that the caller wants is waited for.
  private enum Stage {
    /// Arrive.
    case arriving
    /// The one before in this place has arrived already: wait for that phase, then arrive at the next.
    case waitingForPredecessor(phase: UInt32)
    /// Wait for this phase.
    case waiting(phase: UInt32)
  }

  private let membership: Membership
  private nonisolated(unsafe) let barrier: OpaquePointer
  private var stage: Stage
  private(set) var result = muster_barrier_result()

  init(
    _ membership: Membership, _ barrier: OpaquePointer, phase: UInt32?, deadline: Deadline, hasAction: Bool
  ) {
    self.membership = membership
    self.barrier = barrier
    self.stage = phase.map { .waiting(phase: $0) } ?? .arriving
    super.init(deadline: deadline, isLong: hasAction)
  }

  override func poll(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    isLong ? membership.step { look(set) } : membership.look { look(set) }
  }

  private func look(_ set: UnsafeMutablePointer<muster_wait_set>) -> Int32 {
    while true {
      switch stage {
      case .arriving:
        let status = muster_barrier_arrive(barrier, &result)
        switch status {
        case 0: stage = .waiting(phase: result.phase)
        case EAGAIN: stage = .waitingForPredecessor(phase: result.phase)
        default: return status
        }
      case .waitingForPredecessor(let phase):
        let status = muster_barrier_poll(barrier, phase, &result, set)
        guard status == 0 || status == ECANCELED else { return status }
        stage = .arriving
      case .waiting(let phase):
        return muster_barrier_poll(barrier, phase, &result, set)
      }
    }
  }

  override func giveUp() -> Int32 {
    switch stage {
    case .arriving: ETIMEDOUT
    case .waitingForPredecessor(let phase), .waiting(let phase):
      membership.step { muster_barrier_expire(barrier, phase, &result) }
    }
  }
}
