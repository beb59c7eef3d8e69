// Waiting for a block (argument 4 in pool.h).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/pool.h"

// How often to look before sleeping, and how long a turn is, in pauses of the processor.
enum { SPINS = 100, PAUSES = 32 };

static void put_first(muster_wait_set *set, const uint32_t *word, uint32_t expected) {
  if (set->count == MUSTER_WAIT_WORDS) set->count--;
  set->words[set->count++] = set->words[0];
  set->words[0] = (muster_wait_word){word, expected};
}

// *roster: as which it watches from here on, where it gives EAGAIN.
static int poll_free(muster_pool *pool, uint32_t *roster, muster_wait_set *set) {
  uint32_t bell = 0;
  for (int turn = 0; turn < GROUP_TURNS; turn++) {
    *roster = muster_group_roster(pool->group);
    bell = __atomic_load_n(&pool->state->bell, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&pool->state->calls, 1, __ATOMIC_SEQ_CST);
    if (muster_pool_search(pool) || ((void)muster_pool_settle(pool), muster_pool_search(pool))) return 0;
    int status = muster_group_poll(pool->group, *roster, set);
    if (status == 0) continue;
    if (status == EAGAIN) put_first(set, &pool->state->bell, bell);
    return status;
  }
  set->count = 0;
  muster_wait_set_add(set, &pool->state->bell, bell);
  muster_group_watch_alone(set);
  return EAGAIN;
}

int muster_pool_poll_free(muster_pool *pool, muster_wait_set *set) {
  uint32_t roster;
  // Who calls makes each freer wake once: not for what is there.
  return muster_pool_search(pool) ? 0 : poll_free(pool, &roster, set);
}

int muster_pool_poll(muster_pool *pool, muster_wait_set *set) {
  return muster_pool_may(pool) ? muster_pool_poll_free(pool, set) : EPERM;
}

// Spinning pays when a block comes back soon.
static int spin(muster_pool *pool, muster_pool_block *block) {
  for (uint32_t turn = 0; pool->may_spin && turn < SPINS; turn++) {
    for (int i = 0; i < PAUSES; i++) muster_cpu_pause();
    if (muster_pool_search(pool) && !muster_pool_alloc(pool, block)) return 0;
  }
  return ENOSPC;
}

// Who was served, or waits no more, must not be relied on to watch for the others.
static int end_wait(muster_pool *pool, uint32_t roster, int status) {
  muster_group_unwatch(pool->group, roster);
  return status;
}

int muster_pool_alloc_wait(muster_pool *pool, muster_deadline deadline, muster_pool_block *block) {
  int status = muster_pool_alloc(pool, block);
  if (status != ENOSPC) return status;
  if (deadline <= 0) return ETIMEDOUT;
  if (!spin(pool, block)) return 0;
  muster_wait_set set;
  uint32_t roster = 0;
  for (;;) {
    status = poll_free(pool, &roster, &set);
    if (status == 0) {
      status = muster_pool_alloc(pool, block);
      if (status != ENOSPC) return end_wait(pool, roster, status);
      if (!muster_deadline_passed(deadline)) continue;
      return end_wait(pool, roster, ETIMEDOUT);
    }
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return end_wait(pool, roster, ETIMEDOUT);
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return end_wait(pool, roster, status);
    if (!muster_pool_may(pool)) return end_wait(pool, roster, EPERM);
  }
}
