// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a process has told of itself so far.
public struct ProcessNotice: Hashable, Sendable {
  /// It is ready: `READY=1`, or the newline.
  public let isReady: Bool
  /// It is about to end: `STOPPING=1`.
  public let isStopping: Bool
  /// How many times it said that it lives: `WATCHDOG=1`.
  public let watchdogs: UInt64
  /// What went wrong: `ERRNO=`.
  public let error: Errno?
  /// How it is, in words: `STATUS=`, of 127 bytes at most, without control characters. Empty: it has not said.
  public let status: String

  /// Nothing so far.
  public init() {
    isReady = false
    isStopping = false
    watchdogs = 0
    error = nil
    status = ""
  }

  init(_ notice: muster_process_notice) {
    isReady = notice.ready != 0
    isStopping = notice.stopping != 0
    watchdogs = notice.watchdogs
    error = notice.error == 0 ? nil : Errno(rawValue: notice.error)
    status = withUnsafeBytes(of: notice.status) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// What there is to tell.
  public enum News: Hashable, Sendable {
    /// It is ready.
    case ready
    /// It is about to end.
    case stopping
    /// It lives.
    case watchdog
    /// What it does, in words of one line.
    case status(String)
    /// What went wrong.
    case error(Errno)

    var line: String {
      switch self {
      case .ready: "READY=1"
      case .stopping: "STOPPING=1"
      case .watchdog: "WATCHDOG=1"
      case .status(let words): "STATUS=" + String(words.map { $0.isNewline || $0 == "\0" ? " " : $0 })
      case .error(let error): "ERRNO=\(error.rawValue)"
      }
    }
  }

  /// For the other side: tells who has started this process, by the socket that `NOTIFY_SOCKET` in its environment names, as `sd_notify(3)`
  /// does. Never waits. (With ``ChildProcess/Readiness/line(_:)`` a newline is written to the descriptor.)
  ///
  /// - Returns: whether anybody wants to know.
  /// - Throws: ``ProcessError``: `invalidArgument` (no name of a socket), `system` (its queue is full, nobody reads it any more).
  @discardableResult
  public static func tell(_ news: News...) throws(ProcessError) -> Bool {
    let status = news.map(\.line).joined(separator: "\n").withCString { muster_process_tell($0) }
    if status == ENOENT { return false }
    guard status == 0 else { throw ProcessError("tell news to", "NOTIFY_SOCKET", status: status) }
    return true
  }
}
