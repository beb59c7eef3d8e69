// SPDX-License-Identifier: Apache-2.0
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The processes of some process groups, as /proc shows them; zombies are dead, and don't count.
package struct Crowd {
  private struct Seen: Hashable {
    var pid: Int32
    var start: UInt64
  }

  private var groups: Set<Int32> = []
  private var last: Set<Seen> = []
  /// The most that were there at one moment.
  package private(set) var most = 0
  private var isLooked = false

  package init() {}

  package var isEmpty: Bool { isLooked && last.isEmpty }

  package mutating func add(group: Int32) {
    groups.insert(group)
    isLooked = false
  }

  /// One look at /proc takes time: who was seen first may be dead when the last one is started. Who is seen by two looks in a row was there
  /// between them, together with all the others of whom that is so.
  package mutating func look() {
    let first = all()
    last = first.count > 2 ? first.intersection(all()) : first
    most = max(most, last.count)
    isLooked = true
  }

  func signalAll(_ number: Int32) {
    for seen in last { kill(seen.pid, number) }
  }

  package func killAll() { for seen in all() { kill(seen.pid, SIGKILL) } }

  private func all() -> Set<Seen> {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var found: Set<Seen> = []
    while let entry = readdir(folder) {
      let pid = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { Int32(String(cString: $0)) }
      }
      if let pid, getpgid(pid) >= 0, groups.contains(getpgid(pid)), let seen = Self.living(pid) { found.insert(seen) }
    }
    return found
  }

  private static func living(_ pid: Int32) -> Seen? {
    guard let file = try? FileDescriptor.open("/proc/\(pid)/stat", .readOnly) else { return nil }
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: 1024)
    guard let count = try? bytes.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 else { return nil }
    // The name, in brackets, may hold anything.
    let text = String(decoding: bytes[..<count], as: UTF8.self)
    guard let bracket = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: bracket)...].split(separator: " ")
    guard fields.count > 19, !["Z", "X"].contains(fields[0]), let start = UInt64(fields[19]) else { return nil }
    return Seen(pid: pid, start: start)
  }
}
