// Reaping what a subreaper inherits.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal/caller.h"
#include "internal/process.h"
#include "internal/process_tree.h"

static int is_mine(const muster_process *const *mine, size_t count, int32_t pid) {
  for (size_t i = 0; i < count; i++)
    if (mine[i] && mine[i]->pid == pid && !mine[i]->end.kind) return 1;
  return 0;
}

static int any_ended(void) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

// A child of ours that has ended keeps its number until we reap it: the number is enough.
static int reap_all(const muster_process *const *mine, size_t count, uint32_t *reaped) {
  dir_reader reader;
  int32_t self = getpid();
  int error = muster_process_proc_is_ours();
  if (!error) error = muster_process_dir_open(&reader, AT_FDCWD, "/proc");
  if (error) return error;
  for (const char *name; (name = muster_process_dir_next(&reader));) {
    if (*name < '1' || *name > '9') continue;
    int32_t pid = 0;
    process_stat stat;
    for (const char *digit = name; *digit >= '0' && *digit <= '9'; digit++) pid = pid * 10 + (*digit - '0');
    if (muster_process_read_stat(pid, &stat) || !muster_process_stat_dead(&stat) || stat.parent != self) continue;
    if (!is_mine(mine, count, pid) && waitpid(pid, NULL, WNOHANG) == pid) (*reaped)++;
  }
  muster_process_dir_close(&reader);
  return 0;
}

int muster_process_reap_orphans(const muster_process *const *mine, size_t count, uint32_t *reaped) {
  uint32_t unseen = 0;
  if (!reaped) reaped = &unseen;
  *reaped = 0;
  muster_caller came = muster_enter();
  int error = any_ended() ? reap_all(mine, count, reaped) : 0;
  muster_leave(came);
  return error;
}
