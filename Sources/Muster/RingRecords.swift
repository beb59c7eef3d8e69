// SPDX-License-Identifier: Apache-2.0

extension RingReader {
  /// The records as they come, each copied out of the ring.
  ///
  /// The reader's position moves on when the loop asks for the next record, and not before: a loop that takes its time
  /// holds the writer of a lossless ring back, and is overtaken in one of ``Ring/Delivery/latest``.
  ///
  /// It ends when the reader is closed. It throws what ``next(until:)`` does: `writerDied` when all of the dead one's
  /// records have come, `cancelled` when the task was, whether there are more records or not. After either another loop
  /// goes on where this one was.
  public var records: Records { Records(reader: self) }

  /// An asynchronous sequence of records; see ``RingReader/records``.
  public struct Records: AsyncSequence, Sendable {
    let reader: RingReader

    /// The records are the reader's: of several iterators each record comes to one.
    public func makeAsyncIterator() -> Iterator { Iterator(reader: reader) }

    /// Asks the reader for one record after the other.
    public struct Iterator: AsyncIteratorProtocol {
      let reader: RingReader

      /// The next record; `nil` when the reader was closed.
      ///
      /// - Throws: ``RingError``: as ``RingReader/next(until:)``, without `closed`.
      public mutating func next(
        isolation actor: isolated (any Actor)? = #isolation
      ) async throws(RingError) -> Ring.Record? {
        if Task.isCancelled { throw RingError("read the ring", reader.name, code: .cancelled) }
        do throws(RingError) {
          return try await reader.next()
        } catch {
          guard error.code == .closed else { throw error }
          return nil
        }
      }
    }
  }
}
