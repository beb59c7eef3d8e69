// Processes that meet by a name, whoever comes first. Start it twice: crew NAME [PARTIES]
// SPDX-License-Identifier: Apache-2.0
import Muster

let arguments = CommandLine.arguments.dropFirst()
let crew = try Barrier(arguments.first ?? "crew", parties: arguments.dropFirst().first.flatMap { Int($0) } ?? 2)
do {
  let arrival = try await crew.wait(for: .seconds(30))
  print("all here; I came as number \(arrival.index.map { $0 + 1 } ?? 0)")
} catch {
  print(error)  // "Can't wait at the barrier “crew”: the deadline passed. It stays broken until somebody resets it."
}
crew.close()
