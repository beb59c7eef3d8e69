// What the benchmark programs share: the clock, shared memory, forked workers that end together, a measured piece of work,
// and order statistics. Also for C++.
//
// A benchmark program prints one line of numbers on success (exit status 0), "skipped: why" with exit status 77 where what it needs
// is missing, and anything else is a failure.
// SPDX-License-Identifier: Apache-2.0
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BENCH_SKIPPED 77
#define BENCH_LINE 128

static inline int64_t bench_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// Processor time of this process, user and system.
static inline int64_t bench_cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
         ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

__attribute__((noreturn)) static inline void bench_fail(const char *what, int status) {
  fprintf(stderr, "failed: %s: %s\n", what, strerror(status));
  exit(1);
}

static inline void bench_check(int status, const char *what) {
  if (status) bench_fail(what, status);
}

__attribute__((noreturn)) static inline void bench_skip(const char *why) {
  printf("skipped: %s\n", why);
  exit(BENCH_SKIPPED);
}

// Zeroed memory that children made later share.
static inline void *bench_share(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) bench_fail("mmap", errno);
  return memory;
}

// The place-th processor (modulo their number) of those that this process may use: -1 if there are fewer than `least`.
static inline int bench_processor(int place, int least) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) return -1;
  int count = CPU_COUNT(&set);
  if (count < least) return -1;
  place %= count;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET((size_t)i, &set) && place-- == 0) return i;
  return -1;
}

static inline void bench_pin(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)processor, &set);
  if (sched_setaffinity(0, sizeof set, &set)) bench_fail("sched_setaffinity", errno);
}

// Ends this program, and with it its workers, when it takes longer than that.
static inline void bench_limit(unsigned seconds) { alarm(seconds); }

// Forks a worker, which ends with its parent and otherwise by returning from `run`.
static inline pid_t bench_fork(void (*run)(void *context, unsigned index), void *context, unsigned index) {
  pid_t parent = getpid();
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) bench_fail("fork", errno);
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  run(context, index);
  exit(0);
}

// Waits for all workers. At the first that fails the others are killed, and so this program fails.
static inline void bench_join(const pid_t *workers, unsigned count) {
  for (unsigned left = count; left > 0; left--) {
    int status;
    pid_t ended = wait(&status);
    if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    for (unsigned i = 0; i < count; i++)
      if (workers[i] != ended) kill(workers[i], SIGKILL);
    fprintf(stderr, "failed: a worker ended with status %#x\n", (unsigned)status);
    exit(1);
  }
}

// A number that follows from its arguments alone, so that two programs do the same uneven work (splitmix64).
static inline uint64_t bench_random(uint64_t seed, uint64_t worker, uint64_t round) {
  uint64_t x = seed + worker * UINT64_C(0xd1342543de82ef95) + round * UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

// Work that takes the same instructions whatever else goes on: a chain of multiplications.
static inline void bench_work(uint64_t turns) {
  uint64_t x = 1;
  for (uint64_t i = 0; i < turns; i++) {
    x = x * UINT64_C(6364136223846793005) + 1;
    __asm__ __volatile__("" : "+r"(x));
  }
}

// Turns of bench_work in a microsecond: the fastest of many tries, since whatever disturbs makes it slower.
static inline double bench_turns_per_us(void) {
  int64_t best = INT64_MAX;
  for (int try_ = 0; try_ < 40; try_++) {
    int64_t start = bench_now();
    bench_work(100000);
    int64_t took = bench_now() - start;
    if (took < best) best = took;
  }
  return 100000e3 / (double)best;
}

static inline int bench_compare(const void *a, const void *b) {
  int64_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

static inline void bench_sort(int64_t *values, size_t count) { qsort(values, count, sizeof *values, bench_compare); }

// Of sorted values: the smallest that at least `permille` of a thousand don't exceed.
static inline int64_t bench_permille(const int64_t *values, size_t count, unsigned permille) {
  size_t rank = (count * permille + 999) / 1000;
  return values[rank ? rank - 1 : 0];
}

#endif
