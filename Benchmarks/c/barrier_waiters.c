// barrier_waiters death PARTIES TRIALS     from SIGKILL of a member to the return of the last waiter; prints the median, the 90th
//                                          percentile and the greatest of all trials, in nanoseconds
// barrier_waiters wakeups PARTIES SECONDS  how often a waiter wakes while nothing happens; prints the most of any, a second
//
// All parties but one arrive at a robust barrier (policy break) and are asleep before the clock starts.
// SPDX-License-Identifier: Apache-2.0
#include "bench.h"
#include "muster/barrier.h"

#define DEADLINE_NS INT64_C(30000000000)

typedef struct waiter {
  _Alignas(BENCH_LINE) int64_t returned;
  uint32_t culprit;
  int status;
} waiter;

typedef struct crew {
  unsigned parties;
  unsigned victim;  // the worker that never arrives
  void *memory;
  struct shared {
    uint32_t victim_member;
    uint32_t returned;
    waiter waiters[MUSTER_BARRIER_PARTIES_MAX];
  } *shared;
  pid_t pids[MUSTER_BARRIER_PARTIES_MAX];
} crew;

static void work(void *context, unsigned index) {
  crew *c = (crew *)context;
  muster_barrier_options options = {.parties = c->parties};
  muster_barrier *barrier;
  bench_check(muster_barrier_attach(c->memory, muster_barrier_size(c->parties), &options, &barrier), "attach");
  if (index == c->victim) {
    __atomic_store_n(&c->shared->victim_member, muster_barrier_member(barrier), __ATOMIC_RELEASE);
    for (;;) pause();
  }
  muster_barrier_result result;
  waiter *w = &c->shared->waiters[index];
  int status = muster_barrier_wait(barrier, muster_deadline_after(DEADLINE_NS), &result);
  w->returned = bench_now();
  w->status = status;
  w->culprit = result.culprit;
  // Ending takes a process longer than being told, and would be counted for those who come after it on the same processor.
  __atomic_add_fetch(&c->shared->returned, 1, __ATOMIC_RELEASE);
  for (;;) pause();
}

// A field of /proc/PID/status, as it stands there.
static void read_status(pid_t pid, const char *field, char value[64]) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  FILE *file = fopen(path, "re");
  if (!file) bench_fail(path, errno);
  value[0] = 0;
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, field, strlen(field))) snprintf(value, 64, "%.63s", line + strlen(field) + 2);
  fclose(file);
  if (!value[0]) bench_fail(field, ENOENT);
}

static void await_sleep(const crew *c) {
  muster_barrier_options options = {.parties = c->parties, .observe = 1};
  muster_barrier *barrier;
  bench_check(muster_barrier_attach(c->memory, muster_barrier_size(c->parties), &options, &barrier), "observe");
  struct timespec pause = {.tv_nsec = 200000};
  while (muster_barrier_waiting(barrier) < c->parties - 1) nanosleep(&pause, NULL);
  while (__atomic_load_n(&c->shared->victim_member, __ATOMIC_ACQUIRE) == MUSTER_BARRIER_NOBODY) nanosleep(&pause, NULL);
  for (unsigned i = 0; i < c->parties; i++) {
    char state[64];
    while (read_status(c->pids[i], "State", state), state[0] != 'S') nanosleep(&pause, NULL);
  }
  bench_check(muster_barrier_close(barrier), "close");
}

static void assemble(crew *c, unsigned parties, unsigned victim) {
  c->parties = parties;
  c->victim = victim;
  c->memory = bench_share(muster_barrier_size(parties));
  c->shared = bench_share(sizeof *c->shared);
  c->shared->victim_member = MUSTER_BARRIER_NOBODY;
  bench_check(muster_barrier_init(c->memory, muster_barrier_size(parties), parties, MUSTER_ON_DEATH_BREAK), "init");
  for (unsigned i = 0; i < parties; i++) c->pids[i] = bench_fork(work, c, i);
  await_sleep(c);
}

// Kills the victim; returns how long it took the last waiter to return, and that each returned with the truth.
static int64_t disperse(crew *c) {
  int64_t start = bench_now(), last = 0;
  struct timespec pause = {.tv_nsec = 1000000};
  kill(c->pids[c->victim], SIGKILL);
  while (__atomic_load_n(&c->shared->returned, __ATOMIC_ACQUIRE) < c->parties - 1) {
    if (bench_now() - start > DEADLINE_NS) bench_fail("waiters that were not told", ETIMEDOUT);
    nanosleep(&pause, NULL);
  }
  for (unsigned i = 0; i < c->parties; i++) {
    kill(c->pids[i], SIGKILL);
    waitpid(c->pids[i], NULL, 0);
  }
  unsigned told = 0;
  for (unsigned i = 0; i < c->parties; i++) {
    const waiter *w = &c->shared->waiters[i];
    if (i == c->victim) continue;
    if (w->status != EOWNERDEAD && w->status != ENOTRECOVERABLE) bench_fail("a waiter's status", w->status);
    if (w->culprit != c->shared->victim_member) bench_fail("a waiter was told another member", EINVAL);
    told += w->status == EOWNERDEAD;
    if (w->returned > last) last = w->returned;
  }
  if (told != c->parties - 1) bench_fail("not every waiter got EOWNERDEAD", EINVAL);
  munmap(c->memory, muster_barrier_size(c->parties));
  munmap(c->shared, sizeof *c->shared);
  return last - start;
}

static void deaths(unsigned parties, unsigned trials) {
  int64_t *took = calloc(trials, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  crew c = {0};
  for (unsigned i = 0; i < trials; i++) {
    assemble(&c, parties, (unsigned)(bench_random(1, parties, i) % parties));
    took[i] = disperse(&c);
  }
  bench_sort(took, trials);
  printf("%lld %lld %lld\n", (long long)bench_permille(took, trials, 500), (long long)bench_permille(took, trials, 900),
         (long long)took[trials - 1]);
  free(took);
}

static long wakeups_of(pid_t pid) {
  char value[64];
  read_status(pid, "voluntary_ctxt_switches", value);
  return atol(value);
}

static void wakeups(unsigned parties, unsigned seconds) {
  crew c = {0};
  long before[MUSTER_BARRIER_PARTIES_MAX], most = 0;
  assemble(&c, parties, 0);
  for (unsigned i = 0; i < parties; i++) before[i] = wakeups_of(c.pids[i]);
  sleep(seconds);
  for (unsigned i = 1; i < parties; i++) {
    long woken = wakeups_of(c.pids[i]) - before[i];
    if (woken > most) most = woken;
  }
  disperse(&c);
  printf("%.3f\n", (double)most / seconds);
}

int main(int argc, char **argv) {
  unsigned parties = argc == 4 ? (unsigned)atoi(argv[2]) : 0, count = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
  if (parties < 2 || parties > MUSTER_BARRIER_PARTIES_MAX || !count) {
    fputs("usage: barrier_waiters death PARTIES TRIALS | barrier_waiters wakeups PARTIES SECONDS\n", stderr);
    return 2;
  }
  bench_limit(170);
  if (!strcmp(argv[1], "wakeups")) wakeups(parties, count);
  else deaths(parties, count);
  return 0;
}
