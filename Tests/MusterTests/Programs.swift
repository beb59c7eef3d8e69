// Programs of the package that tests run.
// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A program that the package built, beside the test bundle.
func builtProgram(_ name: String) -> URL {
  // The runner may live elsewhere; the bundle is among its arguments, or is the program itself.
  let places =
    CommandLine.arguments.map { URL(filePath: $0) } + [URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()]
  for place in places {
    let candidate = place.deletingLastPathComponent().appending(path: name)
    if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
  }
  return URL(filePath: name)
}

/// What a program came to.
struct Ended: Sendable {
  /// The exit status; of one that was killed, the signal below 0.
  var status: Int32
  var output: String
}

/// Runs a program to its end. The task waits, no thread does; when it is cancelled, by the test's time limit, the
/// program is ended.
///
/// - Parameter output: where to put what it prints, for who wants to look at it meanwhile.
func run(_ program: URL, _ arguments: [String] = [], output: URL? = nil) async throws -> Ended {
  let file = output ?? FileManager.default.temporaryDirectory.appending(path: "muster-test-\(UUID().uuidString)")
  try Data().write(to: file)
  defer { try? FileManager.default.removeItem(at: file) }
  let handle = try FileHandle(forWritingTo: file)
  let process = Process()
  process.executableURL = program
  process.arguments = arguments
  process.standardInput = FileHandle.nullDevice
  process.standardOutput = handle
  process.standardError = handle
  let status: Int32 = try await withTaskCancellationHandler {
    try await withCheckedThrowingContinuation { continuation in
      process.terminationHandler = {
        continuation.resume(
          returning: $0.terminationReason == .uncaughtSignal ? -$0.terminationStatus : $0.terminationStatus)
      }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
  } onCancel: {
    process.terminate()
  }
  return Ended(status: status, output: try String(decoding: Data(contentsOf: file), as: UTF8.self))
}
