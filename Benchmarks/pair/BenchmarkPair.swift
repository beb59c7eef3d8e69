// A process pair whose each step tells when it began; without arguments a program that rests: for Benchmarks/c/pair_takeover.c.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterSupervision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@main
struct BenchmarkPair {
  static func main() throws {
    let arguments = CommandLine.arguments
    while arguments.count == 1 { pause() }
    let file = open(arguments[2], O_RDWR | O_CLOEXEC)
    guard let board = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), board != MAP_FAILED else { exit(1) }
    close(file)
    var options = ProcessPairOptions()
    options.period = .milliseconds(Int64(arguments[3]) ?? 100)
    options.takeovers = 32
    options.takeoverWindow = .milliseconds(1)
    let pair = ProcessPair(arguments[1], initial: UInt64(0), output: NoProcessPairOutput(), options: options)
    _ = try pair.run { count, step in
      var now = timespec()
      clock_gettime(CLOCK_MONOTONIC, &now)
      board.storeBytes(of: Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec), as: Int64.self)
      count += 1
      return .stepAfter(.seconds(3600))
    }
  }
}
