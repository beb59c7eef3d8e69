// The words by which programs take a heartbeat.
// SPDX-License-Identifier: Apache-2.0

/// What carries the heartbeat.
package enum PairHeartbeatKind: String, CaseIterable, Sendable {
  case shm, file, udp, mq, signal

  package var heartbeat: ProcessPairHeartbeat {
    switch self {
    case .shm: .sharedMemory
    case .file: .file()
    case .udp: .udp
    case .mq: .messageQueue
    case .signal: .signals
    }
  }
}
