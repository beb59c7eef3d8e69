// A job that survives its own death: job NAME STEPS adds up that many numbers more, from the last good state on; with
// "die" it is killed right after, and whoever runs it next goes on; job NAME says how far it came.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct Work: Codable {
  var done = 0
  var sum = 0
  var isSound: Bool { sum == done * (done + 1) / 2 }
}

let arguments = CommandLine.arguments.dropFirst()
let name = RegionName(arguments.first ?? "job")
if let steps = arguments.dropFirst().first.flatMap({ Int($0) }) {
  let job = try Checkpoint<Work>(name, history: 3, capacity: 256, coding: .json)
  try job.takeOver()
  var work = try job.load { $0.state.isSound }?.state ?? Work()
  for _ in 0..<steps {
    work.done += 1
    work.sum += work.done
    try job.save(work)
  }
  if arguments.last == "die" { kill(getpid(), SIGKILL) }
} else if let last = try Checkpoint<Work>.attach(name, coding: .json).read() {
  print("the sum of 1 to \(last.state.done) is \(last.state.sum), by writer \(last.record.epoch)")
} else {
  print("not begun")
}
