// Looking at processes, waking them, ending them, and what they leave.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

void harness_wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

void harness_wait(uint32_t *word, uint32_t while_it_is, int64_t nanoseconds) {
  struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  syscall(SYS_futex, word, FUTEX_WAIT, while_it_is, &limit, NULL, 0);
}

static ssize_t read_proc(pid_t pid, const char *file, char *text, size_t size) {
  char path[96];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = descriptor < 0 ? -1 : read(descriptor, text, size - 1);
  if (descriptor >= 0) close(descriptor);
  text[length > 0 ? length : 0] = 0;
  return length;
}

char harness_state(pid_t pid) {
  char text[512];
  char path[64];
  // Not /proc/PID/stat, which for the operator is a fixed text: isolation.c.
  snprintf(path, sizeof path, "task/%d/stat", (int)pid);
  if (read_proc(pid, path, text, sizeof text) <= 0) return 0;
  const char *end = strrchr(text, ')');
  return end && end[1] == ' ' ? end[2] : 0;
}

// Return addresses on the stack that lie in this program: not all of them are callers, but the callers are among them.
static void add_callers(pid_t pid, uintptr_t stack, char *text, size_t size) {
  uintptr_t words[1024];
  struct iovec here = {words, sizeof words}, there = {(void *)stack, sizeof words};
  ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
  while (got < 0 && there.iov_len > 256) there.iov_len /= 2, got = process_vm_readv(pid, &here, 1, &there, 1, 0);
  size_t used = strlen(text);
  for (ssize_t i = 0, told = 0; i < got / (ssize_t)sizeof *words && told < 5; i++) {
    if (!symbols_is_ours(words[i])) continue;
    char name[128];
    symbols_name(words[i] - 1, name, sizeof name);
    used += (size_t)snprintf(text + used, size - used, "%s %s", told ? "," : "; on its stack", name);
    if (used >= size) return;
    told++;
  }
}

// A process that runs has to be stopped for its registers to be read, one that is traced already is.
static void look_at(pid_t pid, char state, uintptr_t *at, uintptr_t *stack) {
  int seized = state != 't' && ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
  if (seized) {
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {
    }
  }
  stepper_registers(pid, at, stack);
  if (seized) ptrace(PTRACE_DETACH, pid, 0, 0);
}

void harness_where(pid_t pid, char *text, size_t size) {
  char call[256], name[128];
  text[0] = 0;
  char state = harness_state(pid);
  if (!state) return;
  if (read_proc(pid, "syscall", call, sizeof call) <= 0) call[0] = 0;
  uintptr_t stack = 0, at = 0;
  // "number, six arguments, stack pointer, program counter" of who sleeps in a call, proc(5); also of a traced one.
  if (state != 'S' || sscanf(call, "%*s %*s %*s %*s %*s %*s %*s %" SCNxPTR " %" SCNxPTR, &stack, &at) != 2)
    look_at(pid, state, &at, &stack);
  symbols_name(at, name, sizeof name);
  int length = snprintf(text, size, "process %d (state %c) is at %s", (int)pid, state, name);
  if (state == 'S') length += snprintf(text + length, size - (size_t)length, " in system call %d", atoi(call));
  if (stack) add_callers(pid, stack, text, size);
}

static int is_one_of(pid_t pid, const pid_t *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (list[i] == pid) return 1;
  return 0;
}

void harness_kill_children(const pid_t *but, size_t count) {
  char text[4096], path[64];
  snprintf(path, sizeof path, "task/%d/children", (int)getpid());
  // /proc/self is another process's where this one's pid namespace is younger than /proc; getpid is right in both.
  if (read_proc(getpid(), path, text, sizeof text) <= 0) return;
  for (char *next = text;;) {
    pid_t pid = (pid_t)strtol(next, &next, 10);
    if (pid <= 0) return;
    if (!is_one_of(pid, but, count)) kill(pid, SIGKILL);
  }
}

void harness_end_children(void) {
  int status;
  do harness_kill_children(NULL, 0);
  while (waitpid(-1, &status, __WALL) >= 0 || errno != ECHILD);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
  (void)status, (void)type, (void)where;
  return remove(path);
}

// getdents64(2), struct linux_dirent64.
struct dirent64_entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

// Without opendir, which allocates: the operators are forked from this process, and would take another path through
// free(3) from run to run.
int harness_look(const char *folder, const char *prefix, char *text, size_t size, int remove_it) {
  _Alignas(8) char entries[4096];
  int found = 0, list = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  text[0] = 0;
  for (long got; list >= 0 && (got = syscall(SYS_getdents64, list, entries, sizeof entries)) > 0;) {
    for (long at = 0; at < got;) {
      const struct dirent64_entry *entry = (const void *)(entries + at);
      at += entry->length;
      if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..")) continue;
      if (prefix && strncmp(entry->name, prefix, strlen(prefix))) continue;
      char path[512];
      snprintf(path, sizeof path, "%s/%s", folder, entry->name);
      if (!found++) snprintf(text, size, "%s", path);
      if (remove_it && unlink(path)) nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
  }
  if (list >= 0) close(list);
  return found;
}
