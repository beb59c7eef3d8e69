// Who belongs to a process that was started, as far as /proc tells; and reading /proc without a libc's buffers.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_PROCESS_TREE_H
#define MUSTER_INTERNAL_PROCESS_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "muster/process_stop.h"

// The names in a folder, by getdents64(2) into the caller's frame.
typedef struct dir_reader {
  int file;
  long at, length;
  _Alignas(8) char entries[4096];
} dir_reader;

int muster_process_dir_open(dir_reader *reader, int folder, const char *name);  // 0 or errno
const char *muster_process_dir_next(dir_reader *reader);                        // NULL: no more
void muster_process_dir_close(dir_reader *reader);

// Some of /proc/PID/stat.
typedef struct process_stat {
  int32_t pid, parent, group, session;
  char state;
  uint32_t threads;
  uint32_t flags;  // PF_EXITING...: include/linux/sched.h of the kernel
  uint64_t start, user, system;  // in clock ticks
  uint64_t faults_minor, faults_major, pages;
  uint64_t size, environment_end;  // 0: no memory, as of a kernel's thread or a zombie; no environment yet, or not to be asked for
} process_stat;

// Whose main thread alone has ended is shown as a zombie, too, and lives.
static inline int muster_process_stat_dead(const process_stat *stat) {
  return stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
}

// Whether /proc counts processes as this one does: it may be mounted for another pid namespace. 0 or ENOENT.
int muster_process_proc_is_ours(void);

// Returns 0; ESRCH: there is none of that number; EBADMSG: it reads otherwise; ENOENT: no /proc; EMFILE...
int muster_process_read_stat(int32_t pid, process_stat *stat);

// Reads a file of /proc/PID into a text with a 0 behind it. Returns its length, or -1 with errno.
int muster_process_proc_open(int32_t pid, const char *name);  // or -1 with errno
long muster_process_read_proc(int32_t pid, const char *name, char *text, size_t size);

// One who has been found, meant by a pidfd.
typedef struct process_known {
  int32_t pid;
  int32_t pidfd;
  uint64_t start;
  uint32_t state;  // of KNOWN_*
  uint32_t reserved;
} process_known;

enum { KNOWN_TOLD = 1, KNOWN_KILLED = 2, KNOWN_DEAD = 4, KNOWN_REFUSED = 8, KNOWN_MAIN = 16 };

typedef struct process_tree {
  int32_t pid;
  int32_t self;      // this process, which belongs to none that it looks at
  uint64_t start;    // when the process was started; 0: it is not known any more
  uint64_t number;   // in MUSTER_TREE; 0: none
  uint64_t cgroup;   // in the name of its cgroup; 0: none
  int group, session;  // its number stands for a group, for a session
  const process_known *known;
  uint32_t known_count;
  int error;  // for want of what somebody could not be looked at: EMFILE, ENFILE, ENOMEM
} process_tree;

void muster_process_tree_of(const muster_process *process, process_tree *tree);

// Whether the process of this number belongs to it, by what its stat and environment are now; *stat is that.
int muster_process_tree_member(process_tree *tree, int32_t pid, process_stat *stat);

// Whether a process belongs to the tree, looked at for this once.
int muster_process_tree_has(const muster_process *process, int32_t pid);

// Calls `each` with every process that belongs to it. Returns 0, or why /proc can't be read.
int muster_process_tree_scan(process_tree *tree, void (*each)(void *context, const process_stat *stat), void *context);

// The number that the namespace of this process has given to a process, or a thread, last; 0: it can't be told.
int32_t muster_process_last_number(void);

// muster_process_stop without its frame.
int muster_process_end_tree(muster_process *process, const muster_process_stop_options *options, muster_process_stop_report *report);

// ---- process_cgroup.c: kill all in it; whether nobody is in it, waited for until the deadline; some who are
int muster_process_cgroup_kill(int cgroup);
int muster_process_cgroup_has(uint64_t tree, int32_t pid);  // or -1 with errno
int muster_process_cgroup_empty_by(int cgroup, muster_deadline deadline);
uint32_t muster_process_cgroup_members(int cgroup, int32_t *pids, uint32_t most);

#endif
