// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Subprocess
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Starts the workers, and sees to it that none outlives the run.
///
/// Each worker is this program itself, executed anew, watched through its pidfd by swift-subprocess. Cancelling the task of
/// a worker kills and reaps it, so that the end of the task group is the end of all processes. Should this process be
/// killed, the kernel kills the workers (PR_SET_PDEATHSIG, which each asks for first of all).
struct Crew: Sendable {
  private enum Event: Sendable {
    case tick
    case ended(worker: Int, Supervision.End)
    case signal(SignalWatch.Received)
  }

  /// How often the board is looked at. Nothing depends on it but how soon a picture is drawn.
  private static let interval = Duration.milliseconds(20)

  let orders: [WorkerOrders]
  let signals: SignalWatch

  /// Runs until all workers have ended, or were ended; `view` is called with each look at the board, and returns false when it
  /// can't be shown any more.
  func run(_ supervision: Supervision, view: (Int64) -> Bool) async -> Verdict.Ending {
    var supervision = supervision
    let (events, inbox) = AsyncStream.makeStream(of: Event.self)
    return await withTaskGroup(of: Void.self) { group in
      for order in orders { group.addTask { await Self.work(order, inbox) } }
      group.addTask { for await signal in signals.stream() { inbox.yield(.signal(signal)) } }
      group.addTask {
        while (try? await Task.sleep(for: Self.interval)) != nil { inbox.yield(.tick) }
      }
      for await event in events {
        let now = monotonicNow()
        switch event {
        case .tick: supervision.looked(now: now)
        case .signal(let signal): supervision.interrupted(name: signal.name, number: signal.number)
        case .ended(let worker, let end):
          if supervision.ended(worker, end, now: now), let order = orders.first(where: { $0.number == worker }) {
            group.addTask { await Self.work(order, inbox) }
          }
        }
        if case .ended = event {
        } else if !view(now) {
          supervision.interrupted(name: "SIGPIPE", number: SIGPIPE)
        }
        if supervision.ending != nil { break }
      }
      supervision.giveUpAll(now: monotonicNow())
      group.cancelAll()
      Self.limitTidying(supervision.plan.name)
      await group.waitForAll()
      return supervision.ending ?? .ended
    }
  }

  /// Killing and reaping takes milliseconds. Should it not end (no descriptors left to watch by), this process does: the
  /// kernel then kills the workers.
  private static func limitTidying(_ name: String) {
    startThread {
      sleep(10)
      var errors = StandardOutput(descriptor: STDERR_FILENO)
      errors.write(lines: [
        "mpbarrier: the workers could not be ended in order; \(printable(name)) is left to muster clean"
      ])
      _exit(1)
    }
  }

  private static func work(_ orders: WorkerOrders, _ inbox: AsyncStream<Event>.Continuation) async {
    inbox.yield(.ended(worker: orders.number, await process(orders)))
  }

  private static func process(_ orders: WorkerOrders) async -> Supervision.End {
    do {
      let result = try await Subprocess.run(
        .path("/proc/self/exe"),
        arguments: Arguments(executablePathOverride: "mpbarrier", remainingValues: orders.arguments),
        input: .none, output: .discarded, error: .string(limit: 64 << 10))
      switch result.terminationStatus {
      case .exited(let code): return .exited(code: code, complaint: firstLine(result.standardError))
      case .signaled(let signal): return .signaled(signal)
      }
    } catch {
      return .notStarted("worker \(orders.number) could not be started: \(error)")
    }
  }

  private static func firstLine(_ text: String) -> String {
    let line = text.split(separator: "\n").first.map(String.init) ?? ""
    let prefix = "mpbarrier: "
    return line.hasPrefix(prefix) ? String(line.dropFirst(prefix.count)) : line
  }
}
