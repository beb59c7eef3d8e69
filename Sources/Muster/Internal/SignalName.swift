// What a signal is called. libc's own names are not the same in each of them, or missing.
// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// "SIGSEGV"; "signal 60" for one without a name.
func signalName(_ number: Int32) -> String {
  let name: String? =
    switch number {
    case SIGHUP: "HUP"
    case SIGINT: "INT"
    case SIGQUIT: "QUIT"
    case SIGILL: "ILL"
    case SIGTRAP: "TRAP"
    case SIGABRT: "ABRT"
    case SIGBUS: "BUS"
    case SIGFPE: "FPE"
    case SIGKILL: "KILL"
    case SIGUSR1: "USR1"
    case SIGSEGV: "SEGV"
    case SIGUSR2: "USR2"
    case SIGPIPE: "PIPE"
    case SIGALRM: "ALRM"
    case SIGTERM: "TERM"
    case SIGXCPU: "XCPU"
    case SIGXFSZ: "XFSZ"
    case SIGVTALRM: "VTALRM"
    case SIGPROF: "PROF"
    case SIGIO: "IO"
    case SIGSYS: "SYS"
    default: nil
    }
  return name.map { "SIG" + $0 } ?? "signal \(number)"
}
