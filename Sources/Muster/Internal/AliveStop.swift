// SPDX-License-Identifier: Apache-2.0
import CMuster

/// What ends the waits of other threads for an Alive file: one `muster_alive_stop` of C.
final class AliveStop: Sendable {
  private nonisolated(unsafe) let stop: OpaquePointer

  /// - Throws: what the system said: too many open files.
  init() throws(CoreFailure) {
    var made: OpaquePointer?
    let status = muster_alive_stop_make(&made)
    guard status == 0, let made else { throw CoreFailure(status: status) }
    stop = made
  }

  deinit { muster_alive_stop_free(stop) }

  func set() { muster_alive_stop_set(stop) }

  /// The waits of this thread, within `body`, end when it is set.
  func whileHeeded<Result>(_ body: () -> Result) -> Result {
    muster_alive_stop_heed(stop)
    defer { muster_alive_stop_heed(nil) }
    return body()
  }
}
