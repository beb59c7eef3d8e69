// What a process may give back of its memory, and what it may not.
// SPDX-License-Identifier: Apache-2.0
import CMusterSystem
import SystemPackage
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("Giving back pages of code")
struct LightenTests {
  private static let constant: StaticString = "a constant of this program, which no other has"

  /// In KiB: pages of files in this process's memory.
  private func filePages() throws -> Int {
    let file = try FileDescriptor.open("/proc/self/status", .readOnly)
    defer { try? file.close() }
    let text = try String(unsafeUninitializedCapacity: 8192) { try file.read(into: UnsafeMutableRawBufferPointer($0)) }
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("RssFile:") })
    return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
  }

  @Test("Clean pages go, and come back; one that was written to, as a debugger does, stays as it is")
  func pages() throws {
    try clean()
    try written()
  }

  private func clean() throws {
    let before = try filePages()
    #expect(muster_lighten() > 0)
    // What goes on meanwhile, this test among it, needs some of them again at once.
    #expect(try filePages() < before)
    #expect(Self.constant.utf8Start.pointee == UInt8(ascii: "a"))
  }

  private func allowWriting(_ page: UnsafeMutableRawPointer, _ size: UInt, _ isAllowed: Bool) -> Bool {
    // Constants may lie beside code.
    mprotect(page, Int(size), PROT_READ | PROT_EXEC | (isAllowed ? PROT_WRITE : 0)) == 0
  }

  private func written() throws {
    let size = UInt(sysconf(Int32(_SC_PAGESIZE)))
    let start = UnsafeMutablePointer(mutating: Self.constant.utf8Start)
    let page = try #require(UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: start) & ~(size - 1)))
    try #require(allowWriting(page, size, true))
    start.pointee = UInt8(ascii: "A")
    try #require(allowWriting(page, size, false))
    _ = muster_lighten()
    #expect(start.pointee == UInt8(ascii: "A"))
    try #require(allowWriting(page, size, true))
    start.pointee = UInt8(ascii: "a")
    try #require(allowWriting(page, size, false))
  }
}
