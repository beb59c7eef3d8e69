// How long a process pair takes from its primary's death to its backup's first step, beside what no program can do without.
//
// pair_takeover kill SAMPLES PROGRAM     the primary is killed; in turn with it two floors in C: a watcher wakes at the pidfd of one that was
//                                        killed, kills it through it, sees it gone and forks, and the child's first instruction is told. Who
//                                        is killed is a fork of this program; or PROGRAM at rest, whose end takes the kernel as long as
//                                        a primary's. Prints the median microseconds: pair, floor, floor by PROGRAM
// pair_takeover hang SAMPLES PROGRAM     the primary is stopped. Prints the median periods of its heartbeat, beside the beats that may be
//                                        missing, and one more
//
// PROGRAM is benchmark-pair: it is started as PROGRAM NAME BOARD PERIOD-IN-MILLISECONDS, and each of its steps stores on the board when it began.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include "bench.h"
#include "muster/pair.h"
#include "muster/process.h"

enum { PERIOD_MS = 100, MISSED = 3 };

typedef struct board {
  int64_t began;  // when the newest step of the pair did; and of the floor's
  int64_t forked;
} board;

static board *shared;
static char name[64], path[96];
static muster_pair *pair;
static pid_t owner;

// However it ends; a fork of it that ends does not.
static void remove_board(void) {
  if (owner == getpid()) unlink(path);
}

static void lay_board(void) {
  snprintf(name, sizeof name, "bench-pair-%d", (int)getpid());
  snprintf(path, sizeof path, "/dev/shm/%s-board", name);
  int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, 4096)) bench_fail(path, errno);
  owner = getpid();
  atexit(remove_board);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (shared == MAP_FAILED) bench_fail("mmap", errno);
  close(file);
}

static void start(const char *program) {
  char period[16];
  snprintf(period, sizeof period, "%d", PERIOD_MS);
  const char *arguments[] = {program, name, path, period, NULL};
  muster_process_options options = {.path = program, .arguments = arguments};
  options.streams[0].kind = MUSTER_PROCESS_STREAM_NULL;
  muster_process process;
  bench_check(muster_process_spawn(&options, &process, NULL), program);
  muster_pair_options look = {.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY, .deadline = muster_deadline_after(10000000000)};
  bench_check(muster_pair_open(name, &look, &pair), "open the pair");
}

// The pair, whole and at rest: its step is taken, its backup watches, and both have done so for some beats.
static muster_pair_status at_rest(void) {
  muster_pair_status status;
  muster_deadline deadline = muster_deadline_after(20000000000);
  for (;;) {
    bench_check(muster_pair_look(pair, &status), "look");
    if (status.primary_life == MUSTER_PAIR_ALIVE && status.backup_life == MUSTER_PAIR_ALIVE &&
        status.backup.launch == status.primary.launch && status.backup.looks >= 2 &&
        status.primary.mode == MUSTER_PAIR_WORKING && status.emitted == status.tried)
      return status;
    if (muster_deadline_passed(deadline)) bench_fail("the pair is not whole", ETIMEDOUT);
    usleep(1000);
  }
}

static int64_t await(const int64_t *told, int64_t since) {
  muster_deadline deadline = muster_deadline_after(20000000000);
  int64_t at;
  while ((at = __atomic_load_n(told, __ATOMIC_ACQUIRE)) <= since) {
    if (muster_deadline_passed(deadline)) bench_fail("nobody takes over", ETIMEDOUT);
    usleep(50);
  }
  return at - since;
}

static int64_t injure(int signal_number) {
  muster_pair_status status = at_rest();
  int64_t now = bench_now();
  kill((pid_t)status.primary.pid, signal_number);
  return await(&shared->began, now);
}

// ---- The floor

static void first_instruction(void) {
  __atomic_store_n(&shared->forked, bench_now(), __ATOMIC_RELEASE);
  _exit(0);
}

static void watches(void *context, unsigned index) {
  (void)index;
  int pidfd = *(int *)context;
  struct pollfd one = {.fd = pidfd, .events = POLLIN};
  while (poll(&one, 1, -1) != 1) {
  }
  (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  while (poll(&one, 1, 0) != 1) {
  }
  if (fork() == 0) first_instruction();
  _exit(0);
}

static void waits(void *context, unsigned index) {
  (void)context, (void)index;
  for (;;) pause();
}

static void rests(void *context, unsigned index) {
  (void)index;
  const char *program = context;
  execl(program, program, (char *)NULL);
  _exit(127);
}

static int64_t floor_of(const char *program) {
  pid_t workers[2];
  workers[0] = bench_fork(program ? rests : waits, (void *)(uintptr_t)program, 0);
  int pidfd = (int)syscall(SYS_pidfd_open, workers[0], 0);
  if (pidfd < 0) bench_fail("pidfd_open", errno);
  workers[1] = bench_fork(watches, &pidfd, 1);
  usleep(program ? 50000 : 5000);
  int64_t now = bench_now();
  kill(workers[0], SIGKILL);
  int64_t took = await(&shared->forked, now);
  close(pidfd);
  for (int k = 0; k < 2; k++) (void)waitpid(workers[k], NULL, 0);
  return took;
}

static void end(void) {
  muster_pair_status status = at_rest();
  kill((pid_t)status.primary.pid, SIGTERM);
  while (kill((pid_t)status.primary.pid, 0) == 0) {
    (void)waitpid((pid_t)status.primary.pid, NULL, WNOHANG);
    usleep(1000);
  }
  bench_check(muster_pair_close(pair), "close");
}

int main(int argc, char **argv) {
  if (argc != 4) bench_fail("pair_takeover kill|hang SAMPLES PROGRAM", EINVAL);
  int hangs = strcmp(argv[1], "hang") == 0;
  size_t samples = strtoul(argv[2], NULL, 10);
  if (access(argv[3], X_OK)) bench_skip("benchmark-pair is not built");
  if (samples == 0 || samples > 10000) bench_fail("samples", EINVAL);
  int64_t *ours = calloc(samples, sizeof *ours), *bare = calloc(samples, sizeof *bare), *sized = calloc(samples, sizeof *sized);
  if (!ours || !bare || !sized) bench_fail("calloc", ENOMEM);
  bench_limit(170);
  lay_board();
  start(argv[3]);
  for (size_t k = 0; k < samples; k++) {
    ours[k] = injure(hangs ? SIGSTOP : SIGKILL);
    if (hangs) continue;
    bare[k] = floor_of(NULL);
    sized[k] = floor_of(argv[3]);
  }
  end();
  bench_sort(ours, samples);
  bench_sort(bare, samples);
  bench_sort(sized, samples);
  if (hangs) printf("%.2f %d\n", (double)bench_permille(ours, samples, 500) / (PERIOD_MS * 1e6), MISSED + 1);
  else printf("%.1f %.1f %.1f\n", (double)bench_permille(ours, samples, 500) / 1e3, (double)bench_permille(bare, samples, 500) / 1e3,
              (double)bench_permille(sized, samples, 500) / 1e3);
  return 0;
}
