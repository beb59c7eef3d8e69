// SPDX-License-Identifier: Apache-2.0
import MusterCLI
import Testing

@testable import MusterToolKit

@Suite("Pictures on a terminal")
struct RedrawingTests {
  @Test("Each takes the place of the one before, line by line; in a window of another width the screen is drawn anew")
  func pictures() {
    var screen = Redrawing()
    let wide = Terminal(isInteractive: true, width: 80, height: 24, isUnicode: true)
    let narrow = Terminal(isInteractive: true, width: 20, height: 24, isUnicode: true)
    func drawn(_ text: String) -> String { "\u{1B}[?7l\(text)\u{1B}[?7h\n" }
    #expect(screen.picture(["a", "b"], on: wide) == drawn("a\nb"))
    #expect(screen.picture(["c"], on: wide) == "\r\u{1B}[2A\u{1B}[J" + drawn("c"))
    // Each of its lines may be two by now, or may not.
    #expect(screen.picture(["d"], on: narrow) == "\u{1B}[H\u{1B}[J" + drawn("d"))
    #expect(screen.picture(["e"], on: narrow) == "\r\u{1B}[1A\u{1B}[J" + drawn("e"))
  }
}
