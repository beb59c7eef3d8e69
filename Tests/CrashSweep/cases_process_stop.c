// Stopping processes: whoever stops a tree may be killed at any instruction; another one stops it then, all of it, and nothing is left.
//
// The tree is three: one that leads a group, one in that group, and one in a session of its own, which is stopped (SIGSTOP) and found by its
// environment. All are children of the operator, so that none is reaped before he has ended.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/process_stop.h"
#include "sweep.h"

enum { ASKED, KILLED, CGROUP };

typedef struct tree {
  int32_t pid;
  uint32_t flags;
  uint64_t start, number;
  char cgroup[PATH_MAX];  // its folder, or empty
} tree;

static int ours = -1, theirs = -1;
static muster_process child;
static muster_process_stop_report report;

static tree *shared(void) { return (tree *)(void *)sweep->arena; }

static void setup(void) {
  const char *path = sweep_path("pipe");
  SWEEP_EQUAL(mkfifo(path, 0600), 0);
  ours = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  SWEEP_CHECK(ours >= 0);
}

// Where that is permitted, whoever is killed is dead before the next instruction of who has killed him, as he goes first: else it would be
// one path now and another then.
static void start_member(muster_process *process, uint32_t flags, int32_t group) {
  static const char *const arguments[] = {"sleep", "1000", NULL};
  static const char *const environment[] = {"MUSTER_TREE=00000000000c0de1", NULL};
  muster_process_options options = {.path = "/bin/sleep", .arguments = arguments, .environment = environment, .flags = flags, .group = group};
  options.streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, theirs};
  SWEEP_STATUS(muster_process_spawn(&options, process, NULL), 0);
  sweep_settle(process->pid);
  (void)sched_setscheduler(process->pid, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
}

static void enter_cgroup(int32_t pid) {
  if (child.cgroup < 0) return;
  int file = openat(child.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  SWEEP_CHECK(file >= 0 && dprintf(file, "%d", pid) > 0);
  close(file);
}

static void tell_of_cgroup(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", child.cgroup);
  if (child.cgroup >= 0) SWEEP_CHECK(readlink(path, shared()->cgroup, PATH_MAX - 1) > 0);
}

static void prepare(void) {
  muster_process second, third;
  muster_process_sample sample;
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGCHLD);
  sigprocmask(SIG_BLOCK, &ends, NULL);
  theirs = open(sweep_path("pipe"), O_WRONLY | O_CLOEXEC);
  SWEEP_CHECK(theirs >= 0);
  start_member(&child, MUSTER_PROCESS_GROUP | MUSTER_PROCESS_NO_COOKIE | (sweep->variant == CGROUP ? MUSTER_PROCESS_CGROUP : 0), 0);
  start_member(&second, MUSTER_PROCESS_NO_COOKIE, child.pid);
  start_member(&third, MUSTER_PROCESS_NO_COOKIE | MUSTER_PROCESS_SESSION, 0);
  enter_cgroup(second.pid);
  enter_cgroup(third.pid);
  close(theirs);
  SWEEP_STATUS(muster_process_signal(&third, SIGSTOP), 0);
  SWEEP_STATUS(muster_process_look(&child, &sample), 0);
  // The number that it has in its environment, and would have if it had been made by the start.
  if (child.cgroup < 0) child.tree = 0xc0de1;
  child.flags &= ~(uint32_t)MUSTER_PROCESS_NO_COOKIE;
  shared()->pid = child.pid;
  shared()->flags = child.flags;
  shared()->start = sample.start;
  shared()->number = child.tree;
  tell_of_cgroup();
}

static int operate(void) {
  muster_process_stop_options options = {.deadline = MUSTER_DEADLINE_NEVER};
  if (sweep->variant == ASKED) options.grace = MUSTER_DEADLINE_NEVER;
  return muster_process_stop(&child, &options, &report);
}

static int has_ended(void) {
  struct pollfd polled = {.fd = ours};
  return poll(&polled, 1, 0) == 1 && polled.revents == POLLHUP;
}

static int has_folder(void) { return *shared()->cgroup && access(shared()->cgroup, F_OK) == 0; }

// Another one's handle of the same process, living or not.
static muster_process another(void) {
  muster_process process;
  int status = muster_process_open(shared()->pid, shared()->start, &process);
  if (status) {
    SWEEP_CHECK(status == ESRCH || status == ESTALE);
    process.pid = shared()->pid;
    process.end.kind = MUSTER_PROCESS_UNKNOWN;
  }
  process.flags = shared()->flags;
  process.tree = shared()->number;
  if (*shared()->cgroup) process.cgroup = open(shared()->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return process;
}

static void check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->returned) SWEEP_CHECK(has_ended() && !has_folder());
  if (!sweep->returned) sweep_found(has_ended() ? SWEEP_AFTER : SWEEP_BEFORE);
  muster_process process = another();
  muster_process_stop_options options = {.deadline = sweep_deadline()};
  SWEEP_STATUS(muster_process_stop(&process, &options, NULL), 0);
  SWEEP_CHECK(has_ended());
  SWEEP_CHECK(!has_folder());
  muster_process_close(&process);
  SWEEP_EQUAL(unlink(sweep_path("pipe")), 0);
}

SWEEP_SUITE(process_stop,
            {.name = "process.stop-asked", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .looks = 1, .variant = ASKED},
            {.name = "process.stop-killed", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .looks = 1, .variant = KILLED},
            {.name = "process.stop-cgroup", .minimum = 300, .setup = setup, .prepare = prepare, .operate = operate, .check = check,
             .injections = SWEEP_CRASH, .looks = 1, .variant = CGROUP});
