// Sleeping at shared 32-bit words, and how long to spin before (futex(2), futex_waitv(2)).
//
// All words here are shared between processes: FUTEX_PRIVATE_FLAG is never set, since who waits with it is not woken
// from another process. The many-word sleep is public, muster_wait_any in wait.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_FUTEX_H
#define MUSTER_INTERNAL_FUTEX_H

#include <stdint.h>

#include "muster/clock.h"
#include "muster/wait.h"

// Sleeps while *word is `expected`, until a wake or the deadline. Returns 0 (look again) or ETIMEDOUT.
int muster_futex_wait(const uint32_t *word, uint32_t expected, muster_deadline deadline);

// How long a sleeper sleeps before it looks again although nobody woke it: MUSTER_WAIT_RECHECK. The crash sweep makes it
// longer than a case may take, so that a wake that was lost shows as a hang, not as a second.
extern int64_t muster_recheck;

// Wakes all who sleep at the word. Costs some 180 ns also when nobody does: callers know whether anybody may.
void muster_futex_wake_all(const uint32_t *word);
void muster_futex_wake_one(const uint32_t *word);

static inline void muster_wait_set_add(muster_wait_set *set, const uint32_t *address, uint32_t expected) {
  set->words[set->count].address = address;
  set->words[set->count].expected = expected;
  set->count++;
}

static inline void muster_cpu_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");
#else
  __asm__ __volatile__("" ::: "memory");
#endif
}

// How many processors this process may use at a time: its affinity mask, cut by the cgroup's quota. At least 1. Read once a
// process, at the first call.
uint32_t muster_processors(void);

// Whether waits may spin and yield before they sleep. Not where the environment says MUSTER_SPIN=0: the crash sweep does,
// because the number of turns depends on the other processes.
int muster_spinning(void);

#endif
