// SPDX-License-Identifier: Apache-2.0
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The limit of open files (RLIMIT_NOFILE), which watching hundreds of workers comes near: 1024 is usual.
enum FileLimit {
  /// A worker's pidfd, its standard error's pipe, /dev/null, and what starting it takes for a moment.
  private static let perWorker: UInt64 = 6
  private static let others: UInt64 = 64

  static func needed(workers: Int) -> UInt64 { UInt64(workers) * perWorker + others }

  /// Raises the limit as far as the workers need and the system allows.
  static func makeRoom(workers: Int) throws(CommandFailure) {
    #if canImport(Glibc)
      let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let resource = RLIMIT_NOFILE
    #endif
    let needed = needed(workers: workers)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0, limit.rlim_cur < needed else { return }
    limit.rlim_cur = min(rlim_t(needed), limit.rlim_max)
    guard setrlimit(resource, &limit) == 0, limit.rlim_cur >= needed else {
      throw CommandFailure(
        "\(count(workers, "worker")) need \(needed) open files, and \(limit.rlim_max) are the most here (ulimit -Hn)")
    }
  }
}
