// Locking and unlocking, beside libc's process-shared locks.
//
// lock_pairs alone BATCHES          one process, nobody else: the robust mutex and a robust pthread_mutex_t; reading and writing of the
//                                   robust read-write lock and of a pthread_rwlock_t; batch by batch in turn. Prints the median
//                                   nanoseconds of a lock and unlock: mutex, pthread_mutex_t, read, pthread read, write, pthread write
// lock_pairs contended KIND MS      two forked processes, not pinned, that lock, change two words and unlock without pause; KIND is
//                                   mutex, pthread, write or pthread-write. Prints the nanoseconds a change, over both processes, and
//                                   how many in a hundred were of the process that got it less often
// lock_pairs readers KIND MS        two forked processes, pinned, that lock for reading, load two words and unlock; KIND is read or
//                                   pthread-read. Prints the nanoseconds a reading of one process
// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include "bench.h"
#include "muster/lock.h"

typedef struct arena {
  _Alignas(BENCH_LINE) pthread_mutex_t mutex;
  _Alignas(BENCH_LINE) pthread_rwlock_t rwlock;
  _Alignas(BENCH_LINE) uint64_t guarded[2];
  _Alignas(BENCH_LINE) uint32_t ready;
  _Alignas(BENCH_LINE) uint32_t stop;
  uint64_t done[2];
  int64_t took[2];
  int64_t for_ns;
  int processors[2];
  const struct kind *kind;
  _Alignas(MUSTER_LOCK_ALIGNMENT) unsigned char ours[4096];
  _Alignas(MUSTER_LOCK_ALIGNMENT) unsigned char ours_too[1 << 15];
} arena;

// What a process holds of all of them.
typedef struct handles {
  arena *a;
  muster_mutex *mutex;
  muster_rwlock *rwlock;
} handles;

typedef struct kind {
  const char *name;
  int (*lock)(handles *h);
  int (*unlock)(handles *h);
} kind;

static int lock_ours(handles *h) { return muster_mutex_lock(h->mutex, MUSTER_DEADLINE_NEVER); }
static int unlock_ours(handles *h) { return muster_mutex_unlock(h->mutex); }
static int lock_theirs(handles *h) { return pthread_mutex_lock(&h->a->mutex); }
static int unlock_theirs(handles *h) { return pthread_mutex_unlock(&h->a->mutex); }
static int read_ours(handles *h) { return muster_rwlock_read(h->rwlock, MUSTER_DEADLINE_NEVER); }
static int write_ours(handles *h) { return muster_rwlock_write(h->rwlock, MUSTER_DEADLINE_NEVER); }
static int unlock_rw_ours(handles *h) { return muster_rwlock_unlock(h->rwlock); }
static int read_theirs(handles *h) { return pthread_rwlock_rdlock(&h->a->rwlock); }
static int write_theirs(handles *h) { return pthread_rwlock_wrlock(&h->a->rwlock); }
static int unlock_rw_theirs(handles *h) { return pthread_rwlock_unlock(&h->a->rwlock); }

static const kind kinds[] = {
    {"mutex", lock_ours, unlock_ours},          {"pthread", lock_theirs, unlock_theirs},
    {"read", read_ours, unlock_rw_ours},        {"pthread-read", read_theirs, unlock_rw_theirs},
    {"write", write_ours, unlock_rw_ours},      {"pthread-write", write_theirs, unlock_rw_theirs},
};

enum { KINDS = sizeof kinds / sizeof *kinds, BATCH = 20000, WARM = 20 };

static handles open_all(arena *a) {
  handles h = {.a = a};
  bench_check(muster_mutex_attach(a->ours, sizeof a->ours, &h.mutex), "muster_mutex_attach");
  bench_check(muster_rwlock_attach(a->ours_too, sizeof a->ours_too, &h.rwlock), "muster_rwlock_attach");
  return h;
}

// Each with calls of its own, as a program has them: through a pointer they would all cost more.
#define TIME_PAIRS(name, lock, unlock)                            \
  static int64_t name(handles *h) {                               \
    int64_t start = bench_now();                                  \
    for (int i = 0; i < BATCH; i++)                               \
      if (lock(h) | unlock(h)) bench_fail(#lock, EPROTO);         \
    return bench_now() - start;                                   \
  }

TIME_PAIRS(time_mutex, lock_ours, unlock_ours)
TIME_PAIRS(time_their_mutex, lock_theirs, unlock_theirs)
TIME_PAIRS(time_read, read_ours, unlock_rw_ours)
TIME_PAIRS(time_their_read, read_theirs, unlock_rw_theirs)
TIME_PAIRS(time_write, write_ours, unlock_rw_ours)
TIME_PAIRS(time_their_write, write_theirs, unlock_rw_theirs)

static int alone(arena *a, size_t batches) {
  int64_t (*const times[KINDS])(handles *) = {time_mutex,      time_their_mutex, time_read,
                                              time_their_read, time_write,       time_their_write};
  handles h = open_all(a);
  int64_t *took = calloc(KINDS * batches, sizeof *took);
  if (!took) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < batches; i++)
    for (size_t k = 0; k < KINDS; k++) took[k * batches + i] = times[k](&h);
  for (size_t k = 0; k < KINDS; k++) {
    bench_sort(took + k * batches, batches);
    printf("%.3f ", (double)bench_permille(took + k * batches, batches, 500) / BATCH);
  }
  free(took);
  return puts("") < 0;
}

static void together(arena *a) {
  __atomic_add_fetch(&a->ready, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE) < 2) {
  }
}

static void change(arena *a) {
  uint64_t next = __atomic_load_n(&a->guarded[0], __ATOMIC_RELAXED) + 1;
  __atomic_store_n(&a->guarded[0], next, __ATOMIC_RELAXED);
  __atomic_store_n(&a->guarded[1], next, __ATOMIC_RELAXED);
}

static void look(arena *a) {
  if (__atomic_load_n(&a->guarded[0], __ATOMIC_RELAXED) != __atomic_load_n(&a->guarded[1], __ATOMIC_RELAXED))
    bench_fail("torn words", EBADMSG);
}

static void run(void *context, unsigned index) {
  arena *a = context;
  handles h = open_all(a);
  const kind *of = a->kind;
  int reads = of->lock == read_ours || of->lock == read_theirs;
  if (reads) bench_pin(a->processors[index]);
  together(a);
  int64_t start = bench_now();
  uint64_t done = 0;
  while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
    for (int i = 0; i < WARM; i++, done++) {
      bench_check(of->lock(&h), "lock");
      if (reads) look(a);
      else change(a);
      bench_check(of->unlock(&h), "unlock");
    }
    if (index == 0 && bench_now() - start > a->for_ns) __atomic_store_n(&a->stop, 1, __ATOMIC_RELAXED);
  }
  a->took[index] = bench_now() - start;
  a->done[index] = done;
}

static int two(arena *a, const char *name, int64_t ms) {
  for (size_t k = 0; k < KINDS; k++)
    if (!strcmp(kinds[k].name, name)) a->kind = &kinds[k];
  if (!a->kind) return 2;
  a->for_ns = ms * 1000000;
  pid_t pids[2] = {bench_fork(run, a, 0), bench_fork(run, a, 1)};
  bench_join(pids, 2);
  int reads = strstr(name, "read") && strcmp(name, "pthread");
  double ns = (double)(a->took[0] + a->took[1]) / 2, all = (double)(a->done[0] + a->done[1]);
  double fewer = (double)(a->done[0] < a->done[1] ? a->done[0] : a->done[1]);
  return printf("%.2f %.1f\n", reads ? 2 * ns / all : ns / all, 100 * fewer / all) < 0;
}

static void make_theirs(arena *a) {
  pthread_mutexattr_t mutex;
  pthread_rwlockattr_t rwlock;
  bench_check(pthread_mutexattr_init(&mutex), "pthread_mutexattr_init");
  bench_check(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED), "pthread_mutexattr_setpshared");
  bench_check(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST), "pthread_mutexattr_setrobust");
  bench_check(pthread_mutex_init(&a->mutex, &mutex), "pthread_mutex_init");
  bench_check(pthread_rwlockattr_init(&rwlock), "pthread_rwlockattr_init");
  bench_check(pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED), "pthread_rwlockattr_setpshared");
  bench_check(pthread_rwlock_init(&a->rwlock, &rwlock), "pthread_rwlock_init");
}

int main(int argc, char **argv) {
  int is_alone = argc == 3 && !strcmp(argv[1], "alone");
  int is_two = argc == 4 && (!strcmp(argv[1], "contended") || !strcmp(argv[1], "readers"));
  long count = argc >= 3 ? atol(argv[argc - 1]) : 0;
  if (count < 1 || (!is_alone && !is_two)) {
    fputs("usage: lock_pairs alone BATCHES | contended mutex|pthread|write|pthread-write MS | readers read|pthread-read MS\n",
          stderr);
    return 2;
  }
  bench_limit(170);
  arena *a = bench_share(sizeof *a);
  make_theirs(a);
  bench_check(muster_mutex_init(a->ours, sizeof a->ours), "muster_mutex_init");
  bench_check(muster_rwlock_init(a->ours_too, sizeof a->ours_too, 8), "muster_rwlock_init");
  if (is_alone) return alone(a, (size_t)count);
  a->processors[0] = bench_processor(0, 2);
  a->processors[1] = bench_processor(1, 2);
  if (a->processors[0] < 0) bench_skip("only one processor");
  return two(a, argv[2], count);
}
