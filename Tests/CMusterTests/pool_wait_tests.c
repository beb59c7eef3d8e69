// Waiting for a block: deadlines, frees, deaths, event loops. Sleepers do not look again by themselves here, so that a wake that is lost
// shows.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/futex.h"
#include "pool_support.h"
#include "support.h"
#include "test.h"

enum { SIZE = 64, MEMBERS = 12, WAITERS = 6 };

typedef struct scene {
  pool_scene pool;
  uint32_t *gate;    // who is ready
  uint32_t *served;  // how many waiters got a block
  uint32_t *joined;  // of those that wait in turn, and
  uint32_t *turn;    // how many of them may
  uint32_t blocks;
} scene;

static scene make_scene(uint32_t blocks) {
  muster_recheck = MUSTER_DEADLINE_NEVER / 4;
  uint32_t *words = shared_memory(4096);
  return (scene){.pool = pool_test_scene(SIZE, blocks, MEMBERS), .gate = words, .served = words + 32, .joined = words + 64, .turn = words + 96, .blocks = blocks};
}

static void take_all(muster_pool *pool, uint32_t blocks) {
  for (uint32_t k = 0; k < blocks; k++) (void)pool_test_alloc(pool);
}

static void hold_all(void *context) {
  const scene *at = context;
  take_all(pool_test_join(&at->pool), at->blocks);
  gate_open(at->gate, 1);
  for (;;) pause();
}

static pid_t holder(scene *at) {
  *at->gate = 0;
  pid_t child = test_fork(hold_all, at);
  gate_wait(at->gate, 1);
  return child;
}

// Keeps what it gets, and lives on.
static void wait_for_one(void *context) {
  const scene *at = context;
  muster_pool *pool = pool_test_join(&at->pool);
  muster_pool_block block;
  CHECK_STATUS(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NEVER, &block), 0);
  __atomic_add_fetch(at->served, 1, __ATOMIC_ACQ_REL);
  muster_wake_all(at->served);
  for (;;) pause();
}

static void start_waiters(scene *at, pid_t *waiters, uint32_t count) {
  for (uint32_t k = 0; k < count; k++) {
    waiters[k] = test_fork(wait_for_one, at);
    CHECK(test_asleep(waiters[k]));
  }
}

static void end_waiters(const pid_t *waiters, uint32_t count) {
  for (uint32_t k = 0; k < count; k++) kill_process(waiters[k]);
}

static void deadlines(void) {
  scene at = make_scene(2);
  muster_pool *pool = pool_test_join(&at.pool);
  muster_pool_block block;
  CHECK_STATUS(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NOW, &block), 0);
  CHECK_STATUS(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NEVER, &block), 0);
  CHECK_STATUS(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NOW, &block), ETIMEDOUT);
  CHECK(block == MUSTER_POOL_NONE);
  muster_deadline deadline = muster_deadline_after(3000000);
  CHECK_STATUS(muster_pool_alloc_wait(pool, deadline, &block), ETIMEDOUT);
  CHECK(muster_clock_now() >= deadline);
  CHECK_STATUS(muster_pool_alloc_wait(pool, muster_clock_now() - 1, &block), ETIMEDOUT);
  muster_pool_state state;
  CHECK_STATUS(muster_pool_look(pool, &state), 0);
  CHECK(state.waits > 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

static void woken_by_a_free(void) {
  scene at = make_scene(3);
  muster_pool *pool = pool_test_join(&at.pool);
  muster_pool_block blocks[3];
  CHECK_EQUAL(pool_test_drain(pool, blocks, 3), 3);
  pid_t waiters[WAITERS];
  start_waiters(&at, waiters, WAITERS);
  for (uint32_t k = 0; k < 3; k++) {
    CHECK_STATUS(muster_pool_free(pool, blocks[k]), 0);
    (void)gate_pass(at.served, k + 1);
  }
  CHECK_EQUAL(pool_test_free(pool), 0);
  end_waiters(waiters, WAITERS);
  CHECK_EQUAL(pool_test_drain(pool, blocks, 3), 3);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// All sleep until the one who has everything dies: the kernel wakes one or two of them.
static void woken_by_a_death(void) {
  scene at = make_scene(WAITERS);
  pid_t owner = holder(&at), waiters[WAITERS];
  start_waiters(&at, waiters, WAITERS);
  kill_process(owner);
  (void)gate_pass(at.served, WAITERS);
  end_waiters(waiters, WAITERS);
  pool_test_end(&at.pool);
}

// Has joined before any of them waits, so that no join begins a new watch.
static void wait_in_turn(void *context) {
  const scene *at = context;
  muster_pool *pool = pool_test_join(&at->pool);
  uint32_t number = __atomic_fetch_add(at->joined, 1, __ATOMIC_ACQ_REL);
  muster_wake_all(at->joined);
  (void)gate_pass(at->turn, number + 1);
  muster_pool_block block;
  CHECK_STATUS(muster_pool_alloc_wait(pool, MUSTER_DEADLINE_NEVER, &block), 0);
  __atomic_add_fetch(at->served, 1, __ATOMIC_ACQ_REL);
  muster_wake_all(at->served);
  for (;;) pause();
}

// Lets the next of them wait, and sees it asleep in the pool.
static void next_turn(const scene *at, const muster_pool *pool, pid_t waiter, uint32_t turn) {
  muster_pool_state before, now;
  REQUIRE(!muster_pool_look(pool, &before));
  gate_open(at->turn, turn);
  muster_deadline end = soon();
  do {
    REQUIRE(!muster_deadline_passed(end));
    REQUIRE(!muster_pool_look(pool, &now));
  } while (now.waits == before.waits);
  CHECK(test_asleep(waiter));
}

// The two that came first were to watch for all; they are served, and live on elsewhere. Then others watch.
static void served_watchers(void) {
  scene at = make_scene(WAITERS);
  muster_pool *pool = pool_test_join(&at.pool);
  muster_pool_block first = pool_test_alloc(pool), second = pool_test_alloc(pool);
  at.blocks = WAITERS - 2;
  pid_t owner = holder(&at), waiters[WAITERS];
  for (uint32_t k = 0; k < WAITERS; k++) {
    waiters[k] = test_fork(wait_in_turn, &at);
    (void)gate_pass(at.joined, k + 1);
  }
  for (uint32_t k = 0; k < 2; k++) next_turn(&at, pool, waiters[k], k + 1);
  CHECK_STATUS(muster_pool_free(pool, first), 0);
  (void)gate_pass(at.served, 1);
  CHECK_STATUS(muster_pool_free(pool, second), 0);
  (void)gate_pass(at.served, 2);
  for (uint32_t k = 2; k < WAITERS; k++) next_turn(&at, pool, waiters[k], k + 1);
  kill_process(owner);
  (void)gate_pass(at.served, WAITERS);
  end_waiters(waiters, WAITERS);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

static void hold_then_leave(void *context) {
  const scene *at = context;
  muster_pool *pool = pool_test_join(&at->pool);
  take_all(pool, at->blocks);
  gate_open(at->gate, 1);
  gate_wait(at->gate, 2);
  CHECK_STATUS(muster_pool_close(pool), 0);
}

static void woken_by_a_leave(void) {
  scene at = make_scene(WAITERS);
  pid_t owner = test_fork(hold_then_leave, &at), waiters[WAITERS];
  gate_wait(at.gate, 1);
  start_waiters(&at, waiters, WAITERS);
  gate_open(at.gate, 2);
  test_join(owner, 0);
  (void)gate_pass(at.served, WAITERS);
  end_waiters(waiters, WAITERS);
  pool_test_end(&at.pool);
}

// The words of a poll change with a free and with a death, and not before.
static void event_loop(void) {
  scene at = make_scene(2);
  muster_pool *pool = pool_test_join(&at.pool), *other = pool_test_join(&at.pool);
  muster_wait_set set;
  // To look calls nobody while there is something.
  for (int k = 0; k < 5; k++) CHECK_STATUS(muster_pool_poll(pool, &set), 0);
  muster_pool_state state;
  CHECK_STATUS(muster_pool_look(pool, &state), 0);
  CHECK_EQUAL(state.waits, 0);
  muster_pool_block block = pool_test_alloc(other);
  at.blocks = 1;
  pid_t owner = holder(&at);
  CHECK_STATUS(muster_pool_poll(pool, &set), EAGAIN);
  CHECK(set.count >= 2);
  CHECK_STATUS(muster_wait_any(&set, muster_deadline_after(1000000)), ETIMEDOUT);
  CHECK_STATUS(muster_pool_free(other, block), 0);
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
  CHECK_STATUS(muster_pool_poll(pool, &set), 0);
  CHECK_STATUS(muster_pool_alloc(pool, &block), 0);
  CHECK_STATUS(muster_pool_poll(pool, &set), EAGAIN);
  kill_process(owner);
  CHECK_STATUS(muster_wait_any(&set, soon()), 0);
  CHECK_STATUS(muster_pool_poll(pool, &set), 0);
  CHECK_STATUS(muster_pool_alloc(pool, &block), 0);
  CHECK_STATUS(muster_pool_close(pool), 0);
  CHECK_STATUS(muster_pool_close(other), 0);
  pool_test_end(&at.pool);
}

// A few blocks that go from one to the other, through sleeps on both sides.
enum { TURNS = 3000 };

static void pass_on(void *context) {
  const scene *at = context;
  muster_pool *pool = pool_test_join(&at->pool);
  for (int turn = 0; turn < TURNS; turn++) {
    muster_pool_block block;
    REQUIRE(!muster_pool_alloc_wait(pool, soon(), &block));
    REQUIRE(!muster_pool_free(pool, block));
  }
  CHECK_STATUS(muster_pool_close(pool), 0);
}

static void more_waiters_than_blocks(void) {
  scene at = make_scene(1);
  pid_t children[4];
  for (int k = 0; k < 4; k++) children[k] = test_fork(pass_on, &at);
  for (int k = 0; k < 4; k++) test_join(children[k], 0);
  muster_pool *pool = pool_test_join(&at.pool);
  CHECK_EQUAL(pool_test_free(pool), 1);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

// Threads that wait by one handle, for what the others of them free.
static void *pass_on_here(void *context) {
  muster_pool *pool = context;
  for (int turn = 0; turn < TURNS / 3; turn++) {
    muster_pool_block block;
    REQUIRE(!muster_pool_alloc_wait(pool, soon(), &block));
    REQUIRE(!muster_pool_free(pool, block));
  }
  return NULL;
}

static void threads_by_one_handle(void) {
  scene at = make_scene(1);
  muster_pool *pool = pool_test_join(&at.pool);
  pthread_t threads[3];
  for (int k = 0; k < 3; k++) REQUIRE(!pthread_create(&threads[k], NULL, pass_on_here, pool));
  for (int k = 0; k < 3; k++) REQUIRE(!pthread_join(threads[k], NULL));
  CHECK_EQUAL(pool_test_free(pool), 1);
  CHECK_STATUS(muster_pool_close(pool), 0);
  pool_test_end(&at.pool);
}

TEST_SUITE(pool_wait, {"deadlines", deadlines, 0}, {"woken_by_a_free", woken_by_a_free, 0},
           {"woken_by_a_death", woken_by_a_death, 0}, {"served_watchers", served_watchers, 0},
           {"woken_by_a_leave", woken_by_a_leave, 0}, {"event_loop", event_loop, 0},
           {"more_waiters_than_blocks", more_waiters_than_blocks, 60},
           {"threads_by_one_handle", threads_by_one_handle, 60});
