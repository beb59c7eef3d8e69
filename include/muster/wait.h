// Wait sets: what a program needs that waits for many shared objects in one thread.
//
// Each blocking wait of Muster is a loop over two steps: a `poll` function of the object, which either gives the
// outcome or says, as a wait set, at which shared words the thread would sleep; and `muster_wait_any`, which sleeps
// at them. A program with a loop of its own (a reactor, a coroutine scheduler) calls the same two steps, and may
// put the words of several objects into one sleep.
//
// Any wake means "poll again", never "it happened": a word may change for other reasons, and a wake may be spurious.
// At the latest after MUSTER_WAIT_RECHECK nanoseconds poll again in any case: that is how a wait notices a process
// that was stopped, not killed, between changing a word and waking its waiters.
//
// On kernels and in sandboxes without futex_waitv(2) (before 5.16, ENOSYS or EPERM) the sleep falls back to the first
// word alone, in slices of 10 ms; see docs/barrier.md.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_WAIT_H
#define MUSTER_WAIT_H

#include "clock.h"

MUSTER_BEGIN_DECLS

// The kernel's limit of words in one sleep (FUTEX_WAITV_MAX).
#define MUSTER_WAIT_WORDS 128

// The longest that a sleeper goes without looking again: one second.
#define MUSTER_WAIT_RECHECK INT64_C(1000000000)

// One shared 32-bit word, and the value at which to sleep.
typedef struct muster_wait_word {
  const uint32_t *MUSTER_NULLABLE address;
  uint32_t expected;
} muster_wait_word;

typedef struct muster_wait_set {
  uint32_t count;            // words in use; the first is the one that a release changes
  muster_deadline recheck;   // poll again at this time at the latest
  muster_wait_word words[MUSTER_WAIT_WORDS];
} muster_wait_set;

// Sleeps until one of the words differs from its expected value or is woken, the set's recheck time, or the deadline.
//
// Returns 0 (poll again) or ETIMEDOUT (the deadline itself passed; what is waited for may still have happened:
// poll once more). EINVAL: no word, or more than MUSTER_WAIT_WORDS, or a word that is not aligned. EFAULT: a word that
// is not mapped.
int muster_wait_any(const muster_wait_set *MUSTER_NONNULL set, muster_deadline deadline);

// Wakes all who sleep at a word, in whatever process. For a word of the program's own that it puts into its sets, such as a doorbell
// that calls a reactor to new work: change the word, then wake.
void muster_wake_all(const uint32_t *MUSTER_NONNULL word);

MUSTER_END_DECLS

#endif
