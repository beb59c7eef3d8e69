// The barrier, who breaks it, mends it, leaves it, joins in a dead place or asks, while others sleep.
// SPDX-License-Identifier: Apache-2.0
#include "barrier_world.h"

// ---- Breaking it, mending it, leaving it, while others sleep.

static int abort_operate(void) { return muster_barrier_abort(mine); }
static int reset_operate(void) { return muster_barrier_reset(mine); }
static int close_operate(void) { return muster_barrier_close(mine); }

// A deadline that has passed: breaks the barrier unless this arrival is the last.
static int expire_operate(void) { return muster_barrier_wait(mine, 1, NULL); }

static void sleepers_setup(void) {
  sleepers_come();
  crowd_comes(parties() - SLEEPERS - (sweep->variant & OBSERVER ? 0 : 1));
}

// Whether the phase goes on, with a dead operator that was an observer, or had arrived: neither is missed.
static int goes_on(void) {
  if (muster_barrier_broken(watcher) || muster_barrier_phase(watcher) != note()->phase) return 0;
  return sweep->variant & OBSERVER || muster_barrier_waiting(watcher) == SLEEPERS + 1;
}

// What the sleepers are told when the operation was done; else they sleep on, or learn of a member's death.
static void broken_check(int done, int returned) {
  if (sweep->injection == SWEEP_CRASH && goes_on()) {
    for (uint32_t i = 0; i < crowd_size; i++) SWEEP_STATUS(muster_barrier_arrive(crowd[i], NULL), 0);
    SWEEP_STATUS(reap_sleepers(), 0);
    sweep_found(SWEEP_BEFORE);
  } else {
    int status = reap_sleepers();
    int by_death = status == EOWNERDEAD && !(sweep->variant & OBSERVER);
    if (sweep->injection == SWEEP_STALL) check_disturbed(status);
    else SWEEP_CHECK(status == done || by_death);
    if (sweep->injection == SWEEP_CRASH && by_death) check_results(status);
    if (done != EOWNERDEAD) sweep_found(status == done ? SWEEP_AFTER : SWEEP_BEFORE);
  }
  if (sweep->returned && sweep->injection == SWEEP_CRASH) SWEEP_STATUS(sweep->result, returned);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole();
}

static void abort_check(void) { broken_check(ECANCELED, 0); }
static void reset_check(void) { broken_check(ECANCELED, 0); }
static void close_check(void) { broken_check(EOWNERDEAD, 0); }
static void expire_check(void) { broken_check(ENOTRECOVERABLE, ETIMEDOUT); }

static void break_meanwhile(void) {
  ask();
  abort_and_reset();
}

// ---- Mending one that a death has broken.

static int joins_and_dies(int number) {
  (void)number;
  muster_barrier *barrier;
  SWEEP_STATUS(open_one(0, 0, &barrier), 0);
  raise(SIGKILL);
  return 1;
}

static void broken_setup(void) {
  lay();
  crowd_comes(parties() - 2);
  sweep_reap_killed(sweep_peer(joins_and_dies, 0));
}

static void broken_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_barrier_wait(mine, MUSTER_DEADLINE_NEVER, NULL), EOWNERDEAD);
}

static void mend_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    sweep_found(muster_barrier_broken(watcher) ? SWEEP_BEFORE : SWEEP_AFTER);
  } else {
    sweep_finish();
  }
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  check_whole();
}

// ---- Joining in the place of one that died, while others sleep.

static void replace_setup(void) {
  sleepers_come();
  crowd_comes(parties() - SLEEPERS - 1);
  sweep_reap_killed(sweep_peer(joins_and_dies, 0));
  crowd_arrives();
}

static void replace_prepare(void) {
  note()->place = parties() - 1;
  note()->phase = 0;
  __atomic_store_n(&note()->go, 1, __ATOMIC_RELEASE);
  until(&note()->asleep, SLEEPERS);
  for (int i = 0; i < SLEEPERS; i++) sweep_settle(note()->peers[i]);
}

static int replace_operate(void) {
  int status = open_one(0, 0, &mine);
  return status ? status : muster_barrier_arrive(mine, NULL);
}

static void replace_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_CRASH) {
    sweep_found(muster_barrier_phase(watcher) != note()->phase ? SWEEP_AFTER : SWEEP_BEFORE);
    replace_if_missing();
  }
  SWEEP_STATUS(reap_sleepers(), 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole();
}

// ---- Asking.

static int ask_operate(void) {
  muster_barrier_state state;
  muster_barrier_result result;
  int status = muster_barrier_state_get(mine, &state);
  if (!status) status = muster_barrier_try_wait(mine, note()->phase, &result);
  return status == EAGAIN ? 0 : status;
}

static int poll_operate(void) {
  muster_wait_set set;
  int status = muster_barrier_poll(mine, note()->phase, NULL, &set);
  return status == EAGAIN ? 0 : status;
}

static void ask_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  replace_if_missing();
  SWEEP_STATUS(reap_sleepers(), 0);
  check_whole();
}

static void poll_check(void) {
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_disturbed(reap_sleepers());
  check_whole();
}

SWEEP_SUITE(
    barrier_break, CASE("abort", 30, BREAK(4), sleepers_setup, prepare_with_sleepers, abort_operate, break_meanwhile, finish,
         abort_check),
    CASE("abort-by-an-observer", 30, BREAK(3) | OBSERVER, sleepers_setup, prepare_with_sleepers, abort_operate,
         break_meanwhile, finish, abort_check),
    CASE("reset", 50, BREAK(4), sleepers_setup, prepare_with_sleepers, reset_operate, break_meanwhile, finish,
         reset_check),
    CASE("reset-by-an-observer", 50, BREAK(3) | OBSERVER, sleepers_setup, prepare_with_sleepers, reset_operate,
         break_meanwhile, finish, reset_check),
    CASE("reset-a-broken-one", 100, BREAK(4), broken_setup, broken_prepare, reset_operate, break_meanwhile,
         finish, mend_check),
    CASE("expire", 100, BREAK(4), sleepers_setup, prepare_with_sleepers, expire_operate, break_meanwhile, finish,
         expire_check),
    {.name = "barrier.close", .minimum = 50, .variant = BREAK(4), .setup = sleepers_setup, .prepare = prepare_with_sleepers,
     .operate = close_operate, .meanwhile = break_meanwhile, .check = close_check, .rechecks = SWEEP_UNLOCK_RECHECKS},
    CASE("join-in-a-dead-place", 100, AWAIT(4), replace_setup, replace_prepare, replace_operate, ask, finish,
         replace_check),
    CASE("ask", 100, AWAIT(9), last_setup, prepare_with_sleepers, ask_operate, last_meanwhile, finish, ask_check),
    CASE("poll", 100, BREAK(4), sleepers_setup, prepare_with_sleepers, poll_operate, break_meanwhile, finish,
         poll_check));
