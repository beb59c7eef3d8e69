// A handle of the C log, let go of with its last owner.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class LogCore: Sendable {
  nonisolated(unsafe) let object: OpaquePointer

  init(_ operation: String, _ name: RegionName, _ options: muster_log_options) throws(LogError) {
    var options = options
    var object: OpaquePointer?
    var mismatch = muster_mismatch()
    let status = withUnsafeMutablePointer(to: &mismatch) { mismatch in
      options.mismatch = mismatch
      return name.withCString { muster_log_open($0, &options, &object) }
    }
    guard status == 0, let object else {
      let code: LogError.Code? = status == EAGAIN ? .system : nil
      throw LogError(operation, name.string, status: status, code: code, mismatch: mismatch)
    }
    self.object = object
  }

  /// One that exists, as it is.
  static func attach(
    _ operation: String, _ name: RegionName, readOnly: Bool = false, anyOwner: Bool = false
  ) throws(LogError) -> LogCore {
    var options = muster_log_options()
    options.flags = UInt32(.MUSTER_REGION_ATTACH) | name.flags
    if readOnly { options.flags |= UInt32(.MUSTER_REGION_READ_ONLY) }
    if anyOwner { options.flags |= UInt32(.MUSTER_REGION_ANY_OWNER) }
    return try LogCore(operation, name, options)
  }

  // Whoever joined by it has left before, and its readers and drains are closed: so it is not refused.
  deinit { muster_log_close(object) }

  func look() -> muster_log_state {
    var state = muster_log_state()
    // All but EPERM fills it in.
    _ = muster_log_look(object, &state)
    return state
  }
}
