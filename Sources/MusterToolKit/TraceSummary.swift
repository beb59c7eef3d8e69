// What `muster trace summary` tells: how often and how long each name, and what each recorder was at last.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI

struct TraceSummary: Equatable, Sendable, Encodable {
  struct Name: Equatable, Sendable, Encodable {
    var name: String
    /// Events of that name; a span that has both ends counts once.
    var count = 0
    /// Of spans that have both ends.
    var totalNanoseconds: Int64 = 0
    var longestNanoseconds: Int64 = 0
  }

  struct Recorder: Equatable, Sendable, Encodable {
    var details: TraceDetails.Recorder
    /// From the first event that is there to the last.
    var coversNanoseconds: Int64 = 0
    /// The spans that are open at its last event, the outermost first.
    var open: [String] = []
  }

  var frozenBy: Int32?
  /// The longest in sum first.
  var names: [Name] = []
  var recorders: [Recorder] = []
}

/// Goes through the events in the order of time.
struct TraceSummaryBuilder {
  private struct Span {
    var name: UInt16
    var begin: Int64
    var id: UInt64
  }

  private struct Track {
    var open: [Span] = []
    var first: Int64?
    var last: Int64 = 0
  }

  private var names: [UInt16: TraceSummary.Name] = [:]
  private var tracks: [Int: Track] = [:]

  mutating func add(
    _ kind: Trace.Kind, name: UInt16, time: Int64, duration: Int64 = 0, id: UInt64 = 0, recorder: Int, lost: Int = 0
  ) {
    var track = tracks[recorder] ?? Track()
    // What was open then may have ended in what is gone.
    if lost > 0 { track.open = [] }
    if track.first == nil { track.first = time - duration }
    track.last = time
    switch kind {
    case .begin: track.open.append(Span(name: name, begin: time, id: id))
    case .end:
      if let span = track.open.popLast() { count(span.name, time - span.begin) } else { count(name, nil) }
    case .span: count(name, duration)
    default: count(name, nil)
    }
    tracks[recorder] = track
  }

  private mutating func count(_ name: UInt16, _ duration: Int64?) {
    var line = names[name] ?? TraceSummary.Name(name: "")
    line.count += 1
    line.totalNanoseconds &+= duration ?? 0
    line.longestNanoseconds = max(line.longestNanoseconds, duration ?? 0)
    names[name] = line
  }

  func summary(_ details: TraceDetails, text: (UInt16) -> String) -> TraceSummary {
    var summary = TraceSummary(frozenBy: details.frozenBy)
    summary.names = names.map { number, line in
      var line = line
      line.name = text(number)
      return line
    }.sorted { ($1.totalNanoseconds, $1.count, $0.name) < ($0.totalNanoseconds, $0.count, $1.name) }
    summary.recorders = details.recorders.map { recorder in
      let track = tracks[recorder.index] ?? Track()
      return TraceSummary.Recorder(
        details: recorder, coversNanoseconds: track.last &- (track.first ?? track.last),
        open: track.open.map { text($0.name) + ($0.id == 0 ? "" : " \($0.id)") })
    }
    return summary
  }
}

extension TraceSummary {
  init(_ trace: Trace) throws(TraceError) {
    var builder = TraceSummaryBuilder()
    for event in try trace.events() {
      builder.add(
        event.kind, name: event.name.rawValue, time: event.time, duration: event.duration.wholeNanoseconds,
        id: event.id, recorder: event.recorder, lost: event.lost)
    }
    let details = try TraceDetails(trace)
    self = builder.summary(details) { (try? trace.text(of: Trace.Name(rawValue: $0))) ?? "?" }
  }

  func lines() -> [String] {
    guard !recorders.isEmpty else { return ["nobody has recorded"] }
    var table = TextTable([
      ("RECORDER", .right), ("STATE", .left), ("PID", .right), ("EVENTS", .right), ("COVERS", .right),
      ("LABEL", .left), ("IN", .left),
    ])
    for recorder in recorders {
      table.append([
        "\(recorder.details.index)", recorder.details.state.rawValue, "\(recorder.details.process)",
        "\(recorder.details.kept)", Duration.nanoseconds(recorder.coversNanoseconds).readable(),
        printable(recorder.details.label), printable(recorder.open.joined(separator: ", ")),
      ])
    }
    let frozen = frozenBy.map { ["frozen by pid \($0)", ""] } ?? []
    return frozen + table.lines() + (names.isEmpty ? [] : [""] + nameTable())
  }

  private func nameTable() -> [String] {
    var table = TextTable([("COUNT", .right), ("TOTAL", .right), ("LONGEST", .right), ("NAME", .left)])
    for name in names {
      let isTimed = name.longestNanoseconds > 0
      table.append([
        "\(name.count)", isTimed ? Duration.nanoseconds(name.totalNanoseconds).readable() : "",
        isTimed ? Duration.nanoseconds(name.longestNanoseconds).readable() : "", printable(name.name),
      ])
    }
    return table.lines()
  }
}
