// SPDX-License-Identifier: Apache-2.0

/// The output of one step, on its way out.
public struct ProcessPairEmission: Hashable, Sendable {
  /// The step's number: each has one, and none is left out.
  public let step: UInt64
  /// The primary's epoch. An output that refuses older ones is safe from everybody but the present primary.
  public let epoch: UInt64
  /// What ``ProcessPairOutput/position()`` said before the step was committed.
  public let position: UInt64
  /// Whether it may be out already, and that can't be told.
  public let isDoubtful: Bool
}

/// Where the outputs of a pair's steps go.
///
/// A step's output is kept with its state, in one commit, before it leaves. So it leaves at least once, and what is in doubt after a death is
/// known byte for byte: the successor asks the output whether it is there, and emits it if not. An output that can be asked has each exactly
/// once. One that can't (a terminal, a pipe) has at most one of them twice for each takeover, and that one is marked.
public protocol ProcessPairOutput {
  /// This process leads from now on; all others that have written to the output are gone.
  mutating func lead(epoch: UInt64) throws

  /// Where it stands now, if that helps to tell later what is there: its length, say. Called before each step that has an output is committed.
  mutating func position() throws -> UInt64

  /// Waits until it takes an output without delay, no longer than that: `false` if it does not by then. It is asked until it does, before each
  /// output, and a beat goes between: a reader that does not read is no hang of the primary.
  mutating func isReady(within time: Duration) throws -> Bool

  /// Lets it out, whole. When this returns it will not be emitted again.
  mutating func emit(_ bytes: RawSpan, _ emission: ProcessPairEmission) throws

  /// Whether it is out, whole: what is there of a torn one is dropped or completed here. `nil`: can't be told.
  mutating func contains(_ bytes: RawSpan, _ emission: ProcessPairEmission) throws -> Bool?
}

extension ProcessPairOutput {
  /// Nothing to be done.
  public mutating func lead(epoch: UInt64) {}

  /// Always, as a file is.
  public mutating func isReady(within time: Duration) throws -> Bool { true }
}

/// No output: the steps have none, or do without.
public struct NoProcessPairOutput: ProcessPairOutput {
  /// Takes nothing.
  public init() {}
  /// Always the beginning.
  public mutating func position() -> UInt64 { 0 }
  /// Drops it.
  public mutating func emit(_ bytes: RawSpan, _ emission: ProcessPairEmission) {}
  /// There is nothing that could be missing.
  public mutating func contains(_ bytes: RawSpan, _ emission: ProcessPairEmission) -> Bool? { true }
}
