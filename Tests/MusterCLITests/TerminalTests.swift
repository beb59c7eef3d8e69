// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import MusterCLI

@Suite("What may be written to an output")
struct TerminalTests {
  @Test("Colour and width only on a terminal")
  func pipe() {
    let pipe = Terminal(size: nil, environment: ["COLUMNS": "200", "LANG": "en_US.UTF-8", "TERM": "xterm"])
    #expect(pipe == Terminal(isInteractive: false, width: 80, isColored: false, isUnicode: true))
    let screen = Terminal(size: (132, 43), environment: ["TERM": "xterm", "LANG": "C.UTF-8"])
    #expect(screen == Terminal(isInteractive: true, width: 132, height: 43, isColored: true, isUnicode: true))
  }

  @Test("COLUMNS goes before the terminal's size, nonsense in it is passed over")
  func columns() {
    #expect(Terminal(size: (132, 43), environment: ["COLUMNS": "60"]).width == 60)
    #expect(Terminal(size: (132, 43), environment: ["COLUMNS": "wide"]).width == 132)
    #expect(Terminal(size: (0, 0), environment: [:]).width == 80)
  }

  @Test("NO_COLOR and a dumb terminal show no colour; an empty NO_COLOR says nothing")
  func noColor() {
    #expect(!Terminal(size: (80, 24), environment: ["NO_COLOR": "1", "TERM": "xterm"]).isColored)
    #expect(!Terminal(size: (80, 24), environment: ["TERM": "dumb"]).isColored)
    #expect(Terminal(size: (80, 24), environment: ["NO_COLOR": "", "TERM": "xterm"]).isColored)
  }

  @Test(
    "The locale decides between UTF-8 and ASCII as setlocale(3) does",
    arguments: [
      ([:], false), (["LANG": "C"], false), (["LANG": "en_US.UTF-8"], true), (["LANG": "de_DE.utf8"], true),
      (["LANG": "de_DE.UTF-8@euro"], true), (["LC_ALL": "C", "LANG": "en_US.UTF-8"], false),
      (["LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"], true), (["LANG": "ja_JP.eucJP"], false),
    ] as [([String: String], Bool)])
  func unicode(environment: [String: String], isUnicode: Bool) {
    #expect(Terminal(size: nil, environment: environment).isUnicode == isUnicode)
  }

  @Test("Columns align, numbers to the right, and no line ends in blanks")
  func table() {
    var table = TextTable([("NAME", .left), ("SIZE", .right), ("STATE", .left)])
    table.append(["crew", "4.0 KiB", "held"])
    table.append(["a-long-name", "12 B", ""])
    #expect(
      table.lines() == [
        "NAME            SIZE  STATE",
        "crew         4.0 KiB  held",
        "a-long-name     12 B",
      ])
  }

  @Test(
    "Sizes",
    arguments: [
      (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1.0 MiB"), (5 << 30, "5.0 GiB"),
    ] as [(UInt64, String)])
  func sizes(bytes: UInt64, text: String) {
    #expect(readableSize(bytes) == text)
  }

  @Test("A name made by somebody else can't move the cursor")
  func hostileNames() {
    #expect(printable("a\u{1B}[2Jb\nc\u{202E}d é") == "a\\x1b[2Jb\\x0ac\\u{202e}d é")
  }
}
