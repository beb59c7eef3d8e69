// What the sources of `process` share: system calls that libcs don't have, and what a child needs between clone and exec.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_PROCESS_H
#define MUSTER_INTERNAL_PROCESS_H

#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "held.h"  // muster_above_stdio
#include "muster/process.h"

// One number on all architectures; older headers don't know them.
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

// The kernel's set of 64 signals. libc's is larger, and leaves out those that it keeps for itself.
typedef uint64_t process_mask;

static inline process_mask muster_process_block(void) {
  process_mask all = ~(process_mask)0, old = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof all);
  return old;
}

static inline void muster_process_set_mask(process_mask mask) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

// Those of the options, three streams, and the pipe of READY_LINE.
#define MUSTER_PROCESS_MOVES_MAX (MUSTER_PROCESS_DESCRIPTORS_MAX + 4)

// All that a child does before the program, prepared by its parent. One that shares its parent's memory writes `step` and `error`; one
// that doesn't writes them to `report`.
typedef struct process_plan {
  const muster_process_options *options;
  const char *path;    // NULL: options->program; or no exec at all
  const char *search;  // a PATH, where the path is to be looked for in it; else NULL
  char *const *arguments;
  char *const *environment;
  process_mask mask;
  pid_t parent;
  int executes;     // a program follows
  int by_thread;    // dies by PR_SET_PDEATHSIG
  int guard;        // the socket to its guard, or -1
  int cgroup;       // the folder, or -1
  int report;       // a pipe, or -1
  uint32_t count;   // of moves
  muster_process_descriptor moves[MUSTER_PROCESS_MOVES_MAX];
  volatile int32_t step;
  volatile int32_t error;
} process_plan;

typedef struct process_report {
  int32_t step;
  int32_t error;
} process_report;

// Every step but exec, in the child. Returns 0, or sets plan->step and plan->error and returns the error.
int muster_process_settle_in(process_plan *plan);

// Tells the parent, where that is by the pipe.
void muster_process_report(const process_plan *plan);

// All of it, for the stack of a clone. Ends the child if it fails.
int muster_process_child(void *plan);

// Such a clone of this process, that is in plan->cgroup from its first instruction on. Returns its pid; -1: this kernel, processor or sandbox has no
// such call, and it has to enter it by itself.
pid_t muster_process_clone_into(process_plan *plan, uint64_t flags, void *stack, size_t size, int *pidfd);

// What the parent of either kind of child prepares before there is one.
typedef struct process_starting {
  process_plan plan;
  int null;     // /dev/null, or -1
  int ready;    // the child's end of the pipe of READY_LINE, or -1
  int hold[2];  // a pipe that the child waits at until it is closed: so that it lives until it is known by a pidfd; or -1
  int tell[2];  // the pipe of plan.report, or -1
  char notify[32];  // NOTIFY_SOCKET for the child, or empty
  int cancellable;  // what a forked child has back before it calls its function
} process_starting;

// Returns 0 with *starting and *process holding what both sides need, or an error with nothing held; plan.step: if it was not at PREPARE.
int muster_process_prepare(process_starting *starting, const muster_process_options *options, int executes, muster_process *process);

// Pipes for a child that doesn't share memory. 0 or an error.
int muster_process_pipes(process_starting *starting, int hold, int tell);

// In a forked child, before its steps: what is its parent's is closed, and it is let go.
void muster_process_await_go(process_starting *starting, muster_process *process);

// In the parent, when there is a child (`pid`) that waits or can't be reaped by others: takes its pidfd and lets it go. Returns
// what it told by its pipe: 0 with STEP_NONE, or its error and step, and it is reaped; or this process's error, and it is killed.
int muster_process_take(process_starting *starting, pid_t pid, muster_process *process, muster_process_step *step);

// What was only for the child, or for the time of starting it, is closed.
void muster_process_begun(process_starting *starting);

// That, and all that *process holds.
void muster_process_undo(process_starting *starting, muster_process *process);

// A handle that holds nothing.
void muster_process_clear(muster_process *process);

// The number of a tree: nobody else has it.
uint64_t muster_process_fresh_number(void);

// Ends a child that shares its parent's memory, or a guard. libc's may be a sanitizer's, which takes stock first: of its parent's.
static inline _Noreturn void muster_process_exit_now(int code) {
  for (;;) syscall(SYS_exit_group, code);
}

// Closes and forgets.
static inline void muster_process_drop(int32_t *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

int muster_process_pidfd_open(pid_t pid);  // or -1 with errno
int muster_process_pidfd_signal(int pidfd, int signal);

// waitid(2) for a pidfd with what it has used. Returns 0 with *end filled in (LIVES: not yet), or errno.
int muster_process_reap(int pidfd, int flags, muster_process_end *end);

// Whether the process that a pidfd means has ended, waited for until the deadline. Interruptions go on.
int muster_process_ended_by(int pidfd, muster_deadline deadline);

// poll(2) for reading, until the deadline, also where the limit on descriptors is lower than `count` by now. May return early.
struct pollfd;
int muster_process_sleep_at(struct pollfd *polled, uint32_t count, muster_deadline deadline);

// poll(2)'s timeout that ends at a deadline, or as late as 32 bits of seconds can say; NULL for MUSTER_DEADLINE_NEVER.
static inline const struct timespec *muster_process_timeout(muster_deadline deadline, struct timespec *rest) {
  if (deadline == MUSTER_DEADLINE_NEVER) return NULL;
  int64_t left = deadline <= MUSTER_DEADLINE_NOW ? 0 : deadline - muster_clock_now();
  if (left < 0) left = 0;
  int64_t seconds = left / 1000000000;
  *rest = (struct timespec){.tv_sec = (time_t)(seconds < INT32_MAX ? seconds : INT32_MAX), .tv_nsec = (long)(left % 1000000000)};
  return rest;
}

// ---- process_ready.c

// A socket for READY=1, and its name as NOTIFY_SOCKET has it. 0 or an error.
int muster_process_socket_make(int32_t *socket, char name[32]);

// ---- process_guard.c

// Starts a guard for a child to be. Returns 0 with its pidfd and, in the plan, the child's end of its socket; or an error, with
// plan->step if the guard could not be made.
int muster_process_guard_start(const muster_process *process, int32_t *guard, process_plan *plan);

// In the child: puts it under the guard's care. Returns 0, or why that failed.
int muster_process_guard_enter(int socket);

// Ends and reaps a guard that has nothing to guard any more.
void muster_process_guard_end(int32_t *guard);

// ---- process_letgo.c

// Lets go of a guard that still has something to guard, to be reaped by a later call of this or of `collect`.
void muster_process_guard_leave(int32_t *guard);
void muster_process_guard_collect(void);

// ---- process_cgroup.c

// Makes the cgroup of a tree, whose number it may change if nobody has chosen it, and removes those that were left. Returns its folder's descriptor, or -1 where
// none is to be had.
int muster_process_cgroup_make(uint64_t *tree, int chosen);

// That of a tree that another has started, below this process's own: its folder, or -1.
int muster_process_cgroup_open(uint64_t tree);

// In the child: enters it. 0 or errno.
int muster_process_cgroup_enter(int cgroup);

// Removes it and the folders in it, if nobody is there; else the next one that is made does, when nobody is. Closes the descriptor.
void muster_process_cgroup_remove(int32_t *cgroup, uint64_t tree);

#endif
