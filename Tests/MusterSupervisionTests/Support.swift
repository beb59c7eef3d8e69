// What the tests of pairs share: a pair of processes in a folder of its own, of which nothing is left.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterSupervision
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A pair under test.
struct PairUnderTest: Sendable {
  let name: String
  let folder: String
  let executable: FilePath

  var output: String { folder + "/output" }
  var events: String { folder + "/events" }

  /// Starts it by hand, maybe through a line of shell. All of its processes write to one file of events.
  func start(_ arguments: [String] = [], through shell: String? = nil) throws -> ChildProcess {
    let file = try FileDescriptor.open(
      FilePath(events), .writeOnly, options: [.create, .append, .closeOnExec], permissions: [.ownerReadWrite])
    defer { try? file.close() }
    let all = [name, output] + arguments
    var configuration = ChildProcess.Configuration(
      .path(shell == nil ? executable : "/bin/sh"),
      arguments: ChildProcess.Arguments(shell.map { ["-c", $0, executable.string] + all } ?? all))
    configuration.error = .descriptor(file)
    configuration.output = .null
    configuration.group = .own
    return try ChildProcess(configuration)
  }

  func contents(_ path: String) -> String {
    guard let file = try? FileDescriptor.open(FilePath(path), .readOnly) else { return "" }
    defer { try? file.close() }
    var all: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 65536)
    while let count = try? bytes.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 {
      all.append(contentsOf: bytes[..<count])
    }
    return String(decoding: all, as: UTF8.self)
  }

  var numbers: [UInt64] { contents(output).split(separator: "\n").compactMap { UInt64($0) } }

  /// The output has each number from 1 to the last one once, in order.
  func expectCounted(to last: UInt64?, _ comment: String = "") {
    let numbers = numbers
    let wrong = numbers.indices.first { numbers[$0] != UInt64($0) + 1 }
    let around = wrong.map { numbers[max(0, $0 - 2)..<min(numbers.count, $0 + 3)] }
    #expect(wrong == nil, "at \(wrong ?? 0) of \(numbers.count): \(around.map { Array($0) } ?? []) \(comment)")
    if let last { #expect(numbers.last == last, "\(comment)") }
  }

  static func link(_ path: String) -> String {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func told(_ text: String) -> Int { contents(events).split(separator: "\n").count { $0.contains(text) } }

  func status() -> ProcessPairStatus? { try? ProcessPairObserver(name).status() }

  /// Its primary and backup, when both are there and known to each other; started by `revive` where nobody is left.
  func both(revive: () throws -> Void = {}) async throws -> (primary: Int32, backup: Int32) {
    var found: (Int32, Int32)?
    try await eventually("there are both") {
      if isEmpty { try revive() }
      guard let status = status(), let primary = status.primary, let backup = status.backup,
        status.primaryLife == .alive, status.backupLife == .alive, primary.mode == .working,
        backup.epoch == primary.epoch
      else { return false }
      found = (primary.identity.pid, backup.identity.pid)
      return true
    }
    return try #require(found)
  }

  /// Nobody of it is left.
  func gone() async throws {
    try await eventually("all have ended") { isEmpty }
  }

  /// One that is just being executed has no arguments for a moment: it may be of this pair, or of another.
  var isEmpty: Bool {
    processes().isEmpty
      && !allProcesses().contains {
        contents("/proc/\($0)/cmdline").isEmpty
          && FilePath(Self.link("/proc/\($0)/exe")).lastComponent == executable.lastComponent
      }
  }

  /// All of it, and who is just being started; one of them may have begun to take over meanwhile.
  func killAll() async throws {
    try await eventually("all are killed") {
      for process in processes() { kill(process, SIGKILL) }
      return isEmpty
    }
  }

  /// Its processes, by their arguments: zombies have none.
  func processes() -> [Int32] {
    allProcesses().filter {
      let arguments = contents("/proc/\($0)/cmdline").split(separator: "\0")
      return arguments.count > 1 && arguments[1] == name
    }
  }

  /// How many there are at one moment. One look at /proc takes time: who was seen first may be dead when the last one is started. Who is seen by
  /// two looks in a row was there between them, together with all the others of whom that is so.
  func countAtOnce() -> Int {
    let first = Set(processes())
    return first.count > 2 ? first.intersection(processes()).count : first.count
  }

  private func allProcesses() -> [Int32] {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var found: [Int32] = []
    while let entry = readdir(folder) {
      let text = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if let pid = Int32(text) { found.append(pid) }
    }
    return found
  }

  func eventually(_ what: String, _ isSo: () throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(40)
    while try !isSo() {
      guard ContinuousClock.now < deadline else {
        let states = processes().map { contents("/proc/\($0)/stat").prefix(40) + contents("/proc/\($0)/wchan") }
        Issue.record("not by the deadline: \(what); \(contents(events)); \(states)")
        throw CancellationError()
      }
      try await Task.sleep(for: .milliseconds(2))
    }
  }
}

func withPair(_ purpose: String, _ body: (PairUnderTest) async throws -> Void) async throws {
  var template = Array("/tmp/muster-pair-XXXXXX".utf8CString)
  let made = template.withUnsafeMutableBufferPointer { buffer in
    buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
  }
  let folder = try #require(made)
  let pair = PairUnderTest(
    name: "pair-test-\(getpid())-\(purpose)", folder: folder,
    executable: builtPeer())
  var failure: (any Error)?
  do {
    try await body(pair)
    try await pair.gone()
    #expect(pair.status() == nil || purpose.hasPrefix("kept"), "its memory is left")
  } catch {
    failure = error
  }
  for process in pair.processes() { kill(process, SIGKILL) }
  try? Region.remove(RegionName(pair.name), force: true)
  unlink("/dev/shm/\(pair.name).alive")
  unlink("/dev/shm/\(pair.name).heartbeat")
  removeAll(folder)
  if let failure { throw failure }
}

/// Beside the bundle of the tests, which is among the runner's arguments, or the runner.
private func builtPeer() -> FilePath {
  let places = CommandLine.arguments + [PairUnderTest.link("/proc/self/exe")]
  let candidates = places.map { FilePath($0).removingLastComponent().appending("muster-pair-peer") }
  return candidates.first { access($0.string, X_OK) == 0 } ?? "muster-pair-peer"
}

private func removeAll(_ folder: String) {
  if let entries = opendir(folder) {
    while let entry = readdir(entries) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { unlink("\(folder)/\(name)") }
    }
    closedir(entries)
  }
  rmdir(folder)
}
