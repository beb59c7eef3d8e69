// SPDX-License-Identifier: Apache-2.0
import CMuster

extension Trace {
  /// The clock that events carry.
  public enum Clock: Hashable, Sendable {
    /// The processor's counter: TSC, or CNTVCT on arm64.
    case counter
    /// `CLOCK_MONOTONIC`.
    case monotonic

    init?(_ clock: muster_trace_clock) {
      switch clock {
      case .MUSTER_TRACE_CLOCK_COUNTER: self = .counter
      case .MUSTER_TRACE_CLOCK_MONOTONIC: self = .monotonic
      default: return nil
      }
    }

    var core: muster_trace_clock { self == .counter ? .MUSTER_TRACE_CLOCK_COUNTER : .MUSTER_TRACE_CLOCK_MONOTONIC }
  }

  /// How much a trace holds. Chosen at creation.
  public struct Shape: Hashable, Sendable {
    /// How many record at a time, 1 to 256.
    public var recorders: Int
    /// Of each the newest so many events are kept: a power of two, 16 to 4,194,304. An event has 32 bytes.
    public var events: Int
    /// How many different names there can be, 1 to 4096.
    public var names: Int
    /// `nil`, to create: the counter where the kernel itself goes by it.
    public var clock: Clock?

    /// A shape; by default one of 2 MiB.
    public init(recorders: Int = 16, events: Int = 4096, names: Int = 256, clock: Clock? = nil) {
      self.recorders = recorders
      self.events = events
      self.names = names
      self.clock = clock
    }

    init(_ shape: muster_trace_shape) {
      self.init(
        recorders: Int(shape.recorders), events: Int(shape.events), names: Int(shape.names), clock: Clock(shape.clock))
    }

    /// What is too large for the type is too large for a trace, and refused as such.
    var core: muster_trace_shape {
      func number(_ value: Int) -> UInt32 { UInt32(exactly: value) ?? .max }
      return muster_trace_shape(
        recorders: number(recorders), events: number(events), names: number(names),
        clock: clock?.core ?? .MUSTER_TRACE_CLOCK_BEST)
    }
  }

  /// Who stopped all recorders, and when.
  public struct Freeze: Hashable, Sendable {
    /// The process.
    public let pid: Int32
    /// Nanoseconds of `CLOCK_MONOTONIC`, up to 66 µs late.
    public let time: Int64
  }

  /// A trace as it is at a moment.
  public struct State: Hashable, Sendable {
    /// What it was made with, and the clock that is in use.
    public let shape: Shape
    /// How many names there are.
    public let names: Int
    /// How many recorders are held by the living.
    public let alive: Int
    /// How many were given back.
    public let left: Int
    /// How many are of the dead.
    public let died: Int
    /// `nil`: recorders record.
    public let freeze: Freeze?

    init(_ state: muster_trace_state) {
      shape = Shape(state.shape)
      names = Int(state.names)
      alive = Int(state.alive)
      left = Int(state.left)
      died = Int(state.died)
      freeze = state.frozen == 0 ? nil : Freeze(pid: state.frozen_by, time: state.frozen_at)
    }
  }

  /// What became of who recorded.
  public enum Life: Hashable, Sendable {
    /// It lives.
    case alive
    /// It has closed its recorder.
    case left
    /// It, or its process, ended without that.
    case died
  }

  /// A recorder that somebody has, or had.
  public struct RecorderState: Hashable, Sendable {
    /// Which of the trace's recorders.
    public let index: Int
    /// What became of who recorded.
    public let life: Life
    /// Its process.
    public let pid: Int32
    /// The thread that holds its place; of a Swift process the one that keeps all of its places.
    public let thread: UInt32
    /// The name of its program.
    public let process: String
    /// What it was called.
    public let label: String
    /// When it joined, as the times of events.
    public let joined: Int64
    /// The machine was started anew since.
    public let isOfEarlierBoot: Bool
    /// How many events it has recorded.
    public let recorded: UInt64
    /// How many of them are there.
    public let kept: Int

    init?(index: Int, _ info: muster_trace_recorder_info) {
      switch info.life {
      case .MUSTER_TRACE_ALIVE: life = .alive
      case .MUSTER_TRACE_LEFT: life = .left
      case .MUSTER_TRACE_DIED: life = .died
      default: return nil
      }
      self.index = index
      pid = info.pid
      thread = info.thread
      process = Self.text(info.process)
      label = Self.text(info.label)
      joined = info.joined
      isOfEarlierBoot = info.this_boot == 0
      recorded = info.end - info.first
      kept = Int(info.end - info.oldest)
    }

    /// The C core ends both with a 0.
    private static func text<Bytes>(_ bytes: Bytes) -> String {
      withUnsafeBytes(of: bytes) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
  }
}
