// SPDX-License-Identifier: Apache-2.0
import CounterKit
import Muster
import MusterSupervision
import SystemPackage
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A counter whose streams go to files: its first process may die, and those after it write on.
struct CounterRun: Sendable {
  let name: String
  let folder: FilePath

  var stateFile: FilePath { folder.appending("state") }
  var output: FilePath { folder.appending("output") }
  private var numbersFile: FilePath { folder.appending("numbers") }
  private var errorsFile: FilePath { folder.appending("errors") }

  /// A folder and a name of this test's alone, of which nothing is left after `body`.
  static func with(_ purpose: String, _ body: @Sendable (CounterRun) async throws -> Void) async throws {
    let name = testName(purpose)
    let run = CounterRun(name: name, folder: FilePath(FileManager.default.temporaryDirectory.path()).appending(name))
    try FileManager.default.createDirectory(atPath: run.folder.string, withIntermediateDirectories: false)
    do {
      try await body(run)
    } catch {
      try await run.clear()
      throw error
    }
    try await run.clear()
    expectNothingLeft(name)
  }

  /// Ends whoever is left.
  private func clear() async throws {
    try await expectEventually {
      let left = processes(with: name)
      for process in left { kill(process, SIGKILL) }
      return left.isEmpty
    }
    for region in regions(name) { unlink("/dev/shm/" + region) }
    try? FileManager.default.removeItem(atPath: folder.string)
  }

  /// Starts it by hand.
  func start(
    program: String = Program.counter.path, environment: [String: String] = [:], _ arguments: String...
  ) throws -> ChildProcess {
    var configuration = ChildProcess.Configuration(
      .path(FilePath(program)), arguments: ChildProcess.Arguments(["--name", name] + arguments))
    configuration.group = .own
    configuration.environment = .changed(environment.mapValues { Optional($0) })
    let numbers = try append(numbersFile)
    defer { try? numbers.close() }
    let errors = try append(errorsFile)
    defer { try? errors.close() }
    configuration.output = .descriptor(numbers)
    configuration.error = .descriptor(errors)
    return try ChildProcess(configuration)
  }

  private func append(_ path: FilePath) throws -> FileDescriptor {
    try FileDescriptor.open(path, .writeOnly, options: [.append, .create], permissions: .ownerReadWrite)
  }

  var numbers: String { Self.text(numbersFile) }
  var errors: String { Self.text(errorsFile) }
  var outputText: String { Self.text(output) }

  static func text(_ path: FilePath) -> String {
    FileManager.default.contents(atPath: path.string).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// What there is to be seen; `nil`: nothing yet.
  func status() -> ProcessPairStatus? {
    let observer =
      try? FileManager.default.fileExists(atPath: stateFile.string)
      ? ProcessPairObserver(stateFile: stateFile) : ProcessPairObserver(name)
    return try? observer?.status()
  }

  /// The two, when both are there and neither is one of `before`.
  func both(without before: Set<ProcessIdentity> = []) async throws -> (
    primary: ProcessIdentity, backup: ProcessIdentity
  ) {
    let isSo = try await eventually { pair(without: before) != nil }
    guard isSo, let pair = pair(without: before) else { throw Hung(description: "there was no whole pair:\n\(errors)") }
    return pair
  }

  private func pair(without before: Set<ProcessIdentity>) -> (primary: ProcessIdentity, backup: ProcessIdentity)? {
    guard let status = status(), status.primaryLife == .alive, status.backupLife == .alive,
      let primary = status.primary, let backup = status.backup, primary.mode == .working, backup.epoch == primary.epoch,
      !before.contains(primary.identity), !before.contains(backup.identity)
    else { return nil }
    return (primary.identity, backup.identity)
  }

  /// Until that many more steps are out.
  func moreSteps(_ count: UInt64 = 3) async throws {
    let before = status()?.emitted ?? 0
    try await expectEventually { (status()?.emitted ?? 0) >= before + count }
  }

  func signal(_ identity: ProcessIdentity, _ number: Int32) throws { try WatchedProcess(identity).signal(number) }

  /// Ends the pair on purpose, by one of its processes.
  func end(by identity: ProcessIdentity) async throws {
    try signal(identity, SIGTERM)
    try await expectEventually { processes(with: name).isEmpty }
  }
}

extension NumberTally {
  init(of text: String) {
    self.init()
    read(text.utf8)
    end()
  }

  /// Whether they are all numbers from 1, none left out, and none repeated without a mark or more often than that.
  func isWhole(repeats most: Int) -> Bool {
    garbled.isEmpty && skipped == 0 && unmarked == 0 && repeated <= most && last > 0
  }
}
