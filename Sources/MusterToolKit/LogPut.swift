// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI
import SystemPackage

/// A key with its value as they are typed. A value that reads as it would be printed, of a whole number, is one.
struct PairArgument: Equatable, Sendable {
  var key: String
  var value: Log.Value

  init(typed text: String) throws {
    guard let sign = text.firstIndex(of: "="), sign > text.startIndex else {
      throw ValidationError("give it as key=value")
    }
    key = String(text[..<sign])
    let typed = String(text[text.index(after: sign)...])
    value = Int64(typed).flatMap { "\($0)" == typed ? .int($0) : nil } ?? .string(typed)
  }
}

/// What `muster log put` does.
struct LogPut {
  private let command: LogPutCommand
  private let log: Log

  init(_ command: LogPutCommand) throws(CommandFailure) {
    self.command = command
    do {
      log = try Log(command.log.region)
    } catch {
      throw CommandFailure(log: command.log.name, error)
    }
  }

  func run() throws {
    defer { log.close() }
    guard command.words.isEmpty else {
      try write(command.words.joined(separator: " "))
      return
    }
    try LineReader(limit: log.largestRecord).forEach { try write(String(decoding: $0, as: UTF8.self)) }
  }

  private func write(_ message: String) throws(CommandFailure) {
    let status = log.put(
      command.level, message, label: command.label ?? "", file: "", function: "", line: 0,
      correlation: command.correlation
    ) { entry in
      for pair in command.pairs { entry.add(pair.key, pair.value) }
      for tag in command.tags { entry.add(tag: tag) }
    }
    if status != 0 {
      throw CommandFailure("\(printable(command.log.name)): \(Errno(rawValue: status))")
    }
  }
}
