// A child that is made in its cgroup. One that is made elsewhere and moves there waits until all of the kernel's readers have passed, which takes
// milliseconds (a grace period of RCU, in cgroup_attach_lock of kernel/cgroup/cgroup.c); and longer the busier the machine is.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdint.h>

#include "internal/process.h"

// Linux 5.7. libcs have no function for it: their clone(2) knows no flags above 32 bits, and a system call that comes back on another stack can't be
// made by syscall(2).
#if defined(__x86_64__) && defined(__LP64__)

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define INTO_CGROUP UINT64_C(0x200000000)

// struct clone_args of linux/sched.h, which older headers cut short.
typedef struct clone_arguments {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
} clone_arguments;

// The child has a stack of its own, and nothing of this frame: it calls the function, which does not return.
static long clone_on_stack(const clone_arguments *arguments, int (*function)(void *), void *context) {
  long result;
  register int (*called)(void *) __asm__("r12") = function;
  register void *given __asm__("r13") = context;
  __asm__ volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "movq %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "0"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(called), "r"(given)
      : "rcx", "r11", "cc", "memory");
  return result;
}

pid_t muster_process_clone_into(process_plan *plan, uint64_t flags, void *stack, size_t size, int *pidfd) {
  int cgroup = plan->cgroup;
  clone_arguments arguments = {
      .flags = flags | INTO_CGROUP,
      .pidfd = (uint64_t)(uintptr_t)pidfd,
      .exit_signal = SIGCHLD,
      .stack = (uint64_t)(uintptr_t)stack,
      .stack_size = size,
      .cgroup = (uint64_t)cgroup,
  };
  // It is there already. (Memory is shared.)
  plan->cgroup = -1;
  long pid = clone_on_stack(&arguments, muster_process_child, plan);
  if (pid > 0) return (pid_t)pid;
  plan->cgroup = cgroup;
  return -1;
}

#else

pid_t muster_process_clone_into(process_plan *plan, uint64_t flags, void *stack, size_t size, int *pidfd) {
  (void)plan, (void)flags, (void)stack, (void)size, (void)pidfd;
  return -1;
}

#endif
