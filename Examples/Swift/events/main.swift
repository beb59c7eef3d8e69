// One process tells what happens, any number follow: events NAME write [COUNT], events NAME
// Kill the writer and start it again: those who follow say so, and go on with the next.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

let arguments = Array(CommandLine.arguments.dropFirst())
let name = RegionName(arguments.first ?? "events")
if arguments.dropFirst().first == "write" {
  let writer = try RingWriter(name, capacity: 1 << 16)
  if let pid = writer.predecessor.diedPID { print("going on for process", pid, "after", writer.predecessor.end.number) }
  for number in 1...(arguments.dropFirst(2).first.flatMap { Int($0) } ?? 10) {
    try await writer.write("event \(number)".utf8)
  }
} else {
  let reader = try RingReader(name, capacity: 1 << 16)
  var isDone = false
  while !isDone {
    do {
      // One record after the other, and nothing more when its writer has ended.
      if let record = try await reader.nextUntilEnd() {
        print(record.place.number, String(decoding: record.bytes, as: UTF8.self))
      } else if try reader.position().number > 0 {
        isDone = true
      } else {
        try await reader.waitForWriter()
      }
    } catch {
      guard error.code == .writerDied else { throw error }
      // "Can't read the ring “events”: its writer, process 4711, died. All that it committed has been read; ..."
      print(error)
      // At once, also where what is printed is gathered.
      fflush(nil)
      try await reader.waitForWriter()
    }
  }
}
