// The process pair's steps: at any instruction the newest entry is the one before or the one after, what is in doubt is one output
// at most, and a stopped primary keeps everybody else from leading.
// SPDX-License-Identifier: Apache-2.0
#include "pair_world.h"

// What the others can do while the primary is stopped: they look, and are refused.
static void refused(void) {
  uint64_t epoch;
  muster_pair_status status = look_at(ours);
  SWEEP_EQUAL(status.primary_life, MUSTER_PAIR_ALIVE);
  (void)newest_of(ours);
  SWEEP_STATUS(muster_pair_lead(ours, &epoch), EBUSY);
  SWEEP_EQUAL(look_at(ours).epoch, status.epoch);
}

// ---- A step, and each of its stores. `variant` is which.

enum { WHOLE_STEP, TRY, COMMIT, COMMIT_DURABLE, EMITTED };

static int step_operate(void) {
  uint64_t step = BEGUN + 1;
  switch (sweep->variant) {
    case TRY: return muster_pair_try(mine, step);
    case COMMIT: return commit_as(mine, step, 0);
    case COMMIT_DURABLE: return commit_as(mine, step, 1);
    case EMITTED: return muster_pair_emitted(mine, step);
    default: return step_as(mine, step);
  }
}

// What comes before that store in a step.
static void step_prepare(void) {
  lead_prepare();
  uint64_t step = BEGUN + 1;
  if (sweep->variant >= COMMIT) SWEEP_STATUS(muster_pair_try(mine, step), 0);
  if (sweep->variant < EMITTED) return;
  SWEEP_STATUS(commit_as(mine, step, 0), 0);
  *out() = step;
}

static int is_after(const muster_pair_status *status, uint64_t newest) {
  switch (sweep->variant) {
    case TRY: return status->tried == BEGUN + 1;
    case EMITTED:
    case WHOLE_STEP: return status->emitted == BEGUN + 1;
    default: return newest == BEGUN + 1;
  }
}

static void step_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  muster_pair_status status = look_at(ours);
  uint64_t newest = newest_of(ours);
  SWEEP_CHECK(newest == BEGUN || newest == BEGUN + 1);
  if (sweep->returned) SWEEP_CHECK(is_after(&status, newest));
  if (sweep->injection == SWEEP_CRASH) sweep_found(is_after(&status, newest) ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successors();
}

// ---- What is said.

static int say_operate(void) { return say_as(mine, 70); }
static int say_standing_by_operate(void) { return say_standing_by_as(mine, 70); }

static void stand_by_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_pair_stand_by(mine), 0);
  SWEEP_STATUS(say_standing_by_as(mine, 60), 0);
}

static void say_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  uint64_t said = look_at(ours).primary.epoch;
  SWEEP_CHECK(said == 1 || said == 70);
  if (sweep->injection == SWEEP_CRASH) sweep_found(said == 70 ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successors();
}

static void standing_by_meanwhile(void) {
  SWEEP_EQUAL(look_at(ours).backup_life, MUSTER_PAIR_ALIVE);
  SWEEP_STATUS(muster_pair_stand_by(ours), EBUSY);
  // A backup holds no primary up.
  succeed(ours, 3);
}

static void standing_by_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  uint64_t said = look_at(ours).backup.launch;
  SWEEP_CHECK(said == 60 || said == 70);
  if (sweep->injection == SWEEP_CRASH) sweep_found(said == 70 ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successors();
}

// ---- Looking and loading, while others work and use every slot more than once.

typedef struct notes {
  muster_pair_status status;
  muster_pair_entry entry;
  _Alignas(16) unsigned char buffer[256];
} notes;

static notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static void look_prepare(void) { mine = open_pair(MUSTER_REGION_READ_ONLY); }
static int look_operate(void) { return muster_pair_look(mine, &note()->status); }
static int load_operate(void) {
  return muster_pair_load(mine, 0, NULL, NULL, note()->buffer, sizeof note()->buffer, &note()->entry);
}

static void read_meanwhile(void) {
  succeed(ours, 9);
  sweep_newcomer(succeeds, 2);
}

static void read_check(void) {
  uint64_t number;
  if (sweep->returned) {
    const notes *seen = note();
    SWEEP_STATUS(sweep->result, 0);
    if (sweep->variant) {
      SWEEP_CHECK(is_filled(&seen->status.primary, sizeof seen->status.primary, &number));
      SWEEP_CHECK(is_filled(&seen->status.backup, sizeof seen->status.backup, &number));
      SWEEP_CHECK(seen->status.emitted <= seen->status.tried);
    } else {
      // Its pointers are into the operator's mapping of the arena, which is ours as well.
      check_entry(&seen->entry);
    }
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_successors();
}

SWEEP_SUITE(
    pair,
    {.name = "pair.step", .minimum = 200, .setup = lay, .prepare = step_prepare, .operate = step_operate,
     .meanwhile = refused, .finish = finish, .check = step_check, .variant = WHOLE_STEP},
    {.name = "pair.try", .minimum = 20, .setup = lay, .prepare = step_prepare, .operate = step_operate,
     .meanwhile = refused, .finish = finish, .check = step_check, .variant = TRY},
    {.name = "pair.commit", .minimum = 150, .setup = lay, .prepare = step_prepare, .operate = step_operate,
     .meanwhile = refused, .finish = finish, .check = step_check, .variant = COMMIT},
    {.name = "pair.commit-durable", .minimum = 150, .setup = lay, .prepare = step_prepare, .operate = step_operate,
     .meanwhile = refused, .finish = finish, .check = step_check, .variant = COMMIT_DURABLE},
    {.name = "pair.emitted", .minimum = 20, .setup = lay, .prepare = step_prepare, .operate = step_operate,
     .meanwhile = refused, .finish = finish, .check = step_check, .variant = EMITTED},
    {.name = "pair.say", .minimum = 100, .setup = lay, .prepare = lead_prepare, .operate = say_operate,
     .meanwhile = refused, .finish = finish, .check = say_check},
    {.name = "pair.say-standing-by", .minimum = 60, .setup = lay, .prepare = stand_by_prepare,
     .operate = say_standing_by_operate, .meanwhile = standing_by_meanwhile, .finish = finish,
     .check = standing_by_check},
    {.name = "pair.look", .minimum = 200, .setup = lay, .prepare = look_prepare, .operate = look_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = read_check, .variant = 1},
    {.name = "pair.load", .minimum = 200, .setup = lay, .prepare = look_prepare, .operate = load_operate,
     .meanwhile = read_meanwhile, .finish = finish, .check = read_check, .variant = 0});
