// A crew of which some die, and what they did last: flight NAME work LABEL [FATAL-JOB], flight NAME watch [FILE]
//
// Start `flight NAME watch`, then some that work. Kill one, or give it a job to die of: the watcher freezes the record of all
// of them, says what the dead one was at, and writes everything to FILE, for ui.perfetto.dev.
// SPDX-License-Identifier: Apache-2.0
import Muster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

let arguments = Array(CommandLine.arguments.dropFirst())
let trace = try Trace(RegionName(arguments.first ?? "flight"), shape: .init(recorders: 8, events: 1024, names: 16))
let job = try trace.name("job")
let step = try trace.name("step")

if arguments.dropFirst().first == "work" {
  let recorder = try trace.join(label: arguments.dropFirst(2).first ?? "worker")
  let fatal = arguments.dropFirst(3).first.flatMap { UInt64($0) }
  for number in 1... as PartialRangeFrom<UInt64> {
    recorder.begin(job, id: number)
    if number == fatal { fatalError("job \(number) was too much") }
    recorder.wholeSpan(step) {}
    recorder.end(job, id: number)
    if number % 64 == 0 { try await Task.sleep(for: .microseconds(200)) }
  }
} else {
  guard let died = try await trace.watch(), let who = try trace.recorders().first(where: { $0.index == died }) else {
    print("somebody else has frozen it")
    exit(1)
  }
  var open: [Trace.Event] = []
  for event in try trace.events(of: died) {
    if event.kind == .begin { open.append(event) }
    if event.kind == .end { _ = open.popLast() }
  }
  let doing = try open.map { "\(try trace.text(of: $0.name)) \($0.id)" }
  print("\(who.label), process \(who.pid), died in \(doing.joined(separator: ", "))")
  if let path = arguments.dropFirst(2).first {
    let file = try FileDescriptor.open(
      FilePath(path), .writeOnly, options: [.create, .truncate], permissions: [.ownerReadWrite])
    try file.closeAfter { try trace.export(to: file) }
  }
}
