// Three daemons of one root that read each other's state, over memory that outlives them: daemons NAME.
//
// "bank" moves money between accounts in transactions, of which every third crashes in the midst of it: the total stays
// right, since a crash leaves nothing. "auditor" adds up the bank's accounts, again and again, from its own process. "clumsy"
// counts what it has seen of the auditor, and crashes now and then; the root forks it again, and it goes on counting from where
// it was. When there was enough of it all the auditor has the root stop. While it runs, look at it: muster root status NAME.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

struct Bank: SharedPayload {
  static let payloadLayout: UInt32 = 1
  static let sum = 64_000
  var money: InlineArray<64, Int>
  var transfers: Int
  var crashed: Int

  var total: Int { money.indices.reduce(0) { $0 + money[$1] } }
}

struct Auditor: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var audits: Int
  var wrong: Int
}

struct Clumsy: SharedPayload {
  static let payloadLayout: UInt32 = 1
  var lives: Int
  var looks: Int
}

/// By these they read each other.
enum Daemons {
  static let bank = DaemonReference<Bank>("bank")
  static let auditor = DaemonReference<Auditor>("auditor")
  static let clumsy = DaemonReference<Clumsy>("clumsy")
}

/// As one that crashes, without what a runtime may print about that.
func die() { kill(getpid(), SIGKILL) }

func moveMoney(_ daemon: Daemon<Bank>) throws {
  try daemon.catchStop()
  // Kept is what has the right total; so this is its first life, or one that died before there was money.
  if daemon.start.found == .zeros { try daemon.change { $0.money = InlineArray(repeating: Bank.sum / 64) } }
  var number = 0
  while !daemon.isStopping {
    number += 1
    let result = try daemon.transaction(timeout: .seconds(5), tries: 1) { bank in
      bank.money[number % 64] -= 10
      if number % 3 == 0 { die() }
      bank.money[number * 7 % 64] += 10
      bank.transfers += 1
    }
    if case .crashed = result.outcome { try daemon.change { $0.crashed += 1 } }
  }
}

func audit(_ daemon: Daemon<Auditor>) throws {
  while true {
    let bank = try daemon.read(Daemons.bank, within: .seconds(5))
    let clumsy = try daemon.read(Daemons.clumsy, within: .seconds(5))
    // Before the bank's first start is through, it has nothing.
    if bank.total != 0 {
      try daemon.change {
        $0.audits += 1
        if bank.total != Bank.sum { $0.wrong += 1 }
      }
    }
    if daemon.state.audits >= 50, bank.crashed >= 5, clumsy.lives > 3 { kill(getppid(), SIGTERM) }
    daemon.pause(for: .milliseconds(1))
  }
}

func stumble(_ daemon: Daemon<Clumsy>) throws {
  try daemon.change { $0.lives += 1 }
  var audits = 0
  while true {
    let seen = try daemon.read(Daemons.auditor, within: .seconds(5)).audits
    if seen > audits { try daemon.change { $0.looks += 1 } }
    audits = seen
    if daemon.state.lives <= 3, daemon.state.looks >= daemon.state.lives * 5 { die() }
    daemon.pause(for: .milliseconds(1))
  }
}

/// All of it, when they are gone: their memory is there until the root is closed.
func verdict(_ name: String) throws -> Bool {
  let observer = try RootObserver(name)
  let bank = try observer.read(Daemons.bank)
  let auditor = try observer.read(Daemons.auditor)
  let clumsy = try observer.read(Daemons.clumsy)
  print("bank: \(bank.transfers) transfers, \(bank.crashed) crashed, total \(bank.total)")
  print("auditor: \(auditor.audits) audits, \(auditor.wrong) wrong")
  print("clumsy: \(clumsy.looks) looks in \(clumsy.lives) lives")
  return bank.total == Bank.sum && auditor.wrong == 0 && clumsy.lives == 4
}

let name = CommandLine.arguments.dropFirst().first ?? "daemons"
let root = Root(name)
root.daemon(
  Daemons.bank, policy: .keep { $0.total == Bank.sum }, heartbeat: .seconds(10), moveMoney)
root.daemon(Daemons.auditor, policy: .keep(), audit)
root.daemon(
  Daemons.clumsy, policy: .keep(), restarts: DaemonRestarts(.always, tries: 10, delay: .init(first: .milliseconds(1))),
  stumble)
var isRight = false
do {
  try root.run()
  isRight = try verdict(name)
} catch {
  print(error)
}
root.close()
exit(isRight ? 0 : 1)
