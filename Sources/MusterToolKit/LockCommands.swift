// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Muster
import MusterCLI

struct LockCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lock", abstract: "Make a poisoned lock usable again.", subcommands: [LockResetCommand.self])
}

struct LockResetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reset",
    abstract: "Take the poison off a mutex or a read-write lock.",
    discussion: """
      A lock is poisoned when somebody gave up repairing what a dead holder left; nobody gets it then. After a reset the next to lock it \
      (of a read-write lock the next writer) is told of the death, and can repair. Mend what the lock guards first if it can't. What is \
      not poisoned stays as it is; a lock that is held is not unlocked.
      """)

  @Argument(help: "The lock's name.")
  var name: String

  func run() throws {
    _ = Shell()
    try SharedLock.reset(name)
  }
}

/// What `muster lock` does with a lock.
enum SharedLock {
  static func reset(_ name: String) throws(CommandFailure) {
    do throws(LockError) {
      // One that has places is a read-write lock.
      if try LockState.look(name).capacity == nil {
        let mutex = try RobustMutex(name, mode: .attach)
        defer { mutex.close() }
        try mutex.reset()
      } else {
        let lock = try RobustReadWriteLock(name, capacity: nil, mode: .attach)
        defer { lock.close() }
        try lock.reset()
      }
    } catch {
      throw CommandFailure(error.code == .notFound ? "\(printable(name)): no such lock" : "\(error)")
    }
  }
}
