// What a child is started with, as C has it.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct ProcessStart {
  private let configuration: ChildProcess.Configuration
  private let strings = CStrings()
  private var descriptors: [muster_process_descriptor] = []
  private var limits: [muster_process_limit] = []
  private var options = muster_process_options()

  /// - Throws: `invalidArgument` for a string with a zero in it, which would cut it short.
  init(_ configuration: ChildProcess.Configuration) throws(ProcessError) {
    self.configuration = configuration
    setProgram()
    setSurroundings()
    if strings.hasZero {
      throw ProcessError(
        "start", configuration.program.subject, status: EINVAL, step: .prepare,
        reason: "there is a zero byte in its path, its folder, its arguments or its environment")
    }
  }

  func start() throws(ProcessError) -> ProcessObject {
    var step = muster_process_step.MUSTER_PROCESS_STEP_NONE
    let outcome: Result<ProcessObject, CoreFailure>
    do throws(ThreadFailure) {
      outcome = try onThread { Children.shared.start { spawn(&step) } }
    } catch {
      throw failure(error.status, .MUSTER_PROCESS_STEP_PREPARE)
    }
    switch outcome {
    case .success(let object): return object
    case .failure(let error): throw failure(error.status, step)
    }
  }

  private func spawn(_ step: inout muster_process_step) -> (Int32, muster_process) {
    var process = muster_process()
    let status = descriptors.withUnsafeBufferPointer { descriptors in
      limits.withUnsafeBufferPointer { limits in
        var options = options
        options.descriptors = descriptors.baseAddress
        options.descriptors_count = UInt32(clamping: descriptors.count)
        options.limits = limits.baseAddress
        options.limits_count = UInt32(clamping: limits.count)
        return muster_process_spawn(&options, &process, &step)
      }
    }
    return (status, process)
  }

  /// The kernel's tie is to a thread.
  private func onThread<Value>(_ body: () -> Value) throws(ThreadFailure) -> Value {
    guard configuration.tie == .child else { return body() }
    guard configuration.keepsSignals else { return try Keeper.starter.run(body) }
    var mask = sigset_t()
    pthread_sigmask(SIG_SETMASK, nil, &mask)
    return try Keeper.starter.run {
      var own = sigset_t()
      pthread_sigmask(SIG_SETMASK, &mask, &own)
      defer { pthread_sigmask(SIG_SETMASK, &own, nil) }
      return body()
    }
  }

  // MARK: Options

  private mutating func setProgram() {
    let name = Array(configuration.program.subject.utf8)
    switch configuration.program {
    case .path(let path): options.path = strings.add(path)
    case .named(let name):
      options.path = strings.add(Array(name.utf8))
      add(.MUSTER_PROCESS_SEARCH)
    case .descriptor(let descriptor): options.program = descriptor.rawValue
    }
    let first = configuration.name.map { Array($0.utf8) } ?? name
    options.arguments = strings.add([first] + configuration.arguments.bytes)
    if let environment = entries() { options.environment = strings.add(environment) }
    if let folder = configuration.folder { options.folder = strings.add(folder) }
  }

  private mutating func setSurroundings() {
    options.streams = (stream(configuration.input), stream(configuration.output), stream(configuration.error))
    descriptors = configuration.descriptors.sorted { $0.key < $1.key }.map {
      muster_process_descriptor(from: $0.value.rawValue, to: $0.key)
    }
    limits = configuration.limits.map {
      muster_process_limit(resource: $0.resource.rawValue, reserved: 0, soft: $0.soft ?? .max, hard: $0.hard ?? .max)
    }
    options.nice = configuration.niceness
    switch configuration.group {
    case .inherited: break
    case .own: add(.MUSTER_PROCESS_GROUP)
    case .ownSession: add(.MUSTER_PROCESS_SESSION)
    // 0 is none to C.
    case .existing(let group): options.group = group > 0 ? group : -1
    }
    switch configuration.tie {
    case .nothing: break
    case .child: add(.MUSTER_PROCESS_TIE_THREAD)
    case .tree: add(.MUSTER_PROCESS_GUARD)
    }
    switch configuration.readiness {
    case .none: break
    case .socket: options.readiness = muster_process_readiness.MUSTER_PROCESS_READY_SOCKET.rawValue
    case .line(let descriptor):
      options.readiness = muster_process_readiness.MUSTER_PROCESS_READY_LINE.rawValue
      options.ready_descriptor = descriptor
    }
    if let umask = configuration.umask {
      options.umask = UInt32(umask.rawValue)
      add(.MUSTER_PROCESS_UMASK)
    }
    if configuration.hasCgroup { add(.MUSTER_PROCESS_CGROUP) }
    if configuration.keepsDescriptors { add(.MUSTER_PROCESS_KEEP_DESCRIPTORS) }
    if configuration.keepsSignals { add(.MUSTER_PROCESS_KEEP_SIGNALS) }
    if !configuration.isMarked { add(.MUSTER_PROCESS_NO_COOKIE) }
  }

  private mutating func add(_ flag: muster_process_flags) { options.flags |= UInt32(flag.rawValue) }

  private func stream(_ stream: ChildProcess.Stream) -> muster_process_stream {
    let (kind, descriptor): (muster_process_stream_kind, Int32) =
      switch stream {
      case .inherited: (.MUSTER_PROCESS_STREAM_INHERIT, 0)
      case .null: (.MUSTER_PROCESS_STREAM_NULL, 0)
      case .descriptor(let descriptor): (.MUSTER_PROCESS_STREAM_DESCRIPTOR, descriptor.rawValue)
      case .closed: (.MUSTER_PROCESS_STREAM_CLOSED, 0)
      }
    return muster_process_stream(kind: kind.rawValue, descriptor: descriptor)
  }

  /// `nil`: this process's as it is.
  private func entries() -> [[UInt8]]? {
    func pairs(_ variables: [String: String]) -> [[UInt8]] { variables.map { Array("\($0.key)=\($0.value)".utf8) } }
    switch configuration.environment {
    case .inherited: return nil
    case .entries(let entries): return entries
    case .exactly(let variables): return pairs(variables)
    case .changed(let changes):
      let names = changes.keys.map { Array("\($0)=".utf8) }
      let kept = Self.ownEnvironment().filter { entry in !names.contains { entry.starts(with: $0) } }
      return kept + pairs(changes.compactMapValues { $0 })
    }
  }

  private static func ownEnvironment() -> [[UInt8]] {
    var entries: [[UInt8]] = []
    let first: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = environ
    guard var at = first else { return [] }
    while let entry = at.pointee {
      entries.append(Array(UnsafeRawBufferPointer(start: entry, count: strlen(entry))))
      at += 1
    }
    return entries
  }

  // MARK: Errors

  private func failure(_ status: Int32, _ step: muster_process_step) -> ProcessError {
    let step = ChildProcess.Step(step) ?? .prepare
    let operation = step.attempt(folder: configuration.folder)
    // That a descriptor is not open is said of it, and of nothing else.
    let reason = step == .prepare && status == EINVAL ? "a number that it was to be started with can't be" : nil
    return ProcessError(operation, configuration.program.subject, status: status, step: step, reason: reason)
  }
}

/// Strings for C, there as long as this is.
final class CStrings {
  private var strings: [UnsafeMutablePointer<CChar>] = []
  private var lists: [UnsafeMutablePointer<UnsafePointer<CChar>?>] = []
  private(set) var hasZero = false

  deinit {
    for string in strings { string.deallocate() }
    for list in lists { list.deallocate() }
  }

  func add(_ bytes: [UInt8]) -> UnsafePointer<CChar> {
    if bytes.contains(0) { hasZero = true }
    let string = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
    for (index, byte) in bytes.enumerated() { string[index] = CChar(bitPattern: byte) }
    string[bytes.count] = 0
    strings.append(string)
    return UnsafePointer(string)
  }

  func add(_ path: FilePath) -> UnsafePointer<CChar> {
    path.withPlatformString { add(Array(UnsafeRawBufferPointer(start: $0, count: strlen($0)))) }
  }

  /// With a null pointer behind the last.
  func add(_ all: [[UInt8]]) -> UnsafePointer<UnsafePointer<CChar>?> {
    let list = UnsafeMutablePointer<UnsafePointer<CChar>?>.allocate(capacity: all.count + 1)
    for (index, bytes) in all.enumerated() { (list + index).initialize(to: add(bytes)) }
    (list + all.count).initialize(to: nil)
    lists.append(list)
    return UnsafePointer(list)
  }
}
