// SPDX-License-Identifier: Apache-2.0
#include "internal/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

// Kernel headers before 5.16 lack these.
#ifndef FUTEX_32
#define FUTEX_32 2
#endif
struct wait_entry {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};

// How long a sleep at one word lasts where futex_waitv is missing: a death at another word is seen that late.
enum { SLICE = 10000000 };

static int waitv_missing;

int64_t muster_recheck = MUSTER_WAIT_RECHECK;

// The kernel's own, with 64-bit seconds: libc's may have 32 on machines of 32 bits, for which there is a call of
// another number.
typedef struct kernel_timespec {
  int64_t seconds;
  int64_t nanoseconds;
} kernel_timespec;

#ifdef SYS_futex_time64
enum { FUTEX_CALL = SYS_futex_time64 };
#else
enum { FUTEX_CALL = SYS_futex };
#endif

static kernel_timespec to_timespec(muster_deadline deadline) {
  return (kernel_timespec){deadline / 1000000000, deadline % 1000000000};
}

// The error of a futex sleep as what it means for a waiter: 0 is "look again".
static int sleep_outcome(int error, muster_deadline slept_until, muster_deadline deadline) {
  if (error == ETIMEDOUT) return slept_until >= deadline ? ETIMEDOUT : 0;
  return error == EAGAIN || error == EINTR ? 0 : error;
}

static int wait_one(const uint32_t *word, uint32_t expected, muster_deadline until, muster_deadline deadline) {
  kernel_timespec end = to_timespec(until);
  int saved = errno;
  long got = syscall(FUTEX_CALL, word, FUTEX_WAIT_BITSET, expected, until == MUSTER_DEADLINE_NEVER ? NULL : &end, NULL,
                     FUTEX_BITSET_MATCH_ANY);
  int error = got < 0 ? errno : 0;
  errno = saved;
  return sleep_outcome(error, until, deadline);
}

int muster_futex_wait(const uint32_t *word, uint32_t expected, muster_deadline deadline) {
  if (deadline <= 0) return ETIMEDOUT;
  return wait_one(word, expected, deadline, deadline);
}

static void wake(const uint32_t *word, int most) {
  int saved = errno;
  syscall(FUTEX_CALL, word, FUTEX_WAKE, most, NULL, NULL, 0);
  errno = saved;
}

void muster_futex_wake_all(const uint32_t *word) { wake(word, INT_MAX); }
void muster_futex_wake_one(const uint32_t *word) { wake(word, 1); }

void muster_wake_all(const uint32_t *word) { muster_futex_wake_all(word); }

int muster_wait_any(const muster_wait_set *set, muster_deadline deadline) {
  if (set->count == 0 || set->count > MUSTER_WAIT_WORDS) return EINVAL;
  if (deadline <= 0) return ETIMEDOUT;
  muster_deadline until = set->recheck > 0 && set->recheck < deadline ? set->recheck : deadline;
  if (set->count == 1) return wait_one(set->words[0].address, set->words[0].expected, until, deadline);
  if (!__atomic_load_n(&waitv_missing, __ATOMIC_RELAXED)) {
    struct wait_entry entries[MUSTER_WAIT_WORDS];
    for (uint32_t i = 0; i < set->count; i++) {
      entries[i] = (struct wait_entry){.value = set->words[i].expected,
                                       .address = (uint64_t)(uintptr_t)set->words[i].address,
                                       .flags = FUTEX_32};
    }
    kernel_timespec end = to_timespec(until);
    int saved = errno;
    long got = syscall(SYS_futex_waitv, entries, set->count, 0, &end, CLOCK_MONOTONIC);
    int error = got < 0 ? errno : 0;
    errno = saved;
    if (error != ENOSYS && error != EPERM && error != ENOMEM) return sleep_outcome(error, until, deadline);
    if (error != ENOMEM) __atomic_store_n(&waitv_missing, 1, __ATOMIC_RELAXED);
  }
  muster_deadline slice = muster_deadline_after(SLICE);
  return wait_one(set->words[0].address, set->words[0].expected, slice < until ? slice : until, deadline);
}

int muster_spinning(void) {
  static int known;  // 1: no, 2: yes
  int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (!answer) {
    const char *given = getenv("MUSTER_SPIN");
    answer = given && given[0] == '0' && !given[1] ? 1 : 2;
    __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
  }
  return answer == 2;
}
