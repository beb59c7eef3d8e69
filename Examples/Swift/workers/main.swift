// Workers that share a list of jobs and may die: workers NAME put [COUNT], workers NAME work [DIE-AT]
// Kill a worker and start another, or have several at once: every job is done. The last says what was given up.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A job. Number 7 can't be done by anybody.
struct Sum: Codable {
  var number: Int
  var addends: [Int]
}

struct TooMany: Error {}

let arguments = Array(CommandLine.arguments.dropFirst())
let name = arguments.first ?? "workers"
let number = arguments.dropFirst(2).first.flatMap { Int($0) }
let queue = try JobQueue(RegionName(name), jobSize: 256, jobs: 64, members: 8, attempts: 3)
if arguments.dropFirst().first == "put" {
  try await put(number ?? 10)
} else {
  try await work(dyingAt: number ?? 0)
}

func put(_ count: Int) async throws {
  for number in 1...count {
    // Where there is no room it waits for who works.
    try await queue.put(encoding: Sum(number: number, addends: Array(1...number)))
  }
  // Workers end when nothing is left, or could come back from one who dies.
  try queue.finish()
}

func work(dyingAt last: Int) async throws {
  var count = 0
  try await queue.forEach { job in
    let sum = try job.decoded(as: Sum.self)
    count += 1
    if count == last {
      // It was taken, and is not done: somebody else gets it.
      fflush(nil)
      kill(getpid(), SIGKILL)
    }
    if sum.number == 7 { throw TooMany() }
    print("sum \(sum.number) is \(sum.addends.reduce(0, +)), at attempt \(job.attempts + 1)")
  }
  for entry in try queue.entries(.aside) {
    print("given up after \(entry.attempts) attempts: \(String(decoding: entry.bytes, as: UTF8.self))")
  }
}
