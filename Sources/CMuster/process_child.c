// What a child does between clone and exec. It may share its parent's memory, and other threads of its parent run meanwhile: system calls
// only, on what the plan has; what it writes lies in the plan or on its own stack.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "internal/process.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static int failed_at(process_plan *plan, muster_process_step step, int error) {
  plan->error = error;
  plan->step = (int32_t)step;
  return error;
}

// As the kernel has it, so that its default is for those signals too that libc keeps for itself. The first word is the handler on every
// architecture that Linux has had pidfds for, but MIPS, where the flags come first.
typedef struct kernel_action {
#if defined(__mips__)
  unsigned long flags;
  uintptr_t handler;
#else
  uintptr_t handler;
  unsigned long flags;
#endif
  uintptr_t rest[4];
} kernel_action;

enum { SIGNALS = 64 };

// A handler of the parent's must not run here: it would find itself in another process with the parent's memory.
static void reset_signals(int keep_ignored) {
  for (int number = 1; number <= SIGNALS; number++) {
    kernel_action action;
    if (number == SIGKILL || number == SIGSTOP) continue;
    if (syscall(SYS_rt_sigaction, number, NULL, &action, sizeof(process_mask))) continue;
    if (action.handler == (uintptr_t)SIG_DFL || (keep_ignored && action.handler == (uintptr_t)SIG_IGN)) continue;
    memset(&action, 0, sizeof action);
    syscall(SYS_rt_sigaction, number, &action, NULL, sizeof(process_mask));
  }
}

static int enter_group(const muster_process_options *options) {
  if (options->flags & MUSTER_PROCESS_SESSION) return setsid() < 0 ? errno : 0;
  if (options->flags & MUSTER_PROCESS_GROUP) return setpgid(0, 0) ? errno : 0;
  return options->group && setpgid(0, options->group) ? errno : 0;
}

// First the wish, then the look: whoever ended before the wish is seen not to be there.
static int tie(const process_plan *plan) {
  if (plan->by_thread) {
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL)) return errno;
    if (getppid() != plan->parent) return ESRCH;
  }
  return plan->guard >= 0 ? muster_process_guard_enter(plan->guard) : 0;
}

static int be_nicer(int by) {
  errno = 0;
  int now = getpriority(PRIO_PROCESS, 0);
  if (by > 40) by = 40;
  if (by < -40) by = -40;
  if (now == -1 && errno) return errno;
  return setpriority(PRIO_PROCESS, 0, now + by) ? errno : 0;
}

// Where the kernel or a sandbox has no close_range(2): each descriptor that /proc shows.
static int close_at_exec_one_by_one(void) {
  int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return errno;
  _Alignas(8) char entries[2048];
  long length;
  while ((length = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
    for (long at = 0; at + 19 < length;) {
      uint16_t size;
      memcpy(&size, entries + at + 16, sizeof size);
      int number = 0;
      for (const char *digit = entries + at + 19; *digit >= '0' && *digit <= '9'; digit++) number = number * 10 + (*digit - '0');
      if (number > 2) (void)fcntl(number, F_SETFD, FD_CLOEXEC);
      at += size;
    }
  }
  int error = length < 0 ? errno : 0;
  close(folder);
  return error;
}

static int close_at_exec(void) {
  if (!syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC)) return 0;
  return close_at_exec_one_by_one();
}

static int is_target(const process_plan *plan, int32_t number) {
  for (uint32_t i = 0; i < plan->count; i++)
    if (plan->moves[i].to == number) return 1;
  return 0;
}

// Whether another descriptor than that of this number is moved to it.
static int is_taken(const process_plan *plan, int32_t number) {
  for (uint32_t i = 0; i < plan->count; i++)
    if (plan->moves[i].to == number) return plan->moves[i].from != number;
  return 0;
}

// Out of the way of what is moved to its number. *aside: it has a number of its own now. Not above all that are asked for, as the
// limit may end there.
static int step_aside(const process_plan *plan, int32_t *descriptor, uint8_t *aside) {
  *aside = 0;
  if (!is_taken(plan, *descriptor)) return 0;
  for (int least = 3;;) {
    int moved = fcntl(*descriptor, F_DUPFD_CLOEXEC, least);
    // None is left below the limit.
    if (moved < 0) return errno == EINVAL ? EMFILE : errno;
    if (!is_target(plan, moved)) {
      *descriptor = moved;
      *aside = 1;
      return 0;
    }
    close(moved);
    least = moved + 1;
  }
}

static int move_to(const muster_process_descriptor *move) {
  if (move->from < 0) return close(move->to) && errno != EBADF ? errno : 0;
  if (move->from == move->to) return fcntl(move->to, F_SETFD, 0) ? errno : 0;
  return dup3(move->from, move->to, 0) < 0 ? errno : 0;
}

static int arrange_descriptors(process_plan *plan, int32_t *program) {
  uint8_t aside[MUSTER_PROCESS_MOVES_MAX], other;
  int all = plan->executes && !(plan->options->flags & MUSTER_PROCESS_KEEP_DESCRIPTORS);
  int error = all ? close_at_exec() : 0;
  for (uint32_t i = 0; i < plan->count && !error; i++) error = step_aside(plan, &plan->moves[i].from, &aside[i]);
  if (!error && plan->report >= 0) error = step_aside(plan, &plan->report, &other);
  if (!error && *program >= 0) error = step_aside(plan, program, &other);
  for (uint32_t i = 0; i < plan->count && !error; i++) {
    error = move_to(&plan->moves[i]);
    if (aside[i]) close(plan->moves[i].from);
  }
  return error;
}

static int set_limits(const muster_process_options *options) {
  for (uint32_t i = 0; i < options->limits_count; i++) {
    const muster_process_limit *limit = &options->limits[i];
    uint64_t wanted[2] = {limit->soft, limit->hard};
    if (syscall(SYS_prlimit64, 0, limit->resource, wanted, NULL)) return errno;
  }
  return 0;
}

static int settle_in(process_plan *plan, int32_t *program) {
  const muster_process_options *options = plan->options;
  int error;
  uint32_t keep = options->flags & MUSTER_PROCESS_KEEP_SIGNALS;
  // A fork may go on with its parent's handlers, which find a memory of their own.
  if (plan->executes || !keep) reset_signals(keep != 0);
  if ((error = enter_group(options))) return failed_at(plan, MUSTER_PROCESS_STEP_GROUP, error);
  if (plan->cgroup >= 0 && (error = muster_process_cgroup_enter(plan->cgroup)))
    return failed_at(plan, MUSTER_PROCESS_STEP_CGROUP, error);
  if ((error = tie(plan))) return failed_at(plan, MUSTER_PROCESS_STEP_TIE, error);
  if (options->nice && (error = be_nicer(options->nice))) return failed_at(plan, MUSTER_PROCESS_STEP_NICE, error);
  if (options->flags & MUSTER_PROCESS_UMASK) umask((mode_t)options->umask & 0777);
  if (options->folder && chdir(options->folder)) return failed_at(plan, MUSTER_PROCESS_STEP_FOLDER, errno);
  if ((error = arrange_descriptors(plan, program))) return failed_at(plan, MUSTER_PROCESS_STEP_DESCRIPTORS, error);
  // Behind the descriptors: a limit may be lower than a number that was asked for.
  if ((error = set_limits(options))) return failed_at(plan, MUSTER_PROCESS_STEP_LIMIT, error);
  muster_process_set_mask(options->flags & MUSTER_PROCESS_KEEP_SIGNALS ? plan->mask : 0);
  return 0;
}

// Whether to look on in the next folder of the path: what this one has is not there, or can't be asked.
static int look_on(int error) {
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENAMETOOLONG || error == ESTALE || error == ENODEV ||
         error == ETIMEDOUT || error == ELOOP;
}

static int execute_found(const process_plan *plan) {
  char path[PATH_MAX];
  size_t length = strlen(plan->path);
  int error = ENOENT;
  for (const char *folder = plan->search;;) {
    size_t size = strcspn(folder, ":");
    if (size + 1 + length < sizeof path) {
      memcpy(path, folder, size);
      // An empty one is the working folder.
      path[size] = '/';
      memcpy(path + size + 1, plan->path, length + 1);
      execve(size ? path : path + 1, plan->arguments, plan->environment);
      // Somewhere it is, but may not be executed: that tells more than that it is nowhere else.
      if (!look_on(errno) || errno == EACCES) error = errno;
      if (!look_on(errno)) return error;
    }
    folder += size;
    if (!*folder++) return error;
  }
}

static int execute(const process_plan *plan, int32_t program) {
  if (plan->search) return execute_found(plan);
  if (plan->path) {
    execve(plan->path, plan->arguments, plan->environment);
  } else {
    syscall(SYS_execveat, program, "", plan->arguments, plan->environment, AT_EMPTY_PATH);
  }
  return errno;
}

int muster_process_settle_in(process_plan *plan) {
  int32_t none = -1;
  return settle_in(plan, &none);
}

void muster_process_report(const process_plan *plan) {
  if (plan->report < 0) return;
  process_report told = {plan->step, plan->error};
  // Smaller than what a pipe takes at once.
  (void)!write(plan->report, &told, sizeof told);
}

// The address sanitizer would tidy up what it takes for the thread's stack before the exit, and say that it isn't.
__attribute__((no_sanitize_address)) int muster_process_child(void *context) {
  process_plan *plan = context;
  int32_t program = plan->path ? -1 : plan->options->program;
  if (!settle_in(plan, &program)) failed_at(plan, MUSTER_PROCESS_STEP_EXEC, execute(plan, program));
  muster_process_report(plan);
  muster_process_exit_now(127);
}
