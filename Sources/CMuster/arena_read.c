// Reading an arena: nothing here stores anything in it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>

#include "internal/arena.h"
#include "internal/futex.h"
#include "internal/words.h"

MUSTER_NONBLOCKING int muster_arena_read(const muster_arena *arena, uint64_t offset, void *to, uint64_t size,
                                         uint64_t *sequence) {
  if (offset > arena->size || size > arena->size - offset) return EINVAL;
  const uint64_t *word = &arena_control_of(arena)->sequence;
  const unsigned char *from = (const unsigned char *)arena->state + offset;
  for (uint32_t attempt = 0; attempt < MUSTER_ARENA_ATTEMPTS; attempt++) {
    uint64_t number = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (number & 1) return EAGAIN;
    muster_words_get(to, from, size);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != number) continue;
    if (sequence) *sequence = number;
    return 0;
  }
  return EAGAIN;
}

// Turns before the first yield, and before the first sleep.
enum { SPINS = 50, YIELDS = 20 };
#define SLEEP_LEAST INT64_C(20000)
#define SLEEP_MOST INT64_C(1000000)

// The change is over in as long as it takes, for the owner wakes nobody: that would be a system call for each.
static void pause_at(uint32_t turn, muster_deadline deadline) {
  if (turn < SPINS && muster_spinning()) {
    muster_cpu_pause();
    return;
  }
  if (turn < SPINS + YIELDS) {
    sched_yield();
    return;
  }
  turn -= SPINS + YIELDS;
  int64_t slice = turn < 6 ? SLEEP_LEAST << turn : SLEEP_MOST;
  muster_deadline until = muster_deadline_after(slice < SLEEP_MOST ? slice : SLEEP_MOST);
  uint32_t nobody = 0;
  (void)muster_futex_wait(&nobody, 0, until < deadline ? until : deadline);
}

int muster_arena_read_until(const muster_arena *arena, uint64_t offset, void *to, uint64_t size,
                            muster_deadline deadline, uint64_t *sequence) {
  if (deadline == MUSTER_DEADLINE_NEVER) return EINVAL;
  for (uint32_t turn = 0;; turn++) {
    // Before the attempt: one that began after the deadline is the last.
    int late = muster_deadline_passed(deadline);
    int status = muster_arena_read(arena, offset, to, size, sequence);
    if (status != EAGAIN) return status;
    if (late) return ETIMEDOUT;
    pause_at(turn < 1000 ? turn : 1000, deadline);
  }
}
