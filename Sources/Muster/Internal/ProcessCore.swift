// What a child and a watched process have in common.
// SPDX-License-Identifier: Apache-2.0
import CMuster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

final class ProcessCore: Sendable {
  let object: ProcessObject
  /// Of the sentences of errors: a path, or "process 123".
  let subject: String
  let handle: Handle
  private let heard = Guarded(ProcessNotice())

  /// - Parameter letGo: of the object when it is closed and not in use any more.
  init(_ object: ProcessObject, subject: String, letGo: @escaping @Sendable (ProcessObject) -> Void) {
    self.object = object
    self.subject = subject
    handle = Handle(OpaquePointer(object.plain)) { _ in letGo(object) }
  }

  // MARK: Its end

  private static let waiting = "wait for the end of"

  func endIfEnded() throws(ProcessError) -> ProcessEnd? {
    try use("look for the end of") { (object) throws(ProcessError) in
      var end = muster_process_end()
      let status = object.look { muster_process_poll($0, &end) }
      if status == EAGAIN { return nil }
      guard status == 0 else { throw failure("look for the end of", status) }
      return ProcessEnd(end)
    }
  }

  func endBlocking(_ deadline: Deadline) throws(ProcessError) -> ProcessEnd {
    try begin(Self.waiting)
    defer { handle.end() }
    let wait = ProcessEndWait(object, deadline: deadline)
    try check(Self.waiting, handle.waitBlocking(wait))
    return ProcessEnd(wait.end)
  }

  func end(_ deadline: Deadline) async throws(ProcessError) -> ProcessEnd {
    try begin(Self.waiting)
    defer { handle.end() }
    let wait = ProcessEndWait(object, deadline: deadline)
    try check(Self.waiting, await handle.wait(wait))
    return ProcessEnd(wait.end)
  }

  // MARK: What it tells

  /// Others who wait look again when what is known has changed by this.
  func hear(_ body: (UnsafeMutablePointer<muster_process>) -> Int32) -> (status: Int32, notice: ProcessNotice?) {
    var notice: ProcessNotice?
    let status = object.look { process in
      defer { notice = ProcessNotice(process.pointee.notice) }
      return body(process)
    }
    if let notice, notice != heard.value {
      heard.value = notice
      handle.nudge()
    }
    return (status, notice)
  }

  func notice() throws(ProcessError) -> ProcessNotice {
    try use("hear") { (_) throws(ProcessError) in
      let (status, notice) = hear { muster_process_hear($0) }
      guard status == 0 || status == EAGAIN else { throw failure("hear", status, .notAsked) }
      return notice ?? heard.value
    }
  }

  static let readying = "wait for the readiness of"

  func noticeBlocking(_ operation: String, after known: ProcessNotice?, _ deadline: Deadline) throws(ProcessError)
    -> ProcessNotice
  {
    try begin(operation)
    defer { handle.end() }
    let wait = ProcessNoticeWait(self, after: known, deadline: deadline)
    try check(operation, handle.waitBlocking(wait), .notAsked)
    return wait.notice
  }

  func notice(_ operation: String, after known: ProcessNotice?, _ deadline: Deadline) async throws(ProcessError)
    -> ProcessNotice
  {
    try begin(operation)
    defer { handle.end() }
    let wait = ProcessNoticeWait(self, after: known, deadline: deadline)
    try check(operation, await handle.wait(wait), .notAsked)
    return wait.notice
  }

  // MARK: Signals, and how it is

  func signal(_ number: Int32) throws(ProcessError) {
    let operation = "send a signal to"
    let status = try use(operation) { (object) throws(ProcessError) in muster_process_signal(object.plain, number) }
    guard status == 0 else { throw failure(operation, status) }
  }

  func sample() throws(ProcessError) -> ProcessSample {
    let operation = "look at"
    return try use(operation) { (object) throws(ProcessError) in
      var sample = muster_process_sample()
      let status = muster_process_look(object.plain, &sample)
      guard status == 0 else { throw failure(operation, status) }
      return ProcessSample(sample)
    }
  }

  func identity() throws(ProcessError) -> ProcessIdentity {
    ProcessIdentity(pid: object.pid, start: try sample().start)
  }

  // MARK: Stopping

  private static let stopping = "stop"

  func stopBlocking(_ request: ProcessStopRequest) throws(ProcessError) -> ProcessStop {
    try begin(Self.stopping)
    defer { handle.end() }
    let outcome = stop(request)
    return try outcome.get(self)
  }

  func stop(_ request: ProcessStopRequest) async throws(ProcessError) -> ProcessStop {
    try begin(Self.stopping)
    defer { handle.end() }
    let outcome = Guarded(ProcessStopOutcome())
    let end = await OwnThread.wait(stop: {}) {
      outcome.value = self.stop(request)
      return 0
    }
    if case .noThread(let status) = end { throw failure(Self.stopping, status, .system) }
    return try outcome.value.get(self)
  }

  private func stop(_ request: ProcessStopRequest) -> ProcessStopOutcome {
    var options = request.options()
    var report = muster_process_stop_report()
    let status = object.stop { muster_process_stop($0, &options, &report) }
    handle.nudge()
    return ProcessStopOutcome(status: status, report: report)
  }

  // MARK: Using it

  private func begin(_ operation: String) throws(ProcessError) {
    if handle.isInherited { throw ProcessError(operation, subject, status: EPERM, code: .inherited) }
    do {
      try handle.begin()
    } catch {
      throw ProcessError(operation, subject, code: .closed)
    }
  }

  private func use<Result>(
    _ operation: String, _ body: (ProcessObject) throws(ProcessError) -> Result
  ) throws(ProcessError) -> Result {
    try begin(operation)
    defer { handle.end() }
    return try body(object)
  }

  private func check(_ operation: String, _ end: WaitEnd, _ invalid: ProcessError.Code? = nil) throws(ProcessError) {
    switch end {
    case .status(0): return
    case .status(let status): throw failure(operation, status, status == EINVAL ? invalid : nil)
    case .noThread(let status): throw failure(operation, status, .system)
    case .closed: throw ProcessError(operation, subject, code: .closed)
    case .cancelled: throw ProcessError(operation, subject, code: .cancelled)
    }
  }

  func failure(_ operation: String, _ status: Int32, _ code: ProcessError.Code? = nil) -> ProcessError {
    ProcessError(operation, subject, status: status, code: code)
  }
}

/// How to stop one, with the times counted from when it begins.
struct ProcessStopRequest: Sendable {
  var signal: Int32?
  var grace: Duration
  var patience: Duration
  var isFirstAlone: Bool

  func options() -> muster_process_stop_options {
    let grace = max(.zero, grace)
    var options = muster_process_stop_options()
    // 0 is SIGTERM to C, and no signal.
    options.signal = signal.map { $0 > 0 ? $0 : -1 } ?? 0
    if isFirstAlone { options.flags = UInt32(muster_process_stop_flags.MUSTER_PROCESS_STOP_FIRST.rawValue) }
    options.grace = Deadline(grace)
    // C takes one that is not after the grace for the usual patience.
    options.deadline = Deadline(grace + max(.milliseconds(1), patience))
    return options
  }
}

struct ProcessStopOutcome: Sendable {
  var status: Int32 = 0
  var report = muster_process_stop_report()

  func get(_ core: ProcessCore) throws(ProcessError) -> ProcessStop {
    // Who would not die is no failure to look.
    guard status == 0 || status == EBUSY else { throw core.failure("stop", status) }
    return ProcessStop(report)
  }
}
