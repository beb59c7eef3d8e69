// The root: its rows are whole for readers wherever it is stopped, a name is whole or free wherever it dies.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal/root_row.h"
#include "muster/root.h"
#include "sweep.h"

enum { WORDS = 17, BEGUN = 5 };

// All words of a row follow from one number.
static root_row *row(void) { return (root_row *)(void *)sweep->arena; }
static uint64_t *kept(void) { return (uint64_t *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static void write_row(uint64_t number) {
  uint64_t words[WORDS];
  for (uint64_t k = 0; k < WORDS; k++) words[k] = number * 100 + k;
  muster_root_row_write(row(), words, WORDS);
}

static uint64_t number_in(const uint64_t *words) {
  for (uint64_t k = 1; k < WORDS; k++) SWEEP_EQUAL(words[k], words[0] + k);
  return words[0] / 100;
}

static uint64_t read_row(void) {
  uint64_t words[WORDS];
  SWEEP_STATUS(muster_root_row_read(row(), words, WORDS), 0);
  return number_in(words);
}

static void row_setup(void) {
  for (uint64_t number = 1; number <= BEGUN; number++) write_row(number);
}

// ---- The root writes: a reader never waits for it.

static int write_operate(void) {
  write_row(BEGUN + 1);
  return 0;
}

static void write_meanwhile(void) {
  uint64_t number = read_row();
  SWEEP_CHECK(number == BEGUN || number == BEGUN + 1);
}

static void write_check(void) {
  uint64_t number = read_row();
  SWEEP_CHECK(number == BEGUN || number == BEGUN + 1);
  if (sweep->returned) SWEEP_EQUAL(number, BEGUN + 1);
  if (sweep->injection == SWEEP_CRASH) sweep_found(number == BEGUN ? SWEEP_BEFORE : SWEEP_AFTER);
}

// ---- A reader is stopped: what it reads is of one moment, however often the root writes meanwhile.

static int read_operate(void) { return muster_root_row_read(row(), kept(), WORDS); }

static void read_meanwhile(void) {
  for (uint64_t k = 0; k < 1 + sweep->point % 4; k++) write_row(BEGUN + 10 + k);
}

static void read_check(void) {
  if (!sweep->returned) return;
  SWEEP_STATUS(sweep->result, 0);
  uint64_t number = number_in(kept());
  SWEEP_CHECK(number == BEGUN || (sweep->injection == SWEEP_STALL && number == read_row()));
}

// ---- A root is laid out: its name leads to nothing, or to all of it; the next root of that name replaces it.

static muster_root *made;
static const char *name;

static int runs(muster_daemon *self, void *context) {
  (void)self;
  (void)context;
  return 0;
}

static int start_root(muster_root **root) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = runs, .state_size = 100, .checkpoints = 1},
                                      {.name = "b", .run = runs, .state_size = 100, .transaction_pages = MUSTER_ROOT_NONE}};
  const muster_root_options options = {.deadline = 1, .seed = 1};
  return muster_root_start(name, specs, 2, &options, root);
}

static void start_setup(void) { name = sweep_name("root"); }
static void start_prepare(void) { name = sweep_name("root"); }
static int start_operate(void) { return start_root(&made); }

static int is_whole(int number) {
  (void)number;
  muster_root_view *view;
  muster_daemon_status status;
  int found = muster_root_observe(name, 0, &view);
  if (found == ENOENT) return 0;
  SWEEP_STATUS(found, 0);
  SWEEP_EQUAL(muster_root_view_count(view), 2);
  for (uint32_t k = 0; k < 2; k++) {
    SWEEP_STATUS(muster_root_view_daemon(view, k, &status), 0);
    SWEEP_CHECK(!strcmp(status.name, k ? "b" : "a"));
    SWEEP_EQUAL(status.arena_error, 0);
  }
  muster_root_view_close(view);
  return 0;
}

// Whoever comes while one is being laid out may be first, and is gone again.
static int comes_between(int number) {
  muster_root *root;
  int status = start_root(&root);
  SWEEP_CHECK(status == 0 || status == EBUSY);
  is_whole(number);
  muster_root_close(root);
  return 0;
}

static void start_meanwhile(void) { sweep_newcomer(comes_between, 0); }

static int succeeds(int number) {
  muster_root *root;
  SWEEP_STATUS(start_root(&root), 0);
  is_whole(number);
  muster_root_close(root);
  muster_root_view *view;
  SWEEP_STATUS(muster_root_observe(name, 0, &view), ENOENT);
  return 0;
}

static void start_finish(void) { muster_root_close(made); }

static void start_check(void) {
  sweep_newcomer(is_whole, 0);
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    sweep_newcomer(comes_between, 0);
    sweep_finish();
  } else {
    muster_root_view *view;
    int found = muster_root_observe(name, 0, &view);
    sweep_found(found ? SWEEP_BEFORE : SWEEP_AFTER);
    muster_root_view_close(view);
  }
  sweep_newcomer(succeeds, 0);
}

// ---- And closed

static void close_prepare(void) {
  start_prepare();
  SWEEP_STATUS(start_root(&made), 0);
}

static int close_operate(void) {
  muster_root_close(made);
  return 0;
}

static void close_check(void) {
  sweep_newcomer(is_whole, 0);
  if (sweep->injection == SWEEP_STALL) {
    sweep_finish();
  } else {
    muster_root_view *view;
    int found = muster_root_observe(name, 0, &view);
    sweep_found(found ? SWEEP_AFTER : SWEEP_BEFORE);
    muster_root_view_close(view);
  }
  sweep_newcomer(succeeds, 0);
}

SWEEP_SUITE(root,
            {.name = "root.row-write", .minimum = 30, .setup = row_setup, .operate = write_operate, .meanwhile = write_meanwhile,
             .check = write_check},
            {.name = "root.row-read", .minimum = 30, .setup = row_setup, .operate = read_operate, .meanwhile = read_meanwhile,
             .check = read_check},
            {.name = "root.start", .minimum = 20, .setup = start_setup, .prepare = start_prepare, .operate = start_operate,
             .meanwhile = start_meanwhile, .finish = start_finish, .check = start_check, .sample = 100},
            {.name = "root.close", .minimum = 20, .setup = start_setup, .prepare = close_prepare, .operate = close_operate,
             .check = close_check, .sample = 100});
