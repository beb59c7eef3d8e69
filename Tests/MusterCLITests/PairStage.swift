// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `muster pair status --json` prints, as far as tests ask.
struct PairReport: Decodable {
  struct Primary: Decodable {
    var process: Int32
    var state: String
    var epoch: Int
    var mode: String
    var cause: String?
    var heartbeat: String
    var periodSeconds: Double
    var missed: Int
  }

  struct Backup: Decodable {
    var process: Int32
    var state: String
    var epoch: Int
  }

  var epoch: Int
  var takeovers: Int
  var committed: Int?
  var emitted: Int
  var primary: Primary?
  var backup: Backup?
}

/// By /proc, in which a process has but one line of them where it has one thread.
func children(of process: Int32) -> [Int32] {
  let data = FileManager.default.contents(atPath: "/proc/\(process)/task/\(process)/children") ?? Data()
  return String(decoding: data, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
}

func name(of process: Int32) -> String {
  let data = FileManager.default.contents(atPath: "/proc/\(process)/comm") ?? Data()
  return String(decoding: data.prefix { $0 != 10 }, as: UTF8.self)
}

/// Runners of one pair, and what their commands write down.
struct PairStage: Sendable {
  let name: String
  let folder: String
  /// Its processes are user 65534's, whose first command starts one of root's that they can't kill.
  let isNobody: Bool

  init(_ purpose: String, isNobody: Bool = false) throws {
    name = testName(purpose)
    folder = FileManager.default.temporaryDirectory.path + "/" + name
    self.isNobody = isNobody
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    guard isNobody else { return }
    chmod(folder, 0o777)
    try FileManager.default.copyItem(atPath: Self.setpriv, toPath: folder + "/setpriv")
    chmod(folder + "/setpriv", 0o4755)
  }

  private static let setpriv = "/usr/bin/setpriv"
  private static let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]

  /// Whether this process may start such ones, and they the programs of the build.
  static func canBeNobody() async throws -> Bool {
    guard getuid() == 0, access(setpriv, X_OK) == 0 else { return false }
    let stage = try PairStage("pair-nobody-probe", isNobody: true)
    defer { stage.remove() }
    let root = try await Program(path: setpriv).run(nobody + [stage.folder + "/setpriv", "--reuid", "0", "id", "-u"])
    let help = try await stage.muster(["--help"])
    return root.output == "0\n" && help.status == 0
  }

  func muster(_ arguments: [String]) async throws -> Program.Outcome {
    guard isNobody else { return try await Program.muster.run(arguments) }
    return try await Program(path: Self.setpriv).run(Self.nobody + [Program.muster.path] + arguments)
  }

  /// "wipes": the orphans have no mark of their command's in the environment, so a cgroup alone says whose they are. "quiet": the command that says
  /// that it is well stops to.
  func put(_ file: String) throws { try "".write(toFile: "\(folder)/\(file)", atomically: true, encoding: .utf8) }

  static func canHaveCgroup() async throws -> Bool {
    var configuration = ChildProcess.Configuration(.named("sleep"), arguments: ["1000"])
    configuration.hasCgroup = true
    let child = try ChildProcess(configuration)
    let has = child.hasCgroup
    _ = try await child.stop(grace: .zero)
    return has
  }

  /// The newest command, and its orphan.
  var commands: [Int32] {
    let data = FileManager.default.contents(atPath: folder + "/checkpoint") ?? Data()
    return String(decoding: data, as: UTF8.self).split { " \n".contains($0) }.compactMap { Int32($0) }
  }

  /// Each command looks whether the one before it, and the orphan that it left in a session of its own, deaf to SIGTERM, are gone; then says so.
  /// It goes on until it is told what to exit with.
  private static let script = #"""
    for p in $(cat "$MUSTER_PAIR_CHECKPOINT" 2>/dev/null); do
      case "$(sed -n 's/^State:.\(.\).*/\1/p' "/proc/$p/status" 2>/dev/null)" in
        ''|Z|X) ;;
        *) echo "beside $p" >> "$0/log" ;;
      esac
    done
    if [ -x "$0/setpriv" ] && [ "$MUSTER_PAIR_EPOCH" = 1 ]; then
      "$0/setpriv" --reuid 0 sh -c 'echo $$ > "$0/new-survivor"; mv "$0/new-survivor" "$0/survivor"; exec sleep 1000' "$0" &
      while [ ! -e "$0/survivor" ]; do sleep 0.01; done
    fi
    if [ -e "$0/wipes" ]; then wipe='env -u MUSTER_TREE'; else wipe=; fi
    (setsid $wipe sh -c 'trap "" TERM; echo $$ > "$0/new"; mv "$0/new" "$0/orphan"; exec sleep 1000' "$0" &)
    while [ ! -e "$0/orphan" ]; do sleep 0.01; done
    echo "$$ $(cat "$0/orphan")" > "$0/state"
    rm "$0/orphan"
    mv "$0/state" "$MUSTER_PAIR_CHECKPOINT"
    echo "$MUSTER_PAIR_NAME $MUSTER_PAIR_ROLE $MUSTER_PAIR_EPOCH $MUSTER_PAIR_TAKEOVERS" >> "$0/log"
    while [ ! -e "$0/end" ]; do sleep 0.01; done
    status=$(cat "$0/end")
    rm "$0/end"
    exit "$status"
    """#

  func run(_ options: String...) async throws -> Program.Outcome { try await run(options, script: Self.script) }

  /// With beats that a busy machine does not miss, if none are given.
  func run(_ options: [String], script: String) async throws -> Program.Outcome {
    let period = options.contains("--period") ? [] : ["--period", "500ms"]
    return try await muster(
      ["pair", "run", name, "--checkpoint", "\(folder)/checkpoint"] + period + options
        + ["--", "sh", "-c", script, folder])
  }

  /// A command that says that it is well, until it is told to be quiet.
  func runTelling(_ options: String...) async throws -> Program.Outcome {
    let script = """
      ulimit -c 0
      echo "$MUSTER_PAIR_NAME $MUSTER_PAIR_ROLE $MUSTER_PAIR_EPOCH $MUSTER_PAIR_TAKEOVERS" >> "$0/log"
      exec \(Program.peer.path) keep-telling "$0"
      """
    return try await run(options, script: script)
  }

  func has(_ file: String) -> Bool { access("\(folder)/\(file)", F_OK) == 0 }

  /// What the commands have written down.
  var log: [String] {
    let data = FileManager.default.contents(atPath: folder + "/log") ?? Data()
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  var survivor: Int32? {
    let data = FileManager.default.contents(atPath: folder + "/survivor") ?? Data()
    return Int32(String(decoding: data.prefix { $0 != 10 }, as: UTF8.self))
  }

  func line(epoch: Int, takeovers: Int) -> String { "\(name) primary \(epoch) \(takeovers)" }

  /// The command that runs exits with that.
  func end(_ status: Int) throws {
    try "\(status)\n".write(toFile: folder + "/end.new", atomically: true, encoding: .utf8)
    rename(folder + "/end.new", folder + "/end")
  }

  func report() async throws -> PairReport? {
    let outcome = try await muster(["pair", "status", name, "--json"])
    return outcome.status == 0 ? try outcome.json(PairReport.self) : nil
  }

  /// Waits for so many commands that have begun, and for somebody that stands by, or nobody.
  func wait(commands: Int, isBackedUp: Bool) async throws -> PairReport {
    try await expectEventually {
      guard log.count(where: { $0.hasPrefix(name) }) >= commands, let report = try await report() else { return false }
      return report.primary?.mode == (isBackedUp ? "working" : "degraded")
    }
    return try #require(try await report())
  }

  /// Neither processes nor memory.
  func expectNothingLeft(sourceLocation: SourceLocation = #_sourceLocation) async throws {
    try await expectEventually(sourceLocation: sourceLocation) { processes(with: folder).isEmpty }
    #expect(regions(name) == [], sourceLocation: sourceLocation)
  }

  func remove() {
    for process in processes(with: name) + processes(with: folder) { kill(process, SIGKILL) }
    try? Region.remove(RegionName(name), force: true)
    unlink("/dev/shm/\(name).alive")
    try? FileManager.default.removeItem(atPath: folder)
  }
}
