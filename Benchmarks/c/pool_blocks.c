// Allocating and freeing blocks, beside malloc and beside a free list under a lock.
//
// pool_blocks alone SIZE BATCHES   one process, nobody else: a block of SIZE bytes allocated, its first word written, and freed; the same
//                                  with 32 blocks allocated before they are freed in the same order; batch by batch in turn with malloc
//                                  and free of libc. Prints the median nanoseconds of a pair: pool, malloc, pool of 32, malloc of 32
// pool_blocks two KIND MS          two forked processes, pinned to two processors, that allocate a block of 64 bytes, write its first
//                                  word and free it without pause; KIND is pool, or mutex: a process-shared pthread_mutex_t around a
//                                  list of free blocks. Prints the nanoseconds a pair, over both processes, and how many in a hundred
//                                  were of the process that got it less often
// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include "bench.h"
#include "muster/pool.h"

enum { BATCH = 20000, HELD = 32, BLOCKS = 1024, BLOCK = 64, TURNS = 64 };

typedef struct arena {
  _Alignas(BENCH_LINE) pthread_mutex_t mutex;
  uint32_t first;  // free block + 1; 0: none
  uint32_t next[BLOCKS];
  _Alignas(BENCH_LINE) unsigned char blocks[BLOCKS][BLOCK];
  _Alignas(BENCH_LINE) uint32_t ready;
  _Alignas(BENCH_LINE) uint32_t stop;
  _Alignas(BENCH_LINE) uint64_t done[2];
  int64_t took[2], for_ns;
  int processors[2], is_pool;
  void *pool;
  size_t size;
} arena;

static muster_pool *join(void *memory, size_t size) {
  muster_pool *pool;
  bench_check(muster_pool_attach(memory, size, &pool), "muster_pool_attach");
  bench_check(muster_pool_join(pool, NULL), "muster_pool_join");
  return pool;
}

static void *lay(size_t size, uint32_t block_size) {
  void *memory = bench_share(size);
  bench_check(muster_pool_init(memory, size, block_size, BLOCKS, 2), "muster_pool_init");
  return memory;
}

static inline void write_to(void *place) {
  *(volatile uint64_t *)place = 1;
  __asm__ __volatile__("" : : "r"(place) : "memory");
}

// ---- Alone

static inline muster_pool_block take_ours(muster_pool *pool) {
  muster_pool_block block;
  void *place;
  if (muster_pool_alloc(pool, &block) || muster_pool_get(pool, block, &place)) bench_fail("muster_pool_alloc", ENOSPC);
  write_to(place);
  return block;
}

static inline void *take_theirs(size_t size) {
  void *place = malloc(size);
  if (!place) bench_fail("malloc", ENOMEM);
  write_to(place);
  return place;
}

static int64_t time_ours(muster_pool *pool) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++)
    if (muster_pool_free(pool, take_ours(pool))) bench_fail("muster_pool_free", EPROTO);
  return bench_now() - start;
}

static int64_t time_theirs(size_t size) {
  int64_t start = bench_now();
  for (int i = 0; i < BATCH; i++) free(take_theirs(size));
  return bench_now() - start;
}

static int64_t time_ours_held(muster_pool *pool) {
  muster_pool_block held[HELD];
  int64_t start = bench_now();
  for (int i = 0; i < BATCH / HELD; i++) {
    for (int k = 0; k < HELD; k++) held[k] = take_ours(pool);
    for (int k = 0; k < HELD; k++)
      if (muster_pool_free(pool, held[k])) bench_fail("muster_pool_free", EPROTO);
  }
  return bench_now() - start;
}

static int64_t time_theirs_held(size_t size) {
  void *held[HELD];
  int64_t start = bench_now();
  for (int i = 0; i < BATCH / HELD; i++) {
    for (int k = 0; k < HELD; k++) held[k] = take_theirs(size);
    for (int k = 0; k < HELD; k++) free(held[k]);
  }
  return bench_now() - start;
}

static int alone(uint32_t block_size, size_t batches) {
  size_t size = muster_pool_size(block_size, BLOCKS, 2);
  muster_pool *pool = join(lay(size, block_size), size);
  int64_t *took[4];
  for (int k = 0; k < 4; k++)
    if (!(took[k] = calloc(batches, sizeof *took[k]))) bench_fail("calloc", ENOMEM);
  for (size_t i = 0; i < batches; i++) {
    took[0][i] = time_ours(pool);
    took[1][i] = time_theirs(block_size);
    took[2][i] = time_ours_held(pool);
    took[3][i] = time_theirs_held(block_size);
  }
  for (int k = 0; k < 4; k++) {
    bench_sort(took[k], batches);
    printf("%.3f ", (double)bench_permille(took[k], batches, 500) / BATCH);
    free(took[k]);
  }
  return puts("") < 0;
}

// ---- Two

static void *pop(arena *a) {
  bench_check(pthread_mutex_lock(&a->mutex), "pthread_mutex_lock");
  uint32_t first = a->first;
  if (!first) bench_fail("the free list", ENOSPC);
  a->first = a->next[first - 1];
  bench_check(pthread_mutex_unlock(&a->mutex), "pthread_mutex_unlock");
  return a->blocks[first - 1];
}

static void push(arena *a, void *place) {
  uint32_t index = (uint32_t)(((unsigned char *)place - a->blocks[0]) / BLOCK);
  bench_check(pthread_mutex_lock(&a->mutex), "pthread_mutex_lock");
  a->next[index] = a->first;
  a->first = index + 1;
  bench_check(pthread_mutex_unlock(&a->mutex), "pthread_mutex_unlock");
}

static void together(arena *a) {
  __atomic_add_fetch(&a->ready, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE) < 2) {
  }
}

static void run(void *context, unsigned index) {
  arena *a = context;
  muster_pool *pool = join(a->pool, a->size);
  bench_pin(a->processors[index]);
  together(a);
  int64_t start = bench_now();
  uint64_t done = 0;
  while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
    for (int i = 0; i < TURNS; i++, done++) {
      if (a->is_pool) {
        if (muster_pool_free(pool, take_ours(pool))) bench_fail("muster_pool_free", EPROTO);
      } else {
        void *place = pop(a);
        write_to(place);
        push(a, place);
      }
    }
    if (index == 0 && bench_now() - start > a->for_ns) __atomic_store_n(&a->stop, 1, __ATOMIC_RELAXED);
  }
  a->took[index] = bench_now() - start;
  a->done[index] = done;
}

static int two(const char *kind, int64_t ms) {
  arena *a = bench_share(sizeof *a);
  a->is_pool = !strcmp(kind, "pool");
  a->for_ns = ms * 1000000;
  for (int k = 0; k < 2; k++)
    if ((a->processors[k] = bench_processor(k, 2)) < 0) bench_skip("only one processor");
  pthread_mutexattr_t attributes;
  bench_check(pthread_mutexattr_init(&attributes), "pthread_mutexattr_init");
  bench_check(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), "pthread_mutexattr_setpshared");
  bench_check(pthread_mutex_init(&a->mutex, &attributes), "pthread_mutex_init");
  for (uint32_t k = 0; k < BLOCKS; k++) a->next[k] = k + 1 < BLOCKS ? k + 2 : 0;
  a->first = 1;
  a->size = muster_pool_size(BLOCK, BLOCKS, 2);
  a->pool = lay(a->size, BLOCK);
  pid_t pids[2] = {bench_fork(run, a, 0), bench_fork(run, a, 1)};
  bench_join(pids, 2);
  double ns = (double)(a->took[0] + a->took[1]) / 2, all = (double)(a->done[0] + a->done[1]);
  double fewer = (double)(a->done[0] < a->done[1] ? a->done[0] : a->done[1]);
  return printf("%.2f %.1f\n", ns / all, 100 * fewer / all) < 0;
}

int main(int argc, char **argv) {
  int is_alone = argc == 4 && !strcmp(argv[1], "alone");
  int is_two = argc == 4 && !strcmp(argv[1], "two") && (!strcmp(argv[2], "pool") || !strcmp(argv[2], "mutex"));
  long count = argc == 4 ? atol(argv[3]) : 0, size = is_alone ? atol(argv[2]) : BLOCK;
  if (count < 1 || size < 16 || size > 65536 || (!is_alone && !is_two)) {
    fputs("usage: pool_blocks alone SIZE BATCHES | two pool|mutex MS\n", stderr);
    return 2;
  }
  bench_limit(60);
  return is_alone ? alone((uint32_t)size, (size_t)count) : two(argv[2], count);
}
