// SPDX-License-Identifier: Apache-2.0
import CMuster
import Muster
public import SystemPackage

/// Looks at a pair from another process, without disturbing it.
///
/// ```swift
/// let observer = try ProcessPairObserver("counter")
/// let status = try observer.status()
/// if status.primaryLife == .alive, let primary = status.primary { print("process \(primary.identity.pid) works") }
/// ```
///
/// The memory is mapped read-only: the pair may end, or be killed, meanwhile, and what was there last stays to be seen. A pair that ended
/// cleanly has removed it, and one that is started after that has another: it is to be looked at by a new observer. All of it is input, and
/// read as such.
///
/// One thread at a time may use the object.
public final class ProcessPairObserver {
  /// The pair's name, or the path of its state file.
  public let name: String
  private let store: PairStore

  /// Looks at the pair of that name, which has no state file.
  ///
  /// - Throws: ``ProcessPairError``: `notFound`, `mismatch` (it is no pair's memory, or of another version), `corrupt`, `permissionDenied`,
  ///   `invalidArgument`, `system`.
  public convenience init(_ name: String) throws(ProcessPairError) { try self.init(name, RegionName(name)) }

  /// Looks at the pair with that state file.
  ///
  /// - Throws: ``ProcessPairError``: as of ``init(_:)``.
  public convenience init(stateFile: FilePath) throws(ProcessPairError) {
    try self.init(stateFile.string, .file(stateFile))
  }

  private init(_ name: String, _ place: RegionName) throws(ProcessPairError) {
    self.name = name
    store = try PairStore(looking: name, place)
  }

  /// What there is to be seen now.
  ///
  /// - Throws: ``ProcessPairError``: `corrupt`; `system` (`EAGAIN`): it was passed by writers each of many times.
  public func status() throws(ProcessPairError) -> ProcessPairStatus { ProcessPairStatus(try store.look()) }
}
