// Which of a daemon's numbers C does not take. What can be is said there alone: here each is put back to its default in turn, until the
// rest is taken.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

extension DaemonBody {
  /// A clause that says what it was declared with and can't be; `nil`: all can.
  var fault: String? {
    if Self.isTaken(spec) { return nil }
    let culprit = Self.defaults.first { culprit in
      var spec = spec
      culprit.reset(&spec)
      return Self.isTaken(spec)
    }
    guard let culprit else { return "“\(name)” is declared with several numbers that can't be" }
    return "“\(name)” is declared with \(culprit.name) that can't be (\(culprit.allowed))"
  }

  private static func isTaken(_ spec: muster_daemon_spec) -> Bool {
    var spec = spec
    var bytes: UInt64 = 0
    return "x".withCString { name in
      spec.name = name
      return muster_root_size(&spec, 1, &bytes) != EINVAL
    }
  }

  private struct Default {
    let name: String
    let allowed: String
    let reset: (inout muster_daemon_spec) -> Void
  }

  private static var defaults: [Default] {
    [
      Default(name: "checkpoints", allowed: "0 to \(MUSTER_ARENA_CHECKPOINTS_MAX)") { $0.checkpoints = 0 },
      Default(name: "transactions", allowed: "1 page or more") { $0.transaction_pages = 0 },
      Default(name: "a heartbeat", allowed: "longer than 0") { $0.heartbeat = 0 },
      Default(name: "tries", allowed: "1 or more") { $0.tries = 0 },
      Default(name: "a stable time", allowed: "0 or longer") { $0.stable = 0 },
      Default(name: "a budget", allowed: "1 to \(MUSTER_ROOT_BUDGET_MAX) restarts, within longer than 0") {
        ($0.budget, $0.budget_within) = (0, 0)
      },
      Default(name: "a delay", allowed: "first 0 or longer, most longer than 0, jitter 0 to 1") {
        ($0.delay_first, $0.delay_most, $0.delay_jitter) = (0, 0, 0)
      },
      Default(name: "a stop signal", allowed: "one that there is, not SIGCHLD") { $0.stop_signal = 0 },
      Default(name: "a stop grace", allowed: "0 or longer") { $0.stop_grace = 0 },
    ]
  }
}
