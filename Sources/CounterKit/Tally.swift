// Whether the numbers are what was promised.
// SPDX-License-Identifier: Apache-2.0

/// Reads what a pair has printed, line by line.
package struct NumberTally: Sendable {
  /// The last number.
  package private(set) var last: UInt64
  package private(set) var numbers = 0
  package private(set) var repeated = 0
  /// Numbers that came twice without a mark.
  package private(set) var unmarked = 0
  package private(set) var skipped: UInt64 = 0
  /// Lines that are no numbers.
  package private(set) var garbled: [String] = []
  private var rest: [UInt8] = []

  /// - Parameter last: the number before the first one.
  package init(after last: UInt64 = 0) { self.last = last }

  package mutating func read(_ bytes: some Sequence<UInt8>) {
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        read(line: String(decoding: rest, as: UTF8.self))
        rest.removeAll(keepingCapacity: true)
      } else {
        rest.append(byte)
      }
    }
  }

  /// What is left is no whole line.
  package mutating func end() {
    if !rest.isEmpty { garbled.append(String(decoding: rest, as: UTF8.self)) }
    rest = []
  }

  private mutating func read(line: String) {
    let isMarked = line.hasPrefix(Counting.mark)
    guard let number = UInt64(isMarked ? String(line.dropFirst(Counting.mark.count)) : line) else {
      garbled.append(line)
      return
    }
    numbers += 1
    if number > last {
      skipped += number - last - 1
      last = number
      return
    }
    repeated += 1
    // Only the last one may be in doubt.
    if !isMarked || number != last { unmarked += 1 }
  }
}
