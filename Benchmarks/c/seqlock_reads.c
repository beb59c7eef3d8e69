// Snapshots of 64 bytes from a seqlock.
//
// seqlock_reads alone BATCHES      no writer, one process: a snapshot (inlined), relaxed loads of as many words, a snapshot by the
//                                  function of the library, batch by batch in turn; prints the median nanoseconds of each
// seqlock_reads readers KIND MS    two readers on two processors, no writer; KIND is seqlock, or rwlock: a process-shared
//                                  pthread_rwlock_t held for reading around relaxed loads; prints the median nanoseconds a
//                                  snapshot, over the stretches in which both readers ran
// seqlock_reads latency WINDOWS    a writer that writes without pause on one processor, a reader on another that times WINDOWS
//                                  times 500 snapshots; prints the 99.9th percentile and the median of a snapshot's time
//                                  without that of reading the clock, and the nanoseconds a write. A window in which one of
//                                  the two lost its processor is taken again: there were fewer writes than snapshots, or a
//                                  context switch of the reader
// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include "bench.h"
#include "muster/seqlock.h"

#define WORDS 8

typedef struct arena {
  _Alignas(BENCH_LINE) pthread_rwlock_t lock;
  _Alignas(BENCH_LINE) uint64_t guarded[WORDS];
  _Alignas(BENCH_LINE) uint32_t ready;
  _Alignas(BENCH_LINE) uint32_t stop;
  uint32_t done;
  struct {
    _Alignas(BENCH_LINE) uint64_t steps;
  } progress[2];
  double p999, median, write_ns;
  double readers_ns[2];
  int processors[2];
  int by_lock;
  int64_t for_ns;
  size_t windows;
  _Alignas(MUSTER_SEQLOCK_ALIGNMENT) unsigned char seqlock[4096];
} arena;

// Unrolled as the snapshot's are: what is compared is the protocol.
static inline void loads(const uint64_t *from, uint64_t words[WORDS]) {
  MUSTER_UNROLL_8
  for (int i = 0; i < WORDS; i++) words[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
}

// The words are used: the compiler may not leave out their loads, nor carry them over to the next turn.
static inline void use(uint64_t words[WORDS]) { __asm__ __volatile__("" : : "r"(words) : "memory"); }

static muster_seqlock *attach(arena *a) {
  muster_seqlock *seqlock;
  bench_check(muster_seqlock_attach(a->seqlock, sizeof a->seqlock, &seqlock), "muster_seqlock_attach");
  return seqlock;
}

// ---- alone

#define BATCH 20000

static int64_t time_inlined(const muster_seqlock *seqlock) {
  const muster_seqlock_reader reader = *muster_seqlock_reader_of(seqlock);
  uint64_t words[WORDS];
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    bench_check(muster_seqlock_snapshot(&reader, 0, WORDS, words, NULL), "muster_seqlock_snapshot");
    use(words);
  }
  return bench_now() - start;
}

static int64_t time_loads(const uint64_t *from) {
  uint64_t words[WORDS];
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    loads(from, words);
    use(words);
  }
  return bench_now() - start;
}

static int64_t time_called(const muster_seqlock *seqlock) {
  uint64_t words[WORDS];
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) {
    bench_check(muster_seqlock_read(seqlock, words, WORDS, NULL), "muster_seqlock_read");
    use(words);
  }
  return bench_now() - start;
}

static int alone(arena *a, size_t batches) {
  muster_seqlock *seqlock = attach(a);
  int64_t *took = calloc(3 * batches, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < batches; i++) {
    took[i] = time_inlined(seqlock);
    took[batches + i] = time_loads(a->guarded);
    took[2 * batches + i] = time_called(seqlock);
  }
  for (size_t kind = 0; kind < 3; kind++) {
    bench_sort(took + kind * batches, batches);
    printf("%.3f ", (double)bench_permille(took + kind * batches, batches, 500) / BATCH);
  }
  free(took);
  return puts("") < 0;
}

// ---- readers

static void read_by_lock(arena *a, uint64_t words[WORDS]) {
  bench_check(pthread_rwlock_rdlock(&a->lock), "pthread_rwlock_rdlock");
  loads(a->guarded, words);
  bench_check(pthread_rwlock_unlock(&a->lock), "pthread_rwlock_unlock");
}

static void together(arena *a) {
  __atomic_add_fetch(&a->ready, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE) < 2) {
  }
}

#define STRETCH 4000
#define STRETCHES_LEAST 5
#define STRETCHES_MOST 100000

static void read_stretch(arena *a, const muster_seqlock_reader *reader, unsigned index) {
  uint64_t words[WORDS];
  for (int i = 0; i < STRETCH; i++) {
    if (a->by_lock) read_by_lock(a, words);
    else bench_check(muster_seqlock_snapshot(reader, 0, WORDS, words, NULL), "muster_seqlock_snapshot");
    use(words);
    if (i % 1000 == 0) __atomic_add_fetch(&a->progress[index].steps, 1, __ATOMIC_RELAXED);
  }
}

// A reader that is alone is faster, by far with a lock: only stretches in which the other made at least half the progress count.
// Both go on until each has seen enough of them.
static void read_on(void *context, unsigned index) {
  arena *a = (arena *)context;
  muster_seqlock *seqlock = attach(a);
  const muster_seqlock_reader reader = *muster_seqlock_reader_of(seqlock);
  const uint64_t *other = &a->progress[1 - index].steps;
  int64_t *took = calloc(STRETCHES_MOST, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  size_t count = 0;
  bench_pin(a->processors[index]);
  together(a);
  int64_t start = bench_now(), now = start;
  int done = 0;
  while (__atomic_load_n(&a->done, __ATOMIC_RELAXED) < 2 && count < STRETCHES_MOST) {
    int64_t begun = now;
    uint64_t before = __atomic_load_n(other, __ATOMIC_RELAXED);
    read_stretch(a, &reader, index);
    now = bench_now();
    if (__atomic_load_n(other, __ATOMIC_RELAXED) - before >= STRETCH / 2000) took[count++] = now - begun;
    if (done || now - start < a->for_ns || count < STRETCHES_LEAST) continue;
    done = 1;
    __atomic_add_fetch(&a->done, 1, __ATOMIC_RELAXED);
  }
  bench_sort(took, count);
  a->readers_ns[index] = (double)bench_permille(took, count, 500) / STRETCH;
  free(took);
}

static int readers(arena *a, const char *kind, int64_t ms) {
  pthread_rwlockattr_t attributes;
  bench_check(pthread_rwlockattr_init(&attributes), "pthread_rwlockattr_init");
  bench_check(pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), "pthread_rwlockattr_setpshared");
  bench_check(pthread_rwlock_init(&a->lock, &attributes), "pthread_rwlock_init");
  a->by_lock = !strcmp(kind, "rwlock");
  a->for_ns = ms * 1000000;
  pid_t pids[2] = {bench_fork(read_on, a, 0), bench_fork(read_on, a, 1)};
  bench_join(pids, 2);
  return printf("%.3f\n", (a->readers_ns[0] + a->readers_ns[1]) / 2) < 0;
}

// ---- latency

static void write_on(void *context, unsigned index) {
  arena *a = (arena *)context;
  bench_pin(a->processors[index]);
  muster_seqlock *seqlock = attach(a);
  bench_check(muster_seqlock_claim(seqlock, NULL), "muster_seqlock_claim");
  muster_seqlock_writer *writer = muster_seqlock_writer_of(seqlock);
  together(a);
  uint64_t words[WORDS], n = 0;
  while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
    n++;
    for (int i = 0; i < WORDS; i++) words[i] = n;
    bench_check(muster_seqlock_publish(writer, 0, WORDS, words), "muster_seqlock_publish");
  }
  bench_check(muster_seqlock_close(seqlock), "muster_seqlock_close");
}

// The processor's own counter where it has one: finer than CLOCK_MONOTONIC, which may step by 10 ns and more.
static inline int64_t ticks(void) {
#if defined(__x86_64__)
  __asm__ __volatile__("lfence" ::: "memory");
  int64_t now = (int64_t)__builtin_ia32_rdtsc();
  __asm__ __volatile__("lfence" ::: "memory");
  return now;
#elif defined(__aarch64__)
  int64_t now;
  __asm__ __volatile__("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now)::"memory");
  return now;
#else
  return bench_now();
#endif
}

// Of sorted values the mean of the middle half: the median, but finer than the counter's steps, which differ in how they meet
// what is timed. (Some count in steps of 10 ns.)
static double middle(const int64_t *values, size_t count) {
  double sum = 0;
  for (size_t i = count / 4; i < count - count / 4; i++) sum += (double)values[i];
  return sum / (double)(count - 2 * (count / 4));
}

static double ticks_cost(void) {
  int64_t took[4001];
  for (int i = 0; i < 4001; i++) {
    int64_t start = ticks();
    took[i] = ticks() - start;
  }
  bench_sort(took, 4001);
  return middle(took, 4001);
}

#define WINDOW 500

typedef struct window {
  uint64_t writes;
  long switches;
  int64_t ticks;
  int64_t took[WINDOW];
} window;

static long switches(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

static void fill_window(const muster_seqlock *seqlock, window *w) {
  const muster_seqlock_reader reader = *muster_seqlock_reader_of(seqlock);
  long before = switches();
  uint64_t words[WORDS], sequence = muster_seqlock_sequence(seqlock);
  int64_t first = ticks();
  for (size_t i = 0; i < WINDOW; i++) {
    int64_t start = ticks();
    bench_check(muster_seqlock_snapshot(&reader, 0, WORDS, words, NULL), "muster_seqlock_snapshot");
    use(words);
    w->took[i] = ticks() - start;
    for (int k = 1; k < WORDS; k++)
      if (words[k] != words[0]) bench_fail("a torn snapshot", EBADMSG);
  }
  w->ticks = ticks() - first;
  w->writes = muster_seqlock_sequence(seqlock) - sequence;
  w->switches = switches() - before;
}

static void summarize(arena *a, const window *windows, double tick_ns) {
  size_t count = a->windows * WINDOW;
  int64_t *all = calloc(count, sizeof *all);
  if (!all) bench_fail("calloc", ENOMEM);
  double writes = 0, time = 0, cost = ticks_cost();
  for (size_t i = 0; i < a->windows; i++) {
    memcpy(all + i * WINDOW, windows[i].took, sizeof windows[i].took);
    writes += (double)windows[i].writes;
    time += (double)windows[i].ticks;
  }
  bench_sort(all, count);
  a->p999 = tick_ns * ((double)bench_permille(all, count, 999) - cost);
  a->median = tick_ns * (middle(all, count) - cost);
  a->write_ns = tick_ns * time / writes;
  free(all);
}

static void read_timed(void *context, unsigned index) {
  arena *a = (arena *)context;
  bench_pin(a->processors[index]);
  muster_seqlock *seqlock = attach(a);
  window *windows = calloc(a->windows, sizeof *windows);
  if (!windows) bench_fail("calloc", ENOMEM);
  memset(windows, 1, a->windows * sizeof *windows);  // no page faults later
  together(a);
  while (muster_seqlock_sequence(seqlock) < 1000) {
  }
  int64_t first = ticks(), first_ns = bench_now();
  for (size_t i = 0; i < a->windows; i++) {
    do fill_window(seqlock, &windows[i]);
    while (windows[i].writes < WINDOW || windows[i].switches);
  }
  double tick_ns = (double)(bench_now() - first_ns) / (double)(ticks() - first);
  __atomic_store_n(&a->stop, 1, __ATOMIC_RELAXED);
  summarize(a, windows, tick_ns);
  free(windows);
}

static int latency(arena *a, size_t windows) {
  a->windows = windows;
  pid_t pids[2] = {bench_fork(read_timed, a, 0), bench_fork(write_on, a, 1)};
  bench_join(pids, 2);
  return printf("%.2f %.2f %.2f\n", a->p999, a->median, a->write_ns) < 0;
}

int main(int argc, char **argv) {
  int two_readers = argc == 4 && !strcmp(argv[1], "readers");
  long count = argc >= 3 ? atol(argv[argc - 1]) : 0;
  if (count < 1 || (!two_readers && argc != 3)) {
    fputs("usage: seqlock_reads alone BATCHES | readers seqlock|rwlock MS | latency WINDOWS\n", stderr);
    return 2;
  }
  bench_limit(170);
  arena *a = bench_share(sizeof *a);
  if (muster_seqlock_size(WORDS) > sizeof a->seqlock) bench_fail("muster_seqlock_size", EOVERFLOW);
  bench_check(muster_seqlock_init(a->seqlock, sizeof a->seqlock, WORDS), "muster_seqlock_init");
  if (!strcmp(argv[1], "alone")) return alone(a, (size_t)count);
  a->processors[0] = bench_processor(0, 2);
  a->processors[1] = bench_processor(1, 2);
  if (a->processors[0] < 0) bench_skip("only one processor");
  return two_readers ? readers(a, argv[2], count) : latency(a, (size_t)count);
}
