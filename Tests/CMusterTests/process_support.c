// SPDX-License-Identifier: Apache-2.0
#include "process_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned count_children(void) {
  char path[64], text[4096];
  unsigned count = 0;
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  int file = open(path, O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  REQUIRE(length >= 0);
  for (ssize_t i = 0; i < length; i++) count += text[i] == ' ';
  return count;
}

process_audit audit_begin(void) { return (process_audit){count_descriptors(), count_children()}; }

void audit_end(const process_audit *before) {
  CHECK_EQUAL(count_descriptors(), before->descriptors);
  CHECK_EQUAL(count_children(), before->children);
}

muster_process_options shell(const char *script) {
  static const char *arguments[8][4];
  static unsigned used;
  const char **mine = arguments[used++ % 8];
  mine[0] = "sh", mine[1] = "-c", mine[2] = script, mine[3] = NULL;
  return (muster_process_options){.path = "/bin/sh", .arguments = mine};
}

void start_shell(muster_process *process, const char *script, uint32_t flags) {
  muster_process_options options = shell(script);
  options.flags = flags;
  REQUIRE(!muster_process_spawn(&options, process, NULL));
}

int end_of(muster_process *process) {
  muster_process_end end = {.kind = MUSTER_PROCESS_LIVES};
  CHECK_STATUS(muster_process_wait(process, soon(), &end), 0);
  muster_process_close(process);
  CHECK(end.kind == MUSTER_PROCESS_EXITED || end.kind == MUSTER_PROCESS_SIGNALED);
  return end.kind == MUSTER_PROCESS_SIGNALED ? -end.code : end.code;
}

int run_shell(muster_process_options *options, char *text, size_t size) {
  int ends[2];
  muster_process process;
  muster_process_step step;
  REQUIRE(!pipe2(ends, O_CLOEXEC));
  options->streams[1] = (muster_process_stream){MUSTER_PROCESS_STREAM_DESCRIPTOR, ends[1]};
  int status = muster_process_spawn(options, &process, &step);
  close(ends[1]);
  CHECK_STATUS(status, 0);
  CHECK_EQUAL(step, MUSTER_PROCESS_STEP_NONE);
  size_t length = 0;
  for (ssize_t got; length + 1 < size && (got = read(ends[0], text + length, size - 1 - length)) > 0;) length += (size_t)got;
  text[length] = 0;
  close(ends[0]);
  return status ? -1000 : end_of(&process);
}

const char *status_line(pid_t pid, const char *name) {
  static char text[4096];
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  text[length > 0 ? length : 0] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
    if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':') return line + strlen(name) + 1 + strspn(line + strlen(name) + 1, "\t ");
  return "";
}

// All of them, or those with a program of this name.
static unsigned count_named(uint64_t tree, const char *program) {
  char wanted[32], path[300];
  static char text[1 << 16];
  unsigned count = 0;
  snprintf(wanted, sizeof wanted, "%016llx", (unsigned long long)tree);
  DIR *proc = opendir("/proc");
  REQUIRE(proc);
  for (struct dirent *entry; (entry = readdir(proc));) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
    if (file >= 0) close(file);
    if (length <= 0 || !memmem(text, (size_t)length, wanted, 16)) continue;
    count += !program || !strcmp(status_line((pid_t)atoi(entry->d_name), "Name"), program);
  }
  closedir(proc);
  return count;
}

unsigned count_tree(uint64_t tree) { return count_named(tree, NULL); }

int comes_to_sleep(uint64_t tree) {
  for (muster_deadline end = soon(); !muster_deadline_passed(end); test_pause(1000000))
    if (count_named(tree, "sleep")) return 1;
  return 0;
}

int comes_to(uint64_t tree, unsigned count) {
  for (muster_deadline end = soon(); !muster_deadline_passed(end); test_pause(1000000))
    if (count_tree(tree) == count) return 1;
  return 0;
}

// Of the living children of a process that have this name, or any; but not this one.
static pid_t find_child(pid_t parent, const char *name) {
  DIR *proc = opendir("/proc");
  pid_t found = 0;
  REQUIRE(proc);
  for (struct dirent *entry; (entry = readdir(proc));) {
    pid_t pid = (pid_t)atoi(entry->d_name);
    if (pid <= 0 || pid == getpid() || atoi(status_line(pid, "PPid")) != parent || *status_line(pid, "State") == 'Z') continue;
    if (!name || !strcmp(status_line(pid, "Name"), name)) found = pid;
  }
  closedir(proc);
  return found;
}

pid_t find_guard(pid_t parent) { return find_child(parent, "muster-guard"); }

// One that was just forked has not its name yet.
void orphans_end(void) {
  int left = 1;
  for (muster_deadline end = soon(); (left = find_child(getppid(), NULL) != 0) && !muster_deadline_passed(end);) test_pause(1000000);
  CHECK(!left);
}

void refuse_flags(long number, unsigned place, uint32_t flags, int error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, args) + 8 * place),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    test_skip("no seccomp filter here: %s", strerror(errno));
}
