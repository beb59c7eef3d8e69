// How long `muster pair run` takes from a death to the first instruction of the command that is started next, beside what no program can do without.
//
// pair_run SAMPLES MUSTER     in turns: the runner that leads is killed; the command alone is killed; and a bare watcher wakes at the pidfd of
//                             one that was killed, kills it through it, sees it gone, forks and executes the same command.
//                             Prints the median microseconds: runner, command, floor
//
// The command is this program, as pair_run began BOARD: it stores on the board when it began, and waits.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include "bench.h"
#include "muster/pair.h"
#include "muster/process.h"

typedef struct board {
  int64_t began;  // when the newest command did
  int64_t pid;
} board;

static board *shared;
static char name[64], path[96];
static const char *self, *muster;
static muster_pair *pair;
static muster_process runners[2];
static pid_t owner;

static void map_board(int flags) {
  int file = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
  if (file < 0 || ftruncate(file, 4096)) bench_fail(path, errno);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (shared == MAP_FAILED) bench_fail("mmap", errno);
  close(file);
}

// However it ends; a fork of it that ends does not.
static void remove_board(void) {
  if (owner == getpid()) unlink(path);
}

static _Noreturn void began(void) {
  int64_t now = bench_now();
  map_board(0);
  shared->pid = getpid();
  __atomic_store_n(&shared->began, now, __ATOMIC_RELEASE);
  for (;;) pause();
}

static void start(muster_process *runner) {
  const char *arguments[] = {muster, "pair", "run", name,    "--takeovers", "32", "--within", "1ms", "--missed", "50",
                             "--",   self,   "began", path, NULL};
  muster_process_options options = {.path = muster, .arguments = arguments, .flags = MUSTER_PROCESS_TIE};
  for (int i = 0; i < 3; i++) options.streams[i].kind = MUSTER_PROCESS_STREAM_NULL;
  bench_check(muster_process_spawn(&options, runner, NULL), muster);
}

// Its command has begun, and the other one has watched it for some beats.
static muster_pair_status at_rest(void) {
  muster_pair_status status;
  muster_deadline deadline = muster_deadline_after(20000000000);
  for (;;) {
    bench_check(muster_pair_look(pair, &status), "look");
    if (status.primary_life == MUSTER_PAIR_ALIVE && status.backup_life == MUSTER_PAIR_ALIVE && status.backup.looks >= 2 &&
        status.primary.mode == MUSTER_PAIR_WORKING && status.emitted == status.tried && !kill((pid_t)shared->pid, 0))
      return status;
    if (muster_deadline_passed(deadline)) bench_fail("the pair is not whole", ETIMEDOUT);
    usleep(1000);
  }
}

static int64_t await(int64_t since) {
  muster_deadline deadline = muster_deadline_after(20000000000);
  int64_t at;
  while ((at = __atomic_load_n(&shared->began, __ATOMIC_ACQUIRE)) <= since) {
    if (muster_deadline_passed(deadline)) bench_fail("nobody takes over", ETIMEDOUT);
    usleep(50);
  }
  return at - since;
}

static int64_t injure(int the_command) {
  muster_pair_status status = at_rest();
  int64_t now = bench_now();
  kill((pid_t)(the_command ? (uint64_t)shared->pid : status.primary.pid), SIGKILL);
  int64_t took = await(now);
  muster_process *dead = &runners[runners[0].pid != (int32_t)status.primary.pid];
  bench_check(muster_process_wait(dead, muster_deadline_after(10000000000), NULL), "the runner's end");
  muster_process_close(dead);
  start(dead);
  return took;
}

// ---- The floor

static void watches(void *context, unsigned index) {
  (void)index;
  int pidfd = *(int *)context;
  struct pollfd one = {.fd = pidfd, .events = POLLIN};
  while (poll(&one, 1, -1) != 1) {
  }
  (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  while (poll(&one, 1, 0) != 1) {
  }
  pid_t child = fork();
  if (child == 0) {
    execl(self, self, "began", path, (char *)NULL);
    _exit(127);
  }
  (void)waitpid(child, NULL, 0);
  _exit(0);
}

static void waits(void *context, unsigned index) {
  (void)context, (void)index;
  for (;;) pause();
}

static int64_t floor_of(void) {
  pid_t workers[2];
  int64_t command = shared->pid;
  workers[0] = bench_fork(waits, NULL, 0);
  int pidfd = (int)syscall(SYS_pidfd_open, workers[0], 0);
  if (pidfd < 0) bench_fail("pidfd_open", errno);
  workers[1] = bench_fork(watches, &pidfd, 1);
  usleep(5000);
  int64_t now = bench_now();
  kill(workers[0], SIGKILL);
  int64_t took = await(now);
  kill((pid_t)shared->pid, SIGKILL);
  close(pidfd);
  for (int k = 0; k < 2; k++) (void)waitpid(workers[k], NULL, 0);
  shared->pid = command;
  return took;
}

static void end(void) {
  muster_pair_status status = at_rest();
  kill((pid_t)status.primary.pid, SIGTERM);
  for (int i = 0; i < 2; i++) {
    bench_check(muster_process_wait(&runners[i], muster_deadline_after(10000000000), NULL), "the runner's end");
    muster_process_close(&runners[i]);
  }
  bench_check(muster_pair_close(pair), "close");
}

static void begin(void) {
  snprintf(name, sizeof name, "bench-pair-run-%d", (int)getpid());
  snprintf(path, sizeof path, "/dev/shm/%s-board", name);
  map_board(O_CREAT | O_EXCL);
  owner = getpid();
  atexit(remove_board);
  start(&runners[0]);
  await(0);
  start(&runners[1]);
  muster_pair_options look = {.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY,
                              .deadline = muster_deadline_after(10000000000)};
  bench_check(muster_pair_open(name, &look, &pair), "open the pair");
}

int main(int argc, char **argv) {
  if (argc != 3) bench_fail("pair_run SAMPLES MUSTER", EINVAL);
  muster = argv[2];
  if (strcmp(argv[1], "began") == 0) {
    snprintf(path, sizeof path, "%s", argv[2]);
    began();
  }
  char own[4096];
  ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
  if (length <= 0) bench_fail("/proc/self/exe", errno);
  own[length] = 0;
  self = own;
  size_t samples = strtoul(argv[1], NULL, 10);
  if (access(muster, X_OK)) bench_skip("muster is not built");
  if (samples == 0 || samples > 10000) bench_fail("samples", EINVAL);
  int64_t *runner = calloc(samples, sizeof *runner), *command = calloc(samples, sizeof *command),
          *bare = calloc(samples, sizeof *bare);
  if (!runner || !command || !bare) bench_fail("calloc", ENOMEM);
  bench_limit(170);
  begin();
  for (size_t k = 0; k < samples; k++) {
    runner[k] = injure(0);
    command[k] = injure(1);
    (void)at_rest();
    bare[k] = floor_of();
  }
  end();
  bench_sort(runner, samples);
  bench_sort(command, samples);
  bench_sort(bare, samples);
  printf("%.1f %.1f %.1f\n", (double)bench_permille(runner, samples, 500) / 1e3,
         (double)bench_permille(command, samples, 500) / 1e3, (double)bench_permille(bare, samples, 500) / 1e3);
  return 0;
}
