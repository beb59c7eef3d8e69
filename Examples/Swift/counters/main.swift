// One process counts, any number look: counters NAME count, counters NAME
// SPDX-License-Identifier: Apache-2.0
import Muster

let name = CommandLine.arguments.dropFirst().first ?? "counters"
if CommandLine.arguments.dropFirst(2).first == "count" {
  let counters = try CounterRegion(name, counters: ["requests", "errors"])
  try counters.claim()
  for request in 1...100 {
    try counters.add(1, to: "requests")
    if request % 10 == 0 { try counters.add(1, to: "errors") }
  }
} else {
  let seen = try CounterRegion.attach(name).snapshot()
  for (label, value) in zip(seen.labels, seen.values) { print(label, value) }
  print("as of write", seen.sequence)
}
