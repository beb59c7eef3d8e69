// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A `pthread_barrier_t` with `PTHREAD_PROCESS_SHARED`, met by name, whoever comes first.
///
/// Its limits are those of `pthread_barrier_wait(3)`, and the reason why there is ``Barrier``: no deadline; a process
/// that is killed before it arrives is waited for for ever, one that is killed while it waits counts as arrived, and
/// shifts every later round; nothing tells who is missing. It is here for programs that need that very object, and as
/// the peer to measure against.
///
/// The object is one `muster_posix_barrier` of C (muster/posix_barrier.h). It may be used from any thread, by several
/// at a time.
public final class PosixBarrier: Sendable {
  /// The barrier's name.
  public let name: String
  /// How many have to wait for a round to complete.
  public let parties: Int
  private let handle: Handle

  /// Opens a barrier; whoever comes first creates it.
  ///
  /// - Parameters:
  ///   - name: as of a region in shared memory.
  ///   - parties: how many have to wait, 1 to 2^30. `nil`, when attaching: as it is.
  ///   - mode: whether to create, to attach, or whichever is needed.
  ///   - permissions: of a barrier that is created, whatever the umask.
  /// - Throws: ``BarrierError``: `mismatch` (other parties, another libc), `alreadyExists`, `notFound`, `corrupt`,
  ///   `permissionDenied`, `invalidArgument`, `system`.
  public init(
    _ name: String, parties: Int?, mode: OpenMode = .createOrAttach, permissions: FilePermissions = [.ownerReadWrite]
  ) throws(BarrierError) {
    let operation = "open the POSIX barrier"
    guard parties.map({ 1...(1 << 30) ~= $0 }) ?? (mode == .attach) else {
      throw BarrierError(operation, name, status: EINVAL)
    }
    var options = muster_posix_barrier_options()
    options.parties = UInt32(parties ?? 0)
    options.flags = mode.flags
    options.mode = UInt32(permissions.rawValue)
    var mismatch = muster_mismatch()
    var object: OpaquePointer?
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return withName(name) { muster_posix_barrier_open($0, &options, &object) }
    }
    guard status == 0, let object else { throw BarrierError(operation, name, status: status, mismatch: mismatch) }
    self.name = name
    self.parties = Int(muster_posix_barrier_parties(object))
    self.handle = Handle(object) { muster_posix_barrier_close($0) }
  }

  /// Unmaps the barrier; its name stays. Closing again does nothing. Waits in progress keep it mapped until they end.
  public func close() { handle.close() }

  /// Waits until all parties wait. Blocks the thread, without a deadline.
  ///
  /// - Returns: true for exactly one of those who are released.
  /// - Throws: ``BarrierError`` `closed`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public func waitBlocking() throws(BarrierError) -> Bool {
    try begin()
    defer { handle.end() }
    return wait()
  }

  /// Waits until all parties wait. The task waits, on a thread of its own that blocks.
  ///
  /// When the task is cancelled it goes on at once. Its arrival can't be taken back: it counts, and the thread waits
  /// on, with the barrier mapped, until the round completes. That, too, is a limit of `pthread_barrier_wait(3)`.
  ///
  /// - Returns: true for exactly one of those who are released.
  /// - Throws: ``BarrierError``: `cancelled`, `closed`, `system` when no thread could be started.
  @discardableResult
  public func wait() async throws(BarrierError) -> Bool {
    try begin()
    let waiter = Guarded<CheckedContinuation<Ending, Never>?>(nil)
    let isCancelled = Flag()
    let ending = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        waiter.value = continuation
        let status = Threads.start("muster-wait") { [self] in
          let isSerial = wait()
          handle.end()
          waiter.take()?.resume(returning: .released(isSerial: isSerial))
        }
        if status != 0 {
          handle.end()
          waiter.take()?.resume(returning: .noThread(status))
        }
        // A cancellation that came before there was anybody to resume.
        if isCancelled.isSet { waiter.take()?.resume(returning: .cancelled) }
      }
    } onCancel: {
      isCancelled.set()
      waiter.take()?.resume(returning: .cancelled)
    }
    switch ending {
    case .released(let isSerial): return isSerial
    case .cancelled: throw BarrierError(Self.waiting, name, code: .cancelled)
    case .noThread(let status): throw BarrierError(Self.waiting, name, status: status, code: .system)
    }
  }

  private enum Ending: Sendable {
    case released(isSerial: Bool)
    case cancelled
    case noThread(Int32)
  }

  private static let waiting = "wait at the POSIX barrier"

  private func wait() -> Bool {
    var serial: Int32 = 0
    _ = muster_posix_barrier_wait(handle.object, &serial)
    return serial != 0
  }

  private func begin() throws(BarrierError) {
    do {
      try handle.begin()
    } catch {
      throw BarrierError(Self.waiting, name, code: .closed)
    }
  }
}
