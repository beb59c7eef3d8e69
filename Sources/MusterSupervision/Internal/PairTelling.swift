// What the log and the metrics are told.
// SPDX-License-Identifier: Apache-2.0
import Logging
import Metrics

enum PairLogLevel {
  case info, warning, error

  var level: Logger.Level {
    switch self {
    case .info: .info
    case .warning: .warning
    case .error: .error
    }
  }
}

extension Logger {
  func tell(_ event: ProcessPairEvent, _ level: PairLogLevel, _ pair: String, _ pid: Int32) {
    log(level: level.level, "\(event)", metadata: ["pair": "\(pair)", "pid": "\(pid)"])
  }
}

/// Made when the pair begins: the first use of each takes a while, which a takeover has not.
struct PairMetrics {
  private let epochs, takeovers, lostBackups, degraded, doubts, escalations, skippedSteps, gaveUp: Counter

  init(_ pair: String) {
    func counter(_ label: String) -> Counter {
      let counter = Counter(label: "muster_pair_" + label, dimensions: [("pair", pair)])
      counter.increment(by: 0)
      return counter
    }
    epochs = counter("epochs")
    takeovers = counter("takeovers")
    lostBackups = counter("lost_backups")
    degraded = counter("degraded")
    doubts = counter("doubts")
    escalations = counter("escalations")
    skippedSteps = counter("skipped_steps")
    gaveUp = counter("gave_up")
  }

  func count(_ event: ProcessPairEvent) {
    switch event {
    case .leads: epochs.increment()
    case .lostPrimary: takeovers.increment()
    case .lostBackup: lostBackups.increment()
    case .degraded: degraded.increment()
    case .resolvedDoubt: doubts.increment()
    case .escalated: escalations.increment()
    case .skipped: skippedSteps.increment()
    case .gaveUp: gaveUp.increment()
    default: break
    }
  }
}
