// The pool, blocks that change hands, and pools that are joined, renewed and opened.
// SPDX-License-Identifier: Apache-2.0
#include "pool_world.h"

// ---- From the operator's hands: given to the survivor, or to one who is dead, offered, withdrawn.

static void hand_setup(void) {
  lay();
  if (sweep->variant & DEAD) sweep_reap_killed(sweep_peer(holds_and_dies, 1));
}

static void hand_prepare(void) {
  prepare_joined();
  note()->block = alloc_from(mine);
  fill(mine, note()->block, 77);
  if (sweep->variant & OFFERED) SWEEP_STATUS(muster_pool_offer(mine, note()->block), 0);
}

static int give_operate(void) { return muster_pool_give(mine, note()->block, sweep->variant & DEAD ? note()->partner : 0); }
static int offer_operate(void) { return muster_pool_offer(mine, note()->block); }
static int withdraw_operate(void) { return muster_pool_withdraw(mine, note()->block); }

static int is_ours(void) {
  void *place;
  int status = muster_pool_get(ours, note()->block, &place);
  if (!status) check_filled(ours, note()->block, 77);
  return !status;
}

// At each moment there is one owner. The operator is the second to have joined, or the third.
static void hand_meanwhile(void) {
  int given = is_ours();
  SWEEP_CHECK(given || is_alive(note()->block, note()->member));
  SWEEP_EQUAL(drained(), BLOCKS - KEPT - 1);
  SWEEP_EQUAL(is_ours(), given);
}

static void give_check(void) {
  int given = is_ours();
  if (sweep->injection == SWEEP_CRASH) sweep_found(given ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_CHECK(given);
  }
  check_whole(KEPT + (given || sweep->injection == SWEEP_STALL));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole(KEPT + given);
  if (given) SWEEP_STATUS(muster_pool_free(ours, note()->block), 0);
  check_whole(KEPT);
}

static void give_to_the_dead_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, EOWNERDEAD);
    if (sweep->injection == SWEEP_STALL) SWEEP_CHECK(is_alive(note()->block, note()->member));
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole(KEPT);
}

static void dead_meanwhile(void) {
  SWEEP_EQUAL(drained(), BLOCKS - KEPT - 1);
  SWEEP_CHECK(is_alive(note()->block, note()->member));
}

// ---- Given to one who dies in the midst of it. That one lives while the operator begins.

static pid_t receiver;

static int receives(int number) {
  (void)number;
  muster_pool *pool = join();
  note()->partner = muster_pool_member(pool);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  while (!sweep->failed) sweep_pause(1000000000);
  return 0;
}

static void dying_setup(void) {
  lay();
  receiver = sweep_peer(receives, 0);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static int give_dying_operate(void) { return muster_pool_give(mine, note()->block, note()->partner); }

// All that is left of it is settled before the operator goes on, which may then give to what nobody looks at any more.
static void dying_meanwhile(void) {
  kill(receiver, SIGKILL);
  sweep_reap_killed(receiver);
  receiver = 0;
  int count = drained();
  SWEEP_CHECK(count == BLOCKS - KEPT || count == BLOCKS - KEPT - 1);
}

static void dying_check(void) {
  if (receiver) {
    SWEEP_CHECK(sweep->injection == SWEEP_CRASH);
    int given = is_alive(note()->block, note()->partner);
    sweep_found(given ? SWEEP_AFTER : SWEEP_BEFORE);
    SWEEP_EQUAL(drained(), BLOCKS - KEPT - given);
    kill(receiver, SIGKILL);
    sweep_reap_killed(receiver);
  } else {
    SWEEP_CHECK(sweep->result == 0 || sweep->result == EOWNERDEAD);
    // Given, then it came back to the pool; or it was not, then it is the operator's.
    SWEEP_EQUAL(drained(), BLOCKS - KEPT - (sweep->result == EOWNERDEAD));
    if (sweep->result) SWEEP_CHECK(is_alive(note()->block, note()->member));
    sweep_finish();
  }
  check_whole(KEPT);
}

// ---- Offered, and withdrawn: the survivor takes what it can.

static void offer_check(void) {
  int offered = muster_pool_take(ours, note()->block) == 0, after = (sweep->variant & OFFERED) ? !offered : offered;
  if (offered) check_filled(ours, note()->block, 77);
  if (sweep->injection == SWEEP_CRASH) sweep_found(after ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_CHECK(after);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole(KEPT + offered);
  if (offered) SWEEP_STATUS(muster_pool_free(ours, note()->block), 0);
  check_whole(KEPT);
}

// ---- Into the operator's hands: what the survivor offers.

static void take_setup(void) {
  lay();
  note()->block = alloc_from(ours);
  fill(ours, note()->block, 77);
  SWEEP_STATUS(muster_pool_offer(ours, note()->block), 0);
}

static int take_operate(void) {
  int status = muster_pool_take(mine, note()->block);
  if (!status) check_filled(mine, note()->block, 77);
  return status;
}

// The survivor frees it, should it not have been taken: what comes then is too late, and is told so.
static int32_t freed;

static void take_meanwhile(void) {
  freed = muster_pool_free(ours, note()->block);
  SWEEP_CHECK(freed == 0 || freed == EBUSY);
  drained();
}

static void take_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    int left = muster_pool_withdraw(ours, note()->block);
    SWEEP_CHECK(left == 0 || left == EBUSY);
    sweep_found(left ? SWEEP_AFTER : SWEEP_BEFORE);
    if (sweep->returned) SWEEP_STATUS(left, EBUSY);
    if (!left) SWEEP_STATUS(muster_pool_free(ours, note()->block), 0);
  } else {
    SWEEP_STATUS(sweep->result, freed ? 0 : ESTALE);
    check_whole(KEPT + (freed != 0));
    sweep_finish();
  }
  check_whole(KEPT);
}

// ---- Joining, also where all places but one are taken, and that one's last has died with blocks.

static void join_setup(void) {
  lay();
  if (!(sweep->variant & DEAD)) return;
  for (int k = 1; k < MEMBERS - 1; k++) (void)join();
  sweep_reap_killed(sweep_peer(holds_and_dies, 3));
}

static int join_operate(void) { return muster_pool_join(mine, &note()->member); }

// Nobody else can join where there is no other place.
static void join_meanwhile(void) {
  muster_pool_block block = alloc_from(ours);
  SWEEP_STATUS(muster_pool_free(ours, block), 0);
  if (!(sweep->variant & DEAD)) (void)drained();
}

static void join_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    if (sweep->injection == SWEEP_STALL) {
      muster_pool_owner owner;
      SWEEP_STATUS(muster_pool_look_owner(ours, note()->member, &owner), 0);
      SWEEP_EQUAL(owner.state, MUSTER_MEMBER_ALIVE);
      SWEEP_EQUAL(owner.blocks, 0);
      SWEEP_STATUS(muster_pool_give(ours, kept[0], note()->member), 0);
      SWEEP_STATUS(muster_pool_look_owner(ours, note()->member, &owner), 0);
      SWEEP_EQUAL(owner.blocks, 1);
    }
  }
  if (sweep->injection == SWEEP_STALL) {
    sweep_finish();
    kept[0] = alloc_from(ours);
    fill(ours, kept[0], 1);
  }
  check_whole(KEPT);
}

// ---- Renewed in place, and opened by name.

static int renew_operate(void) { return muster_pool_renew(sweep->arena, ROOM); }

static void renew_setup(void) {
  SWEEP_STATUS(muster_pool_init(sweep->arena, ROOM, SIZE, BLOCKS, MEMBERS), 0);
  sweep_reap_killed(sweep_peer(holds_and_dies, 4));
}

static int looks(int number) {
  (void)number;
  muster_pool *pool;
  muster_pool_state state;
  SWEEP_STATUS(muster_pool_attach_read_only(sweep->arena, ROOM, &pool), 0);
  SWEEP_STATUS(muster_pool_look(pool, &state), 0);
  SWEEP_CHECK(state.free >= BLOCKS - 4 && state.free + state.owned == BLOCKS);
  return muster_pool_close(pool);
}

static void renew_meanwhile(void) { sweep_newcomer(looks, 0); }

static void renew_check(void) {
  sweep_newcomer(looks, 0);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (!sweep->returned) SWEEP_STATUS(renew_operate(), 0);
  ours = join();
  void *place;
  SWEEP_STATUS(muster_pool_get(ours, note()->found, &place), ESTALE);
  for (int k = 0; k < KEPT; k++) fill(ours, kept[k] = alloc_from(ours), k + 1);
  check_whole(KEPT);
}

static int open_by_name(muster_pool **pool) {
  return muster_pool_open(sweep_name("pool"), &(muster_pool_options){.block_size = SIZE, .blocks = BLOCKS, .members = 2}, pool);
}

static int open_operate(void) { return open_by_name(&mine); }

static int uses_by_name(int dies) {
  muster_pool *pool;
  int status = open_by_name(&pool);
  if (status) return status;
  SWEEP_STATUS(muster_pool_join(pool, NULL), 0);
  for (int k = 0; k < BLOCKS; k++) fill(pool, alloc_from(pool), k);
  muster_pool_block none;
  SWEEP_STATUS(muster_pool_alloc(pool, &none), ENOSPC);
  if (dies) raise(SIGKILL);
  return muster_pool_close(pool);
}

static void dead_generation(void) { sweep_reap_killed(sweep_peer(uses_by_name, 1)); }

// Who opens it while it is being renewed waits for that.
static pid_t waits_for_it;

static void open_meanwhile(void) {
  waits_for_it = sweep_peer(uses_by_name, 0);
  if (!sweep_ends_soon(waits_for_it)) return;
  SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  waits_for_it = 0;
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(uses_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("pool"), 0), 0);
}

#define HAND(NAME, VARIANT, OPERATE, MEANWHILE, CHECK)                                                              \
  {.name = NAME, .minimum = 30, .variant = VARIANT, .setup = hand_setup, .prepare = hand_prepare, .operate = OPERATE, \
   .meanwhile = MEANWHILE, .finish = finish, .check = CHECK}
#define JOIN(NAME, VARIANT)                                                                                         \
  {.name = NAME, .minimum = 150, .variant = VARIANT, .setup = join_setup, .prepare = prepare, .operate = join_operate, \
   .meanwhile = join_meanwhile, .finish = finish, .check = join_check}

SWEEP_SUITE(pool_owner, HAND("pool.give", 0, give_operate, hand_meanwhile, give_check),
            HAND("pool.give-offered", OFFERED, give_operate, hand_meanwhile, give_check),
            HAND("pool.give-to-the-dead", DEAD, give_operate, dead_meanwhile, give_to_the_dead_check),
            {.name = "pool.give-to-the-dying", .minimum = 60, .setup = dying_setup, .prepare = hand_prepare,
             .operate = give_dying_operate, .meanwhile = dying_meanwhile, .finish = finish, .check = dying_check},
            HAND("pool.offer", 0, offer_operate, hand_meanwhile, offer_check),
            HAND("pool.withdraw", OFFERED, withdraw_operate, hand_meanwhile, offer_check),
            {.name = "pool.take", .minimum = 30, .setup = take_setup, .prepare = prepare_joined, .operate = take_operate,
             .meanwhile = take_meanwhile, .finish = finish, .check = take_check},
            JOIN("pool.join", 0), JOIN("pool.join-after-a-death", DEAD),
            {.name = "pool.renew", .minimum = 100, .setup = renew_setup, .operate = renew_operate,
             .meanwhile = renew_meanwhile, .check = renew_check},
            {.name = "pool.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
             .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
            {.name = "pool.open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
             .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
