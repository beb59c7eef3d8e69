// What the Swift owners cost beside the calls of C that they wrap: each pair of them does the same to an object of its own, in one process.
//
//   swift run -c release benchmark-owners BATCHES
//
// Prints, a line each, the name of what is compared and the median nanoseconds of one: in Swift, in C. Benchmarks/run --swift makes
// figures of them.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The same done in two ways, so often.
struct Comparison {
  let name: String
  let inSwift: (Int) throws -> Void
  let inC: (Int) throws -> Void
}

@main
struct Owners {
  private static let batch = 2000

  static func main() throws {
    guard let batches = CommandLine.arguments.dropFirst().first.flatMap({ Int($0) }), batches > 0 else {
      print("usage: benchmark-owners BATCHES")
      exit(2)
    }
    defer { Names.removeAll() }
    for make in [checkpointSave, checkpointRead, ring, pool, queue, log, logHandler, trace] {
      let comparison = try make()
      var took: (swift: [Double], c: [Double]) = ([], [])
      for _ in 0..<batches {
        took.swift.append(try nanoseconds(comparison.inSwift))
        took.c.append(try nanoseconds(comparison.inC))
      }
      print(comparison.name, median(took.swift), median(took.c))
    }
  }

  private static func nanoseconds(_ body: (Int) throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body(batch)
    return start.duration(to: .now) / .nanoseconds(batch)
  }

  /// With three digits behind the point.
  private static func median(_ values: [Double]) -> Double {
    (values.sorted()[values.count / 2] * 1000).rounded() / 1000
  }
}

/// The names of the regions that there are for a run.
enum Names {
  static func make(_ what: String) -> RegionName { RegionName(text(what)) }

  static func removeAll() {
    for what in ["checkpoint", "ring", "pool", "queue", "log", "trace"] {
      try? Region.remove(make(what), force: true)
    }
  }

  private static func text(_ what: String) -> String { "muster-owners-\(getpid())-\(what)" }
}

/// What a call of C said, where it is not 0.
struct Failed: Error, CustomStringConvertible {
  var status: Int32
  var description: String { String(cString: strerror(status)) }
}

@inline(__always)
func check(_ status: Int32) throws {
  if status != 0 { throw Failed(status: status) }
}

/// Zeroed memory for an object of C's, until the process ends.
func memory(_ size: Int) -> UnsafeMutableRawPointer {
  let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
  precondition(memory != MAP_FAILED, "no memory for \(size) bytes")
  return memory!
}
