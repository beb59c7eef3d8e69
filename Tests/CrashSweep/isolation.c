// Making a program's instructions the same each time: the settings that need a new program image, and a world of one's
// own.
// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

enum { NOT_PERMITTED = 77 };

int isolated;

static pid_t inner;

int isolation_inner(void) { return getenv("MUSTER_SWEEP_INNER") != NULL; }

static void pass_on(int number) {
  if (inner > 0) kill(inner, number);
}

static char *setting(const char *name) {
  static char texts[8][512];
  static unsigned used;
  const char *value = getenv(name);
  if (!value || used == 8) return NULL;
  snprintf(texts[used], sizeof texts[0], "%s=%s", name, value);
  return texts[used++];
}

// A `rep stosb` that clears a region is a step for each byte, all at one address: the points of an operation would lie there
// and hardly any elsewhere. glibc's other way takes a step for 32 bytes.
#define LONG_COPIES "1073741824"
#define NO_REP \
  "GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=" LONG_COPIES ":glibc.cpu.x86_rep_movsb_threshold=" LONG_COPIES

// Few settings, because getenv looks through them all: each one is some instructions.
static void become_inner(char **arguments) {
  char *environment[16] = {"MUSTER_SPIN=0", "LD_BIND_NOW=1", "MUSTER_SWEEP_INNER=1", NO_REP};
  const char *kept[] = {"PATH", "TMPDIR", "LD_LIBRARY_PATH", "MUSTER_TEST_SLOWER"};
  int count = 4;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
    if ((environment[count] = setting(kept[i]))) count++;
  environment[count] = NULL;
  int now = personality(0xffffffff);
  if (now < 0 || personality((unsigned long)now | ADDR_NO_RANDOMIZE) < 0)
    fprintf(stderr, "crash-sweep: address randomisation can't be switched off: points may differ from run to run\n");
  char path[512];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  path[length > 0 ? length : 0] = 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  execve(path, arguments, environment);
  perror("crash-sweep: execve");
  _exit(2);
}

#if defined(__x86_64__)
static uintptr_t stack_of(pid_t pid) {
  return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rsp), 0);
}
#else
#include <sys/uio.h>
static uintptr_t stack_of(pid_t pid) {
  struct user_regs_struct all = {0};
  struct iovec view = {&all, sizeof all};
  ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &view);
  return all.sp;
}
#endif

// The fresh image's stack holds argc, argv, 0, envp, 0, then the auxiliary vector (getauxval(3)). Without
// AT_SYSINFO_EHDR libc knows no vDSO and reads the clock by a system call, which is one step and no loop.
static void hide_vdso(pid_t pid) {
  uintptr_t at = stack_of(pid);
  at += sizeof(long) * ((size_t)ptrace(PTRACE_PEEKDATA, pid, at, 0) + 2);
  while (ptrace(PTRACE_PEEKDATA, pid, at, 0)) at += sizeof(long);
  for (at += sizeof(long);; at += 2 * sizeof(long)) {
    long type = ptrace(PTRACE_PEEKDATA, pid, at, 0);
    if (type == AT_NULL) return;
    if (type == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, pid, at, AT_IGNORE);
  }
}

int isolation_outer(char **arguments) {
  inner = fork();
  if (inner < 0) return perror("crash-sweep: fork"), 2;
  if (inner == 0) become_inner(arguments);
  const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  struct sigaction action = {.sa_handler = pass_on};
  for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) sigaction(passed[i], &action, NULL);
  int status;
  while (waitpid(inner, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSTOPPED(status)) {
    hide_vdso(inner);
    ptrace(PTRACE_DETACH, inner, 0, 0);
    while (waitpid(inner, &status, 0) < 0 && errno == EINTR) {
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int write_file(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t wrote = write(file, text, strlen(text));
  close(file);
  return wrote == (ssize_t)strlen(text);
}

static int own_namespaces(void) {
  if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) == 0) return 1;
  unsigned user = geteuid(), group = getegid();
  char map[64];
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC)) return 0;
  snprintf(map, sizeof map, "%u %u 1", user, user);
  if (!write_file("/proc/self/uid_map", map)) return 0;
  snprintf(map, sizeof map, "%u %u 1", group, group);
  return write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", map);
}

// In the first process of the new pid namespace.
static int own_mounts(const char *folder) {
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("proc", "/proc", "proc", 0, NULL) == 0 &&
         mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL) == 0 && mount("tmpfs", folder, "tmpfs", 0, NULL) == 0;
}

// The calling process waits for the one that goes on in the new namespaces, and ends after it. Where that is not
// permitted (a sandbox), nothing of it has happened: the caller goes on in the world of all, with `isolated` 0.
void isolation_enter(const char *folder) {
  pid_t trial = fork();
  if (trial < 0) return;
  if (trial == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!own_namespaces()) _exit(NOT_PERMITTED);
    pid_t first = fork();
    if (first < 0) _exit(NOT_PERMITTED);
    if (first == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (!own_mounts(folder)) _exit(NOT_PERMITTED);
      isolated = 1;
      return;
    }
    int status;
    while (waitpid(first, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  int status;
  while (waitpid(trial, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != NOT_PERMITTED) _exit(0);
}

// /proc/PID/stat holds counts that differ in length from run to run (page faults, memory), and the time of the start,
// which is written and read as text. So who reads it, as one who joins a group does, takes more steps or fewer. Over
// that file of each process of a run a text is mounted that is the same each time but for the pid.
void isolation_fix_stat(pid_t pid) {
  char path[64], file[64];
  if (!isolated) return;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  snprintf(file, sizeof file, "/dev/shm/.stat-%d", (int)pid);
  int descriptor = open(file, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0444);
  if (descriptor < 0) return;
  const char *text = "%d (crash-sweep) R 1 1 1 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 4711 4194304 100 0\n";
  dprintf(descriptor, text, (int)pid);
  close(descriptor);
  mount(file, path, NULL, MS_BIND, NULL);
  unlink(file);
}

// kernel documentation, admin-guide/sysctl/kernel, "ns_last_pid".
void isolation_next_pid(pid_t pid) {
  char text[16];
  if (!isolated) return;
  snprintf(text, sizeof text, "%d", (int)pid - 1);
  write_file("/proc/sys/kernel/ns_last_pid", text);
}
