// Records that could not be written to their log.
// SPDX-License-Identifier: Apache-2.0
import Muster
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

enum LastResort {
  private static let counter = Atomic<Int>(0)
  static var count: Int { counter.load(ordering: .relaxed) }

  /// So much a pipe takes at once if it takes anything: PIPE_BUF.
  private static let most = 4096

  static func take(_ record: LogRecord, isShown: Bool) {
    counter.wrappingAdd(1, ordering: .relaxed)
    guard isShown else { return }
    var line = Array(record.formatted().utf8.prefix(most - 1))
    line.append(UInt8(ascii: "\n"))
    var ready = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    // Nor to a pipe that nobody reads from, which would be the end of the process.
    guard poll(&ready, 1, 0) == 1, ready.revents == Int16(POLLOUT) else { return }
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
