// SPDX-License-Identifier: Apache-2.0
import Subprocess
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

/// One of the package's programs, run as a user runs it: its own process, arguments, pipes, an exit status.
struct Program: Sendable {
  struct Outcome: Sendable {
    /// The exit status; nil when a signal ended it.
    var status: Int32?
    var signal: Int32?
    var output: String
    var errors: String

    var errorLines: [Substring] { errors.split(separator: "\n") }

    func json<Value: Decodable>(_ type: Value.Type) throws -> Value {
      try JSONDecoder().decode(type, from: Data(output.utf8))
    }
  }

  static let counter = Program(path: directory + "/counter")
  static let mpbarrier = Program(path: directory + "/mpbarrier")
  static let muster = Program(path: directory + "/muster")
  /// What dies for the tests.
  static let peer = Program(path: directory + "/muster-peer")
  /// What runs roots for them.
  static let rootPeer = Program(path: directory + "/muster-root-peer")

  /// So long may a program take on a busy machine until it is taken for hung, and killed.
  static let patience = Duration.seconds(90)

  let path: String

  /// Where the build has put programs and tests: beside each other.
  private static let directory: String = {
    let candidates =
      CommandLine.arguments + [(try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""]
    let folders = candidates.filter { $0.contains("/") }.map {
      $0.split(separator: "/").dropLast().joined(separator: "/")
    }
    return folders.map { "/" + $0 }.first { access($0 + "/mpbarrier", X_OK) == 0 } ?? ".build/debug"
  }()

  /// Runs it to its end. `meanwhile` is called with its process id once it runs.
  func run(
    _ arguments: String..., environment: [String: String] = [:],
    meanwhile: @escaping @Sendable (Int32) async throws -> Void = { _ in }
  ) async throws -> Outcome {
    try await run(arguments, environment: environment, meanwhile: meanwhile)
  }

  func run(
    _ arguments: [String], environment: [String: String] = [:],
    meanwhile: @escaping @Sendable (Int32) async throws -> Void = { _ in }
  ) async throws -> Outcome {
    var variables: [Environment.Key: String?] = ["LANG": "C.UTF-8", "LC_ALL": nil, "COLUMNS": nil, "NO_COLOR": nil]
    for (key, value) in environment { variables[Environment.Key(stringLiteral: key)] = value }
    let configuration = Configuration(
      executable: .path(FilePath(path)), arguments: Arguments(arguments), environment: .inherit.updating(variables))
    return try await withThrowingTaskGroup(of: Outcome?.self) { group in
      group.addTask {
        let result = try await Subprocess.run(
          configuration, input: .none, output: .string(limit: 16 << 20), error: .string(limit: 1 << 20)
        ) { execution in try await meanwhile(execution.processIdentifier.value) }
        var outcome = Outcome(output: result.standardOutput, errors: result.standardError)
        switch result.terminationStatus {
        case .exited(let status): outcome.status = status
        case .signaled(let signal): outcome.signal = signal
        }
        return outcome
      }
      group.addTask {
        try await Task.sleep(for: Self.patience)
        return nil
      }
      defer { group.cancelAll() }
      guard let first = try await group.next(), let outcome = first else {
        throw Hung(description: "\(path) \(arguments.joined(separator: " ")) did not end")
      }
      return outcome
    }
  }
}

struct Hung: Error, CustomStringConvertible {
  var description: String
}

/// A name in shared memory of this test alone.
func testName(_ purpose: String) -> String {
  "cli-test-\(getpid())-\(purpose)"
}

/// What lies in shared memory under names that begin so.
func regions(_ prefix: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: "/dev/shm")) ?? []).filter { $0.hasPrefix(prefix) }.sorted()
}

/// The processes, zombies left out, that have the word among their arguments.
func processes(with word: String) -> [Int32] {
  let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
  return all.compactMap { Int32($0) }.filter { process in
    guard process != getpid(), let data = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") else {
      return false
    }
    return data.split(separator: 0).contains { $0.elementsEqual(word.utf8) }
  }
}

/// Looks until it is so, or patience ends.
func eventually(_ condition: @Sendable () async throws -> Bool) async throws -> Bool {
  let end = ContinuousClock.now + Program.patience
  while ContinuousClock.now < end {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(10))
  }
  return false
}

/// Expects it to be so before patience ends.
func expectEventually(
  sourceLocation: SourceLocation = #_sourceLocation, _ condition: @Sendable () async throws -> Bool
) async throws {
  let isSo = try await eventually(condition)
  #expect(isSo, sourceLocation: sourceLocation)
}

/// That neither a worker nor a region of the name is left.
func expectNothingLeft(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(regions(name) == [], sourceLocation: sourceLocation)
  #expect(processes(with: name) == [], sourceLocation: sourceLocation)
}
