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
  public var isFile: Bool { path != nil }
  /// The path itself: it may have bytes that are no UTF-8, which `string` shows as something else.
  private let path: FilePath?

  private init(string: String, path: FilePath?) {
    self.string = string
    self.path = path
  }

  /// Shared memory of that name.
  public init(_ name: String) { self.init(string: name, path: nil) }

  /// Shared memory of that name.
  public init(stringLiteral name: String) { self.init(name) }

  /// A file, which outlives the machine's restart; ``Region/synchronizeBlocking()`` makes its contents durable.
  public static func file(_ path: FilePath) -> RegionName { RegionName(string: path.string, path: path) }

  /// The name, or the path.
  public var description: String { string }

  /// Gives the name, or the path, to C.
  package func withCString(_ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
    path?.withPlatformString(body) ?? Muster.withName(string, body)
  }

  package var flags: UInt32 { isFile ? UInt32(.MUSTER_REGION_FILE) : 0 }
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
