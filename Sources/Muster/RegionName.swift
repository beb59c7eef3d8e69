// SPDX-License-Identifier: Apache-2.0
import CMuster
public import SystemPackage

/// Where a region is: a name of shared memory, or the path of a file.
///
/// A string is a name of shared memory, as `shm_open(3)` finds it: `"crew"` is `/dev/shm/crew`. It may begin with one
/// `/`, has no other, is not `.` or `..`, and has at most 255 bytes.
public struct RegionName: Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
  /// The name, or the path.
  public let string: String
  /// Whether it is the path of a file.
  public let isFile: Bool

  private init(string: String, isFile: Bool) {
    self.string = string
    self.isFile = isFile
  }

  /// Shared memory of that name.
  public init(_ name: String) { self.init(string: name, isFile: false) }

  /// Shared memory of that name.
  public init(stringLiteral name: String) { self.init(name) }

  /// A file, which outlives the machine's restart; ``Region/synchronizeBlocking()`` makes its contents durable.
  public static func file(_ path: FilePath) -> RegionName { RegionName(string: path.string, isFile: true) }

  /// The name, or the path.
  public var description: String { string }

  var flags: UInt32 { isFile ? UInt32(.MUSTER_REGION_FILE) : 0 }
}

/// What opening a name may do.
public enum OpenMode: Hashable, Sendable {
  /// Attach to what is there, else create it: whoever comes first creates.
  case createOrAttach
  /// Create, and fail where the name is taken.
  case create
  /// Attach, and fail where there is nothing.
  case attach

  var flags: UInt32 {
    switch self {
    case .createOrAttach: UInt32(.MUSTER_REGION_OPEN)
    case .create: UInt32(.MUSTER_REGION_CREATE)
    case .attach: UInt32(.MUSTER_REGION_ATTACH)
    }
  }
}

extension UInt32 {
  /// Flags as C's option structures have them.
  init(_ flags: muster_region_flags) { self = flags.rawValue }
}
