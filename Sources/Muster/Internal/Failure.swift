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
}

/// Gives a name to C. `EINVAL` for one with a zero in it, which would cut it short and lead to another object.
func withName(_ name: String, _ body: (UnsafePointer<CChar>) -> Int32) -> Int32 {
  name.utf8.contains(0) ? EINVAL : name.withCString(body)
}
