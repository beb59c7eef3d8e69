// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Reads the command line and runs the command. What is wrong is one line on standard error: `NAME: what is wrong`, with the exit
/// status 64 (EX_USAGE) for a wrong command line.
package func runCommand(_ type: (some ParsableCommand).Type) -> Never {
  do {
    var command = try type.parseAsRoot()
    try command.run()
    exit(0)
  } catch let failure as CommandFailure {
    complain(type, failure.line)
    exit(failure.status)
  } catch {
    let code = type.exitCode(for: error)
    // Help and versions, which are no failures, and statuses alone.
    guard code != .success, !(error is ExitCode) else { type.exit(withError: error) }
    complain(type, "\(type.message(for: error)) (see \(type.configuration.commandName ?? "it") --help)")
    exit(code.rawValue)
  }
}

private func complain(_ type: any ParsableCommand.Type, _ line: String) {
  var errors = StandardOutput(descriptor: STDERR_FILENO)
  let oneLine = line.split(whereSeparator: \.isNewline).joined(separator: " ")
  errors.write(lines: ["\(type.configuration.commandName ?? "\(type)"): \(oneLine)"])
}
