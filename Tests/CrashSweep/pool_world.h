// What the cases of the pool share: the world before an operation, and what newcomers must find in it afterwards. Statics, so that each
// file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_POOL_WORLD_H
#define SWEEP_POOL_WORLD_H

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "muster/pool.h"
#include "sweep.h"

enum { BLOCKS = 9, SIZE = 48, MEMBERS = 8, KEPT = 2, SLEEPERS = 2, ROOM = SWEEP_ARENA / 2, ANY = -1 };

// What a case is about, beside its functions.
enum { OFFERED = 1, WARM = 2, QUIETLY = 4, DEAD = 8 };

// Beside the pool, what the processes of a case tell each other.
typedef struct notes {
  uint32_t ready, member, partner;
  muster_pool_block block, found;
  int32_t slept[SLEEPERS], sleeper[SLEEPERS];
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + ROOM); }

static muster_pool *mine, *ours;
static muster_pool_block kept[KEPT], rest[BLOCKS];
static uint32_t resting;  // blocks in `rest`, all of `ours`

static inline muster_pool *attach(void) {
  muster_pool *pool;
  SWEEP_STATUS(muster_pool_attach(sweep->arena, ROOM, &pool), 0);
  return pool;
}

static inline muster_pool *join(void) {
  muster_pool *pool = attach();
  SWEEP_STATUS(muster_pool_join(pool, NULL), 0);
  return pool;
}

static inline muster_pool_block alloc_from(muster_pool *pool) {
  muster_pool_block block;
  SWEEP_STATUS(muster_pool_alloc(pool, &block), 0);
  return block;
}

static inline void fill(muster_pool *pool, muster_pool_block block, int value) {
  void *place;
  SWEEP_STATUS(muster_pool_get(pool, block, &place), 0);
  memset(place, value, SIZE);
}

static inline void check_filled(muster_pool *pool, muster_pool_block block, int value) {
  void *place;
  SWEEP_STATUS(muster_pool_get(pool, block, &place), 0);
  for (int k = 0; k < SIZE; k++) SWEEP_EQUAL(((unsigned char *)place)[k], value);
}

static inline void check_kept(void) {
  for (int k = 0; k < KEPT; k++) check_filled(ours, kept[k], k + 1);
}

// All that there is: as many blocks, each another's than the others, and none that is kept. Allocated and freed.
static inline int drains(int dies) {
  muster_pool *pool = join();
  muster_pool_block blocks[BLOCKS];
  int count = 0, status;
  while (!(status = muster_pool_alloc(pool, &blocks[count < BLOCKS ? count : 0]))) {
    SWEEP_CHECK(count < BLOCKS);
    fill(pool, blocks[count], 100 + count);
    count++;
  }
  SWEEP_STATUS(status, ENOSPC);
  for (int k = 0; k < count; k++) check_filled(pool, blocks[k], 100 + k);
  if (dies) raise(SIGKILL);
  for (int k = 0; k < count; k += 2) SWEEP_STATUS(muster_pool_free(pool, blocks[k]), 0);
  SWEEP_STATUS(muster_pool_close(pool), 0);
  return count;
}

static inline int drained(void) {
  int count = sweep_reap(sweep_peer(drains, 0));
  check_kept();
  return count;
}

// Newcomers find all but `held` blocks: by one that leaves, by one that dies with all of them, and by the next.
static inline void check_whole(int held) {
  SWEEP_EQUAL(drained(), BLOCKS - held);
  sweep_reap_killed(sweep_peer(drains, 1));
  SWEEP_EQUAL(drained(), BLOCKS - held);
}

static inline int is_alive(muster_pool_block block, uint32_t member) {
  muster_pool_block_state state;
  SWEEP_STATUS(muster_pool_look_block(ours, block, &state), 0);
  return state.member == member && state.alive;
}

// ---- The world before: the survivor has two blocks.

static inline void lay(void) {
  SWEEP_STATUS(muster_pool_init(sweep->arena, ROOM, SIZE, BLOCKS, MEMBERS), 0);
  ours = join();
  for (int k = 0; k < KEPT; k++) {
    kept[k] = alloc_from(ours);
    fill(ours, kept[k], k + 1);
  }
}

// Or all of them, and has found that there are no more.
static inline void lay_full(void) {
  lay();
  while (!muster_pool_alloc(ours, &rest[resting])) resting++;
  SWEEP_EQUAL(resting, BLOCKS - KEPT);
}

static inline void give_rest_back(void) {
  while (resting > 0) SWEEP_STATUS(muster_pool_free(ours, rest[--resting]), 0);
}

static inline void prepare(void) { mine = attach(); }

static inline void prepare_joined(void) {
  mine = join();
  note()->member = muster_pool_member(mine);
}

static inline void finish(void) { SWEEP_STATUS(muster_pool_close(mine), 0); }
static inline int close_operate(void) { return muster_pool_close(mine); }
static inline void nothing(void) {}

// One who dies, with some blocks; the place is told.
static inline int holds_and_dies(int count) {
  muster_pool *pool = join();
  note()->partner = muster_pool_member(pool);
  while (count-- > 0) note()->found = alloc_from(pool);
  raise(SIGKILL);
  return 1;
}

#endif
