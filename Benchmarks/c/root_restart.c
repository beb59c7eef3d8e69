// What the root's restarts and transactions cost, beside the bare system calls in a process of the same shape.
//
// root_restart one DAEMONS KIB SAMPLES     a daemon is killed: until the first instruction of its successor's `run`; and beside it, in
//                                          turn, a process with the same memory that waits at a pidfd and forks. Prints the median
//                                          microseconds: root, bare
// root_restart all DAEMONS ROUNDS          all daemons are killed at once: until the last one is back; beside it the same by bare calls,
//                                          and as many bare forks alone. Prints the median milliseconds: root, bare with kill and wait,
//                                          forks alone, deaths alone
// root_restart transaction KIB SAMPLES     a transaction that changes 4 KiB of a state of that size; beside it, in the same daemon,
//                                          fork, exit and wait. Prints the median microseconds: transaction, bare
// root_restart many RESTARTS               a daemon that is started so often. Prints how many KiB and descriptors the root has more
//                                          at the end than after the first thousand, and the microseconds a restart
// root_restart idle DAEMONS MS             heartbeats of 100 ms. Prints how often the root went to sleep in each such time
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <poll.h>
#include <sys/syscall.h>

#include "bench.h"
#include "muster/root.h"

enum { DAEMONS_MOST = 2000 };

#define SECOND INT64_C(1000000000)

// Of each daemon, by both ways: its process, and when its first instruction came.
typedef struct place {
  int32_t pid;
  uint32_t lives;
  int64_t began;
} place;

typedef struct board {
  place ours[DAEMONS_MOST], bare[DAEMONS_MOST];
  int64_t sum[2];
  uint32_t ready, asks, answered;
  int32_t victim;
} board;

static board *shared;
static muster_daemon_spec specs[DAEMONS_MOST];
static char names[DAEMONS_MOST][16];

static void begin(place *mine) {
  int64_t now = bench_now();
  mine->pid = (int32_t)getpid();
  mine->began = now;
  __atomic_fetch_add(&mine->lives, 1, __ATOMIC_RELEASE);
}

static int idles(muster_daemon *self, void *context) {
  (void)context;
  begin(&shared->ours[muster_daemon_self(self)]);
  while (pause()) {
  }
  return 0;
}

static void declare(unsigned daemons, uint64_t bytes, muster_daemon_run run) {
  if (daemons > DAEMONS_MOST) bench_fail("daemons", EINVAL);
  for (unsigned k = 0; k < daemons; k++) {
    snprintf(names[k], sizeof names[k], "d%u", k);
    specs[k] = (muster_daemon_spec){.name = names[k], .run = run, .state_size = bytes, .policy = MUSTER_DAEMON_KEEP,
                                    .stable = MUSTER_ROOT_NONE, .delay_first = MUSTER_ROOT_NONE};
    // Of 64 arenas of 16 MiB only one need be on huge pages, which take 50 ms each to make.
    if (k > 0) specs[k].transaction_pages = MUSTER_ROOT_NONE;
  }
}

static muster_root *lay(const char *tag, unsigned daemons, const muster_root_options *options) {
  char name[64];
  snprintf(name, sizeof name, "muster-bench-%s-%d", tag, (int)getpid());
  muster_root *root;
  bench_check(muster_root_start(name, specs, daemons, options, &root), "muster_root_start");
  return root;
}

static void run_ours(void *context, unsigned daemons) {
  (void)context;
  muster_root *root = lay("ours", daemons, NULL);
  bench_check(muster_root_run(root), "muster_root_run");
  muster_root_close(root);
}

// ---- Bare: a process with the same memory, whose children do nothing else.

static int files[DAEMONS_MOST];

static void fork_bare(unsigned index) {
  pid_t parent = getpid(), pid = fork();
  if (pid < 0) bench_fail("fork", errno);
  if (pid == 0) {
    begin(&shared->bare[index]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    for (;;) pause();
  }
  if (files[index] > 0) close(files[index]);
  files[index] = (int)syscall(SYS_pidfd_open, pid, 0);
  if (files[index] < 0) bench_fail("pidfd_open", errno);
}

static void wait_bare(unsigned index) {
  struct pollfd poll_ = {.fd = files[index], .events = POLLIN};
  if (poll(&poll_, 1, -1) != 1) bench_fail("poll", errno);
  siginfo_t info;
  if (waitid(P_PIDFD, (id_t)files[index], &info, WEXITED)) bench_fail("waitid", errno);
}

static void spin_until(const uint32_t *word, uint32_t value) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value) sched_yield();
}

// Asked by the number of the victim; -2: for all; -3: as many forks and no victims; -1: the end.
static void run_bare(void *context, unsigned daemons) {
  (void)context;
  muster_root *root = lay("bare", daemons, NULL);
  for (unsigned k = 0; k < daemons; k++) fork_bare(k);
  __atomic_store_n(&shared->ready, 1, __ATOMIC_RELEASE);
  for (uint32_t turn = 1;; turn++) {
    // Asleep until the next one dies: the first that is asked for is known before it is killed.
    while (__atomic_load_n(&shared->asks, __ATOMIC_ACQUIRE) < turn) usleep(100);
    int victim = shared->victim;
    __atomic_store_n(&shared->answered, turn, __ATOMIC_RELEASE);
    if (victim == -1) break;
    for (unsigned k = 0; k < daemons; k++) {
      if (victim >= 0 && (unsigned)victim != k) continue;
      wait_bare(k);
      if (victim != -3) fork_bare(k);
    }
    if (victim != -3) continue;
    shared->sum[0] = bench_now();
    for (unsigned k = 0; k < daemons; k++) fork_bare(k);
    shared->sum[1] = bench_now();
  }
  for (unsigned k = 0; k < daemons; k++) kill(shared->bare[k].pid, SIGKILL);
  for (unsigned k = 0; k < daemons; k++) wait_bare(k);
  muster_root_close(root);
}

static void ask(int victim) {
  shared->victim = victim;
  uint32_t turn = __atomic_add_fetch(&shared->asks, 1, __ATOMIC_ACQ_REL);
  spin_until(&shared->answered, turn);
  // It has said so just before it goes to sleep.
  usleep(300);
}

// ---- One is killed

static int64_t kill_one(place *victim) {
  uint32_t lives = __atomic_load_n(&victim->lives, __ATOMIC_ACQUIRE);
  int64_t start = bench_now();
  if (kill(victim->pid, SIGKILL)) bench_fail("kill", errno);
  while (__atomic_load_n(&victim->lives, __ATOMIC_ACQUIRE) == lives) usleep(50);
  int64_t took = victim->began - start;
  // Whoever started it has more to do, which is not to be met by the next one.
  usleep(500);
  return took;
}

static void await_all(place *places, unsigned daemons, uint32_t lives) {
  for (unsigned k = 0; k < daemons; k++)
    while (__atomic_load_n(&places[k].lives, __ATOMIC_ACQUIRE) < lives) usleep(100);
}

static int64_t *room(size_t count) {
  int64_t *values = calloc(count, sizeof *values);
  if (!values) bench_fail("calloc", ENOMEM);
  return values;
}

static int one(unsigned daemons, uint64_t bytes, size_t samples) {
  declare(daemons, bytes, idles);
  pid_t workers[2] = {bench_fork(run_ours, NULL, daemons), bench_fork(run_bare, NULL, daemons)};
  await_all(shared->ours, daemons, 1);
  await_all(shared->bare, daemons, 1);
  spin_until(&shared->ready, 1);
  int64_t *took[2] = {room(samples), room(samples)};
  for (size_t k = 0; k < samples; k++) {
    unsigned victim = (unsigned)(bench_random(1, 0, k) % daemons);
    took[0][k] = kill_one(&shared->ours[victim]);
    ask((int)victim);
    took[1][k] = kill_one(&shared->bare[victim]);
  }
  kill(workers[0], SIGTERM);
  ask(-1);
  bench_join(workers, 2);
  for (int k = 0; k < 2; k++) {
    bench_sort(took[k], samples);
    printf("%.2f ", (double)bench_permille(took[k], samples, 500) / 1e3);
  }
  return puts("") < 0;
}

// ---- All are killed

static void kill_each(const place *places, unsigned daemons) {
  for (unsigned k = 0; k < daemons; k++)
    if (kill(places[k].pid, SIGKILL)) bench_fail("kill", errno);
}

static int64_t last_of(const place *places, unsigned daemons) {
  int64_t last = 0;
  for (unsigned k = 0; k < daemons; k++)
    if (places[k].began > last) last = places[k].began;
  return last;
}

static int all(unsigned daemons, size_t rounds) {
  declare(daemons, 16 << 10, idles);
  pid_t workers[2] = {bench_fork(run_ours, NULL, daemons), bench_fork(run_bare, NULL, daemons)};
  await_all(shared->ours, daemons, 1);
  await_all(shared->bare, daemons, 1);
  int64_t *took[4] = {room(rounds), room(rounds), room(rounds), room(rounds)};
  uint32_t ours = 1, bare = 1;
  for (size_t k = 0; k < rounds; k++) {
    int64_t start = bench_now();
    kill_each(shared->ours, daemons);
    await_all(shared->ours, daemons, ++ours);
    took[0][k] = last_of(shared->ours, daemons) - start;
    usleep(20000);
    ask(-2);
    start = bench_now();
    kill_each(shared->bare, daemons);
    await_all(shared->bare, daemons, ++bare);
    took[1][k] = last_of(shared->bare, daemons) - start;
    usleep(20000);
    ask(-3);
    start = bench_now();
    kill_each(shared->bare, daemons);
    await_all(shared->bare, daemons, ++bare);
    took[2][k] = last_of(shared->bare, daemons) - shared->sum[0];
    took[3][k] = shared->sum[0] - start;
    usleep(20000);
  }
  kill(workers[0], SIGTERM);
  ask(-1);
  bench_join(workers, 2);
  for (int k = 0; k < 4; k++) {
    bench_sort(took[k], rounds);
    printf("%.3f ", (double)bench_permille(took[k], rounds, 500) / 1e6);
  }
  return puts("") < 0;
}

// ---- Transactions

static size_t transactions;

static int changes_a_page(void *state, uint64_t size, void *context) {
  uint64_t page = *(const uint64_t *)context * 4096 % size;
  memset((unsigned char *)state + page, (int)page + 1, 4096);
  return 0;
}

static void fork_and_wait(void) {
  pid_t pid = fork();
  if (pid < 0) bench_fail("fork", errno);
  if (pid == 0) _exit(0);
  int status;
  if (waitpid(pid, &status, 0) != pid) bench_fail("waitpid", errno);
}

static int transacts(muster_daemon *self, void *context) {
  (void)context;
  memset(muster_daemon_state(self), 1, muster_daemon_state_size(self));
  int64_t *took[2] = {room(transactions), room(transactions)};
  for (size_t k = 0; k < transactions; k++) {
    uint64_t page = bench_random(2, 0, k);
    muster_transaction_outcome outcome;
    int64_t start = bench_now();
    bench_check(muster_daemon_transact(self, changes_a_page, &page, NULL, &outcome), "muster_daemon_transact");
    took[0][k] = bench_now() - start;
    if (outcome.how != MUSTER_TRANSACTION_COMMITTED) bench_fail("the transaction", (int)outcome.how);
    start = bench_now();
    fork_and_wait();
    took[1][k] = bench_now() - start;
  }
  for (int k = 0; k < 2; k++) {
    bench_sort(took[k], transactions);
    shared->sum[k] = bench_permille(took[k], transactions, 500);
  }
  return 0;
}

static int transaction(uint64_t bytes, size_t samples) {
  declare(1, bytes, transacts);
  specs[0].restart = MUSTER_DAEMON_NEVER;
  transactions = samples;
  muster_root *root = lay("transaction", 1, NULL);
  bench_check(muster_root_run(root), "muster_root_run");
  muster_root_close(root);
  return printf("%.2f %.2f\n", (double)shared->sum[0] / 1e3, (double)shared->sum[1] / 1e3) < 0;
}

// ---- Very many

static uint64_t restarts;

typedef struct usage {
  long kib;
  int descriptors;
  int64_t at;
} usage;

static usage before, after;

static usage used(void) {
  usage now = {.at = bench_now()};
  char line[128];
  FILE *file = fopen("/proc/self/smaps_rollup", "r");
  while (file && fgets(line, sizeof line, file)) (void)sscanf(line, "Rss: %ld", &now.kib);
  if (!file || fclose(file)) bench_fail("smaps_rollup", errno);
  DIR *folder = opendir("/proc/self/fd");
  while (folder && readdir(folder)) now.descriptors++;
  if (folder) closedir(folder);
  return now;
}

static void look(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status, void *context) {
  (void)daemon;
  (void)context;
  if (kind != MUSTER_ROOT_ENDED) return;
  if (status->starts == 900 || status->starts == 1000) before = used();
  if (status->starts < restarts) return;
  after = used();
  muster_root_stop(root);
}

static int ends(muster_daemon *self, void *context) {
  (void)context;
  ++*(uint64_t *)muster_daemon_state(self);
  return 0;
}

static int many(uint64_t times) {
  declare(1, 16 << 10, ends);
  restarts = times;
  const muster_root_options options = {.tell = look};
  muster_root *root = lay("many", 1, &options);
  bench_check(muster_root_run(root), "muster_root_run");
  muster_root_close(root);
  return printf("%ld %d %.1f\n", after.kib - before.kib, after.descriptors - before.descriptors,
                (double)(after.at - before.at) / 1e3 / (double)(times - 1000)) < 0;
}

// ---- Idle

static int beats(muster_daemon *self, void *context) {
  (void)context;
  begin(&shared->ours[muster_daemon_self(self)]);
  while (muster_daemon_pause(self, MUSTER_DEADLINE_NEVER) != ECANCELED) {
  }
  return 0;
}

static long switches_of(pid_t pid) {
  char path[64], line[128];
  long count = -1;
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) (void)sscanf(line, "voluntary_ctxt_switches: %ld", &count);
  if (file) fclose(file);
  if (count < 0) bench_fail(path, errno);
  return count;
}

static int idle(unsigned daemons, int64_t ms) {
  declare(daemons, 16 << 10, beats);
  for (unsigned k = 0; k < daemons; k++) specs[k].heartbeat = SECOND / 10;
  pid_t worker = bench_fork(run_ours, NULL, daemons);
  await_all(shared->ours, daemons, 1);
  usleep(200000);
  int64_t start = bench_now();
  long before_ = switches_of(worker);
  usleep((useconds_t)(ms * 1000));
  long slept = switches_of(worker) - before_;
  double periods = (double)(bench_now() - start) / (double)(SECOND / 10);
  kill(worker, SIGTERM);
  bench_join(&worker, 1);
  return printf("%.3f\n", (double)slept / periods) < 0;
}

static int usage_of(void) {
  fputs("root_restart one DAEMONS KIB SAMPLES | all DAEMONS ROUNDS | transaction KIB SAMPLES | many RESTARTS | idle DAEMONS MS\n",
        stderr);
  return 2;
}

int main(int count, char **words) {
  bench_limit(170);
  shared = bench_share(sizeof *shared);
  long a = count > 2 ? atol(words[2]) : 0, b = count > 3 ? atol(words[3]) : 0, c = count > 4 ? atol(words[4]) : 0;
  if (count == 5 && !strcmp(words[1], "one")) return one((unsigned)a, (uint64_t)b << 10, (size_t)c);
  if (count == 4 && !strcmp(words[1], "all")) return all((unsigned)a, (size_t)b);
  if (count == 4 && !strcmp(words[1], "transaction")) return transaction((uint64_t)a << 10, (size_t)b);
  if (count == 3 && !strcmp(words[1], "many")) return many((uint64_t)a);
  if (count == 4 && !strcmp(words[1], "idle")) return idle((unsigned)a, b);
  return usage_of();
}
