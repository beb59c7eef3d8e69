// SPDX-License-Identifier: Apache-2.0

/// Rows in aligned columns, under a header.
package struct TextTable: Sendable {
  package enum Alignment: Sendable {
    case left, right
  }

  package var columns: [(title: String, alignment: Alignment)]
  package private(set) var rows: [[String]] = []

  package init(_ columns: [(title: String, alignment: Alignment)]) {
    self.columns = columns
  }

  package mutating func append(_ row: [String]) {
    precondition(row.count == columns.count, "a cell for each column")
    rows.append(row)
  }

  /// The header and the rows, two spaces between columns and none at a line's end.
  package func lines(header: Bool = true) -> [String] {
    let all = (header ? [columns.map(\.title)] : []) + rows
    let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      let cells = row.indices.map { index -> String in
        let blank = String(repeating: " ", count: widths[index] - row[index].count)
        return columns[index].alignment == .left ? row[index] + blank : blank + row[index]
      }
      let line = cells.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }
}

/// Bytes as a person reads them: `512 B`, `4.0 KiB`, `1.5 MiB`.
package func readableSize(_ bytes: UInt64) -> String {
  var value = Double(bytes)
  var unit = 0
  let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
  while value >= 1023.95, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  guard unit > 0 else { return "\(bytes) B" }
  let tenths = Int64((value * 10).rounded())
  return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}

/// Makes a name that somebody else chose safe to print: control characters as `\xNN`, so that it can't move the cursor.
package func printable(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
      result += scalar.value < 256 ? "\\x" + hex(scalar.value, digits: 2) : "\\u{" + hex(scalar.value, digits: 4) + "}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

private func hex(_ value: UInt32, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
