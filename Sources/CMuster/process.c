// SPDX-License-Identifier: Apache-2.0
#include "muster/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal/boot.h"
#include "internal/caller.h"
#include "internal/process.h"
#include "internal/process_tree.h"

void muster_process_clear(muster_process *process) {
  memset(process, 0, sizeof *process);
  process->pidfd = process->ready = process->cgroup = process->guard = -1;
}

int muster_process_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int muster_process_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) ? errno : 0;
}

int muster_process_open(int32_t pid, uint64_t start, muster_process *process) {
  muster_process_clear(process);
  if (pid <= 0) return EINVAL;
  muster_caller came = muster_enter();
  int error = 0;
  process->pidfd = muster_above_stdio(muster_process_pidfd_open(pid));
  if (process->pidfd < 0) {
    // Newer kernels call a thread's number so.
    error = errno == ENOENT ? EINVAL : errno;
  } else if (start && muster_process_start(pid) != start) {
    // Looked at with the pidfd open: whoever had the number when it was opened has it now, or nobody.
    muster_process_drop(&process->pidfd);
    error = ESTALE;
  } else {
    process->pid = pid;
    process->start = start;
    process->flags = MUSTER_PROCESS_NO_COOKIE;
  }
  muster_leave(came);
  return error;
}

int muster_process_open_tree(int32_t pid, uint64_t start, uint64_t tree, uint32_t flags, muster_process *process) {
  muster_process_clear(process);
  if (!tree || pid < 0) return EINVAL;
  int error = pid && start ? muster_process_open(pid, start, process) : ESRCH;
  if (error == ESRCH || error == ESTALE) {
    process->end.kind = MUSTER_PROCESS_UNKNOWN;
  } else if (error) {
    return error;
  }
  process->tree = tree;
  process->start = start;
  process->flags = flags & (MUSTER_PROCESS_GROUP | MUSTER_PROCESS_SESSION | MUSTER_PROCESS_CGROUP);
  if (!(flags & MUSTER_PROCESS_CGROUP)) return 0;
  muster_caller came = muster_enter();
  process->cgroup = muster_process_cgroup_open(tree);
  muster_leave(came);
  return 0;
}

// What stands behind a name at the start of a line; 0: nothing.
static long read_number(const char *text, const char *name) {
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (!strncmp(line, name, strlen(name))) return strtol(line + strlen(name), NULL, 10);
  }
  return 0;
}

// Whom a pidfd means: his number; -1: he was reaped; 0: it is none, or of nobody here.
static int number_of(int pidfd, int32_t *pid) {
  char name[24], text[512];
  snprintf(name, sizeof name, "fdinfo/%d", pidfd);
  if (muster_process_read_proc(getpid(), name, text, sizeof text) < 0) return errno;
  *pid = (int32_t)read_number(text, "Pid:");
  return *pid > 0 ? 0 : *pid < 0 ? ESRCH : EINVAL;
}

int muster_process_open_descriptor(int32_t descriptor, muster_process *process) {
  muster_process_clear(process);
  muster_caller came = muster_enter();
  process->pidfd = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  int error = process->pidfd < 0 ? errno : number_of(process->pidfd, &process->pid);
  if (error) {
    muster_process_drop(&process->pidfd);
    muster_process_clear(process);
  } else {
    process->flags = MUSTER_PROCESS_NO_COOKIE;
  }
  muster_leave(came);
  return error;
}

void muster_process_close(muster_process *process) {
  muster_caller came = muster_enter();
  muster_process_drop(&process->ready);
  muster_process_cgroup_remove(&process->cgroup, process->tree);
  if (process->end.kind) {
    muster_process_guard_end(&process->guard);
  } else {
    muster_process_guard_leave(&process->guard);
  }
  muster_process_drop(&process->pidfd);
  muster_process_guard_collect();
  muster_leave(came);
}

int muster_process_signal(const muster_process *process, int32_t signal) {
  if (process->pidfd < 0) return process->end.kind ? ESRCH : EINVAL;
  muster_caller came = muster_enter();
  // To a zombie it could be sent.
  int error = muster_process_ended_by(process->pidfd, MUSTER_DEADLINE_NOW) ? ESRCH : muster_process_pidfd_signal(process->pidfd, signal);
  muster_leave(came);
  return error;
}
