// Starting a command, with what of Swift's becomes C's for it.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum PairSpawn {
  struct Failed: Error {
    var reason: String

    init(reason: String) { self.reason = reason }

    init(_ program: String, _ status: Int32) {
      let text = "\(String(cString: muster_status_text(status))) (\(String(cString: muster_status_name(status))))"
      reason = "“\(program)” can't be started: \(text)"
    }
  }

  static func entries(
    _ list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  ) -> [UnsafeMutablePointer<CChar>] {
    var all: [UnsafeMutablePointer<CChar>] = []
    while let entry = list[all.count] { all.append(entry) }
    return all
  }

  /// This process's environment without what may be there for another pair, by which this program was started: the first of two is what a child
  /// would see.
  static func inheritedEntries() -> [UnsafeMutablePointer<CChar>] {
    let variable = PairInvitation.variable + "="
    return entries(environ).filter { strncmp($0, variable, variable.utf8.count) != 0 }
  }

  static func inherited() -> [String] { inheritedEntries().map { String(cString: $0) } }

  /// Starts that command, and waits until it runs.
  ///
  /// - Parameter descriptors: what the child has by the same numbers.
  static func spawn(
    _ path: String, _ arguments: [String], _ environment: [String], _ descriptors: [Int32]
  ) -> Result<muster_process, Failed> {
    var process = muster_process()
    var step = muster_process_step.MUSTER_PROCESS_STEP_NONE
    let status = path.withCString { path in
      withStrings(arguments) { arguments in
        withStrings(environment) { environment in
          descriptors.map { muster_process_descriptor(from: $0, to: $0) }.withUnsafeBufferPointer { descriptors in
            var options = muster_process_options()
            options.path = path
            options.arguments = arguments
            options.environment = environment
            options.descriptors = descriptors.baseAddress
            options.descriptors_count = UInt32(descriptors.count)
            options.flags = UInt32(
              muster_process_flags([.MUSTER_PROCESS_SEARCH, .MUSTER_PROCESS_KEEP_SIGNALS]).rawValue)
            return muster_process_spawn(&options, &process, &step)
          }
        }
      }
    }
    return status == 0 ? .success(process) : .failure(Failed(arguments.first ?? path, status))
  }

  static func withStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
  ) -> Result {
    let copies = strings.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    var pointers = copies.map { $0.map { UnsafePointer<CChar>($0) } }
    pointers.append(nil)
    return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
  }

  /// "exited with status 1".
  static func phrase(_ end: muster_process_end) -> String {
    switch end.kind {
    case .MUSTER_PROCESS_EXITED: "exited with status \(end.code)"
    case .MUSTER_PROCESS_SIGNALED: "was killed by signal \(end.code)"
    default: "ended"
    }
  }
}
