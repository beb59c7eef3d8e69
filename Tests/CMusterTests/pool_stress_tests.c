// Processes that allocate, free, give, offer and take at random, and are killed and stopped at random moments. What is written into a
// block stays as it is while it has an owner, whoever that is; and in the end each block is there once.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_support.h"
#include "support.h"
#include "test.h"

enum { BLOCKS = 90, WORDS = 8, SIZE = WORDS * 8, MEMBERS = 6, WORKERS = 4, HANDS = 16, MOST = 24 };

typedef struct scene {
  pool_scene pool;
  muster_pool_block *hands;  // names that are passed on, each to whoever takes it out
  uint32_t *joined;          // of each worker: its place + 1
  uint64_t *did;             // operations of all of them
} scene;

typedef struct worker {
  const scene *at;
  uint32_t number;
  uint64_t seed;
} worker;

typedef struct holding {
  muster_pool *pool;
  muster_pool_block blocks[MOST];
  uint32_t count;
} holding;

static uint64_t *words_of(muster_pool *pool, muster_pool_block block) {
  void *place;
  int status = muster_pool_get(pool, block, &place);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  return place;
}

static void fill(muster_pool *pool, muster_pool_block block, uint64_t value) {
  uint64_t *words = words_of(pool, block);
  for (int k = 0; k < WORDS; k++) words[k] = value + block;
}

static void check_whole(muster_pool *pool, muster_pool_block block) {
  const uint64_t *words = words_of(pool, block);
  for (int k = 1; k < WORDS; k++)
    if (words[k] != words[0]) test_fail(__FILE__, __LINE__, "a block of two owners"), test_end();
}

static muster_pool_block drop_one(holding *of, uint64_t random) {
  uint32_t k = (uint32_t)(random % of->count);
  muster_pool_block block = of->blocks[k];
  of->blocks[k] = of->blocks[--of->count];
  check_whole(of->pool, block);
  return block;
}

static void keep(holding *of, muster_pool_block block) { of->blocks[of->count++] = block; }

static int has(const holding *of, muster_pool_block block) {
  for (uint32_t k = 0; k < of->count; k++)
    if (of->blocks[k] == block) return 1;
  return 0;
}

// What it was given without being told.
static void find_given(holding *of) {
  uint32_t cursor = 0, me = muster_pool_member(of->pool);
  muster_pool_block block;
  while (of->count < MOST && !muster_pool_next(of->pool, me, &cursor, &block)) {
    muster_pool_block_state state;
    if (has(of, block) || muster_pool_look_block(of->pool, block, &state)) continue;
    // Its own, but in a hand, it may have been taken out of it by now.
    if (state.use != MUSTER_POOL_OWNED || state.member != me) continue;
    check_whole(of->pool, block);
    keep(of, block);
  }
}

static void allocate(holding *of, uint64_t random) {
  muster_pool_block block;
  if (of->count == MOST) return;
  int status = random % 8 ? muster_pool_alloc(of->pool, &block)
                          : muster_pool_alloc_wait(of->pool, muster_deadline_after(200000), &block);
  if (status == ENOSPC || status == ETIMEDOUT) return;
  REQUIRE(!status);
  fill(of->pool, block, random);
  keep(of, block);
}

static void give_one(const worker *self, holding *of, uint64_t random) {
  uint32_t to = __atomic_load_n(&self->at->joined[random % WORKERS], __ATOMIC_RELAXED);
  if (!of->count || !to) return;
  muster_pool_block block = drop_one(of, random >> 8);
  int status = muster_pool_give(of->pool, block, to - 1);
  if (status == EOWNERDEAD || to - 1 == muster_pool_member(of->pool)) keep(of, block);
  else REQUIRE(!status);
}

// Puts an offered block into a hand, and takes back, or frees, what nobody took out of it.
static void offer_one(const worker *self, holding *of, uint64_t random) {
  if (!of->count) return;
  muster_pool_block block = drop_one(of, random);
  REQUIRE(!muster_pool_offer(of->pool, block));
  muster_pool_block old = __atomic_exchange_n(&self->at->hands[random >> 16 & (HANDS - 1)], block, __ATOMIC_ACQ_REL);
  // It may have come back by a gift, under the same name.
  if (!old || has(of, old)) return;
  int status = random >> 32 & 1 ? muster_pool_free(of->pool, old) : muster_pool_withdraw(of->pool, old);
  REQUIRE(status == 0 || status == EBUSY || status == ESTALE || status == EALREADY);
  if (status == 0 && !(random >> 32 & 1) && of->count < MOST && !has(of, old)) {
    check_whole(of->pool, old);
    keep(of, old);
  }
}

static void take_one(const worker *self, holding *of, uint64_t random) {
  if (of->count == MOST) return;
  muster_pool_block block = __atomic_load_n(&self->at->hands[random & (HANDS - 1)], __ATOMIC_ACQUIRE);
  if (!block) return;
  int status = muster_pool_take(of->pool, block);
  REQUIRE(status == 0 || status == EBUSY || status == ESTALE || status == EALREADY);
  if (status) return;
  check_whole(of->pool, block);
  keep(of, block);
}

static void work(void *context) {
  const worker *self = context;
  holding of = {.pool = pool_test_attach(&self->at->pool)};
  uint64_t random = self->seed;
  for (;;) {
    REQUIRE(!muster_pool_join(of.pool, NULL));
    of.count = 0;
    __atomic_store_n(&self->at->joined[self->number], muster_pool_member(of.pool) + 1, __ATOMIC_RELAXED);
    for (uint32_t turn = 0; turn < 2000; turn++) {
      uint64_t now = test_random(&random), more = test_random(&random);
      switch (now % 8) {
        case 0: case 1: case 2: allocate(&of, more); break;
        case 3: case 4:
          if (of.count) REQUIRE(!muster_pool_free(of.pool, drop_one(&of, more)));
          break;
        case 5: give_one(self, &of, more); break;
        case 6: offer_one(self, &of, more); break;
        default:
          if (more % 16 == 0) find_given(&of);
          else take_one(self, &of, more >> 8);
      }
      __atomic_fetch_add(self->at->did, 1, __ATOMIC_RELAXED);
    }
    REQUIRE(!muster_pool_leave(of.pool));
  }
}

static pid_t start(const scene *at, uint32_t number, uint64_t seed) {
  worker *self = &(worker){at, number, seed};
  return test_fork(work, self);
}

static void wait_for_more(const scene *at, uint64_t operations) {
  uint64_t until = __atomic_load_n(at->did, __ATOMIC_RELAXED) + operations;
  for (muster_deadline end = soon(); __atomic_load_n(at->did, __ATOMIC_RELAXED) < until; test_pause(20000))
    REQUIRE(!muster_deadline_passed(end));
}

static void killed_at_random(void) {
  unsigned char *memory = shared_memory(4096);
  scene at = {.pool = pool_test_scene(SIZE, BLOCKS, MEMBERS),
              .hands = (muster_pool_block *)(void *)memory,
              .joined = (uint32_t *)(void *)(memory + 1024),
              .did = (uint64_t *)(void *)(memory + 2048)};
  uint64_t random = test_seed();
  pid_t workers[WORKERS];
  for (uint32_t k = 0; k < WORKERS; k++) workers[k] = start(&at, k, test_random(&random));
  for (int round = 0; round < 150; round++) {
    uint32_t k = (uint32_t)(test_random(&random) % WORKERS);
    test_pause((int64_t)(test_random(&random) % 300000));
    int stops = round % 4 == 0;
    if (stops) {
      // The others go on without it.
      stop_process(workers[k]);
      wait_for_more(&at, 200);
    }
    kill_process(workers[k]);
    workers[k] = start(&at, k, test_random(&random));
    wait_for_more(&at, 100);
  }
  for (uint32_t k = 0; k < WORKERS; k++) kill_process(workers[k]);
  muster_pool *pool = pool_test_join(&at.pool);
  muster_pool_block blocks[BLOCKS];
  CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

TEST_SUITE(pool_stress, {"killed_at_random", killed_at_random, 120});
