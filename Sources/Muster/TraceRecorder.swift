// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The place in a trace that one thread, task or actor records to.
///
/// ```swift
/// let recorder = try trace.join(label: "reader")
/// recorder.span(work, id: 7) { ... }            // a span, closed also when the closure throws
/// recorder.begin(wait); ...; recorder.end(wait)
/// recorder.counter(depth, queue.count)
/// ```
///
/// Whoever holds it is the only one to record to it; it is not `Sendable`, but may be handed on. It is kept until it is
/// closed, or as long as the process: the thread that keeps all of the process's places keeps this one, too.
///
/// What is recorded while the trace is frozen, after ``close()``, or in a process that was forked from the one that
/// joined, is dropped; each call says whether it was recorded.
public final class TraceRecorder {
  /// The trace.
  public let trace: Trace
  /// Which of the trace's recorders this is.
  public let index: Int
  private var recorder: UnsafeMutablePointer<muster_trace_recorder>?
  private let pid = getpid()

  init(_ trace: Trace, label: String) throws(TraceError) {
    let operation = "join the trace"
    do {
      try trace.handle.begin()
    } catch {
      throw TraceError(operation, trace.name, code: .closed)
    }
    nonisolated(unsafe) let object = trace.handle.object
    var made: UnsafeMutablePointer<muster_trace_recorder>?
    let status: Int32
    do throws(ThreadFailure) {
      status = try Keeper.shared.run { Muster.withName(label) { muster_trace_join(object, $0, &made) } }
    } catch {
      trace.handle.end()
      throw TraceError(operation, trace.name, status: error.status, code: .system)
    }
    guard status == 0, let made else {
      trace.handle.end()
      throw trace.failure(operation, status)
    }
    self.trace = trace
    index = Int(made.pointee.index)
    recorder = made
  }

  deinit { close() }

  /// Gives the recorder back; what was recorded stays. Closing again does nothing.
  public func close() {
    guard let leaving = recorder else { return }
    recorder = nil
    if pid == getpid() {
      nonisolated(unsafe) let leaving = leaving
      // The keeper runs: the recorder was given there.
      _ = try? Keeper.shared.run { muster_trace_leave(leaving) }
    } else {
      muster_trace_leave(leaving)
    }
    trace.handle.end()
  }

  // MARK: Recording

  private func put(_ kind: muster_trace_kind, _ name: Trace.Name, _ value: UInt64) -> Bool {
    muster_trace_put(recorder, kind, name.rawValue, value) == 0
  }

  /// Begins a span. Spans nest; each is to be ended.
  ///
  /// - Parameter id: what it is about, as a number that you know it by elsewhere; 0: none.
  /// - Returns: whether it was recorded; so do all that follow.
  @discardableResult
  public func begin(_ name: Trace.Name, id: UInt64 = 0) -> Bool { put(.MUSTER_TRACE_BEGIN, name, id) }

  /// Ends the innermost open span.
  @discardableResult
  public func end(_ name: Trace.Name, id: UInt64 = 0) -> Bool { put(.MUSTER_TRACE_END, name, id) }

  /// Does something within a span.
  public func span<Result, Failure: Error>(
    _ name: Trace.Name, id: UInt64 = 0, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    begin(name, id: id)
    defer { end(name, id: id) }
    return try body()
  }

  /// Does something, and records that it did as one event: half the memory, and no word of it if the process dies in it.
  public func wholeSpan<Result, Failure: Error>(
    _ name: Trace.Name, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let began = recorder.map { muster_trace_ticks($0.pointee.clock) } ?? 0
    defer { _ = put(.MUSTER_TRACE_SPAN, name, began) }
    return try body()
  }

  /// Something happened.
  @discardableResult
  public func instant(_ name: Trace.Name, id: UInt64 = 0) -> Bool { put(.MUSTER_TRACE_INSTANT, name, id) }

  /// What a counter stands at now.
  @discardableResult
  public func counter(_ name: Trace.Name, _ value: Int64) -> Bool {
    put(.MUSTER_TRACE_COUNTER, name, UInt64(bitPattern: value))
  }

  /// Something that is known by `id` goes from here to another recorder, which calls ``flowIn(_:id:)`` with the same
  /// name and id.
  @discardableResult
  public func flowOut(_ name: Trace.Name, id: UInt64) -> Bool { put(.MUSTER_TRACE_FLOW_OUT, name, id) }

  /// It has come here, and goes on.
  @discardableResult
  public func flowStep(_ name: Trace.Name, id: UInt64) -> Bool { put(.MUSTER_TRACE_FLOW_STEP, name, id) }

  /// It has come here.
  @discardableResult
  public func flowIn(_ name: Trace.Name, id: UInt64) -> Bool { put(.MUSTER_TRACE_FLOW_IN, name, id) }

  /// A span that is known by `id` begins; it may end on another recorder.
  @discardableResult
  public func asyncBegin(_ name: Trace.Name, id: UInt64) -> Bool { put(.MUSTER_TRACE_ASYNC_BEGIN, name, id) }

  /// It ends.
  @discardableResult
  public func asyncEnd(_ name: Trace.Name, id: UInt64) -> Bool { put(.MUSTER_TRACE_ASYNC_END, name, id) }

  /// Something happened in it.
  @discardableResult
  public func asyncInstant(_ name: Trace.Name, id: UInt64) -> Bool { put(.MUSTER_TRACE_ASYNC_INSTANT, name, id) }
}

@available(*, unavailable)
extension TraceRecorder: Sendable {}
