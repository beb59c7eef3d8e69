// The blocks of those who have died or left: who has, and what becomes of what was theirs (argument 3 in pool.h).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/pool.h"

MUSTER_NONBLOCKING uint32_t muster_pool_life_in(const muster_pool *pool, uint32_t place) {
  return __atomic_load_n(&pool->group->places[place].incarnation, __ATOMIC_ACQUIRE);
}

// The number first: what is found to have ended then is of that life, or of a later one; what lives may be of a later one, but the one
// before has ended in any case.
MUSTER_NONBLOCKING uint32_t muster_pool_ended(const muster_pool *pool, uint32_t place) {
  uint32_t life = muster_pool_life_in(pool, place);
  return muster_group_life(pool->group, place) == MUSTER_MEMBER_ALIVE ? life - 1 : life;
}

// A newcomer holds the lock, and counts as living, before the number is its own: then the number's end was noted, by the newcomer at
// the latest.
MUSTER_NONBLOCKING int muster_pool_lives(const muster_pool *pool, uint64_t word) {
  uint32_t place = pool_place_of(word);
  if (place >= pool->members || muster_group_life(pool->group, place) != MUSTER_MEMBER_ALIVE) return 0;
  uint32_t life = muster_pool_life_in(pool, place);
  return pool_owner_bits(place, life) == pool_owner_of(word) &&
         __atomic_load_n(&pool->group->places[place].noted, __ATOMIC_ACQUIRE) != life;
}

MUSTER_NONBLOCKING static int is_behind(uint32_t settled, uint32_t ended) { return (int32_t)(ended - settled) > 0; }

MUSTER_NONBLOCKING int muster_pool_is_unsettled(const muster_pool *pool, uint32_t place) {
  return is_behind(__atomic_load_n(&pool->settled[place], __ATOMIC_ACQUIRE), muster_pool_ended(pool, place));
}

// What one who goes over the blocks knows of each place.
typedef struct sweeping {
  uint32_t ended[MUSTER_POOL_MEMBERS_MAX];
  unsigned char left[MUSTER_POOL_MEMBERS_MAX];  // a module's blocks of ended lives are there still
  uint32_t count;
} sweeping;

// A module's function, which is to do no more than it says.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING static int reclaim_tagged(muster_pool *pool, uint32_t index, uint64_t word) {
  return pool->reclaim ? pool->reclaim(pool, index, word, pool->context) : EAGAIN;
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// Whether the block is free, then.
MUSTER_NONBLOCKING static int sweep_block(muster_pool *pool, sweeping *what, uint32_t index) {
  uint64_t word = muster_pool_word(pool, index);
  if (pool_is_free(word)) return 1;
  uint32_t place = pool_place_of(word);
  if (place >= pool->members || !pool_has_ended(word, what->ended[place])) return 0;
  if (pool_tag_of(word) >= POOL_TAG_MODULE) {
    if (reclaim_tagged(pool, index, word)) what->left[place] = 1;
    else what->count++;
    return 0;
  }
  // Somebody else may take what was offered, or take it back, first.
  if (muster_pool_swap(pool, index, &word, pool_freed(word))) return what->count++, 1;
  return pool_is_free(word);
}

MUSTER_NONBLOCKING static void note_settled(muster_pool *pool, uint32_t place, uint32_t ended) {
  uint32_t seen = __atomic_load_n(&pool->settled[place], __ATOMIC_RELAXED);
  while (is_behind(seen, ended))
    if (__atomic_compare_exchange_n(&pool->settled[place], &seen, ended, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) return;
}

MUSTER_NONBLOCKING int muster_pool_sweep(muster_pool *pool, uint32_t *count) {
  sweeping what;
  memset(what.left, 0, sizeof what.left);
  what.count = 0;
  for (uint32_t k = 0; k < pool->members; k++) what.ended[k] = muster_pool_ended(pool, k);
  for (uint32_t first = 0; first < pool->blocks; first += POOL_HINTED) {
    int any = 0;
    for (uint32_t index = first; index < pool->blocks && index < first + POOL_HINTED; index++)
      any |= sweep_block(pool, &what, index);
    // Also for what is free already: the dead may not have come to say so.
    if (any) muster_pool_set_hint(pool, first / POOL_HINTED);
  }
  muster_pool_answer(pool);
  int left = 0;
  for (uint32_t k = 0; k < pool->members; k++) {
    if (what.left[k]) left = 1;
    else note_settled(pool, k, what.ended[k]);
  }
  *count = what.count;
  return left ? EAGAIN : 0;
}

MUSTER_NONBLOCKING int muster_pool_settle(muster_pool *pool) {
  uint32_t k = 0, count;
  while (k < pool->members && !muster_pool_is_unsettled(pool, k)) k++;
  if (k == pool->members) return 0;
  (void)muster_pool_sweep(pool, &count);
  return 1;
}

int muster_pool_reclaim(muster_pool *pool, uint32_t *count) {
  uint32_t unused;
  if (!count) count = &unused;
  *count = 0;
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  return pool->read_only ? EACCES : muster_pool_sweep(pool, count);
}
