// What is known of a step that was left out, for a person to look at.
// SPDX-License-Identifier: Apache-2.0
import SystemPackage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct PairEvidence: Codable {
  var pair: String
  var step: UInt64
  var epoch: UInt64
  /// All that were made of it, and counted.
  var attempts: Int
  /// How the last one that tried it ended.
  var death: String
  /// The state before it, as it is kept.
  var state: [UInt8]
  /// The same as text, where it is some: a document is easier read so.
  var text: String?
  var time = Date()

  init(pair: String, step: UInt64, epoch: UInt64, attempts: Int, death: String, state: [UInt8]) {
    (self.pair, self.step, self.epoch, self.attempts, self.death, self.state) = (
      pair, step, epoch, attempts, death, state
    )
    let isText = state.allSatisfy { $0 >= 0x20 || $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\t") }
    text = isText ? String(validating: state, as: UTF8.self) : nil
  }

  func write(to folder: FilePath) throws(ProcessPairError) {
    let path = folder.appending("\(pair)-step-\(step).json")
    do {
      let encoder = JSONEncoder()
      encoder.dateEncodingStrategy = .iso8601
      encoder.outputFormatting = [.sortedKeys]
      let bytes = try encoder.encode(self)
      let file = try FileDescriptor.open(
        path, .writeOnly, options: [.create, .truncate, .closeOnExec],
        permissions: [.ownerReadWrite, .groupRead, .otherRead])
      try file.closeAfter { _ = try file.writeAll(bytes) }
    } catch {
      throw ProcessPairError("keep the evidence of step \(step) in \(path) for", pair, .system, because: "\(error)")
    }
  }
}
