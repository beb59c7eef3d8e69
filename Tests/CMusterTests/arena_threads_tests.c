// Readers beside an owner, as threads: what they copy is of one moment, and the thread sanitizer finds no race.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>

#include "arena_support.h"
#include "support.h"
#include "test.h"

enum { SIZE = 2 * 4096 - 8, READERS = 2 };

typedef struct scene {
  arena_place place;
  uint64_t reads[READERS];
  uint64_t stop;
} scene;

typedef struct reader {
  scene *at;
  int number;
} reader;

static void *read_on(void *context) {
  const reader *of = context;
  const muster_arena *arena = &of->at->place.arena;
  unsigned char bytes[SIZE];
  uint64_t last = 0, random = (uint64_t)of->number, sequence, number;
  while (!__atomic_load_n(&of->at->stop, __ATOMIC_ACQUIRE)) {
    uint64_t offset = test_random(&random) % 4000, size = 64 + test_random(&random) % 4000;
    int status = muster_arena_read_until(arena, offset, bytes, size, soon(), &sequence);
    CHECK_STATUS(status, 0);
    CHECK(arena_test_is_state(bytes, offset, size, &number) && number >= last && sequence % 2 == 0);
    last = number;
    __atomic_fetch_add(&of->at->reads[of->number], 1, __ATOMIC_RELEASE);
  }
  return NULL;
}

static void *list_on(void *context) {
  scene *at = context;
  muster_arena_checkpoint listed[2];
  uint32_t kept;
  while (!__atomic_load_n(&at->stop, __ATOMIC_ACQUIRE)) {
    int status = muster_arena_checkpoints(&at->place.arena, 1, listed, 2, &kept);
    CHECK(status == 0 || status == EAGAIN);
    for (uint32_t k = 0; !status && k < kept; k++) CHECK(listed[k].whole && listed[k].number == listed[0].number - k);
  }
  return NULL;
}

// By a transaction's log, which another thread of this process wrote: not isolated, so its pages' bytes are given.
static void change_by_log(const muster_arena *arena, uint64_t number) {
  static unsigned char bytes[1 << 16];
  muster_arena_log log;
  uint64_t id;
  REQUIRE(!muster_arena_log_begin(arena, &id) && !muster_arena_log_open(arena, id, &log));
  for (uint64_t page = 0; page * arena->page < SIZE; page++) {
    arena_test_state(bytes, page * arena->page, arena->page, number);
    REQUIRE(!muster_arena_log_add(&log, page, bytes));
  }
  REQUIRE(!muster_arena_log_commit(&log) && !muster_arena_redo(arena));
}

static int has_read(const scene *at, uint64_t times) {
  for (int r = 0; r < READERS; r++)
    if (__atomic_load_n(&at->reads[r], __ATOMIC_ACQUIRE) < times) return 0;
  return 1;
}

static void readers_and_owner(void) {
  static scene at;
  at.place = arena_test_place(&(muster_arena_shape){.size = SIZE, .checkpoints = 2});
  const muster_arena *arena = &at.place.arena;
  pthread_t threads[READERS + 1];
  reader readers[READERS];
  for (int r = 0; r < READERS; r++) {
    readers[r] = (reader){.at = &at, .number = r};
    REQUIRE(!pthread_create(&threads[r], NULL, read_on, &readers[r]));
  }
  REQUIRE(!pthread_create(&threads[READERS], NULL, list_on, &at));
  uint64_t number = 0, times = 3000 / test_slower();
  while (!has_read(&at, times) || number < times) {
    if (++number % 3) arena_test_change(arena, number);
    else change_by_log(arena, number);
    if (number % 2) REQUIRE(!muster_arena_save(arena, NULL));
    // Of what was just saved: an older state would be a step back for who has read the newer one.
    if (number % 14 == 7) REQUIRE(!muster_arena_load(arena, 0, NULL, NULL, NULL));
    if (number % 16 == 0) test_pause(100000);
    muster_arena_beat(arena, (int64_t)number);
  }
  __atomic_store_n(&at.stop, 1, __ATOMIC_RELEASE);
  for (int t = 0; t <= READERS; t++) pthread_join(threads[t], NULL);
  arena_test_free(&at.place);
}

TEST_SUITE(arena_threads, {"readers_and_owner", readers_and_owner, 60});
