// What the cases of the arena share: a world of one owner, the survivor, which is told when the operator is gone. Statics, so
// that each file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_ARENA_WORLD_H
#define SWEEP_ARENA_WORLD_H

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "muster/arena.h"
#include "sweep.h"

// A variant is the size of the state: less than a page, whose operations are swept whole, or two pages.
enum { ROOM = SWEEP_ARENA - 8192, SMALL = 200, LARGE = 4096 + 200, PAGES = 2, CHECKPOINTS = 2, SAVED = 3, BEGUN = 7 };

// Beside the arena, what the processes of a case tell each other.
typedef struct notes {
  uint64_t id;
  uint64_t sequence;
  uint32_t kept;
  muster_arena_checkpoint listed[CHECKPOINTS];
  unsigned char read[LARGE];
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + ROOM); }

static muster_arena ours, mine;

static inline muster_arena attach(void) {
  muster_arena arena;
  SWEEP_STATUS(muster_arena_attach(sweep->arena, ROOM, &arena), 0);
  return arena;
}

// Each word of the state with that number tells it.
static inline void state_of(void *bytes, uint64_t size, uint64_t number) {
  for (uint64_t i = 0; i < size; i++) ((unsigned char *)bytes)[i] = (unsigned char)(number * 16 + i / 8 % 16);
}

static inline uint64_t number_of(const void *bytes, uint64_t size) {
  unsigned char expected[LARGE];
  uint64_t number = ((const unsigned char *)bytes)[0] / 16;
  state_of(expected, size, number);
  if (number == 0) memset(expected, 0, size);
  SWEEP_CHECK(!memcmp(bytes, expected, size));
  return number;
}

static inline void change_to(const muster_arena *arena, uint64_t number) {
  unsigned char bytes[LARGE];
  state_of(bytes, arena->size, number);
  SWEEP_STATUS(muster_arena_change_begin(arena), 0);
  SWEEP_STATUS(muster_arena_write(arena, 0, bytes, arena->size), 0);
  SWEEP_STATUS(muster_arena_change_end(arena), 0);
}

// The number that a read finds; or UINT64_MAX, while it is being changed.
static inline uint64_t read_it(const muster_arena *arena) {
  unsigned char bytes[LARGE];
  uint64_t sequence;
  int status = muster_arena_read(arena, 0, bytes, arena->size, &sequence);
  if (status == EAGAIN) return UINT64_MAX;
  SWEEP_STATUS(status, 0);
  SWEEP_EQUAL(sequence % 2, 0);
  return number_of(bytes, arena->size);
}

// The states SAVED and before are checkpoints; the state is BEGUN.
static inline void lay(void) {
  muster_arena_shape shape = {.size = sweep->variant, .checkpoints = CHECKPOINTS};
  SWEEP_STATUS(muster_arena_init(sweep->arena, ROOM, &shape), 0);
  ours = attach();
  for (uint64_t number = 1; number <= SAVED; number++) {
    change_to(&ours, number);
    SWEEP_STATUS(muster_arena_save(&ours, NULL), 0);
  }
  change_to(&ours, BEGUN);
}

static inline void check_list(const muster_arena *arena, uint64_t newest) {
  muster_arena_checkpoint listed[CHECKPOINTS];
  uint32_t kept;
  SWEEP_STATUS(muster_arena_checkpoints(arena, 1, listed, CHECKPOINTS, &kept), 0);
  SWEEP_EQUAL(kept, CHECKPOINTS);
  for (uint32_t k = 0; k < kept; k++) SWEEP_CHECK(listed[k].whole && listed[k].number == newest - k);
}

static inline uint64_t newest_of(const muster_arena *arena) {
  muster_arena_info info;
  muster_arena_info_of(arena, &info);
  return info.newest;
}

// What must not depend on an operator that is stopped.
static inline int looks(int number) {
  (void)number;
  muster_arena reader;
  SWEEP_STATUS(muster_arena_attach_read_only(sweep->arena, ROOM, &reader), 0);
  uint64_t found = read_it(&reader);
  SWEEP_CHECK(found == BEGUN || found == BEGUN + 1 || found == SAVED || found == 0 || found == UINT64_MAX);
  check_list(&reader, newest_of(&reader));
  return 0;
}
static inline void look_on(void) {
  (void)looks(0);
  sweep_newcomer(looks, 0);
}

// A transaction that makes the state that of the number.
static inline void add_all(muster_arena_log *log, uint64_t number) {
  unsigned char bytes[PAGES * 4096];
  state_of(bytes, sizeof bytes, number);
  for (uint64_t page = 0; page * 4096 < log->arena.size; page++)
    SWEEP_STATUS(muster_arena_log_add(log, page, bytes + page * 4096), 0);
}

static inline void run_transaction(const muster_arena *arena, uint64_t number) {
  muster_arena_log log;
  uint64_t id;
  SWEEP_STATUS(muster_arena_log_begin(arena, &id), 0);
  SWEEP_STATUS(muster_arena_log_open(arena, id, &log), 0);
  add_all(&log, number);
  SWEEP_STATUS(muster_arena_log_commit(&log), 0);
  SWEEP_STATUS(muster_arena_redo(arena), 0);
  SWEEP_EQUAL(read_it(arena), number);
}

// A successor finds a whole state, and can do everything.
static inline int succeeds(int number) {
  muster_arena arena = attach();
  uint64_t newest = newest_of(&arena);
  muster_arena_checkpoint loaded;
  SWEEP_STATUS(muster_arena_redo(&arena), ENODATA);
  SWEEP_CHECK(!muster_arena_changing(&arena));
  check_list(&arena, newest);
  change_to(&arena, 9);
  SWEEP_STATUS(muster_arena_save(&arena, &loaded), 0);
  SWEEP_EQUAL(loaded.number, newest + 1);
  run_transaction(&arena, 10);
  SWEEP_STATUS(muster_arena_load(&arena, 0, NULL, NULL, &loaded), 0);
  SWEEP_CHECK(loaded.number == newest + 1 && read_it(&arena) == 9);
  check_list(&arena, newest + 1);
  SWEEP_STATUS(muster_arena_zero(&arena), 0);
  SWEEP_EQUAL(read_it(&arena), 0);
  return number;
}

static inline void prepare(void) { mine = attach(); }

#endif
