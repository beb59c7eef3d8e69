// Starting a backup: this program again, with its arguments and the environment that it began with.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import CMusterSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// All that a start needs is made beforehand, but for the invitation: when a backup takes over, its own backup is started in the way of the next step.
final class PairProgram {
  private typealias Strings = UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>

  private let launch: ProcessPairLaunch
  private let inherited: [String]
  private let path: UnsafeMutablePointer<CChar>?
  private let arguments: Strings
  /// The invitation, then what is inherited.
  private let environment: Strings
  private let start: UnsafeMutablePointer<muster_start>

  init(_ launch: ProcessPairLaunch) {
    self.launch = launch
    inherited = PairSpawn.inherited()
    path = strdup("/proc/self/exe")
    // As they are: they need not be UTF-8.
    arguments = Self.strings(PairSpawn.entries(CommandLine.unsafeArgv).map { strdup($0) })
    environment = Self.strings([nil] + PairSpawn.inheritedEntries().map { strdup($0) })
    start = .allocate(capacity: 1)
    // What is not touched before is not there: the first touch of each page would be another fault.
    memset(start, 0, MemoryLayout<muster_start>.size)
  }

  private static func strings(_ copies: [UnsafeMutablePointer<CChar>?]) -> Strings {
    let all = Strings.allocate(capacity: copies.count + 1)
    _ = all.initialize(from: copies + [nil])
    return all
  }

  deinit {
    // A child that has not come to its program has no other memory.
    guard muster_start_is_over(start) != 0 else { return }
    for strings in [arguments, environment] {
      strings.forEach { free($0) }
      strings.deallocate()
    }
    free(path)
    start.deallocate()
  }

  /// - Parameter descriptors: what the child has by the same numbers, the seat among them; not given through a launcher.
  func start(_ invitation: PairInvitation, descriptors: [Int32]) -> Result<muster_process, PairSpawn.Failed> {
    let entry = "\(PairInvitation.variable)=\(invitation.text)"
    if let wrap = launch.wrap { return startWrapped(wrap, entry) }
    guard muster_start_is_over(start) != 0 else {
      return .failure(PairSpawn.Failed(reason: "the backup that was started before can't be killed"))
    }
    switch startAlongside(entry, descriptors) {
    case 0: return .success(startedProcess())
    // A sandbox or a processor that has no such start.
    case ENOSYS, EPERM, EINVAL, EACCES:
      return PairSpawn.spawn("/proc/self/exe", CommandLine.arguments, [entry] + inherited, descriptors)
    case let status: return .failure(PairSpawn.Failed(CommandLine.arguments.first ?? "", status))
    }
  }

  private func startAlongside(_ entry: String, _ descriptors: [Int32]) -> Int32 {
    guard let path, let arguments = arguments.baseAddress, let environment = environment.baseAddress else {
      return ENOMEM
    }
    free(environment[0])
    environment[0] = strdup(entry)
    guard environment[0] != nil else { return ENOMEM }
    start.pointee.path = UnsafePointer(path)
    start.pointee.arguments = UnsafePointer(arguments)
    start.pointee.environment = UnsafePointer(environment)
    func number(_ index: Int) -> Int32 { index < descriptors.count ? descriptors[index] : -1 }
    start.pointee.descriptors = (number(0), number(1), number(2), number(3))
    return muster_start_program(start)
  }

  private func startedProcess() -> muster_process {
    var process = muster_process()
    process.pid = start.pointee.pid
    process.pidfd = start.pointee.pidfd
    process.ready = -1
    process.cgroup = -1
    process.guard = -1
    return process
  }

  private func startWrapped(
    _ wrap: ([String]) -> [String], _ entry: String
  ) -> Result<muster_process, PairSpawn.Failed> {
    guard let program = Self.ownPath() else {
      return .failure(PairSpawn.Failed(reason: "this program's path can't be read (/proc/self/exe)"))
    }
    let wrapped = wrap(["env", entry, program] + CommandLine.arguments.dropFirst())
    guard let first = wrapped.first else {
      return .failure(PairSpawn.Failed(reason: "there is no command to start a backup with"))
    }
    return PairSpawn.spawn(first, wrapped, inherited, [])
  }

  private static func ownPath() -> String? {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = bytes.withUnsafeMutableBytes { buffer in
      buffer.baseAddress.map { readlink("/proc/self/exe", $0.assumingMemoryBound(to: CChar.self), buffer.count) } ?? -1
    }
    guard count > 0 else { return nil }
    let path = String(decoding: bytes[..<count], as: UTF8.self)
    // Built anew since this process was started: the kernel still has the old one.
    return path.hasSuffix(" (deleted)") && access(path, X_OK) != 0 ? "/proc/\(getpid())/exe" : path
  }

  /// Why a child of `start` has ended before it stood by.
  func phrase(_ end: muster_process_end) -> String {
    guard launch.wrap == nil, muster_start_is_over(start) != 0, start.pointee.error != 0 else {
      return "the backup that was started \(PairSpawn.phrase(end)) before it stood by"
    }
    return PairSpawn.Failed(CommandLine.arguments.first ?? "", start.pointee.error).reason
  }
}
