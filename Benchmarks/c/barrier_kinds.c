// SPDX-License-Identifier: Apache-2.0
#include "barrier_kinds.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "bench.h"
#include "muster/barrier.h"
#include "muster/posix_barrier.h"

// ---- A counter and a generation, and nothing else: what any barrier must at least do.

#define COUNTER_SPINS 2000

typedef struct counter {
  _Alignas(128) uint32_t arrived;
  uint32_t parties;
  _Alignas(128) uint32_t generation;
  uint32_t sleepers;
} counter;

static size_t counter_size(unsigned parties) {
  (void)parties;
  return sizeof(counter);
}

static void counter_init(void *memory, unsigned parties) { ((counter *)memory)->parties = parties; }

static void *same(void *memory, unsigned parties) {
  (void)parties;
  return memory;
}

static void nothing(void *handle) { (void)handle; }

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

static void counter_wait(void *handle) {
  counter *c = (counter *)handle;
  uint32_t generation = __atomic_load_n(&c->generation, __ATOMIC_RELAXED);
  if (__atomic_add_fetch(&c->arrived, 1, __ATOMIC_ACQ_REL) == c->parties) {
    __atomic_store_n(&c->arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&c->generation, generation + 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&c->sleepers, __ATOMIC_SEQ_CST))
      syscall(SYS_futex, &c->generation, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    return;
  }
  for (int i = 0; i < COUNTER_SPINS; i++) {
    if (__atomic_load_n(&c->generation, __ATOMIC_ACQUIRE) != generation) return;
    pause_briefly();
  }
  __atomic_add_fetch(&c->sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&c->generation, __ATOMIC_SEQ_CST) == generation)
    syscall(SYS_futex, &c->generation, FUTEX_WAIT, generation, NULL, NULL, 0);
  __atomic_sub_fetch(&c->sleepers, 1, __ATOMIC_SEQ_CST);
}

// ---- pthread_barrier_t

static size_t pthread_size(unsigned parties) {
  (void)parties;
  return sizeof(pthread_barrier_t);
}

static void pthread_init(void *memory, unsigned parties) {
  pthread_barrierattr_t attributes;
  bench_check(pthread_barrierattr_init(&attributes), "pthread_barrierattr_init");
  bench_check(pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED), "pthread_barrierattr_setpshared");
  bench_check(pthread_barrier_init((pthread_barrier_t *)memory, &attributes, parties), "pthread_barrier_init");
  pthread_barrierattr_destroy(&attributes);
}

static void pthread_wait(void *handle) {
  int status = pthread_barrier_wait((pthread_barrier_t *)handle);
  if (status != PTHREAD_BARRIER_SERIAL_THREAD) bench_check(status, "pthread_barrier_wait");
}

// ---- Muster's robust barrier, in place

static size_t robust_size(unsigned parties) { return muster_barrier_size(parties); }

static void robust_init(void *memory, unsigned parties) {
  bench_check(muster_barrier_init(memory, muster_barrier_size(parties), parties, MUSTER_ON_DEATH_BREAK), "init");
}

static void *robust_join(void *memory, unsigned parties) {
  muster_barrier_options options = {.parties = parties};
  muster_barrier *barrier;
  bench_check(muster_barrier_attach(memory, muster_barrier_size(parties), &options, &barrier), "muster_barrier_attach");
  return barrier;
}

static void robust_wait(void *handle) {
  bench_check(muster_barrier_wait((muster_barrier *)handle, MUSTER_DEADLINE_NEVER, NULL), "muster_barrier_wait");
}

static void robust_leave(void *handle) { bench_check(muster_barrier_close((muster_barrier *)handle), "close"); }

// ---- Muster's POSIX barrier, by name; its memory here holds the name alone.

#define NAME_SIZE 64

static size_t posix_size(unsigned parties) {
  (void)parties;
  return NAME_SIZE;
}

static void *posix_join(void *memory, unsigned parties) {
  muster_posix_barrier_options options = {.parties = parties};
  muster_posix_barrier *barrier;
  bench_check(muster_posix_barrier_open((const char *)memory, &options, &barrier), "muster_posix_barrier_open");
  return barrier;
}

static void posix_init(void *memory, unsigned parties) {
  snprintf((char *)memory, NAME_SIZE, "muster-bench-%d", (int)getpid());
  muster_posix_barrier_close((muster_posix_barrier *)posix_join(memory, parties));
}

static void posix_wait(void *handle) {
  bench_check(muster_posix_barrier_wait((muster_posix_barrier *)handle, NULL), "muster_posix_barrier_wait");
}

static void posix_leave(void *handle) { muster_posix_barrier_close((muster_posix_barrier *)handle); }

static void posix_remove(void *memory) { bench_check(muster_region_remove((const char *)memory, 0), "remove"); }

const barrier_kind barrier_kinds[] = {
  {"robust", "Muster's robust barrier, policy break", robust_size, robust_init, robust_join, robust_wait, robust_leave,
   NULL},
  {"posix", "Muster's POSIX barrier", posix_size, posix_init, posix_join, posix_wait, posix_leave, posix_remove},
  {"counter", "a counter and a generation: the floor", counter_size, counter_init, same, counter_wait, nothing,
   NULL},
  {"pthread", "pthread_barrier_t, process-shared", pthread_size, pthread_init, same, pthread_wait, nothing, NULL},
  {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};

const barrier_kind *barrier_kind_named(const char *name) {
  for (const barrier_kind *kind = barrier_kinds; kind->name; kind++)
    if (!strcmp(kind->name, name)) return kind;
#ifdef BENCH_BOOST
  if (!strcmp(barrier_kind_boost.name, name)) return &barrier_kind_boost;
#endif
  return NULL;
}
