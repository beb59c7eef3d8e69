// The arena's transactions: each side dies, or is stopped, while it begins, writes, commits, decides, redoes. The state is the one
// before or the one after, and what was committed comes into it.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>

#include "arena_world.h"

static muster_arena_log log_of_mine;

static int counts(uint64_t committed) {
  muster_arena_info info;
  muster_arena_info_of(&ours, &info);
  return info.committed == committed;
}

// The owner ends what the operator began, and finds out what became of it.
static void settle(void) {
  int decided = muster_arena_log_decide(&ours, note()->id);
  SWEEP_CHECK(decided == 0 || decided == EALREADY);
  SWEEP_EQUAL(read_it(&ours), BEGUN);
  SWEEP_STATUS(muster_arena_redo(&ours), decided ? 0 : ENODATA);
  SWEEP_EQUAL(read_it(&ours), decided ? BEGUN + 1 : BEGUN);
  SWEEP_CHECK(counts(decided ? 1 : 0));
  if (sweep->injection == SWEEP_CRASH) sweep_found(decided ? SWEEP_AFTER : SWEEP_BEFORE);
  if (sweep->returned) SWEEP_STATUS(sweep->result, decided ? 0 : ECANCELED);
}

// ---- The transaction: adds and commits

static void begun_setup(void) {
  lay();
  SWEEP_STATUS(muster_arena_log_begin(&ours, &note()->id), 0);
}

static void open_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_arena_log_open(&mine, note()->id, &log_of_mine), 0);
}

static void added_prepare(void) {
  open_prepare();
  add_all(&log_of_mine, BEGUN + 1);
}

static unsigned char pages[PAGES * 4096];
static void pages_prepare(void) {
  open_prepare();
  state_of(pages, sizeof pages, BEGUN + 1);
}

static int transact_operate(void) {
  int status = 0;
  for (uint64_t page = 0; !status && page < PAGES; page++)
    status = muster_arena_log_add(&log_of_mine, page, pages + page * 4096);
  return status ? status : muster_arena_log_commit(&log_of_mine);
}

static int commit_operate(void) { return muster_arena_log_commit(&log_of_mine); }

// Every other time the owner has lost patience when the transaction goes on.
static void patience_meanwhile(void) {
  look_on();
  SWEEP_EQUAL(read_it(&ours), BEGUN);
  if (sweep->point % 2 == 0) return;
  int decided = muster_arena_log_decide(&ours, note()->id);
  SWEEP_CHECK(decided == 0 || decided == EALREADY);
}

static void commit_check(void) {
  settle();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

// ---- The owner: begins, decides

static int begin_operate(void) { return muster_arena_log_begin(&mine, &note()->id); }

static void begin_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  muster_arena_info info;
  muster_arena_info_of(&ours, &info);
  SWEEP_CHECK(info.id == 0 || info.transaction == MUSTER_ARENA_RUNNING);
  if (sweep->injection == SWEEP_CRASH) sweep_found(info.id == 0 ? SWEEP_BEFORE : SWEEP_AFTER);
  SWEEP_STATUS(muster_arena_redo(&ours), ENODATA);
  SWEEP_EQUAL(read_it(&ours), BEGUN);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

static muster_arena_log log_of_ours;

static void decide_setup(void) {
  begun_setup();
  SWEEP_STATUS(muster_arena_log_open(&ours, note()->id, &log_of_ours), 0);
  add_all(&log_of_ours, BEGUN + 1);
}

static int decide_operate(void) { return muster_arena_log_decide(&mine, note()->id); }

static int committed_meanwhile;
static void decide_meanwhile(void) {
  look_on();
  if (sweep->point % 2 == 0) return;
  int status = muster_arena_log_commit(&log_of_ours);
  SWEEP_CHECK(status == 0 || status == ECANCELED);
  committed_meanwhile = status == 0;
}

static void decide_check(void) {
  int status = muster_arena_log_commit(&log_of_ours);
  SWEEP_CHECK(status == 0 || status == ECANCELED || (status == ESTALE && committed_meanwhile));
  int committed = status != ECANCELED;
  if (sweep->returned) SWEEP_STATUS(sweep->result, committed ? EALREADY : 0);
  if (sweep->injection == SWEEP_CRASH) sweep_found(committed ? SWEEP_BEFORE : SWEEP_AFTER);
  SWEEP_STATUS(muster_arena_redo(&ours), committed ? 0 : ENODATA);
  SWEEP_EQUAL(read_it(&ours), committed ? BEGUN + 1 : BEGUN);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

// ---- Redo: from the beginning, and after one who died in it

static void committed_setup(void) {
  decide_setup();
  SWEEP_STATUS(muster_arena_log_commit(&log_of_ours), 0);
}

static int redo_operate(void) { return muster_arena_redo(&mine); }

// As a redo leaves it that died after so many bytes of the state.
static void died_after(uint64_t bytes) {
  committed_setup();
  uint64_t *sequence = (uint64_t *)(void *)(sweep->arena + 128);
  SWEEP_EQUAL(*sequence, muster_arena_sequence(&ours));
  *sequence += 1;
  memcpy(ours.state, pages, bytes);
}
static void half_setup(void) {
  state_of(pages, sizeof pages, BEGUN + 1);
  died_after(4096 + 24);
}

static void redo_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  uint64_t found = read_it(&ours);
  SWEEP_CHECK(found == BEGUN || found == BEGUN + 1 || found == UINT64_MAX);
  if (sweep->returned) SWEEP_EQUAL(found, BEGUN + 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(found == BEGUN + 1 ? SWEEP_AFTER : SWEEP_BEFORE);
  // Whatever was done of it, the next makes it whole, and it counts once.
  int status = muster_arena_redo(&ours);
  SWEEP_CHECK(status == 0 || (status == ENODATA && found == BEGUN + 1));
  SWEEP_EQUAL(read_it(&ours), BEGUN + 1);
  SWEEP_CHECK(counts(1));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(succeeds, 0);
}

// ---- A transaction as its process does it: isolated, in a file

static unsigned char *map_file(int *file) {
  *file = open(sweep_path("arena"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  SWEEP_CHECK(*file >= 0 && !ftruncate(*file, ROOM));
  void *memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
  SWEEP_CHECK(memory != MAP_FAILED);
  return memory;
}

static int file;

static void file_setup(void) {
  unsigned char *memory = map_file(&file);
  muster_arena_shape shape = {.size = LARGE, .checkpoints = CHECKPOINTS};
  SWEEP_STATUS(muster_arena_init(memory, ROOM, &shape), 0);
  SWEEP_STATUS(muster_arena_attach(memory, ROOM, &ours), 0);
  change_to(&ours, BEGUN);
  SWEEP_STATUS(muster_arena_log_begin(&ours, &note()->id), 0);
}

static void file_prepare(void) {
  unsigned char *memory = map_file(&file);
  SWEEP_STATUS(muster_arena_attach(memory, ROOM, &mine), 0);
  SWEEP_STATUS(muster_arena_log_open(&mine, note()->id, &log_of_mine), 0);
  state_of(pages, sizeof pages, BEGUN + 1);
}

static int isolate_operate(void) {
  int status = muster_arena_log_isolate(&log_of_mine, file, (uint64_t)((unsigned char *)mine.state - mine.base));
  if (status) return status;
  memcpy(mine.state, pages, LARGE);
  status = muster_arena_log_changed(&log_of_mine);
  return status ? status : muster_arena_log_commit(&log_of_mine);
}

static void file_meanwhile(void) {
  SWEEP_EQUAL(read_it(&ours), BEGUN);
  if (sweep->point % 2) (void)!muster_arena_log_decide(&ours, note()->id);
}

static void file_check(void) {
  settle();
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  run_transaction(&ours, 9);
  SWEEP_CHECK(!unlink(sweep_path("arena")));
}

#define CASE(text, least, of, one, two, three, four, six)                                                         \
  {.name = "arena." text, .minimum = least, .variant = of, .setup = one, .prepare = two, .operate = three, .meanwhile = four, \
   .check = six}

SWEEP_SUITE(arena_log, CASE("begin", 15, SMALL, lay, prepare, begin_operate, look_on, begin_check),
            CASE("add-and-commit", 300, LARGE, begun_setup, pages_prepare, transact_operate, patience_meanwhile, commit_check),
            CASE("commit", 40, LARGE, begun_setup, added_prepare, commit_operate, patience_meanwhile, commit_check),
            CASE("decide", 10, LARGE, decide_setup, prepare, decide_operate, decide_meanwhile, decide_check),
            CASE("redo", 300, LARGE, committed_setup, prepare, redo_operate, look_on, redo_check),
            CASE("redo-after-a-death-in-it", 300, LARGE, half_setup, prepare, redo_operate, look_on, redo_check),
            CASE("transaction-in-a-file", 300, LARGE, file_setup, file_prepare, isolate_operate, file_meanwhile, file_check));
