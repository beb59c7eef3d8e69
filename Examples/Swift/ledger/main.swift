// Two accounts whose sum never changes: ledger NAME [die]. One that is killed between taking and giving is told of to the
// next, which repairs from the note that each leaves before it begins.
// SPDX-License-Identifier: Apache-2.0
import Muster
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

let arguments = CommandLine.arguments.dropFirst()
let name = arguments.first ?? "ledger"
let dies = arguments.dropFirst().first == "die"
let mutex = try RobustMutex(name + "-lock")
// The two accounts, then what they were when the present move began.
let books = try Region(RegionName(name), size: 4 * 8, kind: "LEDG") { bytes in
  bytes.storeBytes(of: [1000, 0, 1000, 0], as: InlineArray<4, Int>.self)
}

func restore(after dead: DeadHolder) throws {
  try books.withUnsafeMutableBytes { bytes in
    let sums = bytes.bindMemory(to: Int.self)
    for account in 0..<2 { sums[account] = sums[account + 2] }
  }
  print("repaired what process", dead.pid ?? 0, "left half done")
}

func move(_ amount: Int) throws -> Int {
  try books.withUnsafeMutableBytes { bytes in
    let sums = bytes.bindMemory(to: Int.self)
    for account in 0..<2 { sums[account + 2] = sums[account] }
    // What a death leaves must not depend on what the compiler has put off.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    sums[0] -= amount
    if dies { kill(getpid(), SIGKILL) }
    sums[1] += amount
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    return sums[0] + sums[1]
  }
}

let sum = try await mutex.withLock(for: .seconds(20), repair: restore) { try move(7) }
print("the sum is", sum)
