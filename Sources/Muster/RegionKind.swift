// SPDX-License-Identifier: Apache-2.0

/// Four letters that name a kind of object in a region, such as "BARR": C's `MUSTER_KIND`.
///
/// The first letter is the lowest byte. Letters of your own are for your own payloads: Muster's begin with what stands
/// in its headers.
public struct RegionKind: RawRepresentable, Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
  /// The four bytes as a number. 0, when attaching: any kind.
  public let rawValue: UInt32

  /// The kind with these four bytes.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  init(_ number: UInt64) { self.init(rawValue: UInt32(truncatingIfNeeded: number)) }

  /// The kind that four ASCII letters name. Fewer are filled up with zeros, more are a programming error.
  public init(stringLiteral letters: String) {
    precondition(
      letters.utf8.count <= 4 && letters.utf8.allSatisfy { $0 < 0x80 }, "a region's kind has four ASCII letters")
    self.init(rawValue: letters.utf8.reversed().reduce(0) { $0 << 8 | UInt32($1) })
  }

  /// Any kind: for attaching to a region without asking what is in it.
  public static let any = RegionKind(rawValue: 0)

  /// As it goes on "it is ...": "a ring".
  var phrase: String {
    switch self {
    case "BARR": "a barrier"
    case "PSXB": "a POSIX barrier"
    case "GRUP": "a group"
    case "SEQL": "a seqlock"
    case "LOCK": "a lock"
    case "CKPT": "a checkpoint"
    case "RING": "a ring"
    case "POOL": "a pool"
    case "QUEU": "a queue"
    case "TRAC": "a trace"
    case "LOGS": "a log"
    case "PAIR": "a process pair"
    default: "a region of the kind \(self)"
    }
  }

  /// The letters; where they are none, the number in hexadecimal.
  public var description: String {
    let bytes = (0..<4).map { UInt8(truncatingIfNeeded: rawValue >> ($0 * 8)) }
    let letters = bytes.prefix { $0 != 0 }
    guard !letters.isEmpty, letters.allSatisfy({ (0x21...0x7e).contains($0) }),
      bytes.dropFirst(letters.count).allSatisfy({ $0 == 0 })
    else { return hexadecimal(UInt64(rawValue)) }
    return String(decoding: letters, as: UTF8.self)
  }
}
