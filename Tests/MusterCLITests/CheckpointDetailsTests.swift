// SPDX-License-Identifier: Apache-2.0
import Muster
import Testing

@testable import MusterToolKit

private func state(_ sequence: UInt64, isWhole: Bool = true, restored: UInt64? = nil) -> CheckpointDetails.State {
  CheckpointDetails.State(
    sequence: sequence, epoch: 3, time: "2026-11-21T09:21:32Z", ageSeconds: 61, length: 1536, checksum: "00abcdef",
    isWhole: isWhole, restored: restored)
}

@Suite("What muster prints of checkpoints")
struct CheckpointDetailsTests {
  @Test("A table of the states, the newest first")
  func table() {
    let details = CheckpointDetails(
      history: 2, capacity: 4096, epoch: 3, writer: 77, isWriterDead: true,
      states: [state(12, restored: 8), state(11, isWhole: false)])
    #expect(
      ObjectDetails.checkpoint(details).lines() == [
        "history   2 before the last",
        "capacity  4.0 KiB",
        "epoch     3",
        "writer    pid 77, dead",
        "",
        "SEQUENCE  EPOCH    AGE   LENGTH  CHECKSUM  STATE",
        "      12      3  1 min  1.5 KiB  00abcdef  whole, from 8",
        "      11      3  1 min  1.5 KiB  00abcdef  torn",
      ])
  }

  @Test("Contents are text where they are, and can't move the cursor")
  func contents() {
    #expect(CheckpointContents.lines(Array("a\tä\n\nb".utf8)) == ["a\tä", "", "b"])
    #expect(CheckpointContents.lines([]) == ["(empty)"])
    #expect(CheckpointContents.text(Array("\u{1B}[2J".utf8)) == nil)
    #expect(CheckpointContents.text(Array("\u{202E}".utf8)) == nil)
    #expect(CheckpointContents.text([0xC3]) == nil)
    #expect(
      CheckpointContents.lines(Array("0123456789abcdef".utf8) + [0, 255]) == [
        "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|",
        "00000010  00 ff                                            |..|",
      ])
  }

  @Test(
    "A path has a slash that is not its first letter",
    arguments: [("job", false), ("/job", false), ("./job", true), ("/var/job", true), ("a/b", true), ("", false)])
  func places(name: String, isFile: Bool) {
    #expect(SharedCheckpoint.place(name).isFile == isFile && SharedCheckpoint.place(name).string == name)
  }
}
