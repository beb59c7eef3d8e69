// SPDX-License-Identifier: Apache-2.0
#include "alive_help.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *alive_path_of(const char *name) {
  static char paths[8][512];
  static unsigned used;
  char *path = paths[used++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", test_folder(), name);
  return path;
}

typedef struct start {
  const char *path;
  int order[2], answer[2];
} start;

static void own(void *context) {
  start *s = context;
  muster_alive *alive = NULL;
  close(s->order[1]);
  close(s->answer[0]);
  for (char order; read(s->order[0], &order, 1) == 1;) {
    switch (order) {
      case ACQUIRE:
        CHECK_STATUS(muster_alive_acquire(s->path, 0, in_seconds(20), NULL, &alive), 0);
        CHECK(write(s->answer[1], "!", 1) == 1);
        break;
      case RELEASE:
        CHECK_STATUS(muster_alive_release(alive), 0);
        return;
      case ABANDON:
        muster_alive_abandon(alive);
        return;
      case EXEC: {
        // Ends with the pipe, which it inherits as its standard input.
        dup2(s->order[0], 0);
        execl("/bin/cat", "cat", (char *)NULL);
        REQUIRE(errno == 0);
        return;
      }
      default: return;
    }
  }
}

static uint64_t start_of(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  text[slurp(path, text, sizeof text - 1)] = 0;
  unsigned long long started = 0;
  const char *end = strrchr(text, ')');
  const char *format = ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu";
  REQUIRE(end && sscanf(end, format, &started) == 1);
  return started;
}

owner owner_prepare(const char *path) {
  start s = {.path = path};
  REQUIRE(!pipe2(s.order, O_CLOEXEC) && !pipe2(s.answer, O_CLOEXEC));
  owner o = {.pid = test_fork(own, &s), .order = s.order[1], .answer = s.answer[0]};
  close(s.order[0]);
  close(s.answer[1]);
  o.start = start_of(o.pid);
  return o;
}

owner owner_start(const char *path) {
  owner o = owner_prepare(path);
  owner_order(&o, ACQUIRE);
  return o;
}

void owner_order(owner *o, int order) {
  char byte = (char)order;
  REQUIRE(write(o->order, &byte, 1) == 1);
  if (order == ACQUIRE) REQUIRE(read(o->answer, &byte, 1) == 1);
}

static void reap(owner *o, int signal) {
  close(o->order);
  close(o->answer);
  test_join(o->pid, signal);
}

void owner_kill(owner *o) {
  kill(o->pid, SIGKILL);
  reap(o, SIGKILL);
}

void owner_join(owner *o) { reap(o, 0); }

int exists(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

int descriptors(void) {
  int count = 0;
  for (int i = 0; i < 1024; i++) count += fcntl(i, F_GETFD) != -1;
  return count;
}

size_t slurp(const char *path, char *text, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  REQUIRE(file >= 0);
  ssize_t length = read(file, text, size);
  close(file);
  REQUIRE(length >= 0);
  return (size_t)length;
}

void spit(const char *path, const char *text, size_t length) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  REQUIRE(file >= 0 && write(file, text, length) == (ssize_t)length);
  close(file);
}

size_t crash_record(const char *path, char *text, size_t size) {
  owner o = owner_start(path);
  owner_kill(&o);
  size_t length = slurp(path, text, size);
  REQUIRE(!unlink(path));
  return length;
}

void refuse_call_with(long number, int argument, uint32_t bits, int error) {
  uint32_t low = (uint32_t)offsetof(struct seccomp_data, args) + 8 * (uint32_t)argument;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  low += 4;
#endif
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, bits ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (uint32_t)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
    test_skip("no seccomp filters here: %s", strerror(errno));
}

void await_end(pid_t pid) {
  int watch = (int)syscall(SYS_pidfd_open, pid, 0);
  if (watch < 0) return;
  struct pollfd polled = {.fd = watch, .events = POLLIN};
  while (poll(&polled, 1, -1) < 0) CHECK(errno == EINTR);
  close(watch);
}
