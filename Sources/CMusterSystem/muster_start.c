// SPDX-License-Identifier: Apache-2.0
#include "muster_start.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS = 64, MASK = 8, NOT_EXECUTED = 127 };

// As the kernel has it, on whichever processor: the parts behind the handler are all zeroes here.
typedef struct kernel_action {
  uintptr_t handler;
  uintptr_t rest[3];
} kernel_action;

// Not on the child's stack, where making it could be a call of memset, through a table of ours that is not filled yet.
static const kernel_action by_default;

#if defined(__x86_64__) && defined(__LP64__)

static long bare(long number, long a, long b, long c, long d) {
  register long fourth __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth) : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__) && defined(__LP64__)

static long bare(long number, long a, long b, long c, long d) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}

#endif

#if (defined(__x86_64__) || defined(__aarch64__)) && defined(__LP64__)

#define CHILD __attribute__((no_sanitize("address", "undefined", "thread"), no_stack_protector))

CHILD static void drop_handlers(void) {
  for (long number = 1; number <= SIGNALS; number++) {
    kernel_action action;
    if (bare(SYS_rt_sigaction, number, 0, (long)&action, MASK)) continue;
    if (action.handler == (uintptr_t)SIG_IGN || action.handler == (uintptr_t)SIG_DFL) continue;
    (void)bare(SYS_rt_sigaction, number, (long)&by_default, 0, MASK);
  }
}

CHILD static int child(void *context) {
  muster_start *start = context;
  drop_handlers();
  (void)bare(SYS_rt_sigprocmask, SIG_SETMASK, (long)&start->mask, 0, MASK);
  for (int k = 0; k < MUSTER_START_DESCRIPTORS; k++)
    if (start->descriptors[k] >= 0) (void)bare(SYS_fcntl, start->descriptors[k], F_SETFD, 0, 0);
  start->error = (int32_t)-bare(SYS_execve, (long)start->path, (long)start->arguments, (long)start->environment, 0);
  for (;;) (void)bare(SYS_exit_group, NOT_EXECUTED, 0, 0, 0);
}

// A program of which a standard stream is closed would find its streams' numbers taken.
static int above_streams(int descriptor) {
  if (descriptor < 0 || descriptor > 2) return descriptor;
  int above = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  close(descriptor);
  return above;
}

int muster_start_program(muster_start *start) {
  if (!muster_start_is_over(start)) return EBUSY;
  // Past libc, which leaves its own signals to come, for whose handlers the child has no thread.
  const uint64_t all = UINT64_MAX;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &start->mask, MASK);
  int pidfd = -1, error = 0;
  start->error = 0;
  start->running = 1;
  pid_t pid = clone(child, start->stack + MUSTER_START_STACK, CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD, start,
                    &pidfd, NULL, &start->running);
  if (pid < 0) {
    error = errno;
    start->running = 0;
  }
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &start->mask, NULL, MASK);
  if (error) return error;
  start->pid = pid;
  start->pidfd = above_streams(pidfd);
  if (start->pidfd >= 0) return 0;
  error = errno;
  (void)kill(pid, SIGKILL);
  (void)waitpid(pid, NULL, 0);
  return error;
}

#else

int muster_start_program(muster_start *start) { return start->running ? EBUSY : ENOSYS; }

#endif

int muster_start_is_over(const muster_start *start) { return __atomic_load_n(&start->running, __ATOMIC_ACQUIRE) == 0; }
