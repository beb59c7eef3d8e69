// Whose a block is, and how it becomes another's.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/pool.h"

// How often a step begins again that another thread of this process, or one who takes what is offered, crosses.
enum { CROSSINGS = 64 };

MUSTER_NONBLOCKING int muster_pool_is_mine(const muster_pool *pool, muster_pool_block block, uint64_t word) {
  // A free block's generation is that of the name that it will have next.
  if (pool_generation(word) != pool_generation(block) || pool_tag_of(word) == POOL_FREE) return ESTALE;
  return pool_owner_of(word) == pool->me && pool_tag_of(word) < POOL_TAG_MODULE ? 0 : EBUSY;
}

// The word of a block by its name: 0, EPERM, EINVAL.
MUSTER_NONBLOCKING static int find(const muster_pool *pool, muster_pool_block block, uint64_t *word) {
  if (!muster_pool_may(pool)) return EPERM;
  uint32_t index = muster_pool_index(block);
  if (index >= pool->blocks) return EINVAL;
  *word = muster_pool_word(pool, index);
  return 0;
}

MUSTER_NONBLOCKING int muster_pool_get(const muster_pool *pool, muster_pool_block block, void **place) {
  uint64_t word;
  *place = NULL;
  int status = find(pool, block, &word);
  if (!status) status = muster_pool_is_mine(pool, block, word);
  if (!status) *place = muster_pool_bytes(pool, muster_pool_index(block));
  return status;
}

// Changes the word of a block of this member, which is of tag `from` or (POOL_FREE) of any, to `owner` and `to`: 0, what keeps it from
// that, or EALREADY: it has another tag.
MUSTER_NONBLOCKING static int change(muster_pool *pool, muster_pool_block block, uint32_t from, uint32_t owner, uint32_t to) {
  uint64_t word;
  int status = find(pool, block, &word);
  for (int turn = 0; !status && turn < CROSSINGS; turn++) {
    status = muster_pool_is_mine(pool, block, word);
    if (status) break;
    if (from != POOL_FREE && pool_tag_of(word) != from) return EALREADY;
    if (muster_pool_swap(pool, muster_pool_index(block), &word, pool_word_of(pool_generation(word), owner, to))) return 0;
  }
  return status ? status : EBUSY;
}

MUSTER_NONBLOCKING int muster_pool_offer(muster_pool *pool, muster_pool_block block) {
  return change(pool, block, POOL_OWNED, pool->me, POOL_OFFERED);
}

MUSTER_NONBLOCKING int muster_pool_withdraw(muster_pool *pool, muster_pool_block block) {
  return change(pool, block, POOL_OFFERED, pool->me, POOL_OWNED);
}

MUSTER_NONBLOCKING int muster_pool_take(muster_pool *pool, muster_pool_block block) {
  uint64_t word;
  int status = find(pool, block, &word);
  if (status) return status;
  for (int turn = 0; turn < CROSSINGS; turn++) {
    if (pool_generation(word) != pool_generation(block) || pool_tag_of(word) == POOL_FREE) return ESTALE;
    if (pool_tag_of(word) != POOL_OFFERED) return pool_owner_of(word) == pool->me && pool_tag_of(word) == POOL_OWNED ? EALREADY : EBUSY;
    if (muster_pool_swap(pool, muster_pool_index(block), &word, pool_word_of(pool_generation(word), pool->me, POOL_OWNED))) return 0;
  }
  return EBUSY;
}

// Who dies between the two steps leaves a block that may be of a life which is settled: it is found when he is settled, as all words are
// looked at then. One who is stopped there holds the block up as any that he has.
MUSTER_NONBLOCKING int muster_pool_give(muster_pool *pool, muster_pool_block block, uint32_t member) {
  if (!muster_pool_may(pool)) return EPERM;
  if (member >= pool->members) return EINVAL;
  uint32_t owner = pool_owner_bits(member, muster_pool_life_in(pool, member));
  uint64_t given = pool_word_of(pool_generation(block), owner, POOL_OWNED);
  int lives = muster_pool_lives(pool, given);
  int status = lives ? change(pool, block, POOL_FREE, owner, POOL_OWNED) : 0;
  if (status || (lives && muster_pool_lives(pool, given))) return status;
  if (!lives) {
    uint64_t word;
    status = find(pool, block, &word);
    if (!status) status = muster_pool_is_mine(pool, block, word);
    return status ? status : EOWNERDEAD;
  }
  // Taken back by another already, it was given, and its new owner has died since.
  uint64_t mine = pool_word_of(pool_generation(block), pool->me, POOL_OWNED);
  return muster_pool_swap(pool, muster_pool_index(block), &given, mine) ? EOWNERDEAD : 0;
}
