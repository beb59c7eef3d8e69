// The flight recorder of a run: beside the barrier and the board a third region, `NAME.trace`.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

func traceName(_ name: String) -> String { name + ".trace" }

/// Of the process that begins a run with --trace: the region, and the file that it is written to at the end.
struct RunTrace {
  private let trace: Trace
  private let file: FileDescriptor
  let path: String

  /// Opens the file first: that it can't be written is to be known before anybody works.
  init(writing path: String, of plan: Plan) throws(CommandFailure) {
    self.path = path
    do {
      file = try FileDescriptor.open(
        FilePath(path), .writeOnly, options: [.create, .truncate, .closeOnExec],
        permissions: [.ownerReadWrite, .groupRead, .otherRead])
    } catch {
      throw CommandFailure("--trace \(printable(path)): \(error)")
    }
    do {
      trace = try Trace(RegionName(traceName(plan.name)), shape: Self.shape(plan), mode: .create)
    } catch {
      try? file.close()
      throw CommandFailure("\(error)")
    }
  }

  /// Room for replacements, too, so that the last moments of the dead are kept; and for all rounds, up to 64 MiB in all.
  static func shape(_ plan: Plan) -> Trace.Shape {
    let recorders = min(256, plan.parties * 2)
    let most = (64 << 20) / (recorders * 32)
    var events = 64
    while events < (plan.rounds + 1) * WorkerTrace.eventsInARound, events * 2 <= most { events *= 2 }
    return Trace.Shape(recorders: recorders, events: events, names: 16)
  }

  func write() throws(CommandFailure) {
    do {
      try trace.export(to: file)
    } catch {
      throw CommandFailure("--trace \(printable(path)): \(error.errno.map { "\($0)" } ?? "\(error)")")
    }
  }

  func close() {
    trace.close()
    try? file.close()
  }
}

/// Of a worker: its track.
struct WorkerTrace {
  static let eventsInARound = 5

  private let recorder: TraceRecorder
  private let names: [String: Trace.Name]

  /// nil: the run is not recorded, or nobody can record to it any more, which is no reason not to work.
  init?(run: String, worker: Int) {
    do throws(TraceError) {
      let trace = try Trace.attach(RegionName(traceName(run)))
      recorder = try trace.join(label: "worker \(worker)")
      var names: [String: Trace.Name] = [:]
      for name in ["work", "wait", "roll call", "stopped"] { names[name] = try trace.name(name) }
      for outcome in Outcome.allCases { names[Self.text(outcome)] = try trace.name(Self.text(outcome)) }
      self.names = names
    } catch {
      return nil
    }
  }

  private static func text(_ outcome: Outcome) -> String { outcome == .met ? "released" : outcome.name }

  func beginsWork(_ round: Int) { recorder.begin(name("work"), id: UInt64(round)) }
  func endsWork(_ round: Int) { recorder.end(name("work"), id: UInt64(round)) }
  func beginsWaiting(_ round: Int) { recorder.begin(name(round == 0 ? "roll call" : "wait"), id: UInt64(round)) }

  /// The end of the wait, and how it ended as a mark of its own: in the picture all that were released stand in one column.
  func endsWaiting(_ round: Int, _ outcome: Outcome) {
    recorder.end(name(round == 0 ? "roll call" : "wait"), id: UInt64(round))
    recorder.instant(name(Self.text(outcome)), id: UInt64(round))
  }

  func isStopped(_ round: Int) { recorder.instant(name("stopped"), id: UInt64(round)) }

  /// A clean end, in the eyes of whoever looks at the record.
  func close() { recorder.close() }

  private func name(_ text: String) -> Trace.Name { names[text] ?? .other }
}
