// Process pairs to be measured.
//
//   benchmark-pair NAME BOARD PERIOD-IN-MILLISECONDS    each step tells on the board when it began: for Benchmarks/c/pair_takeover.c
//   benchmark-pair                                      rests: for the same
//   benchmark-pair NAME steps SIZE BATCHES              prints the median nanoseconds of a step of 64 or 1024 bytes, of a save of as many by
//                                                       Swift's Checkpoint, and by C's
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
    guard arguments.count >= 4 else { usage() }
    guard arguments[2] == "steps" else { return try tellBeginnings(arguments) }
    guard arguments.count == 5, let batches = Int(arguments[4]), batches > 0 else { usage() }
    switch arguments[3] {
    case "64": try StepsBenchmark<State64>.run(arguments[1], batches: batches)
    case "1024": try StepsBenchmark<State1024>.run(arguments[1], batches: batches)
    default: usage()
    }
  }

  private static func usage() -> Never {
    print("usage: benchmark-pair NAME BOARD PERIOD | benchmark-pair NAME steps 64|1024 BATCHES")
    exit(2)
  }

  private static func tellBeginnings(_ arguments: [String]) throws {
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
