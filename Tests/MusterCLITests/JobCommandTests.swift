// SPDX-License-Identifier: Apache-2.0
import Muster
import MusterCLI
import Testing

@testable import MusterToolKit

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

private let job = JobContents(id: JobID(rawValue: 1), level: 0, attempt: 1, bytes: [])

private func run(_ words: String..., as present: PresentJob) async -> JobCommand.End {
  await JobCommand(words: words, queue: "tests").run(for: job, as: present)
}

@Suite("The command of a job", .serialized, .timeLimit(.minutes(1)))
struct JobCommandTests {
  @Test("A signal that comes before the command runs reaches it, and no handler of this process")
  func early() async {
    let before = signal(SIGSYS) { _ in _exit(42) }
    defer { signal(SIGSYS, before) }
    // Two that no thread of the cooperative pool blocks, whose mask the command has here.
    for number in [SIGSYS, SIGPIPE] {
      for _ in 0..<5 {
        let present = PresentJob()
        #expect(present.end(by: number))
        guard case .signaled(let seen) = await run("sleep", "600", as: present) else {
          Issue.record("It was not ended by signal \(number)")
          continue
        }
        #expect(seen == number)
      }
    }
  }

  @Test("How it ended, or why it was not executed")
  func ends() async {
    let present = PresentJob()
    if case .exited(7) = await run("sh", "-c", "exit 7", as: present) {} else { Issue.record("exit 7") }
    if case .signaled(SIGKILL) = await run("sh", "-c", "kill -9 $$", as: present) {} else { Issue.record("kill -9") }
    if case .notStarted(let failure) = await run("no-such-command", as: present) {
      #expect(failure.status == 127)
    } else {
      Issue.record("no-such-command")
    }
  }

  @Test("Of what is too long to be executed, the job is at fault where more than half is its own")
  func length() async {
    func isMostlyJob(_ parts: (job: Int, all: Int)...) -> Bool {
      CommandLength(strings: parts.map { CommandLength.Part(job: $0.job, all: $0.all) }).isMostlyJob
    }
    let most = 32 * Int(sysconf(Int32(_SC_PAGESIZE)))
    #expect(isMostlyJob((0, 9), (most, most)) && isMostlyJob((most, most + 9), (9, 9)))
    #expect(!isMostlyJob((9, most)) && !isMostlyJob((most, most), (0, most)))
    // None of them is too long alone.
    #expect(isMostlyJob((900, 900), (0, 100)) && !isMostlyJob((100, 900), (900, 950), (0, 300)))
    let long = Array(repeating: String(repeating: "x", count: 100_000), count: 80)
    let command = JobCommand(words: ["true"] + long, queue: "tests")
    guard case .notStarted(let failure) = await command.run(for: job, as: PresentJob()) else {
      Issue.record("More than Linux takes was taken")
      return
    }
    #expect(failure.status == 126 && failure.line.hasSuffix("too long, whatever the job"))
  }
}
