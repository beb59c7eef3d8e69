// What the cases of the mutex and of the read-write lock share: the data that is guarded, and others that sleep for the lock. Statics,
// so that each file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_LOCK_WORLD_H
#define SWEEP_LOCK_WORLD_H

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/lock.h"
#include "muster/region.h"
#include "sweep.h"

enum { PLACES = 8, SLEEPERS = 2, MANY_SLEEPERS = 5 };

// What the locks guard: two words that are equal whenever nobody is at them. And what the processes tell each other.
typedef struct notes {
  uint64_t first, second;
  uint32_t held, ready, sleepers;
  int32_t pids[MANY_SLEEPERS], slept[MANY_SLEEPERS];
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static pid_t sleepers[MANY_SLEEPERS], partner;

static inline void change(void) {
  __atomic_store_n(&note()->first, note()->first + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&note()->second, note()->second + 1, __ATOMIC_RELAXED);
}

static inline int repair(void *context) {
  (void)context;
  note()->second = note()->first;
  return 0;
}

static inline void check_whole(void) { SWEEP_EQUAL(note()->first, note()->second); }

// The sleepers come once the operator holds it; then it goes on when they sleep.
static inline void await_holder(void) {
  while (!__atomic_load_n(&note()->held, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static inline void await_sleepers(void) {
  __atomic_store_n(&note()->held, 1, __ATOMIC_RELEASE);
  for (uint32_t k = 0; k < note()->sleepers; k++) {
    while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) <= k) sweep_pause(50000);
    sweep_settle(note()->pids[k]);
  }
}

// One after the other, so that what the operator meets is the same each time.
static inline void come_in_turn(int number) {
  await_holder();
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < (uint32_t)number) sweep_pause(50000);
  if (number) sweep_settle(note()->pids[number - 1]);
}

static inline void start_sleepers(int (*body)(int number), int count) {
  note()->sleepers = (uint32_t)count;
  for (int k = 0; k < count; k++) note()->pids[k] = sleepers[k] = sweep_peer(body, k);
}

static inline void reap_sleepers(int with_poison) {
  int deaths = 0;
  for (int k = 0; k < SLEEPERS; k++) {
    SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
    int status = note()->slept[k];
    SWEEP_CHECK(status == 0 || status == EOWNERDEAD || (with_poison && status == ENOTRECOVERABLE));
    deaths += status == EOWNERDEAD;
  }
  SWEEP_CHECK(deaths <= 1);
}

static inline void nothing(void) {}

#endif
