// The C tests, which fork their workers, as tests of the package: one a suite of `cmuster-tests`.
// SPDX-License-Identifier: Apache-2.0
import Testing

@Suite("The C core", .serialized)
struct CSuiteTests {
  /// Asked of the program itself, so that a new suite is run without a word here.
  private static func suites() async throws -> [String] {
    let listed = try await run(builtProgram("cmuster-tests"), ["--list"])
    try #require(listed.status == 0)
    var suites: [String] = []
    for line in listed.output.split(separator: "\n") {
      let suite = String(line.prefix { $0 != "." })
      if !suites.contains(suite) { suites.append(suite) }
    }
    return suites
  }

  @Test("Its tests and stress programs pass", .timeLimit(.minutes(10)), arguments: try await suites())
  func suite(_ name: String) async throws {
    let ended = try await run(builtProgram("cmuster-tests"), [name])
    #expect(ended.status == 0, "\(ended.output.suffix(4000))")
    // It has run something.
    #expect(ended.output.contains("passed") && !ended.output.contains(" 0 passed"))
  }
}
