// Pictures on a terminal, each in the place of the one before.
// SPDX-License-Identifier: Apache-2.0
import MusterCLI

struct Redrawing {
  /// Lines on the screen that the next picture replaces.
  private var shown = 0
  private var width = 0

  /// What draws it. In one piece, so that nothing flickers; from the first column on, since a key may have been echoed.
  mutating func picture(_ lines: [String], on terminal: Terminal) -> String {
    var clear = ""
    if shown > 0 {
      // Another width has broken the lines that are there anew, or has not, as the terminal likes.
      clear = width == terminal.width ? "\r\u{1B}[\(shown)A\u{1B}[J" : "\u{1B}[H\u{1B}[J"
    }
    (shown, width) = (lines.count, terminal.width)
    // A line is one row, also where letters are wider than one column, or the window narrower than said.
    return "\(clear)\u{1B}[?7l\(lines.joined(separator: "\n"))\u{1B}[?7h\n"
  }
}
