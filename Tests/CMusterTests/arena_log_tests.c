// Transactions: what each side is told, who of the two deciders wins, what redo leaves.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "arena_support.h"
#include "internal/arena_layout.h"
#include "support.h"
#include "test.h"

static arena_place place_of(uint64_t pages, uint64_t log_pages) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  return arena_test_place(&(muster_arena_shape){.size = pages * page - 100, .log_pages = log_pages, .checkpoints = 1});
}

static arena_log_head *head_of(const arena_place *place) {
  return (arena_log_head *)(void *)(place->memory + place->layout.log_offset);
}

// Adds the page as the state of that number has it.
static int add(muster_arena_log *log, uint64_t page, uint64_t number) {
  static unsigned char bytes[1 << 16];
  arena_test_state(bytes, page * log->arena.page, log->arena.page, number);
  return muster_arena_log_add(log, page, bytes);
}

static void begin(const arena_place *place, muster_arena_log *log) {
  uint64_t id;
  REQUIRE(!muster_arena_log_begin(&place->arena, &id));
  REQUIRE(!muster_arena_log_open(&place->arena, id, log));
}

static void commit_all(const arena_place *place, uint64_t pages, uint64_t number) {
  muster_arena_log log;
  begin(place, &log);
  for (uint64_t page = 0; page < pages; page++) CHECK_STATUS(add(&log, page, number), 0);
  CHECK_STATUS(muster_arena_log_commit(&log), 0);
}

static void check_counts(const arena_place *place, uint64_t begun, uint64_t committed, uint64_t crashed) {
  muster_arena_info info;
  muster_arena_info_of(&place->arena, &info);
  CHECK_EQUAL(info.id, begun);
  CHECK_EQUAL(info.committed, committed);
  CHECK_EQUAL(info.crashed, crashed);
}

static void commits(void) {
  arena_place place = place_of(4, 0);
  const muster_arena *arena = &place.arena;
  muster_arena_log log;
  muster_arena_info info;
  arena_test_change(arena, 1);
  CHECK_STATUS(muster_arena_redo(arena), ENODATA);
  commit_all(&place, 4, 2);
  muster_arena_info_of(arena, &info);
  CHECK(info.transaction == MUSTER_ARENA_COMMITTED && info.id == 1 && info.committed == 0);
  CHECK_EQUAL(arena_test_read(arena), 1);
  CHECK_STATUS(muster_arena_redo(arena), 0);
  CHECK_EQUAL(arena_test_read(arena), 2);
  CHECK_EQUAL(muster_arena_sequence(arena), 4);
  check_counts(&place, 1, 1, 0);
  CHECK_STATUS(muster_arena_redo(arena), ENODATA);
  // Some pages, and none.
  begin(&place, &log);
  CHECK_STATUS(add(&log, 1, 7), 0);
  CHECK_STATUS(add(&log, 3, 7), 0);
  CHECK_STATUS(muster_arena_log_commit(&log), 0);
  CHECK_STATUS(muster_arena_redo(arena), 0);
  unsigned char bytes[4 << 16];
  uint64_t number, page = arena->page;
  CHECK_STATUS(muster_arena_read(arena, 0, bytes, arena->size, NULL), 0);
  for (uint64_t k = 0; k < 4; k++) {
    CHECK(arena_test_is_state(bytes + k * page, k * page, k == 3 ? page - 100 : page, &number));
    CHECK_EQUAL(number, k % 2 ? 7 : 2);
  }
  begin(&place, &log);
  CHECK_STATUS(muster_arena_log_commit(&log), 0);
  CHECK_STATUS(muster_arena_redo(arena), 0);
  check_counts(&place, 3, 3, 0);
  arena_test_free(&place);
}

static void what_is_told(void) {
  arena_place place = place_of(4, 2);
  const muster_arena *arena = &place.arena;
  muster_arena_log log, other;
  uint64_t id;
  begin(&place, &log);
  CHECK_EQUAL(log.id, 1);
  CHECK_STATUS(muster_arena_log_begin(arena, &id), EBUSY);
  CHECK_STATUS(muster_arena_change_begin(arena), EBUSY);
  CHECK_STATUS(muster_arena_zero(arena), EBUSY);
  CHECK_STATUS(muster_arena_save(arena, NULL), 0);
  CHECK_STATUS(muster_arena_load(arena, 0, NULL, NULL, NULL), EBUSY);
  CHECK_STATUS(muster_arena_log_open(arena, 2, &other), ESTALE);
  CHECK_STATUS(muster_arena_log_decide(arena, 2), ESTALE);
  CHECK_STATUS(muster_arena_log_drop(arena), EINVAL);
  CHECK_STATUS(muster_arena_log_changed(&log), EINVAL);
  CHECK_STATUS(add(&log, 4, 1), EINVAL);
  CHECK_STATUS(add(&log, 2, 1), 0);
  CHECK_STATUS(add(&log, 2, 1), EINVAL);
  CHECK_STATUS(add(&log, 1, 1), EINVAL);
  CHECK_STATUS(add(&log, 3, 1), 0);
  CHECK_STATUS(add(&log, 3, 1), EINVAL);
  CHECK_EQUAL(log.pages, 2);
  // The owner decides: the transaction learns of it at each step, and nothing is committed.
  CHECK_STATUS(muster_arena_log_decide(arena, 1), 0);
  CHECK_STATUS(muster_arena_log_decide(arena, 1), 0);
  CHECK_STATUS(muster_arena_log_open(arena, 1, &other), ECANCELED);
  CHECK_STATUS(muster_arena_log_commit(&log), ECANCELED);
  CHECK_STATUS(muster_arena_log_abort(&log), ECANCELED);
  muster_arena_count(arena, MUSTER_ARENA_END_LATE);
  check_counts(&place, 1, 0, 0);
  // The next one, without a redo between; the old one can do nothing to it.
  begin(&place, &other);
  CHECK_STATUS(muster_arena_log_commit(&log), ESTALE);
  CHECK_STATUS(muster_arena_log_abort(&log), ESTALE);
  CHECK_STATUS(muster_arena_log_decide(arena, 1), ESTALE);
  CHECK_STATUS(add(&other, 0, 3), 0);
  CHECK_STATUS(add(&other, 1, 3), 0);
  CHECK_STATUS(add(&other, 2, 3), ENOSPC);
  CHECK_STATUS(muster_arena_log_commit(&other), 0);
  CHECK_STATUS(muster_arena_log_commit(&other), ESTALE);
  CHECK_STATUS(muster_arena_log_abort(&other), ESTALE);
  CHECK_STATUS(muster_arena_log_decide(arena, 2), EALREADY);
  CHECK_STATUS(muster_arena_log_begin(arena, &id), EBUSY);
  CHECK_STATUS(muster_arena_change_begin(arena), EBUSY);
  CHECK_STATUS(muster_arena_redo(arena), 0);
  CHECK_STATUS(muster_arena_log_decide(arena, 2), ESTALE);
  // One that aborts by itself, one that dies running, and a successor.
  begin(&place, &log);
  CHECK_STATUS(muster_arena_log_abort(&log), 0);
  CHECK_STATUS(muster_arena_log_decide(arena, 3), 0);
  muster_arena_count(arena, MUSTER_ARENA_END_ABORTED);
  CHECK_STATUS(muster_arena_redo(arena), ENODATA);
  begin(&place, &log);
  check_counts(&place, 4, 1, 0);
  CHECK_STATUS(muster_arena_redo(arena), ENODATA);
  check_counts(&place, 4, 1, 1);
  CHECK_STATUS(muster_arena_log_commit(&log), ESTALE);
  CHECK_STATUS(muster_arena_change_begin(arena), 0);
  CHECK_STATUS(muster_arena_change_end(arena), 0);
  arena_test_free(&place);
  place = arena_test_place(&(muster_arena_shape){.size = 100, .flags = MUSTER_ARENA_NO_TRANSACTIONS});
  CHECK_STATUS(muster_arena_log_begin(&place.arena, &id), ENOTSUP);
  CHECK_STATUS(muster_arena_log_open(&place.arena, 1, &log), ESTALE);
  CHECK_STATUS(muster_arena_log_decide(&place.arena, 1), ESTALE);
  CHECK_STATUS(muster_arena_redo(&place.arena), ENODATA);
  CHECK_STATUS(muster_arena_log_drop(&place.arena), EINVAL);
  arena_test_free(&place);
}

// Each word that a commit rests on, changed: told, and the state stays as it was until the log is dropped.
static void corrupt_logs(void) {
  arena_place place = place_of(3, 0);
  const muster_arena *arena = &place.arena;
  arena_log_head *head = head_of(&place);
  uint64_t *numbers = arena_test_word(&place, place.layout.log_offset + place.layout.page);
  uint64_t *last = arena_test_word(&place, place.layout.size - 8);
  arena_test_change(arena, 5);
  commit_all(&place, 3, 6);
  uint64_t *words[] = {&head->pages, &head->committed, &head->checksum, &numbers[0], &numbers[2], last};
  static const uint64_t masks[] = {1, UINT64_C(1) << 63, UINT64_MAX, 0x7f00};
  for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
      *words[w] ^= masks[m];
      CHECK_STATUS(muster_arena_redo(arena), EBADMSG);
      CHECK_STATUS(muster_arena_change_begin(arena), EBUSY);
      CHECK_EQUAL(arena_test_read(arena), 5);
      *words[w] ^= masks[m];
    }
  }
  head->pages++;
  CHECK_STATUS(muster_arena_log_drop(arena), 0);
  CHECK_EQUAL(arena_test_read(arena), 5);
  commit_all(&place, 3, 7);
  CHECK_STATUS(muster_arena_redo(arena), 0);
  CHECK_EQUAL(arena_test_read(arena), 7);
  check_counts(&place, 2, 1, 1);
  arena_test_free(&place);
}

// A death between any two stores of redo: the memory is made as it would be left, and redone.
static void every_half_done_redo(void) {
  enum { PAGES = 3 };
  arena_place place = place_of(PAGES, 0);
  const muster_arena *arena = &place.arena;
  arena_control *control = (arena_control *)(void *)place.memory;
  uint64_t page = arena->page, last = 10;
  for (uint64_t copied = 0; copied <= PAGES; copied++) {
    for (int more = 0; more < 3; more++) {
      arena_test_change(arena, last);
      commit_all(&place, PAGES, ++last);
      uint64_t before = control->sequence, counted = control->committed;
      control->sequence |= 1;
      arena_test_state(arena->state, 0, copied * page, last);
      if (copied == PAGES && more > 0) control->committed++;
      if (copied == PAGES && more > 1) control->sequence++;
      if (copied < PAGES && copied > 0) CHECK_STATUS(muster_arena_change_end(arena), EBUSY);
      CHECK_STATUS(muster_arena_redo(arena), 0);
      CHECK(arena_test_read(arena) == last && control->committed == counted + 1);
      CHECK(control->sequence > before && !muster_arena_changing(arena));
      CHECK_STATUS(muster_arena_redo(arena), ENODATA);
    }
  }
  arena_test_free(&place);
}

// ---- The owner aborts as the transaction commits

typedef struct race {
  arena_place place;
  uint64_t *gate;
  uint64_t rounds;
  uint64_t committed;
} race;

static void *commit_in_turn(void *context) {
  race *run = context;
  for (uint64_t round = 1; round <= run->rounds; round++) {
    muster_arena_log log;
    while (__atomic_load_n(run->gate, __ATOMIC_ACQUIRE) < 2 * round - 1) sched_yield();
    REQUIRE(!muster_arena_log_open(&run->place.arena, round, &log) && !add(&log, round % 3, round));
    __atomic_store_n(run->gate, 2 * round, __ATOMIC_RELEASE);
    int status = muster_arena_log_commit(&log);
    CHECK(status == 0 || status == ECANCELED);
    run->committed += status == 0;
    __atomic_store_n(run->gate, 2 * round + UINT32_MAX, __ATOMIC_RELEASE);
    while (__atomic_load_n(run->gate, __ATOMIC_ACQUIRE) > UINT32_MAX) sched_yield();
  }
  return NULL;
}

static void one_decides(void) {
  uint64_t random = test_seed(), gate = 0, committed = 0;
  race run = {.place = place_of(3, 1), .gate = &gate, .rounds = 20000 / test_slower()};
  pthread_t other;
  REQUIRE(!pthread_create(&other, NULL, commit_in_turn, &run));
  for (uint64_t round = 1, id; round <= run.rounds; round++) {
    REQUIRE(!muster_arena_log_begin(&run.place.arena, &id) && id == round);
    __atomic_store_n(&gate, 2 * round - 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&gate, __ATOMIC_ACQUIRE) < 2 * round) sched_yield();
    for (uint64_t turns = test_random(&random) % 64; turns; turns--) __asm__ __volatile__("");
    int decided = muster_arena_log_decide(&run.place.arena, id);
    CHECK(decided == 0 || decided == EALREADY);
    while (__atomic_load_n(&gate, __ATOMIC_ACQUIRE) < UINT32_MAX) sched_yield();
    CHECK_STATUS(muster_arena_redo(&run.place.arena), decided ? 0 : ENODATA);
    committed += decided == EALREADY;
    __atomic_store_n(&gate, 0, __ATOMIC_RELEASE);
  }
  pthread_join(other, NULL);
  CHECK_EQUAL(run.committed, committed);
  check_counts(&run.place, run.rounds, committed, run.rounds - committed);
  arena_test_free(&run.place);
}

TEST_SUITE(arena_log, {"commits", commits, 0}, {"what_is_told", what_is_told, 0}, {"corrupt_logs", corrupt_logs, 0},
           {"every_half_done_redo", every_half_done_redo, 0}, {"one_decides", one_decides, 60});
