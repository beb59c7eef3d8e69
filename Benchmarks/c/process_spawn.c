// Starting a process and learning of its end: process_spawn KIND MS [MIB]
//
//   spawn  posix   exec     /bin/true is started and waited for: muster_process_spawn; posix_spawn(3); fork(2) and execve(2)
//   fork   keep   bare      a child that ends at once: muster_process_fork; the same keeping the parent's handlers, as fork does; fork(2), a
//                           pidfd, poll, waitid
//   told   poll             a child that sleeps is killed: from the signal to the return of muster_process_wait; of poll at a pidfd and waitid
//
// MIB of this process's memory are touched before. Prints the median of what was measured in MS milliseconds, in nanoseconds.
// SPDX-License-Identifier: Apache-2.0
#include <muster/process.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>

#include "bench.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { TURNS = 100000 };

static const char *const arguments[] = {"true", NULL};
static char *const *plain_arguments(void) { return (char *const *)(uintptr_t)arguments; }

static int nothing(void *context) {
  (void)context;
  return 0;
}

static int sleeps(void *context) {
  (void)context;
  while (pause()) continue;
  return 0;
}

static void wait_plainly(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) bench_fail("waitpid", errno);
  }
}

static void end(muster_process *process) {
  bench_check(muster_process_wait(process, MUSTER_DEADLINE_NEVER, NULL), "muster_process_wait");
  muster_process_close(process);
}

static int64_t spawn(void) {
  static const muster_process_options options = {.path = "/bin/true", .arguments = arguments};
  muster_process process;
  int64_t start = bench_now();
  bench_check(muster_process_spawn(&options, &process, NULL), "muster_process_spawn");
  end(&process);
  return bench_now() - start;
}

static int64_t posix(void) {
  pid_t pid;
  int64_t start = bench_now();
  bench_check(posix_spawn(&pid, "/bin/true", NULL, NULL, plain_arguments(), environ), "posix_spawn");
  wait_plainly(pid);
  return bench_now() - start;
}

static int64_t exec(void) {
  int64_t start = bench_now();
  pid_t pid = fork();
  if (pid == 0) {
    execve("/bin/true", plain_arguments(), environ);
    _exit(127);
  }
  if (pid < 0) bench_fail("fork", errno);
  wait_plainly(pid);
  return bench_now() - start;
}

// What is done without Muster to learn of an end by a pidfd.
static void wait_by_pidfd(pid_t pid, int pidfd) {
  struct pollfd polled = {.fd = pidfd, .events = POLLIN};
  siginfo_t info;
  while (poll(&polled, 1, -1) != 1) continue;
  if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED) || info.si_pid != pid) bench_fail("waitid", errno);
  close(pidfd);
}

static pid_t fork_plainly(int (*function)(void *), int *pidfd) {
  pid_t pid = fork();
  if (pid == 0) _exit(function(NULL));
  if (pid < 0) bench_fail("fork", errno);
  *pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (*pidfd < 0) bench_fail("pidfd_open", errno);
  return pid;
}

static int64_t fork_with(uint32_t flags) {
  const muster_process_options options = {.flags = flags};
  muster_process process;
  int64_t start = bench_now();
  bench_check(muster_process_fork(nothing, NULL, &options, &process, NULL), "muster_process_fork");
  end(&process);
  return bench_now() - start;
}

static int64_t forks(void) { return fork_with(0); }
static int64_t keeps(void) { return fork_with(MUSTER_PROCESS_KEEP_SIGNALS); }

static int64_t bare(void) {
  int pidfd;
  int64_t start = bench_now();
  pid_t pid = fork_plainly(nothing, &pidfd);
  wait_by_pidfd(pid, pidfd);
  return bench_now() - start;
}

// A moment, so that the child sleeps.
static void settle(void) { usleep(300); }

static int64_t told(void) {
  static const muster_process_options options = {0};
  muster_process process;
  bench_check(muster_process_fork(sleeps, NULL, &options, &process, NULL), "muster_process_fork");
  settle();
  int64_t start = bench_now();
  bench_check(muster_process_signal(&process, SIGKILL), "muster_process_signal");
  bench_check(muster_process_wait(&process, MUSTER_DEADLINE_NEVER, NULL), "muster_process_wait");
  int64_t took = bench_now() - start;
  muster_process_close(&process);
  return took;
}

static int64_t polled(void) {
  int pidfd;
  pid_t pid = fork_plainly(sleeps, &pidfd);
  settle();
  int64_t start = bench_now();
  if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0)) bench_fail("pidfd_send_signal", errno);
  wait_by_pidfd(pid, pidfd);
  return bench_now() - start;
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int main(int count, char **given) {
  static const struct {
    const char *name;
    int64_t (*turn)(void);
  } kinds[] = {{"spawn", spawn}, {"posix", posix}, {"exec", exec}, {"fork", forks}, {"keep", keeps}, {"bare", bare}, {"told", told}, {"poll", polled}};
  static int64_t took[TURNS];
  int64_t (*turn)(void) = NULL;
  for (size_t i = 0; count > 2 && i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(given[1], kinds[i].name)) turn = kinds[i].turn;
  if (!turn) return fprintf(stderr, "process_spawn spawn|posix|exec|fork|keep|bare|told|poll MS [MIB]\n"), 2;
  size_t ballast = count > 3 ? (size_t)atoi(given[3]) << 20 : 0;
  if (ballast) {
    void *memory = mmap(NULL, ballast, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bench_fail("mmap", errno);
    memset(memory, 1, ballast);
  }
  for (int i = 0; i < 5; i++) turn();
  size_t turns = 0;
  for (int64_t until = bench_now() + (int64_t)atoi(given[2]) * 1000000; turns < TURNS && (turns < 3 || bench_now() < until); turns++)
    took[turns] = turn();
  qsort(took, turns, sizeof *took, compare);
  printf("%lld\n", (long long)took[turns / 2]);
  return 0;
}
