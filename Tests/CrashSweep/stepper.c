// Taking a process through its instructions, by ptrace(2).
//
// The first two runs of a case are recorded by single steps. A later run gets to point k faster: by a breakpoint at an
// address shortly before k, of which the recording tells how often it is visited until then; the rest is stepped. A
// point then costs some steps instead of k, and is as exact: the address at the end must be the recorded one.
// `--plain` does without breakpoints.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "harness.h"

char stepper_why[512];

#if defined(__x86_64__)
enum { TRAP_BYTES = 1, TRAP_CODE = 0xcc, TRAP_ADVANCE = 1 };
static uintptr_t program_counter(pid_t pid) {
  return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), 0);
}
static void set_program_counter(pid_t pid, uintptr_t to) {
  ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rip), to);
}
static uintptr_t stack_pointer(pid_t pid) {
  return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rsp), 0);
}
static uintptr_t return_address(pid_t pid) { return (uintptr_t)ptrace(PTRACE_PEEKDATA, pid, stack_pointer(pid), 0); }
int stepper_result(pid_t pid) { return (int)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rax), 0); }
int stepper_is_system_call(uintptr_t at) { return !memcmp((const void *)at, "\x0f\x05", 2); }
#elif defined(__aarch64__)
#include <linux/elf.h>
enum { TRAP_BYTES = 4, TRAP_ADVANCE = 0 };
#define TRAP_CODE 0xd4200000
static struct user_regs_struct registers(pid_t pid) {
  struct user_regs_struct all = {0};
  struct iovec view = {&all, sizeof all};
  ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &view);
  return all;
}
static uintptr_t program_counter(pid_t pid) { return registers(pid).pc; }
static void set_program_counter(pid_t pid, uintptr_t to) {
  struct user_regs_struct all = registers(pid);
  struct iovec view = {&all, sizeof all};
  all.pc = to;
  ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &view);
}
static uintptr_t stack_pointer(pid_t pid) { return registers(pid).sp; }
static uintptr_t return_address(pid_t pid) { return registers(pid).regs[30]; }
int stepper_result(pid_t pid) { return (int)registers(pid).regs[0]; }
int stepper_is_system_call(uintptr_t at) { return !memcmp((const void *)at, "\x01\x00\x00\xd4", 4); }
#else
#error "the crash sweep knows x86-64 and aarch64"
#endif

void stepper_registers(pid_t pid, uintptr_t *at, uintptr_t *stack) {
  *at = program_counter(pid);
  *stack = stack_pointer(pid);
}

static sweep_verdict fail(sweep_verdict verdict, pid_t pid, const char *what) {
  char where[256];
  harness_where(pid, where, sizeof where);
  snprintf(stepper_why, sizeof stepper_why, "%s%s%s", what, *where ? ": " : "", where);
  return verdict;
}

// The request's type differs from libc to libc.
static long resume(pid_t pid, int single, long signal_to_pass) {
  if (single) return ptrace(PTRACE_SINGLESTEP, pid, 0, signal_to_pass);
  return ptrace(PTRACE_CONT, pid, 0, signal_to_pass);
}

// Goes on, by one instruction or many, to the next SIGTRAP. Signals that mean nothing here are passed on.
static sweep_verdict go(pid_t pid, int single) {
  long signal_to_pass = 0;
  for (;;) {
    if (resume(pid, single, signal_to_pass)) return fail(SWEEP_DIES, pid, "the operator is gone");
    int status;
    while (waitpid(pid, &status, __WALL) < 0) {
      if (errno != EINTR) return fail(SWEEP_BROKEN, pid, strerror(errno));
      // The interval timer of the run interrupts every wait sooner or later.
      if (sweep_now() > sweep->deadline) return fail(SWEEP_HANGS, pid, "the operation does not end");
    }
    if (!WIFSTOPPED(status)) {
      int failed = WIFEXITED(status) && WEXITSTATUS(status) == FAILED_STATUS;
      snprintf(stepper_why, sizeof stepper_why, "the operator ended with wait status 0x%x", (unsigned)status);
      return failed ? SWEEP_WRONG : SWEEP_DIES;
    }
    int number = WSTOPSIG(status);
    if (number == SIGTRAP) return SWEEP_OK;
    if (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGABRT) {
      char what[64];
      snprintf(what, sizeof what, "the operator got signal %d", number);
      return fail(SWEEP_DIES, pid, what);
    }
    signal_to_pass = number == SIGSTOP ? 0 : number;
  }
}

static long plant(pid_t pid, uintptr_t at) {
  long saved = ptrace(PTRACE_PEEKTEXT, pid, at, 0);
  unsigned long mask = TRAP_BYTES == 1 ? 0xffUL : 0xffffffffUL;
  ptrace(PTRACE_POKETEXT, pid, at, ((unsigned long)saved & ~mask) | (TRAP_CODE & mask));
  return saved;
}

// To a given visit of `at`, from 1. SWEEP_UNSTEADY: operate returned before.
static sweep_verdict run_to_address(pid_t pid, uintptr_t at, uint32_t visit, uintptr_t back) {
  if (program_counter(pid) == at && --visit == 0) return SWEEP_OK;
  for (;;) {
    // On the instruction itself: past it, before it becomes a trap.
    if (program_counter(pid) == at) {
      sweep_verdict verdict = go(pid, 1);
      if (verdict || (program_counter(pid) == at && --visit == 0)) return verdict;
      if (program_counter(pid) == at) continue;
      if (program_counter(pid) == back) break;
    }
    int two = back && back != at;
    long end = two ? plant(pid, back) : 0, saved = plant(pid, at);
    sweep_verdict verdict = go(pid, 0);
    if (verdict) return verdict;
    ptrace(PTRACE_POKETEXT, pid, at, saved);
    if (two) ptrace(PTRACE_POKETEXT, pid, back, end);
    uintptr_t now = program_counter(pid) - TRAP_ADVANCE;
    set_program_counter(pid, now);
    if (now != at) break;
    if (--visit == 0) return SWEEP_OK;
  }
  snprintf(stepper_why, sizeof stepper_why, "the operation took another path than when it was recorded");
  return SWEEP_UNSTEADY;
}

// The cheapest breakpoint on the way to a point: a visit costs as much as some steps.
static uint32_t find_anchor(const sweep_trace *trace, uint32_t point) {
  enum { VISIT = 5 };
  uint32_t best = 0, least = UINT32_MAX;
  for (uint32_t back = 0; back <= point && back < least; back++) {
    uint64_t cost = back + (uint64_t)VISIT * trace->visit[point - back];
    if (cost < least) least = (uint32_t)cost, best = point - back;
  }
  return best;
}

sweep_verdict stepper_start(pid_t pid, uintptr_t entry, uintptr_t *back) {
  int status;
  while (waitpid(pid, &status, __WALL) < 0)
    if (errno != EINTR || sweep_now() > sweep->deadline) return fail(SWEEP_HANGS, pid, "the operator does not start");
  if (!WIFSTOPPED(status)) {
    snprintf(stepper_why, sizeof stepper_why, "the operator ended before it began: status 0x%x", (unsigned)status);
    return WIFEXITED(status) && WEXITSTATUS(status) == FAILED_STATUS ? SWEEP_WRONG : SWEEP_DIES;
  }
  if (WSTOPSIG(status) != SIGSTOP) return fail(SWEEP_DIES, pid, "a signal came before the operation");
  ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL);
  isolation_fix_stat(pid);
  sweep_verdict verdict = run_to_address(pid, entry, 1, 0);
  if (!verdict) *back = return_address(pid);
  return verdict;
}

sweep_verdict stepper_record(pid_t pid, uintptr_t back, sweep_trace *trace) {
  trace->points = 0;
  for (;;) {
    uintptr_t now = program_counter(pid);
    trace->at[trace->points] = now;
    if (now == back) return SWEEP_OK;
    if (++trace->points == STEPS_MAX) return fail(SWEEP_BROKEN, pid, "the operation is too long to be swept");
    sweep_verdict verdict = go(pid, 1);
    if (verdict) return verdict;
  }
}

sweep_verdict stepper_run_to(pid_t pid, const sweep_trace *trace, uint32_t point, int plain) {
  uint32_t steps = 0;
  if (!plain) {
    steps = find_anchor(trace, point);
    sweep_verdict verdict = run_to_address(pid, trace->at[steps], trace->visit[steps], trace->at[trace->points]);
    if (verdict) return verdict;
  }
  for (; steps < point; steps++) {
    if (program_counter(pid) != trace->at[steps]) break;
    sweep_verdict verdict = go(pid, 1);
    if (verdict) return verdict;
  }
  if (program_counter(pid) == trace->at[steps] && steps == point) return SWEEP_OK;
  snprintf(stepper_why, sizeof stepper_why, "instruction %u is another one than when it was recorded", steps);
  return SWEEP_UNSTEADY;
}

void stepper_let_go(pid_t pid) { ptrace(PTRACE_DETACH, pid, 0, 0); }
