// What the tests of processes share.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A script for the shell. What it starts last it should `exec`: a shell blocks signals around what it forks.
func shell(_ script: String, arguments: [String] = []) -> ChildProcess.Configuration {
  var configuration = ChildProcess.Configuration(
    .path("/bin/sh"), arguments: ChildProcess.Arguments(["-c", script, "sh"] + arguments))
  configuration.input = .null
  return configuration
}

/// Starts a program and gives what it wrote to standard output, with how it ended. It writes less than a pipe takes.
func output(of configuration: ChildProcess.Configuration) async throws -> (text: String, end: ProcessEnd.Cause) {
  let (reading, writing) = try pipe()
  defer { try? reading.close() }
  var configuration = configuration
  configuration.output = .descriptor(writing)
  let child: ChildProcess
  do {
    defer { try? writing.close() }
    child = try ChildProcess(configuration)
  }
  let end = try await child.waitForEnd()
  return (String(decoding: try readAll(reading), as: UTF8.self), end.cause)
}

/// Close-on-exec: what another test starts at the same time, by other means, must not hold it open.
func pipe() throws -> (reading: FileDescriptor, writing: FileDescriptor) {
  let (reading, writing) = try FileDescriptor.pipe()
  for end in [reading, writing] { _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) }
  return (reading, writing)
}

func readAll(_ descriptor: FileDescriptor) throws -> [UInt8] {
  var all: [UInt8] = []
  var some = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = try some.withUnsafeMutableBytes { try descriptor.read(into: $0) }
    if count == 0 { return all }
    all += some.prefix(count)
  }
}

/// The error that starting it throws.
func startError(_ configuration: ChildProcess.Configuration) -> ProcessError? {
  do throws(ProcessError) {
    try ChildProcess(configuration).close()
    return nil
  } catch {
    return error
  }
}

/// The error that a wait throws.
func processError(_ body: () async throws(ProcessError) -> Void) async -> ProcessError? {
  do throws(ProcessError) {
    try await body()
    return nil
  } catch {
    return error
  }
}

func readAllAndClose(_ descriptor: FileDescriptor) throws -> [UInt8] {
  try descriptor.closeAfter { try readAll(descriptor) }
}

func names(in folder: String) -> [String] {
  guard let directory = opendir(folder) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    if name != "." && name != ".." { names.append(name) }
  }
  return names
}

/// The children of all threads of this process.
func childNumbers() -> [Int32] {
  names(in: "/proc/self/task").flatMap { thread in
    let file = try? FileDescriptor.open(FilePath("/proc/self/task/\(thread)/children"), .readOnly)
    let text = file.flatMap { try? readAllAndClose($0) } ?? []
    return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
  }
}

/// How many pidfds, sockets, pipes and files are open, of which the runtime opens none. (Its timers come and stay.)
func heldDescriptors() -> Int {
  names(in: "/proc/self/fd").count { name in
    var target = [CChar](repeating: 0, count: 256)
    let length = readlink("/proc/self/fd/\(name)", &target, target.count - 1)
    let kind = target.prefix(max(0, length)).map { UInt8(bitPattern: $0) }
    return length > 0
      && !["event", "timer"].contains { String(decoding: kind, as: UTF8.self).hasPrefix("anon_inode:[\($0)") }
  }
}

/// The seed of a random test, which it prints: MUSTER_TEST_SEED, or another each time.
func testSeed(_ test: String = #function) -> UInt64 {
  let given = getenv("MUSTER_TEST_SEED").flatMap { UInt64(String(cString: $0)) }
  let seed = given ?? UInt64.random(in: 0..<(1 << 32))
  print("\(test): MUSTER_TEST_SEED=\(seed)")
  return seed
}

/// Numbers that a seed decides (SplitMix64).
struct Random: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
