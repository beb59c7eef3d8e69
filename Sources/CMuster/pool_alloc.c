// Allocating and freeing: the stack of the handle, the hints, and the search behind them.
//
// Stack and cursor are hints of one handle, which several threads may use at once: each access is atomic and each value in range, so a
// race costs an entry or brings one twice, and the word of the block decides.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/pool.h"

#if defined(__has_feature)
#if __has_feature(realtime_sanitizer)
#include <sanitizer/rtsan_interface.h>
#define REALTIME_PAUSE() __rtsan_disable()
#define REALTIME_RESUME() __rtsan_enable()
#endif
#endif
#if !defined(REALTIME_PAUSE)
#define REALTIME_PAUSE() (void)0
#define REALTIME_RESUME() (void)0
#endif

// How often alloc fills the stack anew when others empty it as fast, and settles when blocks of the dead stay with a module; how often a
// step begins again that others cross: each time they have got on, or scribble.
enum { SEARCHES = 1000, SETTLINGS = 2, CROSSINGS = 64 };

MUSTER_NONBLOCKING static inline uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
MUSTER_NONBLOCKING static inline void store(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }

// ---- The stack

MUSTER_NONBLOCKING static inline void push(muster_pool *pool, uint32_t index) {
  uint32_t top = load(&pool->top);
  if (top == POOL_STACK) return;
  store(&pool->stack[top], index);
  store(&pool->top, top + 1);
}

MUSTER_NONBLOCKING static inline int pop(muster_pool *pool, uint32_t *index) {
  uint32_t top = load(&pool->top);
  if (top == 0) return 0;
  *index = load(&pool->stack[top - 1]);
  store(&pool->top, top - 1);
  return 1;
}

// ---- Hints (argument 2 in pool.h)

MUSTER_NONBLOCKING static inline int swap_hint(muster_pool *pool, uint32_t hint, uint32_t *seen, uint32_t next) {
  return __atomic_compare_exchange_n(&pool->hints[hint], seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

MUSTER_NONBLOCKING static inline uint32_t load_hint(const muster_pool *pool, uint32_t hint) {
  return __atomic_load_n(&pool->hints[hint], __ATOMIC_SEQ_CST);
}

// Each failed step is one that another made, and after CROSSINGS of them there was one of {n, 2} or of 1, which looks or lets look.
MUSTER_NONBLOCKING void muster_pool_set_hint(muster_pool *pool, uint32_t hint) {
  uint32_t seen = load_hint(pool, hint);
  for (int turn = 0; turn < CROSSINGS && (seen & HINT_STATES) != HINT_SOME; turn++)
    if (swap_hint(pool, hint, &seen, (seen & ~(uint32_t)HINT_STATES) | HINT_SOME)) return;
}

// Puts what is free of a group on the stack, which is empty, so that the lowest index, counted from the member's own place in the group,
// is the first to be taken. How many there were.
MUSTER_NONBLOCKING static uint32_t gather(muster_pool *pool, uint32_t hint) {
  uint32_t first = hint * POOL_HINTED, found = 0, skew = pool_place_of(pool->me) * 8;
  for (uint32_t k = POOL_HINTED; k-- > 0;) {
    uint32_t index = first + ((k + skew) & (POOL_HINTED - 1));
    if (index >= pool->blocks || !pool_is_free(muster_pool_word(pool, index))) continue;
    push(pool, index);
    found++;
  }
  return found;
}

// Whether a group has something free, which is on the stack then; else its hint says from here on that there is nothing.
MUSTER_NONBLOCKING static int look_into(muster_pool *pool, uint32_t hint) {
  for (int turn = 0; turn < CROSSINGS; turn++) {
    uint32_t seen = load_hint(pool, hint);
    if ((seen & HINT_STATES) == HINT_NONE) return 0;
    if (gather(pool, hint)) return 1;
    uint32_t finding = ((seen & ~(uint32_t)HINT_STATES) + HINT_STATES + 1) | HINT_FINDING;
    if (!swap_hint(pool, hint, &seen, finding)) continue;
    uint32_t found = gather(pool, hint), mine = finding;
    uint32_t next = (finding & ~(uint32_t)HINT_STATES) | (found ? HINT_SOME : HINT_NONE);
    // Where that fails, a freer or another searcher was here since.
    int done = swap_hint(pool, hint, &mine, next);
    if (found) return 1;
    if (done) return 0;
  }
  return 0;
}

MUSTER_NONBLOCKING int muster_pool_search(muster_pool *pool) {
  uint32_t hints = pool_hints(pool->blocks), start = load(&pool->cursor) % hints;
  for (uint32_t k = 0; k < hints; k++) {
    uint32_t hint = start + k < hints ? start + k : start + k - hints;
    if ((load_hint(pool, hint) & HINT_STATES) == HINT_NONE || !look_into(pool, hint)) continue;
    store(&pool->cursor, hint);
    return 1;
  }
  return 0;
}

// ---- Allocating

MUSTER_NONBLOCKING static inline int take_from_stack(muster_pool *pool, uint32_t tag, uint32_t *index, uint64_t *word) {
  while (pop(pool, index)) {
    uint64_t seen = __atomic_load_n(&pool->words[*index], __ATOMIC_RELAXED);
    *word = seen | pool->me | tag;
    if (pool_is_free(seen) && muster_pool_swap(pool, *index, &seen, *word)) return 1;
  }
  return 0;
}

// That there is nothing is said by a search that came after nobody had died: another may settle between the search and that look.
MUSTER_NONBLOCKING int muster_pool_claim(muster_pool *pool, uint32_t tag, uint32_t *index, uint64_t *word) {
  int settled = 0, settlings = 0;
  for (int turn = 0; turn < SEARCHES; turn++) {
    if (take_from_stack(pool, tag, index, word)) return 0;
    if (muster_pool_search(pool)) continue;
    if (settled) return ENOSPC;
    settled = !muster_pool_settle(pool) || ++settlings == SETTLINGS;
  }
  return ENOSPC;
}

MUSTER_NONBLOCKING int muster_pool_alloc(muster_pool *pool, muster_pool_block *block) {
  *block = MUSTER_POOL_NONE;
  if (__builtin_expect(!muster_pool_may(pool), 0)) return EPERM;
  uint32_t index;
  uint64_t word;
  if (__builtin_expect(!take_from_stack(pool, POOL_OWNED, &index, &word), 0)) {
    int status = muster_pool_claim(pool, POOL_OWNED, &index, &word);
    if (status) return status;
  }
  *block = muster_pool_name(index, word);
  return 0;
}

// ---- Freeing

// A system call, but not one that sleeps or allocates, and only where somebody waits.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING static void ring_bell(muster_pool *pool) {
  REALTIME_PAUSE();
  __atomic_fetch_add(&pool->state->bell, 1, __ATOMIC_RELEASE);
  muster_futex_wake_all(&pool->state->bell);
  REALTIME_RESUME();
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// Remembered after the bell: of two threads that free at once, neither relies on what the other has yet to do.
MUSTER_NONBLOCKING void muster_pool_answer(muster_pool *pool) {
  uint32_t calls = __atomic_load_n(pool->calls, __ATOMIC_SEQ_CST);
  if (__builtin_expect(calls == load(&pool->rung), 1)) return;
  ring_bell(pool);
  store(&pool->rung, calls);
}

MUSTER_NONBLOCKING static inline int release(muster_pool *pool, uint32_t index, uint64_t seen) {
  if (__builtin_expect(!muster_pool_swap(pool, index, &seen, pool_freed(seen)), 0)) return 0;
  uint32_t hint = index / POOL_HINTED;
  if (__builtin_expect((load_hint(pool, hint) & HINT_STATES) != HINT_SOME, 0)) muster_pool_set_hint(pool, hint);
  push(pool, index);
  muster_pool_answer(pool);
  return 1;
}

MUSTER_NONBLOCKING int muster_pool_release(muster_pool *pool, uint32_t index, uint64_t seen) {
  return release(pool, index, seen);
}

MUSTER_NONBLOCKING int muster_pool_free(muster_pool *pool, muster_pool_block block) {
  if (__builtin_expect(!muster_pool_may(pool), 0)) return EPERM;
  uint32_t index = muster_pool_index(block);
  if (__builtin_expect(index >= pool->blocks, 0)) return EINVAL;
  // What is mine and owned nobody else changes; what is offered may be taken in between.
  uint64_t mine = pool_word_of(pool_generation(block), pool->me, POOL_OWNED);
  for (int turn = 0; turn < CROSSINGS; turn++) {
    uint64_t word = __atomic_load_n(&pool->words[index], __ATOMIC_RELAXED);
    if (word != mine) {
      int status = muster_pool_is_mine(pool, block, word);
      if (status) return status;
    }
    if (__builtin_expect(release(pool, index, word), 1)) return 0;
  }
  return EBUSY;
}
