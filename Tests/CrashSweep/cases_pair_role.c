// The process pair's roles: leading, first and after a death; standing by; resigning; the seat; opening.
// SPDX-License-Identifier: Apache-2.0
#include "pair_world.h"

// ---- Leading: nobody before, one who resigned, one who died between the commit and the output.

static int dies_in_doubt(int number) {
  (void)number;
  muster_pair *pair = open_pair(0);
  uint64_t epoch;
  SWEEP_STATUS(muster_pair_lead(pair, &epoch), 0);
  SWEEP_STATUS(say_as(pair, epoch), 0);
  SWEEP_STATUS(muster_pair_try(pair, BEGUN + 1), 0);
  SWEEP_STATUS(commit_as(pair, BEGUN + 1, 0), 0);
  raise(SIGKILL);
  return 1;
}

static void dead_setup(void) {
  lay();
  sweep_reap_killed(sweep_peer(dies_in_doubt, 0));
}

static void backup_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_pair_stand_by(mine), 0);
  SWEEP_STATUS(say_standing_by_as(mine, 60), 0);
}

static int lead_operate(void) { return muster_pair_lead(mine, &my_epoch); }

// While somebody has the lock another is refused, and nobody is fenced by that; before and after that it leads. One who has the lock
// and has not said so yet, or has said that he leaves, is nobody to whom looks.
static void lead_or_be_refused(int steps) {
  uint64_t epoch;
  muster_pair_status status = look_at(ours);
  (void)newest_of(ours);
  int led = muster_pair_lead(ours, &epoch);
  SWEEP_CHECK(led == EBUSY || (led == 0 && status.primary_life != MUSTER_PAIR_ALIVE));
  SWEEP_EQUAL(look_at(ours).epoch, status.epoch + !led);
  if (led) return;
  SWEEP_STATUS(muster_pair_resign(ours), 0);
  succeed(ours, steps);
}

static void lead_meanwhile(void) { lead_or_be_refused(2); }

static void lead_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  muster_pair_status status = look_at(ours);
  if (sweep->injection == SWEEP_CRASH) sweep_found(status.epoch > sweep->variant ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_EQUAL(status.primary_life, MUSTER_PAIR_ALIVE);
    sweep_finish();
  }
  SWEEP_CHECK(look_at(ours).backup_life != MUSTER_PAIR_ALIVE);
  check_successors();
}

// It works on, as the primary that it is.
static void lead_finish(void) {
  SWEEP_STATUS(say_as(mine, my_epoch), 0);
  uint64_t newest = newest_of(mine);
  if (newest == UINT64_MAX) {
    SWEEP_STATUS(commit_as(mine, 0, 0), 0);
  } else {
    if (*out() < newest) *out() = newest;
    SWEEP_STATUS(muster_pair_emitted(mine, newest), 0);
    SWEEP_STATUS(step_as(mine, newest + 1), 0);
  }
  finish();
}

// ---- Standing by.

static int stand_by_operate(void) { return muster_pair_stand_by(mine); }

static void stand_by_meanwhile(void) {
  int held = look_at(ours).backup_life == MUSTER_PAIR_ALIVE, status = muster_pair_stand_by(ours);
  SWEEP_CHECK(status == EBUSY || (status == 0 && !held));
  if (!status) SWEEP_STATUS(muster_pair_resign(ours), 0);
  succeed(ours, 3);
}

static void stand_by_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    SWEEP_EQUAL(look_at(ours).backup_life, MUSTER_PAIR_ALIVE);
    sweep_finish();
  }
  SWEEP_CHECK(look_at(ours).backup_life != MUSTER_PAIR_ALIVE);
  check_successors();
}

// ---- Resigning, as the primary and as the backup.

static int resign_operate(void) { return muster_pair_resign(mine); }
static int close_operate(void) { return muster_pair_close(mine); }

static void resign_meanwhile(void) { lead_or_be_refused(9); }

static void resign_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    muster_pair_status status = look_at(ours);
    SWEEP_CHECK(status.primary_life == MUSTER_PAIR_NOBODY && status.backup_life == MUSTER_PAIR_NOBODY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successors();
}

// ---- The seat. Whoever died with it, or on the way to it, holds it no longer.

static int seat_of_mine = -1;
static int seat_operate(void) { return muster_pair_seat(mine, &seat_of_mine); }

static void seat_finish(void) {
  close(seat_of_mine);
  finish();
}

static void take_seat(int or_busy) {
  int seat, status = muster_pair_seat(ours, &seat);
  SWEEP_CHECK(status == 0 || (or_busy && status == EBUSY));
  if (!status) close(seat);
}

static void seat_meanwhile(void) {
  take_seat(1);
  succeed(ours, 1);
}

static void seat_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    int seat;
    SWEEP_STATUS(muster_pair_seat(ours, &seat), EBUSY);
    sweep_finish();
  }
  take_seat(0);
  check_successors();
}

// ---- Opening by name: the first, and one that finds a dead generation.

static void nothing(void) {}

static int open_operate(void) {
  muster_pair_options options = {.shape = {.state = STATE, .output = OUTPUT, .history = HISTORY}};
  return muster_pair_open(sweep_name("pair"), &options, &mine);
}

static int works_and_dies(int number) {
  (void)number;
  muster_pair *pair = open_pair(0);
  succeed(pair, 2);
  raise(SIGKILL);
  return 1;
}

static void dead_generation(void) { sweep_reap_killed(sweep_peer(works_and_dies, 0)); }

static pid_t waits_for_it;
static void open_meanwhile(void) {
  waits_for_it = sweep_peer(succeeds, 2);
  if (!sweep_ends_soon(waits_for_it)) return;
  SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  waits_for_it = 0;
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (waits_for_it) SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  ours = open_pair(0);
  check_successors();
}

SWEEP_SUITE(
    pair_role,
    {.name = "pair.lead-first", .minimum = 300, .setup = lay_empty, .prepare = prepare, .operate = lead_operate,
     .meanwhile = lead_meanwhile, .finish = lead_finish, .check = lead_check, .variant = 0},
    {.name = "pair.lead-after-one-who-resigned", .minimum = 300, .setup = lay, .prepare = prepare,
     .operate = lead_operate, .meanwhile = lead_meanwhile, .finish = lead_finish, .check = lead_check, .variant = 1},
    {.name = "pair.lead-after-a-death", .minimum = 300, .setup = dead_setup, .prepare = prepare,
     .operate = lead_operate, .meanwhile = lead_meanwhile, .finish = lead_finish, .check = lead_check, .variant = 2},
    {.name = "pair.lead-by-the-backup", .minimum = 300, .setup = dead_setup, .prepare = backup_prepare,
     .operate = lead_operate, .meanwhile = lead_meanwhile, .finish = lead_finish, .check = lead_check, .variant = 2},
    {.name = "pair.stand-by", .minimum = 100, .setup = lay, .prepare = prepare, .operate = stand_by_operate,
     .meanwhile = stand_by_meanwhile, .finish = finish, .check = stand_by_check},
    {.name = "pair.resign", .minimum = 100, .setup = lay, .prepare = lead_prepare, .operate = resign_operate,
     .meanwhile = resign_meanwhile, .finish = finish, .check = resign_check},
    {.name = "pair.resign-from-standing-by", .minimum = 60, .setup = lay, .prepare = backup_prepare,
     .operate = resign_operate, .meanwhile = resign_meanwhile, .finish = finish, .check = resign_check},
    {.name = "pair.close", .minimum = 100, .setup = lay, .prepare = lead_prepare, .operate = close_operate,
     .meanwhile = resign_meanwhile, .check = resign_check},
    {.name = "pair.seat", .minimum = 100, .setup = lay, .prepare = prepare, .operate = seat_operate,
     .meanwhile = seat_meanwhile, .finish = seat_finish, .check = seat_check},
    {.name = "pair.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "pair.open-finds-the-dead", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
