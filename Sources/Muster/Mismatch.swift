// SPDX-License-Identifier: Apache-2.0
import CMuster

/// Which property of a shared object is not the expected one: C's `muster_mismatch` (muster/status.h).
public struct Mismatch: Hashable, Sendable, CustomStringConvertible {
  /// A property that is compared when a process attaches to what another made.
  public struct Property: Hashable, Sendable, CustomStringConvertible {
    private let kind: UInt32

    /// The format of Muster's regions themselves.
    public static let format = Property(.MUSTER_MISMATCH_FORMAT)
    /// What kind of object it is: a barrier where a seqlock was asked for.
    public static let kind = Property(.MUSTER_MISMATCH_KIND)
    /// The version of that kind.
    public static let version = Property(.MUSTER_MISMATCH_VERSION)
    /// The parameters: parties and policy, capacity, counters, the layout of a payload.
    public static let layout = Property(.MUSTER_MISMATCH_LAYOUT)
    /// The size, in bytes.
    public static let size = Property(.MUSTER_MISMATCH_SIZE)
    /// The libc of the processes, whose locks lie differently.
    public static let libc = Property(.MUSTER_MISMATCH_LIBC)
    /// The pid namespace, where thread numbers mean other threads.
    public static let pidNamespace = Property(.MUSTER_MISMATCH_NAMESPACE)

    init(_ kind: muster_mismatch_kind) { self.kind = kind.rawValue }

    var core: muster_mismatch_kind { muster_mismatch_kind(rawValue: kind)! }

    /// "another size", "another version of that object"...
    public var description: String { String(cString: muster_mismatch_text(core)) }
  }

  /// What differs.
  public let property: Property
  /// The value that was asked for.
  public let expected: UInt64
  /// The value that is there.
  public let found: UInt64

  init?(_ mismatch: muster_mismatch) {
    guard mismatch.kind != .MUSTER_MISMATCH_NONE else { return nil }
    self.property = Property(mismatch.kind)
    self.expected = mismatch.expected
    self.found = mismatch.found
  }

  var core: muster_mismatch { muster_mismatch(kind: property.core, expected: expected, found: found) }

  /// "another size (asked for 64, found 128)".
  public var description: String {
    switch property {
    case .size, .version, .format: "\(property) (asked for \(expected), found \(found))"
    case .kind: "\(property) (asked for \(RegionKind(expected)), found \(RegionKind(found)))"
    default: "\(property) (asked for \(hexadecimal(expected)), found \(hexadecimal(found)))"
    }
  }
}

func hexadecimal(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }
