// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal/caller.h"
#include "internal/process.h"

// The child's frames are small, but for a path and the entries of a folder; a sanitizer makes them larger.
enum { STACK = 64 << 10, LEVELS = 32, DIGITS = 16 };

// The thread sanitizer's own clone takes the child's memory for a copy, and marks in it what it marks in one: in ours. glibc's by its other name.
#if defined(__SANITIZE_THREAD__)
int __clone(int (*function)(void *), void *stack, int flags, void *context, ...);
#define clone __clone
#endif

#define TREE "MUSTER_TREE="
#define NOTIFY "NOTIFY_SOCKET="

// A mapping that holds the child's stack, its environment, and the strings that are new there.
typedef struct child_memory {
  char *start;
  size_t size;
} child_memory;

static int starts(const char *entry, const char *name) { return !strncmp(entry, name, strlen(name)); }

static void write_number(char *to, uint64_t number) {
  for (int i = DIGITS - 1; i >= 0; i--, number >>= 4) to[i] = "0123456789abcdef"[number & 15];
}

// MUSTER_TREE with this number behind those that stand there.
static char *write_tree(char *to, const char *outer, uint64_t number) {
  memcpy(to, TREE, sizeof TREE - 1);
  to += sizeof TREE - 1;
  size_t length = outer ? strlen(outer) : 0, most = (LEVELS - 1) * (DIGITS + 1) - 1;
  if (length > most) outer += length - most, length = most;
  if (length) {
    memcpy(to, outer, length);
    to += length;
    *to++ = ',';
  }
  write_number(to, number);
  to[DIGITS] = 0;
  return to + DIGITS + 1;
}

// The environment as it is to be: what is new first, so that who looks for it finds it early. `to` has room for all.
// More than `count` are not taken: another thread may add to this process's just now.
static void write_environment(const char **to, char *text, const char *const *from, size_t count, const process_starting *starting,
                              uint64_t tree) {
  const char *outer = NULL;
  const char *value;
  const char *const *end = from + count;
  for (const char *const *entry = from; entry < end && (value = *entry); entry++)
    if (starts(value, TREE)) outer = value + sizeof TREE - 1;
  if (tree) {
    *to++ = text;
    text = write_tree(text, outer, tree);
  }
  if (*starting->notify) {
    *to++ = text;
    memcpy(text, NOTIFY, sizeof NOTIFY - 1);
    strcpy(text + sizeof NOTIFY - 1, starting->notify);
  }
  for (; from < end && (value = *from); from++) {
    if (tree && starts(value, TREE)) continue;
    if (*starting->notify && starts(value, NOTIFY)) continue;
    *to++ = value;
  }
  *to = NULL;
}

static int make_memory(child_memory *memory, process_starting *starting, uint64_t tree) {
  process_plan *plan = &starting->plan;
  const char *const *from = plan->options->environment;
  const char *const none = NULL;
  if (!from) from = environ ? (const char *const *)(uintptr_t)environ : &none;
  size_t entries = 0, text = sizeof TREE + LEVELS * (DIGITS + 1) + sizeof NOTIFY + sizeof starting->notify;
  while (from[entries]) entries++;
  size_t pointers = (entries + 3) * sizeof(char *);
  memory->size = STACK + pointers + text;
  memory->start = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory->start == MAP_FAILED) return ENOMEM;
  const char **to = (const char **)(void *)(memory->start + STACK);
  write_environment(to, memory->start + STACK + pointers, from, entries, starting, tree);
  plan->environment = (char *const *)(uintptr_t)to;
  return 0;
}

// That a sandbox or an emulation knows no such clone, rather than that there is no room for a child.
static int is_refusal(int error) { return error == ENOSYS || error == EPERM || error == EINVAL || error == EACCES; }

static int clone_child(process_starting *starting, const child_memory *memory, muster_process *process, muster_process_step *step) {
  process_plan *plan = &starting->plan;
  int pidfd = -1, flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD;
  *step = MUSTER_PROCESS_STEP_CLONE;
  pid_t pid = plan->cgroup < 0 ? -1 : muster_process_clone_into(plan, (uint64_t)flags, memory->start, STACK, &pidfd);
  if (pid < 0) pid = clone(muster_process_child, memory->start + STACK, flags | SIGCHLD, plan, &pidfd);
  if (pid < 0) return errno;
  process->pid = pid;
  process->pidfd = muster_above_stdio(pidfd);
  // Kernels before pidfds overlook that one was asked for.
  int error = pidfd < 0 ? ENOSYS : process->pidfd < 0 ? errno : 0;
  if (error) {
    // Not a descriptor is left: the number is still its own, unless somebody waits for any child just now.
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return error;
  }
  *step = (muster_process_step)plan->step;
  if (plan->step) muster_process_reap(process->pidfd, 0, &process->end);
  return plan->error;
}

// The child's memory is a copy of ours, so it tells by a pipe; and has to wait until there is a pidfd of it.
static int fork_child(process_starting *starting, muster_process *process, muster_process_step *step) {
  *step = MUSTER_PROCESS_STEP_PREPARE;
  int error = muster_process_pipes(starting, 1, 1);
  if (error) return error;
  *step = MUSTER_PROCESS_STEP_CLONE;
  pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    muster_process_await_go(starting, process);
    muster_process_child(&starting->plan);
  }
  return muster_process_take(starting, pid, process, step);
}

static int start(process_starting *starting, muster_process *process, muster_process_step *step) {
  child_memory memory;
  uint64_t tree = process->flags & MUSTER_PROCESS_NO_COOKIE ? 0 : process->tree;
  int error = make_memory(&memory, starting, tree);
  if (error) return error;
  starting->plan.mask = muster_process_block();
  error = clone_child(starting, &memory, process, step);
  if (error && *step == MUSTER_PROCESS_STEP_CLONE && is_refusal(error)) error = fork_child(starting, process, step);
  muster_process_set_mask(starting->plan.mask);
  munmap(memory.start, memory.size);
  return error;
}

static int spawn(const muster_process_options *options, muster_process *process, muster_process_step *step) {
  process_starting starting;
  *step = MUSTER_PROCESS_STEP_PREPARE;
  int error = muster_process_prepare(&starting, options, 1, process);
  process_plan *plan = &starting.plan;
  if (error) {
    if (plan->step) *step = (muster_process_step)plan->step;
    return error;
  }
  const char *name = options->path ? options->path : "";
  const char *const alone[] = {name, NULL};
  plan->path = options->path;
  plan->arguments = (char *const *)(uintptr_t)(options->arguments ? options->arguments : alone);
  if (options->path && options->flags & MUSTER_PROCESS_SEARCH && !strchr(name, '/')) {
    plan->search = getenv("PATH");
    if (!plan->search) plan->search = "/bin:/usr/bin";
  }
  error = start(&starting, process, step);
  if (error) {
    muster_process_undo(&starting, process);
  } else {
    muster_process_begun(&starting);
  }
  return error;
}

int muster_process_spawn(const muster_process_options *options, muster_process *process, muster_process_step *failed) {
  muster_caller came = muster_enter();
  muster_process_step step;
  muster_process_guard_collect();
  int error = spawn(options, process, &step);
  // A cgroup was to be had, but not to be entered.
  if (error && step == MUSTER_PROCESS_STEP_CGROUP) {
    muster_process_options without = *options;
    without.flags &= ~(uint32_t)MUSTER_PROCESS_CGROUP;
    error = spawn(&without, process, &step);
  }
  muster_leave(came);
  if (failed) *failed = error ? step : MUSTER_PROCESS_STEP_NONE;
  return error;
}
