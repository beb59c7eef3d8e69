// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Reads the command line and runs the command. What is wrong is one line on standard error: `NAME: what is wrong`, with the exit
/// status 64 (EX_USAGE) for a wrong command line. So is that something could not be printed, whatever the command was about to end with:
/// who reads a part of it by a script is not to take it for the whole.
package func runCommand(_ type: (some ParsableCommand).Type) -> Never {
  StandardOutput.openClosedStreams()
  do {
    var command = try type.parseAsRoot()
    try command.run()
    end(type, status: 0)
  } catch let failure as CommandFailure {
    complain(type, failure.line)
    exit(failure.status)
  } catch let status as ExitCode {
    end(type, status: status.rawValue)
  } catch {
    let code = type.exitCode(for: error)
    guard code != .success else {
      // Help and versions, which are no failures.
      StandardOutput.ignoreBrokenPipes()
      var output = StandardOutput()
      output.write(lines: [type.fullMessage(for: error)])
      end(type, status: 0)
    }
    complain(type, "\(type.message(for: error)) (see \(type.configuration.commandName ?? "it") --help)")
    exit(code.rawValue)
  }
}

private func end(_ type: any ParsableCommand.Type, status: Int32) -> Never {
  let failure = StandardOutput.failureOfProcess
  guard failure != 0 else { exit(status) }
  complain(type, "standard output: \(String(cString: strerror(failure)))")
  exit(1)
}

private func complain(_ type: any ParsableCommand.Type, _ line: String) {
  var errors = StandardOutput(descriptor: STDERR_FILENO)
  let oneLine = line.split(whereSeparator: \.isNewline).joined(separator: " ")
  errors.write(lines: ["\(type.configuration.commandName ?? "\(type)"): \(oneLine)"])
}
