// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage
import Testing

@testable import MusterSupervision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("A file that has each output once")
struct FileOutputTests {
  func withFolder(_ body: (FilePath) throws -> Void) throws {
    var template = Array("/tmp/muster-output-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
    }
    let folder = try #require(made)
    defer {
      unlink(folder + "/out")
      rmdir(folder)
    }
    try body(FilePath(folder + "/out"))
  }

  func emission(_ step: UInt64, _ position: UInt64) -> ProcessPairEmission {
    ProcessPairEmission(step: step, epoch: 1, position: position, isDoubtful: true)
  }

  func contents(_ path: FilePath) throws -> String {
    let file = try FileDescriptor.open(path, .readOnly)
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  func append(_ text: String, _ path: FilePath) throws {
    let file = try FileDescriptor.open(path, .writeOnly, options: [.append])
    defer { try? file.close() }
    _ = try file.writeAll(text.utf8)
  }

  @Test("What is out is told, and is not written again")
  func isOut() throws {
    try withFolder { path in
      var output = try FileOutput(path)
      #expect(try output.isEmpty && output.position() == 0)
      try output.emit("one\n".utf8.span.bytes, emission(1, 0))
      let position = try output.position()
      try output.emit("two\n".utf8.span.bytes, emission(2, position))
      var successor = try FileOutput(path)
      try successor.lead(epoch: 2)
      #expect(try successor.contains("two\n".utf8.span.bytes, emission(2, position)) == true)
      #expect(try contents(path) == "one\ntwo\n")
    }
  }

  @Test("A write that was cut is dropped, at each length", arguments: 0..<4)
  func torn(length: Int) throws {
    try withFolder { path in
      var output = try FileOutput(path, isDurable: true)
      try output.emit("one\n".utf8.span.bytes, emission(1, 0))
      try append(String("two\n".prefix(length)), path)
      var successor = try FileOutput(path, isDurable: true)
      try successor.lead(epoch: 2)
      #expect(try successor.contains("two\n".utf8.span.bytes, emission(2, 4)) == false)
      try successor.emit("two\n".utf8.span.bytes, emission(2, 4))
      #expect(try contents(path) == "one\ntwo\n")
    }
  }

  @Test("A backup that has opened it before the primary wrote finds what it wrote")
  func openedBefore() throws {
    try withFolder { path in
      var backup = try FileOutput(path)
      var primary = try FileOutput(path)
      try primary.emit("one\n".utf8.span.bytes, emission(1, 0))
      try backup.lead(epoch: 2)
      #expect(try backup.position() == 4)
      try backup.emit("two\n".utf8.span.bytes, emission(2, 4))
      #expect(try contents(path) == "one\ntwo\n")
    }
  }

  @Test("What somebody else wrote or cut is an error, and stays as it is")
  func foreign() throws {
    try withFolder { path in
      var output = try FileOutput(path)
      try output.emit("one\n".utf8.span.bytes, emission(1, 0))
      try append("else", path)
      try output.lead(epoch: 2)
      #expect(throws: FileOutput.Failure.self) { try output.contains("two\n".utf8.span.bytes, emission(2, 4)) }
      #expect(throws: FileOutput.Failure.self) { try output.contains("nine\n".utf8.span.bytes, emission(9, 99)) }
      #expect(try contents(path) == "one\nelse")
    }
  }

  @Test(
    "What somebody else writes or cuts while it is at work is told before the next output, and not written over",
    arguments: [true, false])
  func foreignMeanwhile(isCut: Bool) throws {
    try withFolder { path in
      var output = try FileOutput(path)
      try output.emit("one\n".utf8.span.bytes, emission(1, 0))
      if isCut { #expect(truncate(path.string, 2) == 0) } else { try append("else\n", path) }
      #expect(throws: FileOutput.Failure.self) { try output.position() }
      var successor = try FileOutput(path)
      try successor.lead(epoch: 2)
      let position = try successor.position()
      #expect(position == (isCut ? 2 : 9))
      try successor.emit("two\n".utf8.span.bytes, emission(2, position))
      #expect(try contents(path) == (isCut ? "ontwo\n" : "one\nelse\ntwo\n"))
    }
  }

  @Test("What is no regular file is refused")
  func noFile() {
    #expect(throws: FileOutput.Failure.self) { try FileOutput("/dev/null") }
    #expect(throws: Errno.noSuchFileOrDirectory) { try FileOutput("/nonexistent/x") }
  }
}

@Suite("A pipe, which can't be asked")
struct DescriptorOutputTests {
  func written(_ output: (FileDescriptor) -> DescriptorOutput, isDoubtful: Bool) throws -> String {
    let ends = try FileDescriptor.pipe()
    defer { for end in [ends.readEnd, ends.writeEnd] { try? end.close() } }
    var output = output(ends.writeEnd)
    let emission = ProcessPairEmission(step: 7, epoch: 2, position: 0, isDoubtful: isDoubtful)
    #expect(output.contains("seven\n".utf8.span.bytes, emission) == nil)
    try output.emit("seven\n".utf8.span.bytes, emission)
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = try bytes.withUnsafeMutableBytes { try ends.readEnd.read(into: $0) }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  @Test("What may come again has a mark with its number before it, or the one that was asked for")
  func mark() throws {
    #expect(try written({ DescriptorOutput($0) }, isDoubtful: false) == "seven\n")
    #expect(try written({ DescriptorOutput($0) }, isDoubtful: true) == "(again? step 7) seven\n")
    #expect(try written({ DescriptorOutput($0, mark: { _ in "" }) }, isDoubtful: true) == "seven\n")
  }

  @Test("One that does not block is waited for", .timeLimit(.minutes(1)))
  func nonBlocking() async throws {
    let ends = try FileDescriptor.pipe()
    defer { for end in [ends.readEnd, ends.writeEnd] { try? end.close() } }
    for end in [ends.readEnd, ends.writeEnd] { #expect(fcntl(end.rawValue, F_SETFL, O_NONBLOCK) == 0) }
    let length = 300_000
    async let written: String = withCheckedContinuation { continuation in
      Thread.detachNewThread {
        var output = DescriptorOutput(ends.writeEnd)
        let emission = ProcessPairEmission(step: 7, epoch: 2, position: 0, isDoubtful: false)
        let bytes = [UInt8](repeating: 7, count: length)
        let result = Result { try output.emit(bytes.span.bytes, emission) }
        // What was not written is not to be waited for.
        if case .failure = result { try? ends.writeEnd.close() }
        continuation.resume(returning: "\(result)")
      }
    }
    var count = 0
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while count < length {
      guard let more = try? buffer.withUnsafeMutableBytes({ try ends.readEnd.read(into: $0) }) else {
        try await Task.sleep(for: .milliseconds(1))
        continue
      }
      guard more > 0 else { break }
      count += more
    }
    #expect(await written == "success()")
    #expect(count == length)
  }
}
