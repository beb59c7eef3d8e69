// What `muster show` tells of a trace.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

struct TraceDetails: Equatable, Sendable, Encodable {
  enum State: String, Sendable, Encodable {
    case alive, left, died
  }

  struct Recorder: Equatable, Sendable, Encodable {
    var index: Int
    var state: State
    var process: Int32
    var thread: UInt32
    /// The name of its program.
    var program: String
    var label: String
    /// How many events it has recorded, and how many of them are there.
    var recorded: UInt64
    var kept: Int
  }

  /// How many can record at a time.
  var places: Int
  /// How many events of each are kept.
  var events: Int
  /// `counter` or `monotonic`.
  var clock: String
  var names: Int
  var namesAtMost: Int
  /// The process that froze it; nil: it is not frozen.
  var frozenBy: Int32?
  var recorders: [Recorder]
}

extension TraceDetails {
  init(_ trace: Trace) throws(TraceError) {
    let state = try trace.state()
    places = state.shape.recorders
    events = state.shape.events
    clock = state.shape.clock == .counter ? "counter" : "monotonic"
    names = state.names
    namesAtMost = state.shape.names
    frozenBy = state.freeze?.pid
    recorders = try trace.recorders().map(Recorder.init)
  }

  func lines() -> [String] {
    pairs([
      ("records", "\(events) events of each of \(places)"),
      ("clock", clock == "counter" ? "the processor's counter" : "CLOCK_MONOTONIC"),
      ("names", "\(names) of \(namesAtMost)"),
      ("frozen", frozenBy.map { "by pid \($0)" } ?? "no"),
    ]) + Recorder.table(recorders)
  }
}

extension TraceDetails.Recorder {
  init(_ recorder: Trace.RecorderState) {
    index = recorder.index
    state =
      switch recorder.life {
      case .alive: .alive
      case .left: .left
      case .died: .died
      }
    process = recorder.pid
    thread = recorder.thread
    program = recorder.process
    label = recorder.label
    recorded = recorder.recorded
    kept = recorder.kept
  }

  static func table(_ recorders: [Self]) -> [String] {
    guard !recorders.isEmpty else { return ["", "nobody has recorded"] }
    var table = TextTable([
      ("RECORDER", .right), ("STATE", .left), ("PID", .right), ("THREAD", .right), ("KEPT", .right), ("OF", .right),
      ("PROGRAM", .left), ("LABEL", .left),
    ])
    for recorder in recorders {
      table.append([
        "\(recorder.index)", recorder.state.rawValue, "\(recorder.process)", "\(recorder.thread)",
        "\(recorder.kept)", "\(recorder.recorded)", printable(recorder.program), printable(recorder.label),
      ])
    }
    return [""] + table.lines()
  }
}
