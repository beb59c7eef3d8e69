// Pools whose members die, leave, fork, or end with their thread.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/pool.h"
#include "pool_support.h"
#include "support.h"
#include "test.h"

enum { BLOCKS = 150, SIZE = 64, MEMBERS = 4, HELD = 40 };

typedef struct scene {
  pool_scene pool;
  uint32_t *gate;              // shared
  muster_pool_block *blocks;   // likewise
} scene;

static scene make_scene(uint32_t members) {
  unsigned char *words = shared_memory(8192);
  return (scene){.pool = pool_test_scene(SIZE, BLOCKS, members),
                 .gate = (uint32_t *)(void *)words,
                 .blocks = (muster_pool_block *)(void *)(words + 4096)};
}

// Allocates some, offers every fourth, says so, and waits to be killed.
static void hold(void *context) {
  const scene *at = context;
  muster_pool *pool = pool_test_join(&at->pool);
  at->gate[1] = muster_pool_member(pool);
  for (uint32_t k = 0; k < HELD; k++) {
    void *place;
    at->blocks[k] = pool_test_alloc(pool);
    REQUIRE(!muster_pool_get(pool, at->blocks[k], &place));
    memset(place, (int)k, SIZE);
    if (k % 4 == 0) REQUIRE(!muster_pool_offer(pool, at->blocks[k]));
  }
  gate_open(at->gate, 1);
  for (;;) pause();
}

static pid_t holder(scene *at) {
  *at->gate = 0;
  pid_t child = test_fork(hold, at);
  gate_wait(at->gate, 1);
  return child;
}

// What it held is shown as left behind, comes back to who allocates, and its names mean nothing any more.
static void owner_killed(void) {
  scene at = make_scene(MEMBERS);
  muster_pool *pool = pool_test_join(&at.pool);
  for (int turn = 0; turn < 3; turn++) {
    kill_process(holder(&at));
    muster_pool_state state;
    CHECK_STATUS(muster_pool_look(pool, &state), 0);
    CHECK_EQUAL(state.ended, HELD);
    CHECK_EQUAL(state.living, 1);
    CHECK_EQUAL(state.free, BLOCKS - HELD);
    muster_pool_owner owner;
    CHECK_STATUS(muster_pool_look_owner(pool, at.gate[1], &owner), 0);
    CHECK_EQUAL(owner.state, MUSTER_MEMBER_DEAD);
    CHECK_EQUAL(owner.blocks, HELD);
    CHECK_EQUAL(owner.offered, HELD / 4);
    muster_pool_owner owners[MEMBERS];
    CHECK_STATUS(muster_pool_look_owners(pool, owners, MEMBERS), 0);
    CHECK(owners[at.gate[1]].state == MUSTER_MEMBER_DEAD && owners[at.gate[1]].blocks == HELD);
    muster_pool_block blocks[BLOCKS];
    uint32_t count = 0;
    if (turn == 1) {
      CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
      CHECK_EQUAL(count, HELD);
      CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
      CHECK_EQUAL(count, 0);
    }
    CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS);
    void *place;
    for (uint32_t k = 0; k < HELD; k++) CHECK_STATUS(muster_pool_get(pool, at.blocks[k], &place), ESTALE);
    for (uint32_t k = 0; k < BLOCKS; k++) CHECK_STATUS(muster_pool_free(pool, blocks[k]), 0);
  }
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// What was offered can be rescued until it is taken back; what was not, can't.
static void offers_of_the_dead(void) {
  scene at = make_scene(MEMBERS);
  muster_pool *pool = pool_test_join(&at.pool);
  kill_process(holder(&at));
  void *place;
  CHECK_STATUS(muster_pool_take(pool, at.blocks[1]), EBUSY);
  CHECK_STATUS(muster_pool_take(pool, at.blocks[8]), 0);
  CHECK_STATUS(muster_pool_get(pool, at.blocks[8], &place), 0);
  for (int i = 0; i < SIZE; i++) REQUIRE(((unsigned char *)place)[i] == 8);
  uint32_t count;
  CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
  CHECK_EQUAL(count, HELD - 1);
  CHECK_STATUS(muster_pool_take(pool, at.blocks[12]), ESTALE);
  CHECK_STATUS(muster_pool_get(pool, at.blocks[8], &place), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// Who joins in the place of a dead one has nothing of his.
static void place_of_the_dead(void) {
  scene at = make_scene(1);
  kill_process(holder(&at));
  muster_pool *pool = pool_test_join(&at.pool);
  CHECK_EQUAL(muster_pool_member(pool), at.gate[1]);
  uint32_t cursor = 0;
  muster_pool_block block;
  void *place;
  CHECK_STATUS(muster_pool_next(pool, 0, &cursor, &block), ENOENT);
  CHECK_STATUS(muster_pool_get(pool, at.blocks[0], &place), ESTALE);
  CHECK_EQUAL(pool_test_free(pool), BLOCKS);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// A member's life is a number of 19 bits in a word, of 32 in the group: lives that are told apart by what comes round.
static void lives_that_wrap(void) {
  scene at = make_scene(1);
  static const uint32_t begins[] = {(1u << POOL_LIFE_BITS) - 2, (1u << (POOL_LIFE_BITS - 1)) - 2, UINT32_MAX - 1};
  for (size_t k = 0; k < sizeof begins / sizeof *begins; k++) {
    muster_pool *look = pool_test_attach(&at.pool);
    look->group->places[0].incarnation = look->group->places[0].noted = look->settled[0] = begins[k];
    for (int turn = 0; turn < 4; turn++) {
      kill_process(holder(&at));
      CHECK(muster_pool_is_unsettled(look, 0));
      muster_pool *pool = pool_test_join(&at.pool);
      CHECK(!muster_pool_is_unsettled(look, 0));
      CHECK_EQUAL(pool_test_free(pool), BLOCKS);
      muster_pool_block block = pool_test_alloc(pool);
      uint32_t count;
      CHECK_STATUS(muster_pool_reclaim(look, &count), 0);
      CHECK_EQUAL(count, 0);
      CHECK_STATUS(muster_pool_free(pool, block), 0);
      CHECK_STATUS(muster_pool_close(pool), 0);
    }
    CHECK_STATUS(muster_pool_close(look), 0);
  }
  pool_test_end(&at.pool);
}

// Renewed, the members' lives begin anew, and so does what is known to be settled.
static void deaths_after_a_renewal(void) {
  scene at = make_scene(2);
  for (int turn = 0; turn < 4; turn++) {
    kill_process(holder(&at));
    muster_pool *look = pool_test_attach(&at.pool);
    CHECK_STATUS(muster_pool_reclaim(look, NULL), 0);
    CHECK_STATUS(muster_pool_close(look), 0);
  }
  CHECK_STATUS(muster_pool_renew(at.pool.memory, at.pool.size), 0);
  kill_process(holder(&at));
  muster_pool *pool = pool_test_join(&at.pool);
  CHECK(muster_pool_member(pool) != at.gate[1]);
  muster_pool_block blocks[BLOCKS];
  CHECK_EQUAL(pool_test_drain(pool, blocks, BLOCKS), BLOCKS);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

static void gives_to_the_dead(void) {
  scene at = make_scene(MEMBERS);
  muster_pool *pool = pool_test_join(&at.pool);
  pid_t child = holder(&at);
  muster_pool_block given = pool_test_alloc(pool), kept = pool_test_alloc(pool);
  void *place;
  CHECK_STATUS(muster_pool_give(pool, given, at.gate[1]), 0);
  CHECK_STATUS(muster_pool_get(pool, given, &place), EBUSY);
  kill_process(child);
  CHECK_STATUS(muster_pool_give(pool, kept, at.gate[1]), EOWNERDEAD);
  CHECK_STATUS(muster_pool_get(pool, kept, &place), 0);
  muster_pool_block_state state;
  CHECK_STATUS(muster_pool_look_block(pool, given, &state), 0);
  CHECK_EQUAL(state.member, at.gate[1]);
  CHECK_EQUAL(state.alive, 0);
  uint32_t count;
  CHECK_STATUS(muster_pool_reclaim(pool, &count), 0);
  CHECK_EQUAL(count, HELD + 1);
  CHECK_EQUAL(pool_test_free(pool), BLOCKS - 1);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// ---- Fork

typedef struct inherited {
  muster_pool *pool;
  muster_pool_block block;
} inherited;

static void use_inherited(void *context) {
  const inherited *from = context;
  muster_pool *pool = from->pool;
  muster_pool_block block;
  muster_pool_state state;
  muster_pool_owner owner;
  muster_pool_block_state block_state;
  muster_wait_set set;
  uint32_t count, cursor = 0;
  void *place;
  CHECK_STATUS(muster_pool_alloc(pool, &block), EPERM);
  CHECK_STATUS(muster_pool_alloc_wait(pool, soon(), &block), EPERM);
  CHECK_STATUS(muster_pool_poll(pool, &set), EPERM);
  CHECK_STATUS(muster_pool_free(pool, from->block), EPERM);
  CHECK_STATUS(muster_pool_get(pool, from->block, &place), EPERM);
  CHECK_STATUS(muster_pool_give(pool, from->block, 0), EPERM);
  CHECK_STATUS(muster_pool_offer(pool, from->block), EPERM);
  CHECK_STATUS(muster_pool_withdraw(pool, from->block), EPERM);
  CHECK_STATUS(muster_pool_take(pool, from->block), EPERM);
  CHECK_STATUS(muster_pool_join(pool, NULL), EPERM);
  CHECK_STATUS(muster_pool_leave(pool), EPERM);
  CHECK_STATUS(muster_pool_reclaim(pool, &count), EPERM);
  CHECK_STATUS(muster_pool_next(pool, 0, &cursor, &block), EPERM);
  CHECK_STATUS(muster_pool_look(pool, &state), EPERM);
  CHECK_STATUS(muster_pool_look_owner(pool, 0, &owner), EPERM);
  CHECK_STATUS(muster_pool_look_block(pool, from->block, &block_state), EPERM);
  CHECK_EQUAL(muster_pool_member(pool), UINT32_MAX);
  CHECK_STATUS(muster_pool_close(pool), 0);
}

static void forked_child(void) {
  pool_scene where = pool_test_scene(SIZE, BLOCKS, MEMBERS);
  inherited from = {.pool = pool_test_join(&where)};
  from.block = pool_test_alloc(from.pool);
  test_join(test_fork(use_inherited, &from), 0);
  // The child's end is not the parent's.
  uint32_t count;
  CHECK_STATUS(muster_pool_reclaim(from.pool, &count), 0);
  CHECK_EQUAL(count, 0);
  CHECK_STATUS(muster_pool_free(from.pool, from.block), 0);
  CHECK_STATUS(muster_pool_close(from.pool), 0);
  pool_test_end(&where);
}

// ---- Threads

static void *join_and_end(void *context) {
  muster_pool *pool = context;
  REQUIRE(!muster_pool_join(pool, NULL));
  (void)pool_test_alloc(pool);
  return NULL;
}

static void *close_elsewhere(void *context) {
  CHECK_STATUS(muster_pool_leave(context), EBUSY);
  CHECK_STATUS(muster_pool_close(context), EBUSY);
  muster_pool_block block = pool_test_alloc(context);
  CHECK_STATUS(muster_pool_free(context, block), 0);
  return NULL;
}

static void run_thread(void *(*run)(void *), void *context) {
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, run, context) && !pthread_join(thread, NULL));
}

static void threads_that_end(void) {
  pool_scene where = pool_test_scene(SIZE, 1, MEMBERS);
  muster_pool *pool = pool_test_attach(&where), *other = pool_test_join(&where);
  muster_pool_block block;
  muster_wait_set set;
  run_thread(join_and_end, pool);
  CHECK_STATUS(muster_pool_alloc(pool, &block), EPERM);
  CHECK_STATUS(muster_pool_alloc_wait(pool, soon(), &block), EPERM);
  CHECK_STATUS(muster_pool_poll(pool, &set), EPERM);
  block = pool_test_alloc(other);
  CHECK_STATUS(muster_pool_give(other, block, 1), EOWNERDEAD);
  CHECK_STATUS(muster_pool_free(other, block), 0);
  CHECK_STATUS(muster_pool_leave(pool), EINVAL);
  run_thread(join_and_end, pool);
  CHECK_STATUS(muster_pool_join(pool, NULL), 0);
  run_thread(close_elsewhere, pool);
  CHECK_STATUS(muster_pool_close(pool), 0);
  // One that nobody joins with again can be closed.
  pool = pool_test_attach(&where);
  run_thread(join_and_end, pool);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_EQUAL(pool_test_alloc(other) != 0, 1);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&where);
}

// Several at once by one handle: each block is one thread's at a time.
typedef struct shared_handle {
  muster_pool *pool;
  uint32_t turns;
} shared_handle;

static void *churn(void *context) {
  const shared_handle *with = context;
  uint64_t *held[4];
  muster_pool_block blocks[4];
  for (uint32_t turn = 0; turn < with->turns; turn++) {
    uint32_t count = 0;
    while (count < 4 && !muster_pool_alloc(with->pool, &blocks[count])) {
      void *place;
      REQUIRE(!muster_pool_get(with->pool, blocks[count], &place));
      held[count] = place;
      *held[count] = (uint64_t)(uintptr_t)&blocks[count] + turn;
      count++;
    }
    while (count-- > 0) {
      REQUIRE(*held[count] == (uint64_t)(uintptr_t)&blocks[count] + turn);
      REQUIRE(!muster_pool_free(with->pool, blocks[count]));
    }
  }
  return NULL;
}

static void threads_at_once(void) {
  pool_scene where = pool_test_scene(SIZE, 10, MEMBERS);
  shared_handle with = {.pool = pool_test_join(&where), .turns = 20000};
  pthread_t threads[3];
  for (int k = 0; k < 3; k++) REQUIRE(!pthread_create(&threads[k], NULL, churn, &with));
  for (int k = 0; k < 3; k++) REQUIRE(!pthread_join(threads[k], NULL));
  muster_pool_block blocks[10];
  CHECK_EQUAL(pool_test_drain(with.pool, blocks, 10), 10);
  CHECK_STATUS(muster_pool_close(with.pool), 0);
  pool_test_end(&where);
}

TEST_SUITE(pool_death, {"owner_killed", owner_killed, 0}, {"offers_of_the_dead", offers_of_the_dead, 0},
           {"place_of_the_dead", place_of_the_dead, 0}, {"lives_that_wrap", lives_that_wrap, 0},
           {"deaths_after_a_renewal", deaths_after_a_renewal, 0},
           {"gives_to_the_dead", gives_to_the_dead, 0}, {"forked_child", forked_child, 0},
           {"threads_that_end", threads_that_end, 0}, {"threads_at_once", threads_at_once, 60});
