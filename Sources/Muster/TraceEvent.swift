// SPDX-License-Identifier: Apache-2.0
import CMuster

extension Trace {
  /// What an event is called, as a number: ``Trace/name(_:)`` finds it, ``Trace/text(of:)`` tells it.
  public struct Name: RawRepresentable, Hashable, Sendable {
    /// The number.
    public let rawValue: UInt16

    /// The name of that number.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The one for which there was no room: "?".
    public static let other = Name(rawValue: UInt16(MUSTER_TRACE_NAME_OTHER))
  }

  /// What an event is.
  public enum Kind: Hashable, Sendable {
    /// A span begins.
    case begin
    /// The innermost open span ends.
    case end
    /// Something happened.
    case instant
    /// What a counter stands at.
    case counter
    /// A whole span, told at its end.
    case span
    /// Something goes from here to another recorder.
    case flowOut
    /// It has come here, and goes on.
    case flowStep
    /// It has come here.
    case flowIn
    /// A span of no one recorder begins.
    case asyncBegin
    /// It ends.
    case asyncEnd
    /// Something happened in it.
    case asyncInstant

    init?(_ kind: muster_trace_kind) {
      switch kind {
      case .MUSTER_TRACE_BEGIN: self = .begin
      case .MUSTER_TRACE_END: self = .end
      case .MUSTER_TRACE_INSTANT: self = .instant
      case .MUSTER_TRACE_COUNTER: self = .counter
      case .MUSTER_TRACE_SPAN: self = .span
      case .MUSTER_TRACE_FLOW_OUT: self = .flowOut
      case .MUSTER_TRACE_FLOW_STEP: self = .flowStep
      case .MUSTER_TRACE_FLOW_IN: self = .flowIn
      case .MUSTER_TRACE_ASYNC_BEGIN: self = .asyncBegin
      case .MUSTER_TRACE_ASYNC_END: self = .asyncEnd
      case .MUSTER_TRACE_ASYNC_INSTANT: self = .asyncInstant
      default: return nil
      }
    }
  }

  /// One that was recorded.
  public struct Event: Hashable, Sendable {
    /// What it is.
    public let kind: Kind
    /// What it is called.
    public let name: Name
    /// Nanoseconds of `CLOCK_MONOTONIC`; of a ``Kind/span`` its end.
    public let time: Int64
    /// Of a ``Kind/span``: how long it took. Else zero.
    public let duration: Duration
    /// The correlation id; of a ``Kind/counter`` its value, as ``counter``.
    public let id: UInt64
    /// Which recorder recorded it.
    public let recorder: Int
    /// How many that one had recorded before, from the beginning of all.
    public let number: UInt64
    /// How many of that recorder's were overwritten while this was read, since the one before.
    public let lost: Int

    /// What a counter stands at.
    public var counter: Int64 { Int64(bitPattern: id) }

    init?(_ event: muster_trace_event) {
      guard let kind = Kind(event.kind) else { return nil }
      self.kind = kind
      name = Name(rawValue: event.name)
      time = event.time
      duration = .nanoseconds(event.duration)
      id = event.value
      recorder = Int(event.recorder)
      number = event.number
      lost = Int(event.lost)
    }
  }
}

/// What a trace holds, event by event, each read as it is asked for. It can be gone through once.
public struct TraceEvents: Sequence, IteratorProtocol {
  private final class Cursor {
    private let trace: Trace
    let object: OpaquePointer

    /// The trace is in use until the end of this.
    init(_ trace: Trace, _ object: OpaquePointer) {
      self.trace = trace
      self.object = object
    }

    deinit {
      muster_trace_cursor_close(object)
      trace.handle.end()
    }
  }

  private let cursor: Cursor

  init(_ trace: Trace, _ recorder: Int?) throws(TraceError) {
    let operation = "read the trace"
    do {
      try trace.handle.begin()
    } catch {
      throw TraceError(operation, trace.name, code: .closed)
    }
    var object: OpaquePointer?
    let which = recorder.map { UInt32(exactly: $0) ?? UInt32(MUSTER_TRACE_RECORDERS_MAX) } ?? .max
    let status = muster_trace_read(trace.handle.object, which, &object)
    guard status == 0, let object else {
      trace.handle.end()
      throw TraceError(operation, trace.name, status: status)
    }
    cursor = Cursor(trace, object)
  }

  /// The next one; `nil`: that was all.
  public func next() -> Trace.Event? {
    var event = muster_trace_event()
    while muster_trace_next(cursor.object, &event) == 0 {
      if let event = Trace.Event(event) { return event }
    }
    return nil
  }
}
