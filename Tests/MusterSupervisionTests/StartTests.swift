// A start that goes on beside the starter: what the child may not do to it, and it not to the child.
// SPDX-License-Identifier: Apache-2.0
import CMusterSystem
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

@Suite("A start beside the starter", .serialized, .timeLimit(.minutes(1)))
struct StartTests {
  private final class Start {
    let value = UnsafeMutablePointer<muster_start>.allocate(capacity: 1)
    private let path: UnsafeMutablePointer<CChar>?
    private let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

    init(_ program: String, _ words: [String]) throws {
      path = strdup(program)
      arguments = .allocate(capacity: words.count + 1)
      arguments.initialize(repeating: nil, count: words.count + 1)
      for (index, word) in words.enumerated() { arguments[index] = strdup(word) }
      memset(value, 0, MemoryLayout<muster_start>.size)
      value.pointee.path = UnsafePointer(try #require(path))
      value.pointee.arguments = UnsafePointer(arguments)
      value.pointee.environment = UnsafePointer(arguments + words.count)
      value.pointee.descriptors = (-1, -1, -1, -1)
    }

    // What one may still stand in stays.
    deinit {
      guard isOver else { return }
      free(path)
      var next = arguments
      while let word = next.pointee {
        free(word)
        next += 1
      }
      arguments.deallocate()
      value.deallocate()
    }

    var isOver: Bool { muster_start_is_over(value) != 0 }
    var pid: Int32 { value.pointee.pid }

    /// The status of wait(2) of the child that was started last, which is reaped.
    func end() -> Int32 {
      var status: Int32 = -1
      while waitpid(pid, &status, 0) < 0, errno == EINTR {}
      close(value.pointee.pidfd)
      return status
    }
  }

  /// A program that the kernel does not execute as long as this process has a lease of it (fcntl(2), F_SETLEASE; for 45 s at most).
  private final class Gate {
    private enum Command {
      static let signal: Int32 = 10
      static let lease: Int32 = 1024
      static let ask: Int32 = 1025
    }

    let path: String
    private let folder: String
    private let file: Int32

    init() throws {
      var template = Array("/tmp/muster-start-XXXXXX".utf8CString)
      folder = try #require(mkdtemp(&template).map { String(cString: $0) })
      path = folder + "/true"
      // By another process: what this one has open for writing, a child of another test's could have open, too, when it is executed.
      let copy = try Start("/bin/cp", ["cp", "/bin/true", path])
      try #require(muster_start_program(copy.value) == 0 && copy.end() == 0)
      file = open(path, O_RDONLY | O_CLOEXEC)
      try #require(file >= 0 && shut())
    }

    /// The signal by which the kernel asks for a lease, once: one that does nothing.
    func shut() -> Bool {
      fcntl(file, Command.signal, SIGURG) == 0 && fcntl(file, Command.lease, Int32(F_WRLCK)) == 0
    }

    func letPass() { _ = fcntl(file, Command.lease, Int32(F_UNLCK)) }

    /// Whether somebody waits: the answer is what the lease is to become.
    var isAsked: Bool { fcntl(file, Command.ask) != Int32(F_WRLCK) }

    deinit {
      close(file)
      unlink(path)
      rmdir(folder)
    }
  }

  /// Threads of tasks may have all signals blocked, and a child has what its starter has.
  private func startUnblocked(_ start: Start) -> Int32 {
    var none = sigset_t()
    var before = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    return muster_start_program(start.value)
  }

  /// A child that has come to its execve, and waits there.
  private func hold(_ start: Start, at gate: Gate) async throws {
    try #require(startUnblocked(start) == 0)
    while !gate.isAsked { try await Task.sleep(for: .milliseconds(1)) }
    #expect(!start.isOver)
  }

  @Test("One that has not come to its program is in the way of the next; it can be killed, or go on")
  func standing() async throws {
    let gate = try Gate()
    let start = try Start(gate.path, ["true"])
    try await hold(start, at: gate)
    #expect(muster_start_program(start.value) == EBUSY)
    #expect(!start.isOver)
    kill(start.pid, SIGKILL)
    #expect(start.end() & 0x7f == SIGKILL)
    #expect(start.isOver)
    gate.letPass()
    try #require(gate.shut())
    try await hold(start, at: gate)
    gate.letPass()
    #expect(start.end() == 0)
    #expect(start.isOver)
  }

  @Test("No handler of the starter's runs in it")
  func handlers() async throws {
    let gate = try Gate()
    let start = try Start(gate.path, ["true"])
    let before = signal(SIGUSR2) { _ in _exit(99) }
    defer { signal(SIGUSR2, before) }
    try await hold(start, at: gate)
    kill(start.pid, SIGUSR2)
    #expect(start.end() & 0x7f == SIGUSR2)
  }

  @Test("A program that is not there is told by the child's end, and the starter's errno is as it was")
  func missing() throws {
    let start = try Start("/nowhere/at/all", ["all"])
    errno = EXDEV
    let status = muster_start_program(start.value)
    let end = start.end()
    let left = errno
    #expect(status == 0)
    #expect(end == 127 << 8)
    #expect(start.value.pointee.error == ENOENT)
    #expect(start.isOver)
    #expect(left == EXDEV)
  }

  @Test("Its descriptor is none of the standard streams', and where it can't be another there is no child")
  func streams() async {
    await #expect(processExitsWith: .success) {
      let start = try Start("/bin/true", ["true"])
      close(0)
      guard muster_start_program(start.value) == 0, start.value.pointee.pidfd > 2, start.end() == 0 else { _exit(1) }
      var limit = rlimit(rlim_cur: 3, rlim_max: 3)
      guard setrlimit(.init(7), &limit) == 0 else { _exit(2) }
      guard muster_start_program(start.value) == EINVAL, start.isOver else { _exit(3) }
      guard waitpid(-1, nil, 0) == -1, errno == ECHILD else { _exit(4) }
    }
  }
}
