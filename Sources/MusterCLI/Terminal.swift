// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What may be written to an output: how wide, whether in colour, whether beyond ASCII.
package struct Terminal: Equatable, Sendable {
  /// Whether a person looks at it.
  package var isInteractive: Bool
  /// Columns that a line may take.
  package var width: Int
  /// Rows of the screen; nil where there is none.
  package var height: Int?
  package var isColored: Bool
  package var isUnicode: Bool

  /// The width of what is no terminal.
  package static let plainWidth = 80

  package init(
    isInteractive: Bool, width: Int = plainWidth, height: Int? = nil, isColored: Bool = false, isUnicode: Bool
  ) {
    self.isInteractive = isInteractive
    self.width = width
    self.height = height
    self.isColored = isColored
    self.isUnicode = isUnicode
  }

  /// Decides from what the system tells: `size` is that of the terminal, nil where the output is none.
  ///
  /// `COLUMNS` goes before the size, as it does in every shell's tools. Colour needs a terminal, and neither `NO_COLOR`
  /// (https://no-color.org: present and not empty) nor `TERM=dumb`.
  package init(size: (columns: Int, rows: Int)?, environment: [String: String]) {
    isUnicode = Self.saysUTF8(environment)
    guard let size else {
      isInteractive = false
      width = Self.plainWidth
      height = nil
      isColored = false
      return
    }
    isInteractive = true
    let columns = environment["COLUMNS"].flatMap { Int($0) } ?? 0
    width = columns > 0 ? columns : size.columns > 0 ? size.columns : Self.plainWidth
    height = size.rows > 0 ? size.rows : nil
    isColored = (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
  }

  /// What a descriptor of this process leads to.
  package init(descriptor: Int32, environment: [String: String]) {
    guard isatty(descriptor) == 1 else {
      self.init(size: nil, environment: environment)
      return
    }
    var size = winsize()
    let known = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0
    self.init(size: known ? (Int(size.ws_col), Int(size.ws_row)) : (0, 0), environment: environment)
  }

  /// As setlocale(3) reads them: the first of the three that is set and not empty decides.
  private static func saysUTF8(_ environment: [String: String]) -> Bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
    let letters = locale.lowercased().filter { $0 != "-" }
    return letters.hasSuffix("utf8") || letters.contains("utf8@")
  }
}

/// Colours of the sixteen that every terminal has.
package enum Ink: String, Sendable {
  case plain = ""
  case bold = "1"
  case dim = "2"
  case red = "31"
  case green = "32"
  case yellow = "33"
  case cyan = "36"
  case boldRed = "1;31"
  case boldGreen = "1;32"
  case boldCyan = "1;36"

  /// The text in this colour, or as it is where the terminal shows none.
  package func paint(_ text: String, on terminal: Terminal) -> String {
    terminal.isColored && self != .plain && !text.isEmpty ? "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" : text
  }
}
