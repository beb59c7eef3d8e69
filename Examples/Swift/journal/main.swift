// Processes log by swift-log, and what they logged is there after a kill -9: journal NAME work [die]
// One prints what all of them log, in the order of time: journal NAME follow
// SPDX-License-Identifier: Apache-2.0
import Logging
import Muster
import MusterLogging

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

let arguments = Array(CommandLine.arguments.dropFirst())
let name = RegionName(arguments.first ?? "journal")
if arguments.dropFirst().first == "work" {
  let log = try Log(name)
  LoggingSystem.bootstrap { MusterLogHandler(label: $0, log: log) }
  var logger = Logger(label: "worker")
  // All records of one job can be found by this: muster log show NAME --correlation ID
  logger[metadataKey: "correlation-id"] = "\(CorrelationID())"
  for step in 1...3 {
    logger.info("step", metadata: ["number": .stringConvertible(step), "tags": ["job"]])
    // No flush is needed: the record is where others can read it.
    if arguments.last == "die", step == 2 { kill(getpid(), SIGKILL) }
  }
  logger.notice("done")
} else {
  let reader = try LogReader(name)
  for try await record in reader.records {
    print(record.pid, record.level, record.message, record["number"].map { "\($0)" } ?? "")
    if record.message == "done" { break }
  }
}
