// Who belongs to a process.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "internal/process.h"
#include "internal/process_tree.h"

#define TREE "MUSTER_TREE="

// How many generations are gone up; a chain that is read while it changes has no other end.
enum { GENERATIONS = 256 };

// How often it is looked again at one who is being executed.
enum { EXECUTING = 50 };

void muster_process_tree_of(const muster_process *process, process_tree *tree) {
  process_stat stat;
  memset(tree, 0, sizeof *tree);
  tree->pid = process->pid;
  tree->self = getpid();
  tree->number = process->flags & MUSTER_PROCESS_NO_COOKIE ? 0 : process->tree;
  tree->start = process->start;
  tree->cgroup = process->flags & MUSTER_PROCESS_CGROUP ? process->tree : 0;
  // It lives or is a zombie, so its number is its own, and that of its group and session.
  if (process->pidfd < 0 || muster_process_pidfd_signal(process->pidfd, 0) == ESRCH) return;
  tree->session = (process->flags & MUSTER_PROCESS_SESSION) != 0;
  tree->group = tree->session || (process->flags & MUSTER_PROCESS_GROUP);
  // Looked at on both sides of reading.
  if (!muster_process_read_stat(process->pid, &stat) && muster_process_pidfd_signal(process->pidfd, 0) != ESRCH) tree->start = stat.start;
}

static uint64_t number_at(const char *at, const char **end) {
  uint64_t number = 0;
  for (;; at++) {
    int digit = *at >= '0' && *at <= '9' ? *at - '0' : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10 : -1;
    if (digit < 0) break;
    number = number << 4 | (uint64_t)digit;
  }
  *end = at;
  return number;
}

// 1: the number is in it; 0: it is not that variable, or the number is not in it.
static int entry_has(const char *entry, uint64_t number) {
  if (strncmp(entry, TREE, sizeof TREE - 1)) return 0;
  for (const char *at = entry + sizeof TREE - 1;; at++) {
    if (number_at(at, &at) == number) return 1;
    if (*at != ',') return 0;
  }
}

// Entry by entry, of any number and length; the one that is looked for is shorter than the buffer.
static int environment_has(int file, uint64_t number, int *empty) {
  char bytes[4096];
  size_t have = 0;
  int skips = 0, found = 0;
  *empty = 1;
  while (!found) {
    ssize_t length = read(file, bytes + have, sizeof bytes - have);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    *empty = 0;
    have += (size_t)length;
    size_t from = 0;
    for (char *end; !found && (end = memchr(bytes + from, 0, have - from)); from = (size_t)(end + 1 - bytes)) {
      found = !skips && entry_has(bytes + from, number);
      skips = 0;
    }
    if (from == 0 && have == sizeof bytes) skips = 1, from = have;
    memmove(bytes, bytes + from, have - from);
    have -= from;
  }
  close(file);
  return found;
}

// Others can't be read, or have ended: that is as if they had none.
static void note_want(process_tree *tree, int error) {
  if (error == EMFILE || error == ENFILE || error == ENOMEM) tree->error = error;
}

static int process_has(process_tree *tree, int32_t pid) {
  // Who is executed just now has no environment for a moment, and is waited for; whose is empty has it somewhere.
  for (int i = 0, whole = 0, empty; i < EXECUTING; i++) {
    process_stat stat;
    int file = muster_process_proc_open(pid, "environ");
    if (file < 0) {
      note_want(tree, errno);
      return 0;
    }
    int found = environment_has(file, tree->number, &empty);
    if (found || !empty || whole) return found;
    int error = muster_process_read_stat(pid, &stat);
    note_want(tree, error);
    if (error || !stat.size) return 0;
    whole = stat.environment_end != 0;
    if (!whole) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
  }
  return 0;
}

// Where the main thread has ended, the process's own folder shows no environment any more; those of the other threads do.
static int threads_have(process_tree *tree, int32_t pid) {
  dir_reader reader;
  int empty, found = 0, tasks = muster_process_proc_open(pid, "task");
  int error = tasks < 0 ? errno : muster_process_dir_open(&reader, tasks, ".");
  if (!error) {
    for (const char *name; !found && (name = muster_process_dir_next(&reader));) {
      char path[32];
      size_t length = strlen(name);
      if (*name < '1' || *name > '9' || length > 12) continue;
      memcpy(path, name, length);
      strcpy(path + length, "/environ");
      int file = openat(tasks, path, O_RDONLY | O_CLOEXEC);
      if (file >= 0) {
        found = environment_has(file, tree->number, &empty);
      } else {
        note_want(tree, errno);
      }
    }
    muster_process_dir_close(&reader);
  }
  note_want(tree, error);
  if (tasks >= 0) close(tasks);
  return found;
}

static int in_cgroup(process_tree *tree, int32_t pid) {
  int has = tree->cgroup ? muster_process_cgroup_has(tree->cgroup, pid) : 0;
  if (has < 0) note_want(tree, errno);
  return has > 0;
}

static int is_known(const process_tree *tree, const process_stat *stat) {
  for (uint32_t i = 0; i < tree->known_count; i++)
    if (tree->known[i].pid == stat->pid && tree->known[i].start == stat->start) return 1;
  return 0;
}

// By its own marks; those of its parents are the caller's business.
static int is_marked(const process_tree *tree, const process_stat *stat) {
  if (tree->start && stat->pid == tree->pid && stat->start == tree->start) return 1;
  if ((tree->group && stat->group == tree->pid) || (tree->session && stat->session == tree->pid)) return 1;
  return is_known(tree, stat);
}

// Whoever is older than the process can't be one of it, nor can his parents.
static int descends(process_tree *tree, const process_stat *stat) {
  process_stat above = *stat;
  for (int i = 0; i < GENERATIONS && above.parent > 1 && above.parent != tree->self; i++) {
    int error = muster_process_read_stat(above.parent, &above);
    note_want(tree, error);
    if (error || above.start < tree->start) return 0;
    if (is_marked(tree, &above)) return 1;
  }
  return 0;
}

int muster_process_tree_member(process_tree *tree, int32_t pid, process_stat *stat) {
  if (pid <= 0 || pid == tree->self) return 0;
  int error = muster_process_read_stat(pid, stat);
  note_want(tree, error);
  if (error || stat->start < tree->start) return 0;
  if (is_marked(tree, stat) || descends(tree, stat) || in_cgroup(tree, pid)) return 1;
  if (!tree->number) return 0;
  return stat->state == 'Z' && !muster_process_stat_dead(stat) ? threads_have(tree, pid) : process_has(tree, pid);
}

int muster_process_tree_has(const muster_process *process, int32_t pid) {
  process_tree tree;
  process_stat stat;
  muster_process_tree_of(process, &tree);
  return !muster_process_proc_is_ours() && muster_process_tree_member(&tree, pid, &stat);
}

int muster_process_tree_scan(process_tree *tree, void (*each)(void *context, const process_stat *stat), void *context) {
  dir_reader reader;
  int error = muster_process_proc_is_ours();
  if (!error) error = muster_process_dir_open(&reader, AT_FDCWD, "/proc");
  tree->error = 0;
  if (error) return error;
  for (const char *name; (name = muster_process_dir_next(&reader));) {
    if (*name < '1' || *name > '9') continue;
    int32_t pid = 0;
    for (const char *digit = name; *digit >= '0' && *digit <= '9'; digit++) pid = pid * 10 + (*digit - '0');
    process_stat stat;
    if (muster_process_tree_member(tree, pid, &stat)) each(context, &stat);
  }
  if (reader.length < 0) error = errno;
  muster_process_dir_close(&reader);
  return error ? error : tree->error;
}
