// What a run leaves under its names.
// SPDX-License-Identifier: Apache-2.0
import Foundation
import Muster
import Testing

@testable import MPBarrierKit

@Suite("The names of a run")
struct SharedNamesTests {
  /// As of a worker that has died, while somebody reads its /proc files.
  @Test("One that is let go of a moment later is removed; one that others hold stays, and is not waited for long")
  func removing() async throws {
    let name = testName("names")
    defer { removeNames(name, patience: .zero) }
    let held = try Region(RegionName(name), size: 8, kind: "TEST")
    let board = try Region(RegionName(boardName(name)), size: 8, kind: "TEST")
    removeNames(name, patience: .milliseconds(1))
    #expect(regions(name) == [name, boardName(name)])
    let letGo = Thread {
      usleep(20_000)
      held.close()
      board.close()
    }
    letGo.start()
    await withCheckedContinuation { continuation in
      Thread {
        removeNames(name, patience: .seconds(20))
        continuation.resume()
      }.start()
    }
    #expect(regions(name) == [])
  }
}
