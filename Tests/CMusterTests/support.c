// SPDX-License-Identifier: Apache-2.0
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/futex.h"

void *shared_memory(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  return memory;
}

void gate_open(uint32_t *gate, uint32_t value) {
  __atomic_store_n(gate, value, __ATOMIC_RELEASE);
  muster_futex_wake_all(gate);
}

void gate_wait(uint32_t *gate, uint32_t value) {
  muster_deadline end = soon();
  uint32_t seen;
  while ((seen = __atomic_load_n(gate, __ATOMIC_ACQUIRE)) != value) {
    if (muster_futex_wait(gate, seen, end) == 0) continue;
    test_fail(__FILE__, __LINE__, "the gate is at %u and never came to %u", seen, value);
    test_end();
  }
}

uint32_t gate_pass(uint32_t *gate, uint32_t least) {
  muster_deadline end = soon();
  uint32_t seen;
  while ((seen = __atomic_load_n(gate, __ATOMIC_ACQUIRE)) < least) {
    if (muster_futex_wait(gate, seen, end) == 0) continue;
    test_fail(__FILE__, __LINE__, "the gate is at %u and never came to %u", seen, least);
    test_end();
  }
  return seen;
}

unsigned count_descriptors(void) {
  // One for the folder itself.
  return count_names("/proc/self/fd", "") - 1;
}

const char *shm_path(const char *name) {
  static char paths[8][512];
  static unsigned used;
  char *path = paths[used++ % 8];
  snprintf(path, sizeof paths[0], "/dev/shm/%s", name);
  return path;
}

void write_file(const char *path, const void *bytes, size_t size) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  REQUIRE(size == 0 || write(file, bytes, size) == (ssize_t)size);
  close(file);
}

ino_t inode_of(const char *path) {
  struct stat status;
  return lstat(path, &status) ? 0 : status.st_ino;
}

unsigned count_names(const char *folder, const char *start) {
  DIR *names = opendir(folder);
  REQUIRE(names);
  unsigned count = 0;
  for (struct dirent *entry; (entry = readdir(names));)
    count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && !strncmp(entry->d_name, start, strlen(start));
  closedir(names);
  return count;
}

int open_region(const char *name, uint32_t flags, uint64_t size, muster_region **region) {
  return muster_region_open(name, &(muster_region_options){.flags = flags, .size = size}, region);
}

int make_region(const char *name, uint32_t flags, uint64_t size) {
  muster_region *region;
  int status = open_region(name, flags | MUSTER_REGION_CREATE, size, &region);
  muster_region_close(region);
  return status;
}

int is_held(const char *name, uint32_t flags) {
  muster_region_info info;
  CHECK_STATUS(muster_region_inspect(name, flags, &info), 0);
  return info.held;
}

static void install(struct sock_filter *filter, size_t length) {
  struct sock_fprog program = {.len = (unsigned short)length, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    test_skip("no seccomp filter here: %s", strerror(errno));
}

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)(error) & SECCOMP_RET_DATA))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

void refuse_call(long number, int error) {
  struct sock_filter filter[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1), REFUSE(error),
                                 ALLOW};
  install(filter, sizeof filter / sizeof *filter);
}

void die_at_call(long number) {
  struct sock_filter filter[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), ALLOW};
  install(filter, sizeof filter / sizeof *filter);
}

void die_at_any_call(void) {
  struct sock_filter filter[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), ALLOW};
  install(filter, sizeof filter / sizeof *filter);
}

static int write_text(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return 0;
  int wrote = write(file, text, strlen(text)) == (ssize_t)strlen(text);
  close(file);
  return wrote;
}

// A user namespace in which we are who we were, so that files can belong to us.
static int unshare_user(void) {
  char users[64], groups[64];
  snprintf(users, sizeof users, "%u %u 1", geteuid(), geteuid());
  snprintf(groups, sizeof groups, "%u %u 1", getegid(), getegid());
  return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/setgroups", "deny") &&
         write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

void mount_private(const char *folder, unsigned long flags, const char *options) {
  if (unshare(CLONE_NEWNS) && !unshare_user()) test_skip("no mount namespace: %s", strerror(errno));
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", folder, "tmpfs", flags, options))
    test_skip("no tmpfs may be mounted: %s", strerror(errno));
}

void refuse_tmpfile(int error) {
  // The low half of the flags; the bit that tells O_TMPFILE from O_DIRECTORY.
  const uint32_t bit = O_TMPFILE & ~O_DIRECTORY;
  struct sock_filter filter[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3), LOAD(args[2]),
                                 BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bit, 0, 1), REFUSE(error), ALLOW};
  install(filter, sizeof filter / sizeof *filter);
#if defined(SYS_open)
  struct sock_filter old[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_open, 0, 3), LOAD(args[1]),
                              BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bit, 0, 1), REFUSE(error), ALLOW};
  install(old, sizeof old / sizeof *old);
#endif
}

typedef struct plain_call {
  void (*call)(void *);
  void *context;
} plain_call;

// Sanitizers catch these signals to print where they were raised, and exit.
static void call_plainly(void *context) {
  plain_call *of = context;
  signal(SIGSEGV, SIG_DFL);
  signal(SIGBUS, SIG_DFL);
  of->call(of->context);
}

int signal_of(void (*call)(void *), void *context) {
  pid_t pid = test_fork(call_plainly, &(plain_call){call, context});
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return WTERMSIG(status);
  CHECK_EQUAL(WEXITSTATUS(status), 0);
  return 0;
}

void stop_process(pid_t pid) {
  int status;
  REQUIRE(kill(pid, SIGSTOP) == 0);
  REQUIRE(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

void kill_process(pid_t pid) {
  kill(pid, SIGKILL);
  test_join(pid, SIGKILL);
}
