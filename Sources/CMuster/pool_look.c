// What is known of a pool, of its members, of a block.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/pool.h"

static muster_pool_use use_of(uint64_t word) {
  uint32_t tag = pool_tag_of(word);
  return tag >= POOL_TAG_MODULE ? MUSTER_POOL_OTHER : (muster_pool_use)tag;
}

// The owner's place; POOL_NOBODY also where the word says what can't be.
static uint32_t owner_in(const muster_pool *pool, uint64_t word) {
  uint32_t place = pool_place_of(word);
  return pool_tag_of(word) != POOL_FREE && place < pool->members ? place : POOL_NOBODY;
}

// Of a place: what is its member's. Of one who lives that is what its own life has, not what is left of one before; else all.
typedef struct owned_by {
  uint32_t place, ended;
  int lives;
} owned_by;

static owned_by those_of(const muster_pool *pool, uint32_t place) {
  uint32_t life = muster_pool_life_in(pool, place), ended = muster_pool_ended(pool, place);
  return (owned_by){place, ended, ended != life};
}

static int is_of(const muster_pool *pool, uint64_t word, const owned_by *which) {
  return owner_in(pool, word) == which->place && !(which->lives && pool_has_ended(word, which->ended));
}

static void count_block(const muster_pool *pool, const uint32_t *ended, uint64_t word, muster_pool_state *state) {
  switch (use_of(word)) {
    case MUSTER_POOL_FREE: state->free++; break;
    case MUSTER_POOL_OWNED: state->owned++; break;
    case MUSTER_POOL_OFFERED: state->offered++; break;
    default: state->other++; break;
  }
  uint32_t place = owner_in(pool, word);
  if (place != POOL_NOBODY) state->ended += (uint32_t)pool_has_ended(word, ended[place]);
}

int muster_pool_look(const muster_pool *pool, muster_pool_state *state) {
  *state = (muster_pool_state){.block_size = pool->block_size, .blocks = pool->blocks, .members = pool->members};
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  uint32_t ended[MUSTER_POOL_MEMBERS_MAX];
  for (uint32_t k = 0; k < pool->members; k++) {
    ended[k] = muster_pool_ended(pool, k);
    state->living += muster_group_life(pool->group, k) == MUSTER_MEMBER_ALIVE;
  }
  for (uint32_t k = 0; k < pool->blocks; k++) count_block(pool, ended, muster_pool_word(pool, k), state);
  state->waits = __atomic_load_n(&pool->state->calls, __ATOMIC_RELAXED);
  return 0;
}

static int begin_owner(const muster_pool *pool, uint32_t place, muster_pool_owner *owner, owned_by *which) {
  *owner = (muster_pool_owner){.state = MUSTER_MEMBER_FREE};
  muster_member seen;
  int status = muster_group_member(pool->group, place, &seen);
  if (status) return status;
  owner->state = seen.state;
  owner->pid = seen.pid;
  *which = those_of(pool, place);
  return 0;
}

static void count_for_owner(const muster_pool *pool, uint64_t word, const owned_by *which, muster_pool_owner *owner) {
  if (!is_of(pool, word, which)) return;
  owner->blocks++;
  owner->offered += pool_tag_of(word) == POOL_OFFERED;
}

int muster_pool_look_owner(const muster_pool *pool, uint32_t member, muster_pool_owner *owner) {
  owned_by which;
  int status = begin_owner(pool, member, owner, &which);
  if (status) return status;
  for (uint32_t k = 0; k < pool->blocks; k++) count_for_owner(pool, muster_pool_word(pool, k), &which, owner);
  return 0;
}

int muster_pool_look_owners(const muster_pool *pool, muster_pool_owner *owners, uint32_t count) {
  owned_by which[MUSTER_POOL_MEMBERS_MAX];
  if (count > pool->members) return EINVAL;
  for (uint32_t k = 0; k < count; k++) {
    int status = begin_owner(pool, k, &owners[k], &which[k]);
    if (status) return status;
  }
  for (uint32_t k = 0; k < pool->blocks; k++) {
    uint64_t word = muster_pool_word(pool, k);
    uint32_t place = owner_in(pool, word);
    if (place < count) count_for_owner(pool, word, &which[place], &owners[place]);
  }
  return 0;
}

int muster_pool_look_block(const muster_pool *pool, muster_pool_block block, muster_pool_block_state *state) {
  *state = (muster_pool_block_state){.member = UINT32_MAX};
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  uint32_t index = muster_pool_index(block);
  if (index >= pool->blocks) return EINVAL;
  uint64_t word = muster_pool_word(pool, index);
  if (pool_generation(word) != pool_generation(block) || pool_tag_of(word) == POOL_FREE) return ESTALE;
  state->use = use_of(word);
  uint32_t place = owner_in(pool, word);
  if (place != POOL_NOBODY) state->member = place;
  state->alive = muster_pool_lives(pool, word);
  return 0;
}

int muster_pool_next(const muster_pool *pool, uint32_t member, uint32_t *cursor, muster_pool_block *block) {
  *block = MUSTER_POOL_NONE;
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  if (member >= pool->members) return EINVAL;
  owned_by which = those_of(pool, member);
  for (uint32_t k = *cursor; k < pool->blocks; k++) {
    uint64_t word = muster_pool_word(pool, k);
    if (!is_of(pool, word, &which)) continue;
    *cursor = k + 1;
    *block = muster_pool_name(k, word);
    return 0;
  }
  *cursor = pool->blocks;
  return ENOENT;
}

MUSTER_NONBLOCKING uint32_t muster_pool_block_size(const muster_pool *pool) { return pool->block_size; }

MUSTER_NONBLOCKING uint32_t muster_pool_member(const muster_pool *pool) {
  uint64_t token = __atomic_load_n(&pool->token, __ATOMIC_RELAXED);
  return token == POOL_IDLE || token != __atomic_load_n(pool->process, __ATOMIC_RELAXED) ? UINT32_MAX : pool_place_of(pool->me);
}

muster_group *muster_pool_group(const muster_pool *pool) { return pool->group; }
muster_region *muster_pool_region(const muster_pool *pool) { return pool->region; }
