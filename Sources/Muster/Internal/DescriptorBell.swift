// A descriptor at which a thread sleeps, among others, until another rings.
// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A ring makes the descriptor readable until it is heard. Who hears, then looks for work, then sleeps at the descriptor
/// misses no ring: one before the hearing belongs to work that the look finds, one after it ends the sleep at once.
///
/// A pair of sockets: what Linux has for this, eventfd(2), Swift's view of libc lacks.
final class DescriptorBell: Bell {
  let descriptor: Int32
  private let other: Int32

  /// - Throws: what the system said: too many open files.
  init() throws(CoreFailure) {
    var ends: [Int32] = [-1, -1]
    #if canImport(Glibc)
      let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    #else
      let kind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK
    #endif
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw CoreFailure(status: errno) }
    descriptor = ends[0]
    other = ends[1]
  }

  deinit {
    close(descriptor)
    close(other)
  }

  /// A socket that takes no more is readable.
  func ring() {
    var one: UInt8 = 1
    _ = send(other, &one, 1, Int32(MSG_NOSIGNAL))
  }

  func hear() {
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { bytes in
      while recv(descriptor, bytes.baseAddress, bytes.count, 0) == bytes.count {}
    }
  }
}
