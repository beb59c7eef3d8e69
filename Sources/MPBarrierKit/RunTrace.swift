// The flight recorder of a run: beside the barrier and the board a third region, `NAME.trace`.
// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

func traceName(_ name: String) -> String { name + ".trace" }

/// Of the process that begins a run with --trace: the region, and the file that it is written to at the end.
struct RunTrace {
  private let trace: Trace
  private let file: TraceFile
  let path: String

  /// Opens the file first: that it can't be written is to be known before anybody works.
  init(writing path: String, of plan: Plan) throws(CommandFailure) {
    self.path = path
    do {
      file = try TraceFile(path)
    } catch {
      throw CommandFailure("--trace \(printable(path)): \(error)")
    }
    do {
      trace = try Trace(RegionName(traceName(plan.name)), shape: Self.shape(plan), mode: .create)
    } catch {
      file.close()
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
      try trace.export(to: file.emptied())
    } catch {
      throw CommandFailure("--trace \(printable(path)): \(error.errno.map { "\($0)" } ?? "\(error)")")
    }
  }

  func close() {
    trace.close()
    file.close()
  }
}

/// A file that stays as it is, or is not there, until there is something to be written to it: a run that does not begin takes nobody's last
/// trace away.
private final class TraceFile {
  private let path: FilePath
  private let descriptor: FileDescriptor
  /// It was not there, and nothing has been written to it.
  private var isNew: Bool

  init(_ path: String) throws {
    self.path = FilePath(path)
    do {
      descriptor = try .open(
        self.path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
        permissions: [.ownerReadWrite, .groupRead, .otherRead])
      isNew = true
    } catch Errno.fileExists {
      descriptor = try .open(self.path, .writeOnly, options: .closeOnExec)
      isNew = false
    }
  }

  /// For the whole of what is to be in it.
  func emptied() -> FileDescriptor {
    isNew = false
    // What can't be cut, such as a pipe, has nothing in it.
    try? descriptor.resize(to: 0)
    return descriptor
  }

  func close() {
    try? descriptor.close()
    if isNew { unlink(path.string) }
    isNew = false
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
