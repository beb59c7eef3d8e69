// SPDX-License-Identifier: Apache-2.0
#include "muster_start.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS = 64, MASK = 8, NOT_EXECUTED = 127, FLAGS = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD };

// As the kernel has it, on whichever processor: the parts behind the handler are all zeroes here.
typedef struct kernel_action {
  uintptr_t handler;
  uintptr_t rest[3];
} kernel_action;

// Not on the child's stack, where making it could be a call of memset, through a table of ours that is not filled yet.
static const kernel_action by_default;

#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__LP64__)

// Nothing that a compiler puts into functions: a sanitizer's and a profiler's calls use what belongs to our thread, whose the child's is not.
#define CHILD                                                                                                    \
  __attribute__((disable_sanitizer_instrumentation, no_sanitize("address", "undefined", "thread", "safe-stack"), \
                 no_stack_protector, no_profile_instrument_function))

#if defined(__x86_64__)

CHILD static long bare(long number, long a, long b, long c, long d) {
  register long fourth __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                   : "rcx", "r11", "memory");
  return result;
}

#else

CHILD static long bare(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}

#endif

CHILD static void drop_handlers(void) {
  for (long number = 1; number <= SIGNALS; number++) {
    kernel_action action;
    if (bare(SYS_rt_sigaction, number, 0, (long)&action, MASK)) continue;
    if (action.handler == (uintptr_t)SIG_IGN || action.handler == (uintptr_t)SIG_DFL) continue;
    (void)bare(SYS_rt_sigaction, number, (long)&by_default, 0, MASK);
  }
}

CHILD _Noreturn static void child(muster_start *start) {
  drop_handlers();
  (void)bare(SYS_rt_sigprocmask, SIG_SETMASK, (long)&start->mask, 0, MASK);
  for (int k = 0; k < MUSTER_START_DESCRIPTORS; k++)
    if (start->descriptors[k] >= 0) (void)bare(SYS_fcntl, start->descriptors[k], F_SETFD, 0, 0);
  start->error = (int32_t)-bare(SYS_execve, (long)start->path, (long)start->arguments, (long)start->environment, 0);
  for (;;) (void)bare(SYS_exit_group, NOT_EXECUTED, 0, 0, 0);
}

// Not by libc's clone: musl's refuses CLONE_CHILD_CLEARTID (since 1.2.5), and the thread sanitizer's does in the child what is to be done in a copy of
// our memory. Returns the child's number, or a negative error.
#if defined(__x86_64__)

CHILD static long clone_child(muster_start *start, int *pidfd) {
  register int32_t *child_word __asm__("r10") = &start->running;
  register long no_tls __asm__("r8") = 0;
  register muster_start *given __asm__("r12") = start;
  register void (*entry)(muster_start *) __asm__("r13") = child;
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r12, %%rdi\n\t"
      "call *%%r13\n\t"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "a"((long)SYS_clone), "D"((long)FLAGS), "S"(start->stack + MUSTER_START_STACK), "d"(pidfd), "r"(child_word),
        "r"(no_tls), "r"(given), "r"(entry)
      : "rcx", "r11", "memory", "cc");
  return result;
}

#else

CHILD static long clone_child(muster_start *start, int *pidfd) {
  register long x8 __asm__("x8") = SYS_clone;
  register long x0 __asm__("x0") = FLAGS;
  register unsigned char *x1 __asm__("x1") = start->stack + MUSTER_START_STACK;
  register int *x2 __asm__("x2") = pidfd;
  register long x3 __asm__("x3") = 0;
  register int32_t *x4 __asm__("x4") = &start->running;
  register muster_start *x9 __asm__("x9") = start;
  register void (*x10)(muster_start *) __asm__("x10") = child;
  __asm__ volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x30, xzr\n\t"
      "mov x0, x9\n\t"
      "blr x10\n\t"
      "brk 1\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x9), "r"(x10)
      : "memory", "cc");
  return x0;
}

#endif

// A program of which a standard stream is closed would find its streams' numbers taken.
static int above_streams(int descriptor) {
  if (descriptor > 2) return descriptor;
  int above = fcntl(descriptor, F_DUPFD_CLOEXEC, 3), error = errno;
  close(descriptor);
  errno = error;
  return above;
}

// The number is still its own, unless somebody waits for any child just now.
static int drop_child(pid_t pid, int error) {
  (void)kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
  return error;
}

int muster_start_program(muster_start *start) {
  if (!muster_start_is_over(start)) return EBUSY;
  // Past libc, which leaves its own signals to come, for whose handlers the child has no thread.
  const uint64_t all = UINT64_MAX;
  (void)bare(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&start->mask, MASK);
  int pidfd = -1;
  start->error = 0;
  start->running = 1;
  long pid = clone_child(start, &pidfd);
  if (pid < 0) start->running = 0;
  (void)bare(SYS_rt_sigprocmask, SIG_SETMASK, (long)&start->mask, 0, MASK);
  if (pid < 0) return (int)-pid;
  start->pid = (int32_t)pid;
  // Kernels before pidfds, and emulations of others, overlook that one was asked for.
  if (pidfd < 0) return drop_child(start->pid, ENOSYS);
  start->pidfd = above_streams(pidfd);
  return start->pidfd < 0 ? drop_child(start->pid, errno) : 0;
}

#else

int muster_start_program(muster_start *start) { return start->running ? EBUSY : ENOSYS; }

#endif

int muster_start_is_over(const muster_start *start) { return __atomic_load_n(&start->running, __ATOMIC_ACQUIRE) == 0; }
