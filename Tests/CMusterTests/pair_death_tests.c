// Primaries and backups that are killed or stopped, and what a successor finds.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pair_support.h"
#include "support.h"
#include "test.h"

enum { BEGUN = 4, LIVES = 150, OUTPUTS = 1 << 22 };

// The store that is the primary's last.
typedef enum last_store { LED, SAID, TRIED, COMMITTED, OUT, EMITTED, RESIGNED, STORES } last_store;

typedef struct scene {
  const char *name;
  last_store last;
  uint32_t gate;
  uint32_t asked;           // the output can be asked what it has
  uint32_t lives;
  uint32_t times[OUTPUTS];  // the output: how often it got each step's
} scene;

static scene *make_scene(const char *tag) {
  scene *at = shared_memory(sizeof *at);
  at->name = test_name(tag);
  return at;
}

static int is_out(const scene *at, uint64_t step) { return __atomic_load_n(&at->times[step], __ATOMIC_ACQUIRE) > 0; }

// One instruction. Nothing is left out, whoever emits.
static void emit(scene *at, uint64_t step) {
  REQUIRE(step + 1 < OUTPUTS);
  CHECK((step == 1 || is_out(at, step - 1)) && !is_out(at, step + 1));
  __atomic_add_fetch(&at->times[step], 1, __ATOMIC_ACQ_REL);
}

static void work_up_to(void *context) {
  scene *at = context;
  muster_pair *pair = pair_test_lead(at->name, 0, 2);
  muster_pair_primary primary = pair_test_primary(2);
  if (at->last >= SAID) CHECK_STATUS(muster_pair_say(pair, &primary), 0);
  if (at->last >= TRIED) CHECK_STATUS(muster_pair_try(pair, BEGUN + 1), 0);
  if (at->last >= COMMITTED) CHECK_STATUS(pair_test_commit(pair, BEGUN + 1, 0), 0);
  if (at->last >= OUT) emit(at, BEGUN + 1);
  if (at->last >= EMITTED) CHECK_STATUS(muster_pair_emitted(pair, BEGUN + 1), 0);
  if (at->last >= RESIGNED) CHECK_STATUS(muster_pair_resign(pair), 0);
  if (test_result()) return;
  raise(SIGKILL);
}

static void killed_after_each_store(void) {
  scene *at = make_scene("stores");
  for (last_store last = LED; last < STORES; last++) {
    muster_pair *pair = pair_test_lead(at->name, 0, 1);
    muster_pair_primary before = pair_test_primary(1);
    CHECK_STATUS(muster_pair_say(pair, &before), 0);
    CHECK_STATUS(pair_test_commit(pair, 0, 0), 0);
    for (uint64_t n = 1; n <= BEGUN; n++) pair_test_step(pair, n);
    CHECK_STATUS(muster_pair_resign(pair), 0);
    at->last = last;
    at->times[BEGUN] = 1;
    at->times[BEGUN + 1] = 0;
    test_join(test_fork(work_up_to, at), SIGKILL);
    muster_pair_status status = pair_test_look(pair);
    CHECK_EQUAL(status.primary_life, last == RESIGNED ? MUSTER_PAIR_NOBODY : MUSTER_PAIR_DEAD);
    CHECK_EQUAL(status.epoch, 2);
    CHECK_EQUAL(status.primary.epoch, last >= SAID ? 2 : 1);
    CHECK_EQUAL(status.tried, last >= TRIED ? BEGUN + 1 : BEGUN);
    CHECK_EQUAL(status.committed, last >= COMMITTED ? BEGUN + 1 : BEGUN);
    CHECK_EQUAL(status.emitted, last >= EMITTED ? BEGUN + 1 : BEGUN);
    uint64_t epoch;
    CHECK_STATUS(muster_pair_lead(pair, &epoch), 0);
    CHECK_EQUAL(epoch, 3);
    CHECK_EQUAL(pair_test_newest(pair), status.committed);
    pair_test_step(pair, status.committed + 1);
    CHECK_STATUS(muster_pair_close(pair), 0);
    CHECK_STATUS(muster_region_remove(at->name, 0), 0);
  }
  munmap(at, sizeof *at);
}

// ---- A life as the header has it

// Goes on where the one before was, and works until it is killed.
static void live(void *context) {
  scene *at = context;
  muster_pair *pair = pair_test_open(at->name, 0);
  muster_pair_entry entry = {0};
  uint64_t epoch;
  int status = muster_pair_lead(pair, &epoch);
  CHECK_STATUS(status, 0);
  muster_pair_primary said = pair_test_primary(epoch);
  CHECK_STATUS(muster_pair_say(pair, &said), 0);
  uint64_t emitted = pair_test_look(pair).emitted;
  status = pair_test_load(pair, 0, NULL, NULL, &entry);
  if (status == ENODATA) CHECK_STATUS(pair_test_commit(pair, 0, 0), 0);
  else CHECK_STATUS(status, 0);
  uint64_t step = entry.step;
  CHECK(emitted == step || emitted + 1 == step);
  if (emitted < step) {
    if (!at->asked || !is_out(at, step)) emit(at, step);
    CHECK_STATUS(muster_pair_emitted(pair, step), 0);
  }
  gate_open(&at->gate, at->lives);
  while (!test_result()) {
    step++;
    CHECK_STATUS(muster_pair_try(pair, step), 0);
    CHECK_STATUS(pair_test_commit(pair, step, 0), 0);
    emit(at, step);
    CHECK_STATUS(muster_pair_emitted(pair, step), 0);
  }
}

static void check_outputs(const scene *at, uint64_t newest) {
  uint32_t repeats = 0, steps = 0;
  while (is_out(at, steps + 1)) repeats += at->times[++steps] - 1;
  printf("%u lives, %u steps, %u repeats\n", at->lives, steps, repeats);
  CHECK(steps > 0 && (steps == newest || steps + 1 == newest));
  CHECK(at->asked ? repeats == 0 : repeats < at->lives);
}

static void killed_at_random(const char *tag, int asked) {
  scene *at = make_scene(tag);
  at->asked = (uint32_t)asked;
  muster_pair *reader = pair_test_open(at->name, 0);
  uint64_t random = test_seed(), epoch, newest = 0;
  while (at->lives < LIVES && !test_result() && newest < OUTPUTS / 2) {
    at->lives++;
    pid_t primary = test_fork(live, at);
    // Some are killed before they have come to work.
    if (test_random(&random) % 4) gate_wait(&at->gate, at->lives);
    test_pause((int64_t)(test_random(&random) % 1000000));
    if (test_random(&random) % 3 == 0) {
      stop_process(primary);
      // A stopped one keeps everybody out, and holds no reader up.
      muster_pair_status status = pair_test_look(reader);
      int lead = muster_pair_lead(reader, &epoch);
      CHECK_STATUS(lead, status.primary_life == MUSTER_PAIR_ALIVE ? EBUSY : 0);
      if (!lead) CHECK_STATUS(muster_pair_resign(reader), 0);
    }
    kill_process(primary);
    muster_pair_status status = pair_test_look(reader);
    muster_pair_entry entry;
    uint64_t number;
    int found = pair_test_load(reader, 0, NULL, NULL, &entry);
    CHECK(found == 0 || found == ENODATA);
    CHECK(status.primary_life != MUSTER_PAIR_ALIVE);
    CHECK(pair_test_is_said(&status.primary, sizeof status.primary, &number) && number <= status.epoch);
    if (found) continue;
    CHECK(status.tried == entry.step || status.tried == entry.step + 1);
    CHECK(status.committed == entry.step || status.committed + 1 == entry.step);
    CHECK(status.emitted == entry.step || status.emitted + 1 == entry.step);
    newest = entry.step;
  }
  check_outputs(at, newest);
  CHECK_STATUS(muster_pair_close(reader), 0);
  CHECK_STATUS(muster_region_remove(at->name, 0), 0);
  munmap(at, sizeof *at);
}

static void nothing_is_skipped_or_repeated(void) { killed_at_random("asked", 1); }
static void nothing_is_skipped_and_one_repeated_at_most(void) { killed_at_random("deaf", 0); }

// ---- Stopped

static void lead_and_wait(void *context) {
  scene *at = context;
  muster_pair *pair = pair_test_lead(at->name, 0, 1);
  pair_test_step(pair, 1);
  CHECK_STATUS(muster_pair_try(pair, 2), 0);
  gate_open(&at->gate, 1);
  for (;;) pause();
}

static void stand_by_and_wait(void *context) {
  scene *at = context;
  muster_pair *pair = pair_test_open(at->name, 0);
  muster_pair_backup said = pair_test_backup(7);
  REQUIRE(!muster_pair_stand_by(pair));
  CHECK_STATUS(muster_pair_say_standing_by(pair, &said), 0);
  gate_open(&at->gate, 2);
  for (;;) pause();
}

static void stopped_ones_keep_their_roles(void) {
  scene *at = make_scene("stopped");
  muster_pair *pair = pair_test_open(at->name, 0);
  uint64_t epoch, number;
  pid_t primary = test_fork(lead_and_wait, at);
  gate_wait(&at->gate, 1);
  pid_t backup = test_fork(stand_by_and_wait, at);
  gate_wait(&at->gate, 2);
  stop_process(primary);
  stop_process(backup);
  CHECK_STATUS(muster_pair_lead(pair, &epoch), EBUSY);
  CHECK_STATUS(muster_pair_stand_by(pair), EBUSY);
  CHECK_EQUAL(pair_test_look(pair).epoch, 1);
  CHECK_EQUAL(pair_test_newest(pair), 1);
  kill_process(backup);
  muster_pair_status status = pair_test_look(pair);
  CHECK(status.primary_life == MUSTER_PAIR_ALIVE && status.backup_life == MUSTER_PAIR_DEAD);
  CHECK(pair_test_is_said(&status.backup, sizeof status.backup, &number) && number == 7);
  CHECK_STATUS(muster_pair_stand_by(pair), 0);
  kill_process(primary);
  CHECK_STATUS(muster_pair_lead(pair, &epoch), 0);
  status = pair_test_look(pair);
  CHECK(epoch == 2 && status.tried == 2 && status.committed == 1 && status.emitted == 1);
  CHECK(status.primary_life == MUSTER_PAIR_ALIVE && status.backup_life == MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(at->name, 0), 0);
  munmap(at, sizeof *at);
}

// ---- Many at once

enum { CONTENDERS = 6 };

static void contend(void *context) {
  scene *at = context;
  muster_pair *pair = pair_test_open(at->name, 0);
  uint64_t epoch;
  gate_wait(&at->gate, 1);
  int status = muster_pair_lead(pair, &epoch);
  CHECK(status == 0 || status == EBUSY);
  if (!status) __atomic_add_fetch(&at->lives, 1, __ATOMIC_ACQ_REL);
  __atomic_add_fetch(&at->asked, 1, __ATOMIC_ACQ_REL);
  // Nobody gives up before all have tried.
  muster_deadline until = soon();
  while (__atomic_load_n(&at->asked, __ATOMIC_ACQUIRE) < CONTENDERS && test_now() < until) test_pause(100000);
}

static void one_of_many_leads(void) {
  for (int round = 0; round < 8; round++) {
    scene *at = make_scene("many");
    pid_t contenders[CONTENDERS];
    for (int i = 0; i < CONTENDERS; i++) contenders[i] = test_fork(contend, at);
    gate_open(&at->gate, 1);
    for (int i = 0; i < CONTENDERS; i++) test_join(contenders[i], 0);
    CHECK_EQUAL(at->lives, 1);
    CHECK_STATUS(muster_region_remove(at->name, 0), 0);
    munmap(at, sizeof *at);
  }
}

TEST_SUITE(pair_death, {"killed_after_each_store", killed_after_each_store, 0},
           {"nothing_is_skipped_or_repeated", nothing_is_skipped_or_repeated, 60},
           {"nothing_is_skipped_and_one_repeated_at_most", nothing_is_skipped_and_one_repeated_at_most, 60},
           {"stopped_ones_keep_their_roles", stopped_ones_keep_their_roles, 0},
           {"one_of_many_leads", one_of_many_leads, 0});
