// SPDX-License-Identifier: Apache-2.0
import CMuster
import Synchronization
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file that is locked while its owner lives, and that tells how the last owner ended.
///
/// ```swift
/// let alive = try Alive("/run/service.alive") { found in
///   print("the last run ended unexpectedly:", found)   // a crash, or a restart of the machine
/// }
/// // ... at a normal end:
/// alive.close()                                        // removes the file
/// ```
///
/// The file exists while its owner lives, and after an owner that did not end cleanly; the kernel unlocks it at any
/// death. Others ask with ``probe(_:)``, and wait with ``waitUntilHeld(_:until:)`` and ``waitForDeath(_:until:)``. A
/// process that ends without `close()`, by `exit` too, has ended uncleanly.
///
/// The object is one `muster_alive` of C (muster/alive.h). It may be used from any thread. The end of the last
/// reference releases it cleanly.
public final class Alive: Sendable {
  /// The Alive file.
  public let path: FilePath
  /// What the file told before it was acquired: `nothing`, `crash` or `reboot`.
  public let found: AliveFound
  private let handle: Handle
  private let ending: Ending

  /// How it is let go of, and what came of it.
  private final class Ending: Sendable {
    let isAbandoned = Flag()
    let status = Atomic<Int32>(0)
  }

  /// Acquires the Alive file at once.
  ///
  /// - Parameters:
  ///   - path: the file; it is created if it is missing. The last part must not be a symbolic link.
  ///   - permissions: of a file that is created.
  ///   - onUnexpectedShutdown: called, before this returns, if the last owner did not end cleanly.
  /// - Throws: ``AliveError``: `held` with its holder, `notAnAliveFile`, `notAFile`, `noFolder`, `permissionDenied`,
  ///   `system`.
  public convenience init(
    _ path: FilePath, permissions: FilePermissions = Alive.usualPermissions,
    onUnexpectedShutdown: (AliveFound) -> Void = { _ in }
  ) throws(AliveError) {
    try self.init(acquiring: path, permissions, deadline: .now)
    if found.isUnexpectedShutdown { onUnexpectedShutdown(found) }
  }

  /// `0644`: its owner may write, everybody may look.
  public static let usualPermissions: FilePermissions = [.ownerReadWrite, .groupRead, .otherRead]

  /// Acquires the Alive file, waiting for its present owner to end. Blocks the thread.
  ///
  /// - Parameters: as of ``init(_:permissions:onUnexpectedShutdown:)``; `deadline`: how long to wait, `nil`: for ever.
  /// - Throws: ``AliveError``: `timedOut` with the holder, and as `init`.
  @available(*, noasync, message: "blocks the thread; use the form that is awaited")
  public static func acquireBlocking(
    _ path: FilePath, permissions: FilePermissions = Alive.usualPermissions, until deadline: ContinuousClock.Instant?
  ) throws(AliveError) -> Alive {
    // At least a look, which is not taken for one that does not want to wait.
    try Alive(acquiring: path, permissions, deadline: max(1, Deadline(deadline)))
  }

  /// Acquires the Alive file, waiting for its present owner to end. The task waits, no thread of the cooperative pool
  /// does.
  ///
  /// A cancellation ends it at once. If the file was acquired by then it is returned all the same.
  ///
  /// - Parameters: as of ``init(_:permissions:onUnexpectedShutdown:)``; `deadline`: how long to wait, `nil`: for ever.
  /// - Throws: ``AliveError``: `timedOut` with the holder, `cancelled`, and as `init`.
  public static func acquire(
    _ path: FilePath, permissions: FilePermissions = Alive.usualPermissions, until deadline: ContinuousClock.Instant?
  ) async throws(AliveError) -> Alive {
    let outcome = Box<Result<Alive, AliveError>>()
    let deadline = max(1, Deadline(deadline))
    let end = try await ownThread(acquiring, path) {
      do throws(AliveError) {
        outcome.value = .success(try Alive(acquiring: path, permissions, deadline: deadline))
        return 0
      } catch {
        outcome.value = .failure(error)
        return error.errno?.rawValue ?? 0
      }
    }
    if case .cancelled = end { throw AliveError(acquiring, path, code: .cancelled) }
    return try outcome.value!.get()
  }

  private static let acquiring = "acquire the Alive file"

  private init(acquiring path: FilePath, _ permissions: FilePermissions, deadline: Deadline) throws(AliveError) {
    var found = muster_alive_found()
    var object: OpaquePointer?
    let status = path.withPlatformString {
      muster_alive_acquire($0, UInt32(permissions.rawValue), deadline, &found, &object)
    }
    guard status == 0, let object else { throw AliveError(Self.acquiring, path, status: status, found: found) }
    let ending = Ending()
    self.path = path
    self.found = AliveFound(found)
    self.ending = ending
    self.handle = Handle(object) { object in
      if ending.isAbandoned.isSet {
        muster_alive_abandon(object)
      } else {
        ending.status.store(muster_alive_release(object), ordering: .releasing)
      }
    }
  }

  /// A clean end: removes the file and lets go of it. Ending again does nothing. For who wants to know whether the
  /// file could be removed there is ``release()``.
  public func close() { handle.close() }

  /// A clean end, as ``close()``, that tells whether the file could be removed. The lock is let go of in any case.
  ///
  /// - Throws: ``AliveError``: `replaced` when somebody removed or replaced the file before, `permissionDenied`,
  ///   `system`, and `closed` the second time.
  public func release() throws(AliveError) {
    guard !handle.isClosed else { throw AliveError("release the Alive file", path, code: .closed) }
    handle.close()
    let status = ending.status.load(ordering: .acquiring)
    guard status == 0 else { throw AliveError("remove the Alive file", path, status: status) }
  }

  /// Lets go of the file without removing it: the next to acquire it finds a crash. For who must end uncleanly on
  /// purpose.
  public func abandon() {
    ending.isAbandoned.set()
    handle.close()
  }

  /// Whether the path still leads to the file that is held.
  ///
  /// - Throws: ``AliveError``: `closed`, `permissionDenied`, `system`.
  public func isCurrent() throws(AliveError) -> Bool {
    let operation = "look up the Alive file"
    let path = path
    let status = try handle.use(or: { _ in AliveError(operation, path, code: .closed) }) {
      (object) throws(AliveError) in muster_alive_current(object)
    }
    if status == ESTALE { return false }
    guard status == 0 else {
      let isInherited = status == EPERM && handle.isInherited
      throw AliveError(operation, path, status: status, code: isInherited ? .inherited : nil)
    }
    return true
  }
}
