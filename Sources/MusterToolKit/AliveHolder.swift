// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import Subprocess
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What `muster alive hold` does: takes the file, holds it until a signal or the end of a command, and lets go of it.
struct AliveHolder: Sendable {
  let path: String
  let timeout: TimeoutArgument
  let command: [String]
  let signals: SignalWatch

  private enum Event: Sendable {
    case acquired(Result<Alive, CommandFailure>)
    case ended(CommandEnd)
    case signal(SignalWatch.Received)
  }

  private enum CommandEnd: Sendable {
    case exited(Int32)
    case signaled(Int32)
    case notStarted(CommandFailure)
  }

  /// Returns the exit status.
  func run() async -> Result<Int32, CommandFailure> {
    let (events, inbox) = AsyncStream.makeStream(of: Event.self)
    let listening = Task { for await signal in signals.stream() { inbox.yield(.signal(signal)) } }
    defer { listening.cancel() }
    // Blocks until the present holder lets go: not on a thread of the pool.
    startThread { inbox.yield(.acquired(AliveFile.acquire(path, timeout: timeout.nanoseconds))) }
    var held: Alive?
    var child: Int32?
    var asked: Int32?
    for await event in events {
      switch event {
      case .acquired(.failure(let failure)):
        return .failure(command.isEmpty ? failure : CommandFailure(failure.line, status: 125))
      case .acquired(.success(let alive)):
        held = alive
        if alive.found.isUnexpectedShutdown { tell("its last owner \(AliveReport(path, alive.found).line)") }
        guard !command.isEmpty else { continue }
        child = await start(inbox)
      case .signal(let signal):
        guard let held else { SignalWatch.die(of: signal.number) }
        guard command.isEmpty else {
          asked = signal.number
          // The terminal's Ctrl-C went to the command as well.
          if let child, !signal.isFromTerminal { kill(child, signal.number) }
          continue
        }
        return release(held, status: 0)
      case .ended(.exited(let status)):
        return held.map { release($0, status: status) } ?? .success(status)
      case .ended(.signaled(let number)):
        guard let held else { return .success(128 + number) }
        // Ended as it was asked to is a clean end.
        if number == asked { return release(held, status: 128 + number) }
        held.abandon()
        return .success(128 + number)
      case .ended(.notStarted(let failure)):
        if let held { _ = release(held, status: 0) }
        return .failure(failure)
      }
    }
    return .success(Status.failed)
  }

  private func release(_ held: Alive, status: Int32) -> Result<Int32, CommandFailure> {
    if let failure = AliveFile.release(held) { return .failure(failure) }
    return .success(status)
  }

  /// Starts the command, and returns its process id once it runs; nil when it can't.
  private func start(_ inbox: AsyncStream<Event>.Continuation) async -> Int32? {
    let (started, starting) = AsyncStream.makeStream(of: Int32?.self)
    let command = command
    Task {
      inbox.yield(.ended(await Self.run(command) { starting.yield($0) }))
      starting.yield(nil)
    }
    for await process in started { return process }
    return nil
  }

  private static func run(_ command: [String], started: @Sendable @escaping (Int32) -> Void) async -> CommandEnd {
    let program = command[0]
    do {
      let result = try await Subprocess.run(
        Configuration(
          executable: program.contains("/") ? .path(FilePath(program)) : .name(program),
          arguments: Arguments(Array(command.dropFirst()))),
        input: .currentStandardInput, output: .currentStandardOutput, error: .currentStandardError
      ) { execution in started(execution.processIdentifier.value) }
      switch result.terminationStatus {
      case .exited(let status): return .exited(status)
      case .signaled(let number): return .signaled(number)
      }
    } catch {
      let isMissing = !program.contains("/") || access(program, F_OK) != 0
      return .notStarted(
        CommandFailure(
          "\(printable(program)): \(isMissing ? "no such command" : "can't be executed")", status: isMissing ? 127 : 126
        ))
    }
  }

  private func tell(_ line: String) {
    var errors = StandardOutput(descriptor: STDERR_FILENO)
    errors.write(lines: ["muster: \(printable(path)): \(line)"])
  }
}
