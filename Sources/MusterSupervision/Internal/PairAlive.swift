// The pair's Alive file: who holds it is the primary.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class PairAlive {
  enum Attempt {
    case taken(PairAlive)
    /// The holder's number is 0 where it is not known.
    case held(pid: Int32, start: UInt64)
  }

  private var alive: OpaquePointer?
  private init(_ alive: OpaquePointer) { self.alive = alive }

  /// Waits for its present owner until the deadline.
  static func take(_ path: FilePath, in name: String, until deadline: Int64) throws(ProcessPairError) -> Attempt {
    var found = muster_alive_found()
    var alive: OpaquePointer?
    let status = path.withPlatformString { muster_alive_acquire($0, 0o600, deadline, &found, &alive) }
    if status == EBUSY || status == ETIMEDOUT { return .held(pid: found.pid, start: found.start) }
    guard status == 0, let alive else { throw ProcessPairError("take the Alive file \(path) of", name, status: status) }
    return .taken(PairAlive(alive))
  }

  static func probe(_ path: FilePath) {
    var found = muster_alive_found()
    _ = path.withPlatformString { muster_alive_probe($0, &found) }
  }

  /// A clean end.
  func release() {
    _ = muster_alive_release(alive)
    alive = nil
  }

  /// Not a clean one: the file stays, and tells.
  func abandon() {
    muster_alive_abandon(alive)
    alive = nil
  }

  // Whoever ends otherwise leaves it to the kernel.
  deinit { if alive != nil { abandon() } }
}
