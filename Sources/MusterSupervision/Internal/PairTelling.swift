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

enum PairMetrics {
  static func count(_ event: ProcessPairEvent, _ pair: String) {
    guard let label = label(event) else { return }
    Counter(label: label, dimensions: [("pair", pair)]).increment()
  }

  private static func label(_ event: ProcessPairEvent) -> String? {
    switch event {
    case .leads: "muster_pair_epochs"
    case .lostPrimary: "muster_pair_takeovers"
    case .lostBackup: "muster_pair_lost_backups"
    case .degraded: "muster_pair_degraded"
    case .resolvedDoubt: "muster_pair_doubts"
    case .escalated: "muster_pair_escalations"
    case .skipped: "muster_pair_skipped_steps"
    case .gaveUp: "muster_pair_gave_up"
    default: nil
    }
  }
}
