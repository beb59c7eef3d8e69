// What the error types of the modules have in common.
// SPDX-License-Identifier: Apache-2.0
import CMuster
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What was tried, on what, and what the C core said.
struct Failure: Hashable, Sendable {
  /// A clause that goes on "Can't ...": "attach to the region".
  var operation: String
  /// A name, or a path.
  var subject: String
  /// A positive errno value; 0 where no call of the core was made.
  var status: Int32

  /// Why a forked child can't use what its parent opened.
  static let inherited = "this process was forked from the one that opened it"

  var errno: Errno? { status == 0 ? nil : Errno(rawValue: status) }

  /// "the deadline passed (ETIMEDOUT)".
  var meaning: String {
    "\(String(cString: muster_status_text(status))) (\(String(cString: muster_status_name(status))))"
  }

  /// One sentence, and one of advice where there is some.
  func sentence(because reason: String? = nil, advice: String? = nil) -> String {
    let first = "Can't \(operation) “\(subject)”: \(reason ?? meaning)."
    return advice.map { "\(first) \($0)." } ?? first
  }

  /// Of what is there and differs from what was asked for. `advice`: what to do where its numbers do, for nothing that one asks for makes a
  /// trace of a ring, or another libc the same.
  func sentence(of mismatch: Mismatch?, advice: String) -> String {
    guard let mismatch else {
      return sentence(because: "it was made with another libc, or in another pid namespace", advice: Self.advice(.libc))
    }
    guard mismatch.property != .kind else {
      let (found, expected) = (RegionKind(mismatch.found), RegionKind(mismatch.expected))
      return sentence(because: "it is \(found.phrase), not \(expected.phrase)", advice: "Use another name")
    }
    return sentence(
      because: "it was made with \(mismatch)", advice: Self.advice(mismatch.property) ?? Self.orRemove(advice))
  }

  private static func advice(_ property: Mismatch.Property) -> String? {
    switch property {
    case .format, .version: orRemove("Use one version of Muster everywhere")
    case .libc, .pidNamespace: orRemove("Use one libc and one pid namespace everywhere")
    default: nil
    }
  }

  static func orRemove(_ advice: String) -> String { "\(advice), or remove it when nobody needs it" }
}

/// Gives a name to C. `EINVAL` for one with a zero in it, which would cut it short and lead to another object.
func withName(_ name: String, _ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
  name.utf8.contains(0) ? EINVAL : name.withCString(body)
}
