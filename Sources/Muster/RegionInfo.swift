// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What can be said of a region without attaching to it: C's `muster_region_info`.
public struct RegionInfo: Hashable, Sendable {
  /// The name, as it is to be given to open; for a file the last part of the path.
  public let name: String
  /// What the payload is.
  public let kind: RegionKind
  /// The version of the payload's layout.
  public let version: UInt32
  /// A hash of what else must agree.
  public let layout: UInt64
  /// Bytes of the payload.
  public let size: UInt64
  /// Bytes with the header, as it takes them of the file system.
  public let fileSize: UInt64
  /// The user id that it belongs to.
  public let user: UInt32
  /// Who may read and write.
  public let permissions: FilePermissions
  /// The process that created it, in that process's pid namespace.
  public let creatorPID: Int32
  /// Whether at least one process holds it.
  public let isHeld: Bool
  /// When it was created: since 1970, by the wall clock of that time.
  public let created: Duration
  /// Whether it was made since the machine was last started. Only a file can be older.
  public let isFromThisBoot: Bool

  init(_ info: muster_region_info) {
    self.name = withUnsafeBytes(of: info.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    self.kind = RegionKind(rawValue: info.kind)
    self.version = info.version
    self.layout = info.layout
    self.size = info.size
    self.fileSize = info.file_size
    self.user = info.user
    self.permissions = FilePermissions(rawValue: CModeT(truncatingIfNeeded: info.mode & 0o7777))
    self.creatorPID = info.creator_pid
    self.isHeld = info.held != 0
    self.created = .nanoseconds(info.created)
    self.isFromThisBoot = info.this_boot != 0
  }
}

extension Region {
  /// Looks at a region without holding or disturbing it.
  ///
  /// - Throws: ``RegionError``: `notFound`, `corrupt`, `mismatch` (of the format), `permissionDenied`, `system`.
  public static func inspect(_ name: RegionName) throws(RegionError) -> RegionInfo {
    let operation = "inspect the region"
    var info = muster_region_info()
    let status = name.withCString { muster_region_inspect($0, name.flags, &info) }
    guard status == 0 else { throw RegionError(operation, name.string, status: status) }
    return RegionInfo(info)
  }

  /// All named regions that the caller may read, by name. What else lies in `/dev/shm` is passed over.
  ///
  /// - Throws: ``RegionError``: `system`.
  public static func list() throws(RegionError) -> [RegionInfo] {
    var found: [RegionInfo] = []
    let status = withUnsafeMutablePointer(to: &found) { found in
      muster_region_list(
        { info, context in
          context!.assumingMemoryBound(to: [RegionInfo].self).pointee.append(RegionInfo(info.pointee))
          return 0
        }, found)
    }
    guard status == 0 else { throw RegionError("list the regions of", "/dev/shm", status: status) }
    return found.sorted { $0.name < $1.name }
  }

  /// Removes a name. With `force` also while somebody holds the region: those go on with memory that has no name, and
  /// who opens the name next gets another region.
  ///
  /// - Parameter anyOwner: whether a region that belongs to another user may be removed.
  /// - Throws: ``RegionError``: `notFound`, `inUse` (held, and not forced), `corrupt` (not a region: never removed),
  ///   `permissionDenied`.
  public static func remove(
    _ name: RegionName, force: Bool = false, anyOwner: Bool = false
  ) throws(RegionError) {
    let operation = "remove the region"
    let flags =
      name.flags | (force ? UInt32(.MUSTER_REGION_FORCE) : 0) | (anyOwner ? UInt32(.MUSTER_REGION_ANY_OWNER) : 0)
    let status = name.withCString { muster_region_remove($0, flags) }
    guard status == 0 else { throw RegionError(operation, name.string, status: status) }
  }
}
