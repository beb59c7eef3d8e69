// SPDX-License-Identifier: Apache-2.0

/// One step of a pair's work: what its function is given beside the state.
public struct ProcessPairStep: ~Copyable {
  /// Its number. The first is 1.
  public let number: UInt64
  /// The epoch of this primary: it rises with each takeover.
  public let epoch: UInt64
  /// How often it is tried from this state by now; more than 1: whoever tried it before has died.
  public let attempt: Int
  var output: [UInt8]
  let onBeat: () -> Void

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
