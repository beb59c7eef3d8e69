// How a backup is started: what it has of its primary, and what is told when it can't be.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage
import Testing

@testable import MusterSupervision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("A backup's start", .serialized, .timeLimit(.minutes(3)))
struct PairStartTests {
  private func end(_ pair: PairUnderTest, _ first: ChildProcess) async throws {
    kill(try await pair.both().primary, SIGTERM)
    _ = try await first.waitForEnd()
    try await pair.gone()
  }

  private func bytes(_ path: String) throws -> [UInt8] {
    let file = try FileDescriptor.open(FilePath(path), .readOnly)
    defer { try? file.close() }
    return try [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
      count = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
    }
  }

  private func entries(_ path: String) throws -> Set<[UInt8]> {
    Set(try bytes(path).split(separator: 0).map { Array($0) })
  }

  private func line(_ name: String, of pid: Int32, _ pair: PairUnderTest) -> Substring? {
    pair.contents("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix(name + ":") }
  }

  @Test("It has its primary's arguments and environment to the byte, and ignores the same signals")
  func inherits() async throws {
    try await withPair("inherits") { pair in
      let first = try pair.start(
        ["pause=2", "to=100000"],
        through: "trap '' USR1; export ODD=$(printf 'a\\377b') && exec \"$0\" \"$@\" \"odd=$(printf '\\377')\"")
      var environment: Set<[UInt8]>?
      for _ in 0..<3 {
        let (primary, backup) = try await pair.both()
        #expect(try bytes("/proc/\(primary)/cmdline") == bytes("/proc/\(backup)/cmdline"))
        #expect(try bytes("/proc/\(primary)/cmdline").suffix(6) == Array("odd=".utf8) + [0xff, 0])
        let of = try entries("/proc/\(backup)/environ").filter { !$0.starts(with: "MUSTER_PAIR=".utf8) }
        #expect(of.contains(Array("ODD=a".utf8) + [0xff] + Array("b".utf8)))
        #expect(environment == nil || environment == of)
        environment = of
        for name in ["SigIgn", "SigBlk", "SigCgt"] {
          #expect(line(name, of: primary, pair) == line(name, of: backup, pair))
        }
        let ignored = try #require(line("SigIgn", of: backup, pair)?.split(separator: "\t").last)
        #expect(try #require(UInt64(ignored, radix: 16)) & 1 << (SIGUSR1 - 1) != 0)
        kill(primary, SIGKILL)
        try await pair.eventually("\(backup) leads") { pair.status()?.primary?.identity.pid == backup }
      }
      try await end(pair, first)
    }
  }

  @Test("A program that can't be executed any more is told by its error; once it can be, there is a backup again")
  func cannotBeExecuted() async throws {
    try await withPair("unexecutable") { pair in
      let copy = pair.folder + "/peer"
      let file = try FileDescriptor.open(
        FilePath(copy), .writeOnly, options: [.create, .closeOnExec], permissions: .ownerReadWriteExecute)
      try file.writeAll(try wholeFile(pair.executable))
      try file.close()
      let own = PairUnderTest(name: pair.name, folder: pair.folder, executable: FilePath(copy))
      let first = try own.start(["pause=2", "to=100000"])
      let (_, backup) = try await own.both()
      chmod(copy, 0o600)
      kill(backup, SIGKILL)
      try await own.eventually("it is told") { own.told("can't be started: permission denied (EACCES)") > 0 }
      chmod(copy, 0o700)
      try await end(own, first)
      own.expectCounted(to: nil)
    }
  }

  private func wholeFile(_ path: FilePath) throws -> [UInt8] {
    let file = try FileDescriptor.open(path, .readOnly)
    defer { try? file.close() }
    var all: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    while case let count = try bytes.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 {
      all.append(contentsOf: bytes[..<count])
    }
    return all
  }
}
