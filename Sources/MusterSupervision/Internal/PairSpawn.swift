// Starting a backup: this program again, with its arguments.
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
  }

  /// - Parameter descriptors: what the child has by the same numbers, the seat among them; not given through a launcher.
  static func start(
    _ invitation: PairInvitation, _ launch: ProcessPairLaunch, descriptors: [Int32]
  ) -> Result<muster_process, Failed> {
    guard let wrap = launch.wrap else {
      let environment = inherited() + ["\(PairInvitation.variable)=\(invitation.text)"]
      return spawn("/proc/self/exe", CommandLine.arguments, environment, descriptors)
    }
    guard let program = ownPath() else {
      return .failure(Failed(reason: "this program's path can't be read (/proc/self/exe)"))
    }
    let command =
      ["env", "\(PairInvitation.variable)=\(invitation.text)", program] + CommandLine.arguments.dropFirst()
    let wrapped = wrap(command)
    guard let first = wrapped.first else {
      return .failure(Failed(reason: "there is no command to start a backup with"))
    }
    return spawn(first, wrapped, inherited(), [])
  }

  static func inherited() -> [String] {
    var all: [String] = []
    var next = environ
    while let entry = next.pointee {
      all.append(String(cString: entry))
      next += 1
    }
    // One for another pair, by which this program was started: the first of two is what a child would see.
    return all.filter { !$0.hasPrefix(PairInvitation.variable + "=") }
  }

  private static func ownPath() -> String? {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = bytes.withUnsafeMutableBytes { buffer in
      buffer.baseAddress.map { readlink("/proc/self/exe", $0.assumingMemoryBound(to: CChar.self), buffer.count) } ?? -1
    }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }

  private static func spawn(
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
    guard status == 0 else {
      let text = "\(String(cString: muster_status_text(status))) (\(String(cString: muster_status_name(status))))"
      return .failure(Failed(reason: "“\(arguments.first ?? path)” can't be started: \(text)"))
    }
    return .success(process)
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
