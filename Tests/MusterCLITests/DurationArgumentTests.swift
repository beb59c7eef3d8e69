// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import MusterCLI

@Suite("Durations as they are typed and read")
struct DurationArgumentTests {
  @Test(
    "Each unit, several of them, and fractions",
    arguments: [
      ("30s", 30_000_000_000), ("250ms", 250_000_000), ("2m", 120_000_000_000), ("1h", 3_600_000_000_000),
      ("7ns", 7), ("14us", 14000), ("14µs", 14000), ("1.5s", 1_500_000_000), ("1m30s", 90_000_000_000), ("0", 0),
      ("0s", 0), (".5ms", 500_000),
    ] as [(String, Int64)])
  func parses(text: String, nanoseconds: Int64) throws {
    #expect(try #require(DurationArgument(argument: text)).nanoseconds == nanoseconds)
  }

  @Test(
    "What is no duration is refused",
    arguments: ["", "30", "s", "5min", "-1s", "1e3s", "1..2s", ".s", "5 s", "nans", "infs", "99999999999h", "3s4"])
  func refuses(text: String) {
    #expect(DurationArgument(argument: text) == nil)
  }

  @Test(
    "A person reads three digits and a unit",
    arguments: [
      (0, "0 ns"), (999, "999 ns"), (1000, "1 µs"), (14230, "14.2 µs"), (999_499, "999 µs"), (999_500, "1 ms"),
      (38_240_000, "38.2 ms"), (999_499_999, "999 ms"), (999_500_000, "1 s"), (5_000_000_000, "5 s"),
      (59_949_000_000, "59.9 s"), (59_990_000_000, "1 min"), (125_000_000_000, "2 min 5 s"),
      (3_600_000_000_000, "1 h"), (90_061_000_000_000, "1 d 1 h"), (-2000, "-2 µs"),
    ] as [(Int64, String)])
  func reads(nanoseconds: Int64, text: String) {
    #expect(Duration.nanoseconds(nanoseconds).readable() == text)
  }

  @Test("What is shown as a default can be typed back in")
  func roundTrip() throws {
    #expect(Duration.nanoseconds(Int64.max).wholeNanoseconds == .max)
    #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
    #expect(DurationArgument(.milliseconds(1500)).description == "1.5 s")
  }
}
