// Who is in a process group, by /proc.
// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum PairGroup {
  static func members(of group: Int32) -> [Int32] {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var all: [Int32] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if let pid = Int32(name), isLiving(pid, in: group) { all.append(pid) }
    }
    return all
  }

  static func signal(_ group: Int32, _ number: Int32) { if group > 1 { _ = kill(-group, number) } }

  /// Whether a process has it.
  static func isNumber(_ pid: Int32) -> Bool { pid > 0 && (kill(pid, 0) == 0 || errno == EPERM) }

  /// Whether there is anybody, dead ones that nobody has reaped included.
  static func exists(_ group: Int32) -> Bool { kill(-group, 0) == 0 || errno == EPERM }

  // "PID (NAME) STATE PARENT GROUP ...": a name may have any bytes, brackets among them.
  private static func isLiving(_ pid: Int32, in group: Int32) -> Bool {
    guard let file = fopen("/proc/\(pid)/stat", "re") else { return false }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 512)
    let count = fread(&bytes, 1, bytes.count, file)
    guard let end = bytes[..<count].lastIndex(of: UInt8(ascii: ")")) else { return false }
    let fields = bytes[(end + 1)..<count].split(separator: UInt8(ascii: " "), maxSplits: 3)
    guard fields.count > 2, let state = fields[0].first else { return false }
    return !"ZX".utf8.contains(state) && Int32(String(decoding: fields[2], as: UTF8.self)) == group
  }
}
