// A keeper of one service: starts it, waits until it is ready, starts it again when it dies, and stops it with all that it has started.
// The service is this program itself, with a number. It has a helper in a session of its own, and is killed twice; the third one runs until
// it is stopped; and neither it nor a helper is left then. Should the keeper be killed, the kernel kills the service.
// SPDX-License-Identifier: Apache-2.0
import Muster

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

let number = CommandLine.arguments.dropFirst().first.flatMap { Int($0) }
if let number {
  try await serve(life: number)
} else {
  try await keep()
}

func keep() async throws {
  // Helpers whose parent has died are inherited, so that stopping them reaps them.
  try ChildProcess.becomeSubreaper()
  for life in 1... {
    var configuration = ChildProcess.Configuration(.itself, arguments: ["\(life)"])
    configuration.group = .ownSession
    configuration.tie = .child
    configuration.readiness = .socket
    let service = try ChildProcess(configuration)
    let notice = try await service.waitUntilReady(until: .now + .seconds(20))
    print("life \(life): ready, “\(notice.status)”")
    if life == 3 {
      print("life 3:", try await service.stop(grace: .seconds(10)))
      break
    }
    print("life \(life):", try await service.waitForEnd())
    // Its helper goes on, and is found by the number in its environment.
    let report = try await service.stop(grace: .zero)
    print("life \(life): \(report.killed) left behind and killed")
  }
}

func serve(life: Int) async throws {
  // It would outlive its parent, and any signal to its group.
  var helper = ChildProcess.Configuration(.named("sleep"), arguments: ["1000"])
  helper.group = .ownSession
  let running = try ChildProcess(helper)
  try ProcessNotice.tell(.ready, .status("serving"))
  if life < 3 { kill(getpid(), SIGKILL) }
  try await running.waitForEnd()
  // SIGTERM reaches both at the same time, and it may be this one's turn later.
  while true { try await Task.sleep(for: .seconds(1)) }
}
