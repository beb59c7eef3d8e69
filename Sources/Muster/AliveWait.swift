// Asking for, and waiting for, what others do with an Alive file.
// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension Alive {
  /// Tells what stands at the path, without creating or locking anything: neither an owner nor an acquirer is
  /// disturbed.
  ///
  /// - Throws: ``AliveError``: `notAnAliveFile`, `notAFile`, `noFolder`, `permissionDenied`, `system`. A missing file
  ///   is `nothing`, no error.
  public static func probe(_ path: FilePath) throws(AliveError) -> AliveFound {
    var found = muster_alive_found()
    let status = path.withPlatformString { muster_alive_probe($0, &found) }
    guard status == 0 else { throw AliveError("probe the Alive file", path, status: status) }
    return AliveFound(found)
  }

  /// Waits until somebody holds the file. Blocks the thread.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: the holder, where the file tells.
  /// - Throws: ``AliveError``: `timedOut`, and as ``probe(_:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public static func waitUntilHeldBlocking(
    _ path: FilePath, until deadline: ContinuousClock.Instant? = nil
  ) throws(AliveError) -> AliveOwner? {
    var found = muster_alive_found()
    let status = path.withPlatformString { muster_alive_wait($0, Deadline(deadline), &found) }
    guard status == 0 else { throw AliveError(held, path, status: status, found: found) }
    return AliveOwner(found)
  }

  /// Waits until somebody holds the file. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: the holder, where the file tells.
  /// - Throws: ``AliveError``: `timedOut`, `cancelled`, and as ``probe(_:)``.
  @discardableResult
  public static func waitUntilHeld(
    _ path: FilePath, until deadline: ContinuousClock.Instant? = nil
  ) async throws(AliveError) -> AliveOwner? {
    AliveOwner(try await wait(held, path, deadline, muster_alive_wait))
  }

  /// Waits until nobody holds the file. Blocks the thread.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: how the owner ended: `nothing` (cleanly, or there never was one), `crash` or `reboot`.
  /// - Throws: ``AliveError``: `timedOut` with the holder, and as ``probe(_:)``.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  @discardableResult
  public static func waitForDeathBlocking(
    _ path: FilePath, until deadline: ContinuousClock.Instant? = nil
  ) throws(AliveError) -> AliveFound {
    var found = muster_alive_found()
    let status = path.withPlatformString { muster_alive_wait_death($0, Deadline(deadline), &found) }
    guard status == 0 else { throw AliveError(death, path, status: status, found: found) }
    return AliveFound(found)
  }

  /// Waits until nobody holds the file. The task waits, no thread of the cooperative pool does.
  ///
  /// - Parameter deadline: how long to wait, `nil`: for ever.
  /// - Returns: how the owner ended: `nothing` (cleanly, or there never was one), `crash` or `reboot`.
  /// - Throws: ``AliveError``: `timedOut` with the holder, `cancelled`, and as ``probe(_:)``.
  @discardableResult
  public static func waitForDeath(
    _ path: FilePath, until deadline: ContinuousClock.Instant? = nil
  ) async throws(AliveError) -> AliveFound {
    AliveFound(try await wait(death, path, deadline, muster_alive_wait_death))
  }

  private static let held = "wait for an owner of the Alive file"
  private static let death = "wait for the end of the owner of the Alive file"

  private typealias Core =
    @Sendable (UnsafePointer<CChar>, Deadline, UnsafeMutablePointer<muster_alive_found>?) -> Int32

  private static func wait(
    _ operation: String, _ path: FilePath, _ deadline: ContinuousClock.Instant?, _ core: @escaping Core
  ) async throws(AliveError) -> muster_alive_found {
    let found = Box<muster_alive_found>()
    let deadline = Deadline(deadline)
    let end = try await ownThread(operation, path) {
      var seen = muster_alive_found()
      let status = path.withPlatformString { core($0, deadline, &seen) }
      found.value = seen
      return status
    }
    switch end {
    case .status(0): return found.value!
    case .status(let status): throw AliveError(operation, path, status: status, found: found.value)
    default: throw AliveError(operation, path, code: .cancelled)
    }
  }

  /// A wait on a thread of its own, which the task's cancellation ends: with a status, or as cancelled.
  static func ownThread(
    _ operation: String, _ path: FilePath, _ body: @escaping @Sendable () -> Int32
  ) async throws(AliveError) -> WaitEnd {
    let stop: AliveStop
    do throws(CoreFailure) {
      stop = try AliveStop()
    } catch {
      throw AliveError(operation, path, status: error.status, code: .system)
    }
    let end = await OwnThread.wait(stop: { stop.set() }) { stop.whileHeeded(body) }
    if case .noThread(let status) = end { throw AliveError(operation, path, status: status, code: .system) }
    return end
  }
}
