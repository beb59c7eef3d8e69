// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import Synchronization
import SystemPackage

/// What `muster log drain` does.
struct LogDraining: Sendable {
  private let name: String
  private let isOnce: Bool
  private let drain: LogDrain
  private let signals: SignalWatch

  init(_ command: LogDrainCommand, _ terminal: Terminal) throws(CommandFailure) {
    name = command.log.name
    isOnce = command.once
    let format = command.style.format(on: command.folder == nil ? terminal : .none)
    // Before the drain is there: a signal that comes meanwhile ends it as any other.
    signals = try SignalWatch()
    if let folder = command.folder {
      guard (try? FileDescriptor.open(FilePath(folder), .readOnly, options: .directory).close()) != nil else {
        throw CommandFailure("\(printable(folder)): no such folder, or permission denied")
      }
    }
    do {
      drain = try LogDrain(
        command.log.region, to: Self.destination(command), format: format,
        filter: command.filter.filter(now: wallClock()))
    } catch {
      throw CommandFailure(log: name, error)
    }
  }

  private static func destination(_ command: LogDrainCommand) -> LogDrain.Destination {
    guard let folder = command.folder else { return .descriptor(.standardOutput) }
    return .files(
      in: FilePath(folder), name: command.prefix, rotateBytes: command.rotateSize?.bytes,
      rotateEvery: command.rotateEvery, keepFiles: command.keep, keepFor: command.keepFor, durably: command.durable)
  }

  func run() throws {
    defer { drain.close() }
    let outcome: Result<Void, LogError> = blocking {
      do throws(LogError) {
        if isOnce { try await drain.drainAll() } else { try await untilSignal() }
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    guard case .failure(let error) = outcome else { return }
    // Nobody reads what is printed any more; it stays for the next drain.
    if error.errno == .brokenPipe { return }
    throw CommandFailure(log: name, error)
  }

  private func untilSignal() async throws(LogError) {
    let teller = Teller(name: name)
    let draining = Task { () async -> LogError? in
      do throws(LogError) {
        try await drain.run { teller.pause(after: $0) }
        return nil
      } catch {
        return error
      }
    }
    let listening = Task {
      for await _ in signals.stream() {
        draining.cancel()
        break
      }
    }
    let failure = await draining.value
    listening.cancel()
    if let failure { throw failure }
  }
}

/// Says once that the disk is full, not each second.
private final class Teller: Sendable {
  private let name: String
  private let told = Atomic<Int32>(0)

  init(name: String) { self.name = name }

  func pause(after error: LogError) -> Duration? {
    guard let errno = error.errno, [.noSpace, .diskQuotaExceeded].contains(errno) else { return nil }
    if told.exchange(errno.rawValue, ordering: .relaxed) != errno.rawValue {
      tellOfRing(name, "\(errno); trying again each second")
    }
    return .seconds(1)
  }
}

extension Terminal {
  /// Where nobody looks.
  fileprivate static let none = Terminal(isInteractive: false, isUnicode: false)
}
