// The liveness lock: a robust process-shared mutex, seen as the futex word in it.
//
// The word is libc's and the kernel's: libc puts the owner's thread id into it, the kernel, when that thread ends, replaces
// the id by FUTEX_OWNER_DIED and wakes one sleeper if FUTEX_WAITERS is set (kernel documentation, locking/robust-futex-ABI). We
// only ever read it, sleep at it, and set FUTEX_WAITERS in a word that has an owner: libc's unlock then wakes one sleeper too, and
// clears the bit. Where the word lies in a pthread_mutex_t is found out, not assumed: glibc has it at offset 0, musl at 4.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LIVENESS_H
#define MUSTER_INTERNAL_LIVENESS_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>

#include "fork.h"
#include "robust.h"

// A mutex with room for that of any libc.
typedef union liveness_lock {
  pthread_mutex_t mutex;
  unsigned char space[56];
} liveness_lock;

_Static_assert(sizeof(liveness_lock) == 56, "a pthread_mutex_t leaves room for the place's state in its line");

int muster_liveness_init(liveness_lock *lock);

// The kernel releases at most 2048 locks of a thread that ends (ROBUST_LIST_LIMIT in kernel/futex): who held more would seem to live
// on. Half of them are left to the program's own robust mutexes.
enum { LIVENESS_MOST = 1024 };

// Takes the lock without waiting: 0; EOWNERDEAD when its last owner died (the lock is whole again and taken); EBUSY; ENOLCK when this
// thread holds LIVENESS_MOST.
int muster_liveness_take(liveness_lock *lock);

// The same for one that is given back at once, whatever number this thread holds.
int muster_liveness_borrow(liveness_lock *lock);
int muster_liveness_release(liveness_lock *lock);

// What is known of the calling thread, and how many such locks it holds. Of use while its token is that of this process.
typedef struct liveness_thread {
  fork_guard guard;
  uint32_t held;
  uint32_t id;
  int64_t second;  // when the clock of the locks was last read, in seconds of the time of day, and what it said (lock.h)
  int64_t clock;
  robust_head *robust;  // its list, where robust mutexes are locked without libc's help; else NULL
} liveness_thread;

extern _Thread_local liveness_thread muster_liveness_thread __attribute__((visibility("hidden")));

// For who takes a robust mutex by himself and counts it in `held`: before the first in this process (its token is another), which
// gives 0, or ENOMEM; and after each lock, which musl needs once (liveness.c).
int muster_liveness_know_thread(void);
#if defined(__GLIBC__)
static inline void muster_liveness_took(void) {}
#else
void muster_liveness_took(void);
#endif

// What libcs must have in common to share such locks: the word's offset, the mutex's size, and which libc it is, as a number other
// than 0. 0: no robust mutexes here.
uint32_t muster_liveness_abi(void);

// The word's offset that is part of such a number; LIVENESS_NOWHERE if it is none.
#define LIVENESS_NOWHERE UINT32_MAX
static inline uint32_t muster_liveness_word_at(uint32_t abi) {
  uint32_t at = abi & 0x7f;
  return abi & 0x80 && at % 4 == 0 && at + 4 <= sizeof(liveness_lock) ? at : LIVENESS_NOWHERE;
}

static inline uint32_t muster_liveness_owner(uint32_t word) { return word & FUTEX_TID_MASK; }
static inline int muster_liveness_died(uint32_t word) { return (word & FUTEX_OWNER_DIED) != 0; }

#endif
