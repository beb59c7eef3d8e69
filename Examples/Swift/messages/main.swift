// Messages that nobody copies: messages NAME receive [DIE-AT], messages NAME send [COUNT]
// Kill the receiver and start another: the sender goes on with that one, and no block is lost.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

let arguments = Array(CommandLine.arguments.dropFirst())
let name = arguments.first ?? "messages"
let number = arguments.dropFirst(2).first.flatMap { Int($0) }
if arguments.dropFirst().first == "send" {
  try await send(number ?? 10)
} else {
  try await receive(dyingAt: number ?? 0)
}

func send(_ count: Int) async throws {
  let pool = try Pool(RegionName(name), blockSize: 256, blocks: 8, members: 4)
  let names = try RingWriter(RegionName(name + "-names"), capacity: 1 << 12)
  let receivers = try RingReader(RegionName(name + "-receivers"), capacity: 1 << 12)
  var receiver = try await next(of: receivers)
  for number in 1...count {
    // Where there is none, those of a dead receiver come back.
    var block = try await pool.allocate()
    try block.withUnsafeMutableBytes { $0.storeBytes(of: number, as: Int.self) }
    let name = block.name
    while let mine = try block.giveIfAlive(to: receiver) {
      let successor = try await next(of: receivers)
      print("nobody lives in place \(receiver): message \(number) goes to place \(successor)")
      receiver = successor
      block = mine
    }
    // It is the receiver's now, whoever dies; this tells it which.
    try await names.write(name.bytes)
  }
}

/// Where the next receiver has joined. Waits for one.
func next(of receivers: RingReader) async throws -> Int {
  while true {
    do {
      let place = try await receivers.next()
      return Int(String(decoding: place.bytes, as: UTF8.self)) ?? 0
    } catch {
      guard error.code == .writerDied else { throw error }
      try await receivers.waitForWriter()
    }
  }
}

func receive(dyingAt last: Int) async throws {
  let pool = try Pool(RegionName(name), blockSize: 256, blocks: 8, members: 4)
  let names = try RingReader(RegionName(name + "-names"), from: .newest, capacity: 1 << 12)
  let receivers = try RingWriter(RegionName(name + "-receivers"), capacity: 1 << 12)
  try await names.waitForWriter()
  try await receivers.write("\(pool.member)".utf8)
  var count = 0
  while let record = try await names.nextUntilEnd() {
    count += 1
    guard let name = PoolBlockName(record.bytes) else { continue }
    if count == last {
      // It was handed over, and has not been looked at: it goes back.
      fflush(nil)
      kill(getpid(), SIGKILL)
    }
    let block = try pool.adopt(name)
    print("message", try block.withUnsafeBytes { $0.load(as: Int.self) })
  }
}
