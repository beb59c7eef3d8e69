// What is executed.
// SPDX-License-Identifier: Apache-2.0
public import SystemPackage

extension ChildProcess {
  /// Where a program is.
  public enum Program: Hashable, Sendable {
    /// At a path; a relative one is taken from the child's folder.
    case path(FilePath)
    /// In a folder of this process's `PATH`, as a shell looks for it, unless it has a `/`.
    case named(String)
    /// Open already, at least 3. Of a script it has to be in ``Configuration/descriptors``, too, by the same number.
    case descriptor(FileDescriptor)

    /// This program itself, also when its file was replaced meanwhile.
    public static let itself = Program.path("/proc/self/exe")

    var subject: String {
      switch self {
      case .path(let path): path.string
      case .named(let name): name
      case .descriptor(let descriptor): "descriptor \(descriptor.rawValue)"
      }
    }
  }

  /// Arguments: words, or bytes of any kind but zeros.
  public struct Arguments: Hashable, Sendable, ExpressibleByArrayLiteral {
    let bytes: [[UInt8]]

    /// Words.
    public init(_ words: [String]) { bytes = words.map { Array($0.utf8) } }

    /// Bytes that may be no UTF-8.
    public init(bytes: [[UInt8]]) { self.bytes = bytes }

    /// Words.
    public init(arrayLiteral words: String...) { self.init(words) }
  }

  /// What a program finds in its environment.
  public enum Environment: Hashable, Sendable {
    /// What this process has at the time.
    case inherited
    /// The same, with some variables set, and those removed that are `nil`.
    case changed([String: String?])
    /// These variables alone.
    case exactly([String: String])
    /// `NAME=value` each, as bytes that may be no UTF-8.
    case entries([[UInt8]])
  }
}
