// SPDX-License-Identifier: Apache-2.0

/// One step of a pair's work: what its function is given beside the state.
public struct ProcessPairStep: ~Copyable {
  /// Its number. The first is 1.
  public internal(set) var number: UInt64 = 0
  /// The epoch of this primary: it rises with each takeover.
  public let epoch: UInt64
  /// How often it is tried from this state by now; more than 1: whoever tried it before has died.
  public internal(set) var attempt = 1
  var output: [UInt8] = []
  private let suspect: UInt64
  private let attempts: Int
  let onBeat: () -> Void

  init(epoch: UInt64, suspect: UInt64, attempts: UInt64, onBeat: @escaping () -> Void) {
    self.epoch = epoch
    self.suspect = suspect
    self.attempts = max(1, Int(clamping: attempts))
    self.onBeat = onBeat
  }

  /// One value serves all steps: the room that outputs take is taken once.
  mutating func begin(_ number: UInt64) {
    self.number = number
    attempt = number == suspect ? attempts : 1
    if !output.isEmpty { output.removeAll(keepingCapacity: true) }
  }

  /// Adds to the step's output, which leaves when the step is committed.
  public mutating func emit(_ text: String) { output.append(contentsOf: text.utf8) }

  /// Adds to the step's output, which leaves when the step is committed.
  public mutating func emit(_ bytes: some Sequence<UInt8>) { output.append(contentsOf: bytes) }

  /// Says that the step goes on well: for one that takes longer than the heartbeat allows. Not more is sent than a beat each period.
  public func beat() { onBeat() }
}

/// What comes after a step.
public enum ProcessPairNext: Hashable, Sendable {
  /// The next step, at once.
  case step
  /// The next step, so long after this one began. Beats go on meanwhile.
  case stepAfter(Duration)
  /// Nothing: the work is done. This step is the last one, and the pair ends.
  case finish
}

/// How a process of a pair has come to its end.
public enum ProcessPairEnding: Hashable, Sendable {
  /// The work is done.
  case finished
  /// It was asked to end, by that signal, and the pair with it.
  case terminated(Int32)
  /// It was asked to end, by that signal, and the other process goes on.
  case handedOver(Int32)
  /// It was the backup of a pair that has ended, or was not needed any more.
  case stoodBy
}
