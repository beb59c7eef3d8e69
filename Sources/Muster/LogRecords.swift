// SPDX-License-Identifier: Apache-2.0

extension LogReader {
  /// The records as they come, each copied out of the log.
  ///
  /// It ends when the reader is closed. It throws what ``next(until:)`` does: `cancelled` when the task was, whether there
  /// are more records or not. After that another loop goes on where this one was.
  public var records: Records { Records(reader: self) }

  /// An asynchronous sequence of records; see ``LogReader/records``.
  public struct Records: AsyncSequence, Sendable {
    let reader: LogReader

    /// The records are the reader's: of several iterators each record comes to one.
    public func makeAsyncIterator() -> Iterator { Iterator(reader: reader) }

    /// Asks the reader for one record after the other.
    public struct Iterator: AsyncIteratorProtocol {
      let reader: LogReader

      /// The next record; `nil` when the reader was closed.
      ///
      /// - Throws: ``LogError``: as ``LogReader/next(until:)``, without `closed`.
      public mutating func next(
        isolation actor: isolated (any Actor)? = #isolation
      ) async throws(LogError) -> LogRecord? {
        if Task.isCancelled { throw LogError("read the log", reader.name, code: .cancelled) }
        do throws(LogError) {
          return try await reader.next()
        } catch {
          guard error.code == .closed else { throw error }
          return nil
        }
      }
    }
  }
}
