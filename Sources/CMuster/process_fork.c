// A child that is a fork of this process and calls a function.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "internal/caller.h"
#include "internal/process.h"

// The folder has a link for each thread, beside its own two. A thread that was joined is there for a moment still: pthread_join(3)
// returns before the kernel has put it away.
static int alone(void) {
  muster_deadline end = muster_deadline_after(MUSTER_PROCESS_THREADS_PATIENCE);
  struct stat tasks;
  for (;;) {
    if (stat("/proc/self/task", &tasks)) return errno;
    if (tasks.st_nlink <= 3) return 0;
    if (muster_deadline_passed(end)) return EBUSY;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
}

// Whether the kernel reaps children as they end: then one that ends at once has no pidfd.
static int reaped_by_kernel(void) {
  struct sigaction action;
  return !sigaction(SIGCHLD, NULL, &action) && (action.sa_handler == SIG_IGN || action.sa_flags & SA_NOCLDWAIT);
}

// Steps that can fail, for reasons that the caller can do something about.
static int can_fail(const process_starting *starting) {
  const muster_process_options *options = starting->plan.options;
  return options->limits_count || options->nice || options->folder || options->group || starting->plan.count ||
         starting->plan.cgroup >= 0 || starting->plan.guard >= 0;
}

// What was the parent's or only for the start; but what was put at the number of one of them.
static void close_rest(process_starting *starting) {
  const process_plan *plan = &starting->plan;
  int32_t *const rest[] = {&starting->null, &starting->ready, &starting->plan.guard, &starting->plan.cgroup, &starting->tell[1]};
  for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
    for (uint32_t k = 0; k < plan->count; k++)
      if (plan->moves[k].to == *rest[i]) *rest[i] = -1;
    muster_process_drop(rest[i]);
  }
}

static _Noreturn void run(process_starting *starting, muster_process *process, int (*function)(void *), void *context) {
  process_plan *plan = &starting->plan;
  muster_process_await_go(starting, process);
  if (muster_process_settle_in(plan)) {
    muster_process_report(plan);
    _exit(127);
  }
  // It may have stepped aside.
  starting->tell[1] = plan->report;
  close_rest(starting);
  pthread_setcancelstate(starting->cancellable, NULL);
  _exit(function(context));
}

static int start(process_starting *starting, muster_process *process, int (*function)(void *), void *context,
                 muster_process_step *step) {
  *step = MUSTER_PROCESS_STEP_PREPARE;
  int error = muster_process_pipes(starting, reaped_by_kernel(), can_fail(starting));
  if (error) return error;
  // No signal is taken by a handler of ours in the child; and none that reaps children runs here, before there is a pidfd.
  starting->plan.mask = muster_process_block();
  pid_t pid = fork();
  if (pid == 0) run(starting, process, function, context);
  *step = MUSTER_PROCESS_STEP_CLONE;
  error = pid < 0 ? errno : muster_process_take(starting, pid, process, step);
  muster_process_set_mask(starting->plan.mask);
  return error;
}

static int fork_with(const muster_process_options *options, muster_process *process, int (*function)(void *), void *context,
                     int cancellable, muster_process_step *step) {
  process_starting starting;
  *step = MUSTER_PROCESS_STEP_PREPARE;
  int error = muster_process_prepare(&starting, options, 0, process);
  if (error) {
    if (starting.plan.step) *step = (muster_process_step)starting.plan.step;
    return error;
  }
  starting.cancellable = cancellable;
  error = start(&starting, process, function, context, step);
  if (error) {
    muster_process_undo(&starting, process);
  } else {
    muster_process_begun(&starting);
  }
  return error;
}

int muster_process_fork(int (*function)(void *context), void *context, const muster_process_options *options,
                        muster_process *process, muster_process_step *failed) {
  muster_caller came = muster_enter();
  muster_process_step step = MUSTER_PROCESS_STEP_CLONE;
  muster_process_guard_collect();
  muster_process_clear(process);
  int error = alone();
  if (!error) error = fork_with(options, process, function, context, came.cancellable, &step);
  if (error && step == MUSTER_PROCESS_STEP_CGROUP) {
    muster_process_options without = *options;
    without.flags &= ~(uint32_t)MUSTER_PROCESS_CGROUP;
    error = fork_with(&without, process, function, context, came.cancellable, &step);
  }
  muster_leave(came);
  if (failed) *failed = error ? step : MUSTER_PROCESS_STEP_NONE;
  return error;
}
