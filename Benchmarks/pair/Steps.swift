// A pair's steps through ProcessPair, beside a checkpoint's saves of the same state: by Swift's Checkpoint, and by C alone.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster
import MusterSupervision

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A state that a step changes.
protocol BenchmarkState: SharedPayload {
  init()
  mutating func change()
}

struct State64: BenchmarkState {
  static let payloadLayout: UInt32 = 64
  var words = InlineArray<8, UInt64>(repeating: 1)
  mutating func change() { words[0] &+= 1 }
}

struct State1024: BenchmarkState {
  static let payloadLayout: UInt32 = 1024
  var words = InlineArray<128, UInt64>(repeating: 1)
  mutating func change() { words[0] &+= 1 }
}

/// Steps back to back, and after each batch of them, in the midst of the next step, as many saves of each kind.
struct StepsBenchmark<State: BenchmarkState> {
  private static var batch: Int { 5000 }
  private static var history: Int { 8 }

  private let name: String
  private let batches: Int
  private let saved: Checkpoint<State>
  private let object: OpaquePointer
  private var took: (steps: [Double], saves: [Double], inC: [Double]) = ([], [], [])

  static func run(_ name: String, batches: Int) throws {
    // Both processes of the pair come to here; whoever stands by saves nothing.
    var benchmark = try Self(name, batches)
    defer { try? Region.remove(RegionName(benchmark.ownName), force: true) }
    guard case .finished = try benchmark.run() else { return }
    print(median(benchmark.took.steps), median(benchmark.took.saves), median(benchmark.took.inC))
  }

  private var ownName: String { Self.ownName(name) }
  private static func ownName(_ name: String) -> String { "\(name)-\(getpid())" }

  private init(_ name: String, _ batches: Int) throws {
    self.name = name
    self.batches = batches
    saved = try Checkpoint<State>(RegionName(Self.ownName(name)), history: Self.history)
    try saved.takeOver()
    object = try Self.checkpointOfC()
  }

  private static func checkpointOfC() throws -> OpaquePointer {
    var shape = muster_checkpoint_shape()
    shape.capacity = UInt64(MemoryLayout<State>.size)
    shape.history = UInt32(history)
    let size = muster_checkpoint_size(&shape)
    guard let place = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), place != MAP_FAILED
    else { throw Failed(status: errno) }
    var made: OpaquePointer?
    try check(muster_checkpoint_init(place, size, &shape))
    try check(muster_checkpoint_attach(place, size, &made))
    guard let made else { throw Failed(status: EINVAL) }
    try check(muster_checkpoint_take_over(made, nil))
    return made
  }

  private mutating func run() throws -> ProcessPairEnding {
    let pair = ProcessPair(name, initial: State(), output: NoProcessPairOutput(), options: options)
    var count = 0
    var began = ContinuousClock.now
    return try pair.run { state, _ in
      if count == Self.batch {
        took.steps.append(Self.nanoseconds(since: began))
        try save(state)
        if took.steps.count == batches { return .finish }
        count = 0
        began = ContinuousClock.now
      }
      count += 1
      state.change()
      return .step
    }
  }

  private var options: ProcessPairOptions {
    var options = ProcessPairOptions()
    options.history = Self.history
    return options
  }

  private mutating func save(_ state: State) throws {
    var state = state
    var began = ContinuousClock.now
    for _ in 0..<Self.batch {
      state.change()
      try saved.save(state)
    }
    took.saves.append(Self.nanoseconds(since: began))
    began = ContinuousClock.now
    for _ in 0..<Self.batch {
      state.change()
      try check(muster_checkpoint_save(object, &state, MemoryLayout<State>.size, nil))
    }
    took.inC.append(Self.nanoseconds(since: began))
  }

  private static func nanoseconds(since start: ContinuousClock.Instant) -> Double {
    start.duration(to: .now) / .nanoseconds(batch)
  }

  /// With three digits behind the point.
  private static func median(_ values: [Double]) -> Double {
    (values.sorted()[values.count / 2] * 1000).rounded() / 1000
  }
}

private struct Failed: Error, CustomStringConvertible {
  var status: Int32
  var description: String { String(cString: strerror(status)) }
}

private func check(_ status: Int32) throws {
  if status != 0 { throw Failed(status: status) }
}
