// The pool, who allocates, frees and waits: no block is lost or in two hands, and no sleeper overslept, whatever became of the operator.
// SPDX-License-Identifier: Apache-2.0
#include "pool_world.h"

// ---- Allocating: with nothing known, from the stack, and what a dead one had.

static void alloc_setup(void) {
  lay();
  if (sweep->variant & DEAD) {
    sweep_reap_killed(sweep_peer(holds_and_dies, 3));
    // All others are the survivor's, so that there is nothing but what the dead one had.
    for (uint32_t k = 0; k < BLOCKS - KEPT - 3; k++) rest[resting++] = alloc_from(ours);
  }
}

static void alloc_prepare(void) {
  prepare_joined();
  if (sweep->variant & WARM) SWEEP_STATUS(muster_pool_free(mine, alloc_from(mine)), 0);
}

static int alloc_operate(void) { return muster_pool_alloc(mine, &note()->block); }

static int held_by_us(void) { return KEPT + (int)resting; }

static void alloc_meanwhile(void) {
  int count = drained();
  SWEEP_CHECK(count == BLOCKS - held_by_us() || count == BLOCKS - held_by_us() - 1);
  drained();
}

static uint32_t owned_by(uint32_t member) {
  muster_pool_owner owner;
  SWEEP_STATUS(muster_pool_look_owner(ours, member, &owner), 0);
  return owner.blocks;
}

static void alloc_check(void) {
  if (sweep->injection == SWEEP_CRASH) sweep_found(owned_by(note()->member) ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    if (sweep->injection == SWEEP_STALL) {
      SWEEP_CHECK(is_alive(note()->block, note()->member));
      check_whole(held_by_us() + 1);
    }
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole(held_by_us());
}

// ---- Nothing is free: it says so, and hides nothing of what is freed meanwhile.

// Nobody has found out yet. The last of them, which is freed meanwhile, is the one that the operator looks at first, since it begins
// elsewhere in the group than the survivor: so most of what it does comes after that look.
static void none_setup(void) {
  lay();
  while (resting < BLOCKS - KEPT) rest[resting++] = alloc_from(ours);
  muster_pool_block last = rest[resting - 1];
  rest[resting - 1] = rest[resting - 2];
  rest[resting - 2] = last;
}

static void none_meanwhile(void) {
  // Or by one alone that nobody looks for meanwhile: then all that tells of it is that the operator looks twice.
  for (int turn = sweep->variant & QUIETLY ? 2 : 0; turn < 2; turn++) {
    muster_pool_block block = rest[--resting];
    SWEEP_STATUS(muster_pool_free(ours, block), 0);
    // The operator does not go on here, so it is there for all others to see.
    SWEEP_EQUAL(drained(), 1);
    rest[resting++] = alloc_from(ours);
  }
  SWEEP_STATUS(muster_pool_free(ours, rest[--resting]), 0);
}

static void none_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    if (sweep->returned) SWEEP_STATUS(sweep->result, ENOSPC);
    SWEEP_EQUAL(drained(), 0);
    SWEEP_STATUS(muster_pool_free(ours, rest[--resting]), 0);
    SWEEP_EQUAL(drained(), 1);
  } else {
    // What was freed meanwhile is somebody's: its own, or nobody's.
    SWEEP_CHECK(sweep->result == 0 || sweep->result == ENOSPC);
    SWEEP_EQUAL(drained(), sweep->result ? 1 : 0);
    sweep_finish();
    SWEEP_EQUAL(drained(), 1);
  }
  give_rest_back();
  check_whole(KEPT);
}

// ---- Freeing, while two sleep for want of a block: the one that there is was taken from an offer. Each frees what it gets.

static pid_t sleepers[SLEEPERS];

static void await_ready(uint32_t least) {
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < least) sweep_pause(50000);
}

// The first sleep is one that does nothing on waking until the operator has returned, whose path it would cross: who leaves wakes others
// before it settles what it had.
static int waits_for_one(int number) {
  muster_pool *pool = join();
  muster_pool_block block;
  muster_wait_set set;
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  await_ready(SLEEPERS + 1);
  SWEEP_STATUS(muster_pool_poll(pool, &set), EAGAIN);
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  SWEEP_STATUS(muster_wait_any(&set, sweep_deadline()), 0);
  sweep_operator_done();
  note()->slept[number] = muster_pool_alloc_wait(pool, sweep_deadline(), &block);
  if (!note()->slept[number]) SWEEP_STATUS(muster_pool_free(pool, block), 0);
  return muster_pool_close(pool);
}

static void start_sleepers(void) {
  for (int k = 0; k < SLEEPERS; k++) note()->sleeper[k] = sleepers[k] = sweep_peer(waits_for_one, k);
  await_ready(SLEEPERS);
}

// By the operator, when it has joined: a join wakes who sleeps.
static void await_sleepers(void) {
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  await_ready(2 * SLEEPERS + 1);
  for (int k = 0; k < SLEEPERS; k++) sweep_settle(note()->sleeper[k]);
}

static void check_sleepers(void) {
  for (int k = 0; k < SLEEPERS; k++) {
    SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
    SWEEP_STATUS(note()->slept[k], 0);
  }
}

static void free_setup(void) {
  lay_full();
  note()->block = rest[--resting];
  SWEEP_STATUS(muster_pool_offer(ours, note()->block), 0);
  start_sleepers();
}

static void free_prepare(void) {
  prepare_joined();
  SWEEP_STATUS(muster_pool_take(mine, note()->block), 0);
  if (sweep->variant & OFFERED) SWEEP_STATUS(muster_pool_offer(mine, note()->block), 0);
  await_sleepers();
}

static int free_operate(void) { return muster_pool_free(mine, note()->block); }

static void free_meanwhile(void) {
  // Another frees, and is heard.
  SWEEP_STATUS(muster_pool_free(ours, rest[--resting]), 0);
  SWEEP_STATUS(muster_pool_alloc_wait(ours, sweep_deadline(), &rest[resting]), 0);
  resting++;
}

static void free_check(void) {
  muster_pool_block_state state;
  int status = muster_pool_look_block(ours, note()->block, &state);
  SWEEP_CHECK(status == 0 || status == ESTALE);
  // Before it has returned, a sleeper that the death has woken may be the one that took it back.
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_STATUS(status, ESTALE);
  }
  check_sleepers();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_EQUAL(drained(), 1);
  give_rest_back();
  check_whole(KEPT);
}

// ---- Leaving with a block, while two sleep: as freeing.

static int leave_operate(void) { return muster_pool_leave(mine); }

static void leave_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  check_sleepers();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_EQUAL(drained(), 1);
  give_rest_back();
  check_whole(KEPT);
}

static void leave_finish(void) {
  // Nothing of it is left.
  SWEEP_EQUAL(muster_pool_member(mine), UINT32_MAX);
  finish();
}

// ---- Taking back what the dead had, while two sleep: it dies in it, or stops in it.

static void reclaim_setup(void) {
  lay_full();
  muster_pool_block block = rest[--resting];
  SWEEP_STATUS(muster_pool_offer(ours, block), 0);
  note()->block = block;
}

static int takes_and_dies(int number) {
  (void)number;
  muster_pool *pool = join();
  SWEEP_STATUS(muster_pool_take(pool, note()->block), 0);
  raise(SIGKILL);
  return 1;
}

static void reclaim_prepare(void) { prepare_joined(); }

static void reclaim_setup_dead(void) {
  reclaim_setup();
  sweep_reap_killed(sweep_peer(takes_and_dies, 0));
}

static int reclaim_operate(void) {
  uint32_t count;
  int status = muster_pool_reclaim(mine, &count);
  return status ? status : (int)count + 1000;
}

static void reclaim_meanwhile(void) { SWEEP_EQUAL(drained(), 1); }

static void reclaim_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == 1001 || (sweep->injection == SWEEP_STALL && sweep->result == 1000));
  SWEEP_EQUAL(drained(), 1);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_EQUAL(drained(), 1);
  give_rest_back();
  check_whole(KEPT);
}

// ---- Waiting: somebody frees once the operator sleeps, or dies.

static pid_t partner;

static int holds_then(int dies) {
  muster_pool *pool = join();
  SWEEP_STATUS(muster_pool_take(pool, note()->block), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(muster_pool_free(pool, note()->block), 0);
  sweep_operator_done();
  return muster_pool_close(pool);
}

static void wait_setup_for(int dies) {
  reclaim_setup();
  partner = sweep_peer(holds_then, dies);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static void wait_setup(void) { wait_setup_for(0); }
static void wait_death_setup(void) { wait_setup_for(1); }

static int wait_operate(void) { return muster_pool_alloc_wait(mine, MUSTER_DEADLINE_NEVER, &note()->found); }

// Who goes on finds a block, whatever it has come to.
static void wait_meanwhile(void) {
  SWEEP_STATUS(muster_pool_free(ours, rest[--resting]), 0);
  SWEEP_CHECK(drained() >= 1);
}

static void wait_check_for(int dies) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (dies) sweep_reap_killed(partner);
  else SWEEP_STATUS(sweep_reap(partner), 0);
  if (sweep->returned && sweep->injection == SWEEP_STALL) SWEEP_CHECK(is_alive(note()->found, note()->member));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_EQUAL(drained(), BLOCKS - held_by_us());
  give_rest_back();
  check_whole(KEPT);
}

static void wait_check(void) { wait_check_for(0); }
static void wait_death_check(void) { wait_check_for(1); }

#define ALLOC(NAME, VARIANT, LEAST)                                                                                  \
  {.name = NAME, .minimum = LEAST, .variant = VARIANT, .setup = alloc_setup, .prepare = alloc_prepare,               \
   .operate = alloc_operate, .meanwhile = alloc_meanwhile, .finish = finish, .check = alloc_check}
#define FREE(NAME, VARIANT)                                                                                          \
  {.name = NAME, .minimum = 30, .variant = VARIANT, .setup = free_setup, .prepare = free_prepare,                    \
   .operate = free_operate, .meanwhile = free_meanwhile, .finish = finish, .check = free_check}
#define LEAVE(NAME, OPERATE, FINISH)                                                                                 \
  {.name = NAME, .minimum = 100, .setup = free_setup, .prepare = free_prepare, .operate = OPERATE,                   \
   .meanwhile = free_meanwhile, .finish = FINISH, .check = leave_check, .rechecks = SWEEP_UNLOCK_RECHECKS}
#define WAIT(NAME, SETUP, CHECK)                                                                                     \
  {.name = NAME, .minimum = 200, .setup = SETUP, .prepare = prepare_joined, .operate = wait_operate,                 \
   .meanwhile = wait_meanwhile, .finish = finish, .check = CHECK}

SWEEP_SUITE(pool, ALLOC("pool.alloc", 0, 100), ALLOC("pool.alloc-from-the-stack", WARM, 20),
            ALLOC("pool.alloc-takes-back", DEAD, 200),
            {.name = "pool.alloc-finds-none", .minimum = 100, .setup = none_setup, .prepare = prepare_joined,
             .operate = alloc_operate, .meanwhile = none_meanwhile, .finish = finish, .check = none_check},
            {.name = "pool.alloc-finds-none-at-first", .minimum = 100, .variant = QUIETLY, .setup = none_setup,
             .prepare = prepare_joined, .operate = alloc_operate, .meanwhile = none_meanwhile, .finish = finish,
             .check = none_check, .injections = SWEEP_STALL},
            FREE("pool.free", 0), FREE("pool.free-offered", OFFERED), LEAVE("pool.leave", leave_operate, leave_finish),
            LEAVE("pool.close", close_operate, nothing),
            {.name = "pool.reclaim", .minimum = 100, .setup = reclaim_setup_dead, .prepare = reclaim_prepare,
             .operate = reclaim_operate, .meanwhile = reclaim_meanwhile, .finish = finish, .check = reclaim_check},
            WAIT("pool.wait-for-a-free", wait_setup, wait_check), WAIT("pool.wait-for-a-death", wait_death_setup, wait_death_check));
