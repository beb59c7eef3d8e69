// What the tests share.
// SPDX-License-Identifier: Apache-2.0
import Muster
import Synchronization
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private let counter = Atomic<Int>(0)

/// A name that no other test, and no other run, uses.
func freshName(_ what: String = #function) -> String {
  let letters = what.prefix { $0.isLetter }
  return "muster-test-\(getpid())-\(counter.add(1, ordering: .relaxed).newValue)-\(letters)"
}

/// Lends a fresh name to a test, and removes what it left there.
func withName(_ what: String = #function, _ body: (String) async throws -> Void) async throws {
  let name = freshName(what)
  defer { try? Region.remove(RegionName(name), force: true) }
  try await body(name)
}

/// A folder for one test.
func withFolder(_ body: (FilePath) async throws -> Void) async throws {
  var template = Array("/tmp/muster-test-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
  let folder = FilePath(String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
  defer { removeAll(in: folder) }
  try await body(folder)
}

private func removeAll(in folder: FilePath) {
  if let directory = opendir(folder.string) {
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != "." && name != ".." { unlink(folder.appending(name).string) }
    }
    closedir(directory)
  }
  rmdir(folder.string)
}

private final class Start: Sendable {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs what blocks on a thread of its own, so that no thread of the cooperative pool does.
func blocking<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
  await withCheckedContinuation { continuation in
    let start = Unmanaged.passRetained(Start { continuation.resume(returning: body()) })
    var thread = pthread_t()
    let main: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
      Unmanaged<Start>.fromOpaque(context!).takeRetainedValue().body()
      return nil
    }
    precondition(pthread_create(&thread, nil, main, start.toOpaque()) == 0)
    pthread_detach(thread)
  }
}

/// The same for what throws.
func blocking<Result: Sendable, Failure: Error>(
  _ body: @escaping @Sendable () throws(Failure) -> Result
) async throws(Failure) -> Result {
  let outcome: Swift.Result<Result, Failure> = await blocking {
    do throws(Failure) {
      return .success(try body())
    } catch {
      return .failure(error)
    }
  }
  return try outcome.get()
}

/// Looks again and again until it is so. What is waited for happens in another thread or process that gives no sign; a
/// test that waits in vain is ended by its time limit.
func eventually(_ isSo: () throws -> Bool) async throws {
  while try !isSo() { try await Task.sleep(for: .milliseconds(2)) }
}

/// A number that closures on any thread may add to.
final class Count: Sendable {
  private let stored = Atomic<Int>(0)
  var value: Int { stored.load(ordering: .sequentiallyConsistent) }

  @discardableResult
  func add(_ step: Int = 1) -> Int { stored.add(step, ordering: .sequentiallyConsistent).newValue }
}
