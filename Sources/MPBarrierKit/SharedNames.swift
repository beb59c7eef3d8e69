// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The board's region. The barrier has the run's name, and the board that name with an ending.
struct BoardRegion {
  private static let kind: RegionKind = "MPBB"
  private static let version: UInt32 = 1

  private let region: Region

  /// Creates the board of a new run.
  init(creating plan: Plan) throws(CommandFailure) {
    let size = BoardLayout.bytes(parties: plan.parties, rounds: plan.rounds)
    do {
      region = try Region(
        RegionName(boardName(plan.name)), size: size, kind: Self.kind, version: Self.version, mode: .create
      ) { Board.lay(plan, on: $0) }
    } catch {
      throw error.code == .alreadyExists ? inUse(plan.name) : CommandFailure("\(error)")
    }
  }

  /// Attaches to the board of a run; nil when there is none by then.
  init?(attaching name: String, within patience: Duration) throws(CommandFailure) {
    do {
      region = try Region.attachBlocking(
        RegionName(boardName(name)), kind: Self.kind, version: Self.version, until: .now + patience)
    } catch {
      guard error.code == .timedOut || error.code == .notFound else { throw CommandFailure("\(error)") }
      return nil
    }
  }

  /// Lends the board, which is valid as long as the closure runs.
  func withBoard<Result>(_ body: (Board) throws(CommandFailure) -> Result) throws(CommandFailure) -> Result {
    do {
      return try region.withUnsafeMutableBytes { try body(try Board(memory: $0)) }
    } catch let failure as CommandFailure {
      throw failure
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  func close() { region.close() }
}

func boardName(_ name: String) -> String { name + ".board" }

private func inUse(_ name: String) -> CommandFailure {
  CommandFailure("\(printable(name)) is in use: choose another name, or --join the run")
}

/// Removes what an earlier run left under the name, and nobody holds.
func removeLeftovers(_ name: String) throws(CommandFailure) {
  for name in [boardName(name), traceName(name), name] {
    do {
      try Region.remove(RegionName(name))
    } catch {
      if error.code == .inUse { throw inUse(name) }
      if error.code != .notFound { throw CommandFailure("\(error)") }
    }
  }
}

/// Removes the names at the end. Where others still hold them, the last of those does it.
///
/// A worker that died may seem to hold them for a moment after its end: whoever reads its /proc files just then keeps its memory,
/// and with it the region's open file.
func removeNames(_ name: String, patience: Duration = .milliseconds(300)) {
  let end = ContinuousClock.now + patience
  for name in [name, traceName(name), boardName(name)] {
    while isHeld(name), ContinuousClock.now < end { usleep(2000) }
  }
}

/// Removes it, unless somebody holds it.
private func isHeld(_ name: String) -> Bool {
  do {
    try Region.remove(RegionName(name))
    return false
  } catch {
    return error.code == .inUse
  }
}
