// The arena: a state that is changed in place, saved, loaded, zeroed, read. Readers find it whole or are told that it is being
// changed; a successor makes it whole.
// SPDX-License-Identifier: Apache-2.0
#include "arena_world.h"

// ---- Changing it. Who dies in a change leaves it to be loaded.

static unsigned char next[LARGE];

static void change_prepare(void) {
  prepare();
  state_of(next, mine.size, BEGUN + 1);
}

static int change_operate(void) {
  int status = muster_arena_change_begin(&mine);
  if (!status) status = muster_arena_write(&mine, 0, next, mine.size);
  return status ? status : muster_arena_change_end(&mine);
}

// What was found, and what it is after a successor has seen to it.
static uint64_t recover(uint64_t instead) {
  uint64_t found = read_it(&ours);
  if (found != UINT64_MAX) return found;
  SWEEP_EQUAL(sweep->returned, 0);
  SWEEP_CHECK(muster_arena_changing(&ours));
  SWEEP_STATUS(muster_arena_save(&ours, NULL), EBUSY);
  SWEEP_STATUS(muster_arena_load(&ours, 0, NULL, NULL, NULL), 0);
  SWEEP_EQUAL(read_it(&ours), SAVED);
  return instead;
}

static void check_one_of(uint64_t before, uint64_t after, uint64_t torn) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  uint64_t found = recover(torn);
  SWEEP_CHECK(found == before || found == after);
  if (sweep->returned) SWEEP_EQUAL(found, after);
  if (sweep->injection == SWEEP_CRASH) sweep_found(found == before ? SWEEP_BEFORE : SWEEP_AFTER);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

static void change_check(void) { check_one_of(BEGUN, BEGUN + 1, BEGUN); }

// ---- Loading it, and zeroing it

static int load_operate(void) { return muster_arena_load(&mine, 0, NULL, NULL, NULL); }
static void load_check(void) { check_one_of(BEGUN, SAVED, SAVED); }

static int zero_operate(void) { return muster_arena_zero(&mine); }
static void zero_check(void) { check_one_of(BEGUN, 0, 0); }

// ---- Saving it

static int save_operate(void) { return muster_arena_save(&mine, NULL); }

static void save_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  uint64_t newest = newest_of(&ours);
  SWEEP_CHECK(newest == SAVED || newest == SAVED + 1);
  if (sweep->returned) SWEEP_EQUAL(newest, SAVED + 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(newest == SAVED ? SWEEP_BEFORE : SWEEP_AFTER);
  SWEEP_EQUAL(read_it(&ours), BEGUN);
  check_list(&ours, newest);
  for (uint32_t nth = 0; nth < CHECKPOINTS; nth++) {
    SWEEP_STATUS(muster_arena_load(&ours, nth, NULL, NULL, NULL), 0);
    uint64_t number = newest - nth;
    SWEEP_EQUAL(read_it(&ours), number > SAVED ? BEGUN : number);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

// ---- Reading it, and listing what is saved, while the owner goes on

static int read_operate(void) { return muster_arena_read(&mine, 0, note()->read, mine.size, &note()->sequence); }

static void read_meanwhile(void) {
  for (uint64_t i = 0; i < 3; i++) change_to(&ours, 10 + i);
  SWEEP_STATUS(muster_arena_save(&ours, NULL), 0);
  run_transaction(&ours, 14);
  // Every third operator finds it being changed when it goes on.
  if (sweep->point % 3 == 0) SWEEP_STATUS(muster_arena_change_begin(&ours), 0);
}

static void read_check(void) {
  int changing = muster_arena_changing(&ours);
  if (sweep->returned && sweep->result) SWEEP_CHECK(changing && sweep->result == EAGAIN);
  if (sweep->returned && !sweep->result) {
    uint64_t number = number_of(note()->read, ours.size);
    SWEEP_CHECK(number == BEGUN || number == 14);
    SWEEP_CHECK(note()->sequence == 2 * (SAVED + 1) || (number == 14 && !changing));
  }
  if (changing) SWEEP_STATUS(muster_arena_change_end(&ours), 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

static int list_operate(void) { return muster_arena_checkpoints(&mine, 1, note()->listed, CHECKPOINTS, &note()->kept); }

static void list_meanwhile(void) {
  for (uint64_t i = 0; i < 4; i++) {
    change_to(&ours, 9 + i);
    SWEEP_STATUS(muster_arena_save(&ours, NULL), 0);
  }
}

static void list_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(note()->kept, CHECKPOINTS);
    uint64_t newest = note()->listed[0].number;
    SWEEP_CHECK(newest == SAVED || newest == newest_of(&ours));
    for (uint32_t k = 0; k < CHECKPOINTS; k++)
      SWEEP_CHECK(note()->listed[k].whole && note()->listed[k].number == newest - k);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

#define CASE(text, least, of, two, three, four, six)                                                              \
  {.name = "arena." text, .minimum = least, .variant = of, .setup = lay, .prepare = two, .operate = three, .meanwhile = four, \
   .check = six}

SWEEP_SUITE(arena, CASE("change", 60, SMALL, change_prepare, change_operate, look_on, change_check),
            CASE("change-of-two-pages", 200, LARGE, change_prepare, change_operate, look_on, change_check),
            CASE("load", 150, SMALL, prepare, load_operate, look_on, load_check),
            CASE("zero", 60, SMALL, prepare, zero_operate, look_on, zero_check),
            CASE("save", 150, SMALL, prepare, save_operate, look_on, save_check),
            CASE("save-two-pages", 300, LARGE, prepare, save_operate, look_on, save_check),
            CASE("read", 40, SMALL, prepare, read_operate, read_meanwhile, read_check),
            CASE("list", 300, SMALL, prepare, list_operate, list_meanwhile, list_check));
