// The world of the process pair's cases: a pair whose steps were done before, and those who go on with it.
// SPDX-License-Identifier: Apache-2.0
#ifndef PAIR_WORLD_H
#define PAIR_WORLD_H

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "muster/pair.h"
#include "sweep.h"

enum { STATE = 24, OUTPUT = 16, HISTORY = 2, BEGUN = 3 };

// The output: the newest step that is out. Only who is asked for that knows whether one was repeated.
static uint64_t *out(void) { return (uint64_t *)(void *)sweep->arena; }

static muster_pair *mine, *ours;
static uint64_t my_epoch;

static muster_pair *open_pair(uint32_t flags) {
  muster_pair *pair;
  muster_pair_options options = {.shape = {.state = STATE, .output = OUTPUT, .history = HISTORY}, .flags = flags};
  SWEEP_STATUS(muster_pair_open(sweep_name("pair"), &options, &pair), 0);
  return pair;
}

static void fill(void *bytes, size_t size, uint64_t number) {
  for (size_t at = 0; at < size; at += sizeof number) memcpy((unsigned char *)bytes + at, &number, sizeof number);
}

static int is_filled(const void *bytes, size_t size, uint64_t *number) {
  memcpy(number, bytes, sizeof *number);
  for (size_t at = 0; at < size; at += sizeof *number)
    if (memcmp((const unsigned char *)bytes + at, number, sizeof *number)) return 0;
  return 1;
}

// Every third step has no output.
static uint64_t output_length(uint64_t step) { return step % 3 ? OUTPUT : 0; }

static int commit_as(muster_pair *pair, uint64_t step, int durable) {
  unsigned char state[STATE], output[OUTPUT];
  fill(state, STATE, step);
  fill(output, OUTPUT, ~step);
  muster_pair_entry entry = {.step = step,
                             .kind = step ? MUSTER_PAIR_STEP : MUSTER_PAIR_INITIAL,
                             .position = step,
                             .state = state,
                             .state_length = STATE,
                             .output = output,
                             .output_length = output_length(step)};
  return durable ? muster_pair_commit_durable(pair, &entry) : muster_pair_commit(pair, &entry);
}

static void check_entry(const muster_pair_entry *entry) {
  uint64_t number;
  SWEEP_EQUAL(entry->kind, entry->step ? MUSTER_PAIR_STEP : MUSTER_PAIR_INITIAL);
  SWEEP_EQUAL(entry->position, entry->step);
  SWEEP_CHECK(entry->state_length == STATE && entry->output_length == output_length(entry->step));
  SWEEP_CHECK(is_filled(entry->state, STATE, &number) && number == entry->step);
  if (entry->output_length) SWEEP_CHECK(is_filled(entry->output, OUTPUT, &number) && number == ~entry->step);
}

// The newest entry's step; UINT64_MAX: there is none.
static uint64_t newest_of(const muster_pair *pair) {
  _Alignas(16) unsigned char buffer[256];
  muster_pair_entry entry;
  int status = muster_pair_load(pair, 0, NULL, NULL, buffer, sizeof buffer, &entry);
  if (status == ENODATA) return UINT64_MAX;
  SWEEP_STATUS(status, 0);
  check_entry(&entry);
  return entry.step;
}

static muster_pair_status look_at(const muster_pair *pair) {
  muster_pair_status status;
  uint64_t number;
  SWEEP_STATUS(muster_pair_look(pair, &status), 0);
  SWEEP_CHECK(is_filled(&status.primary, sizeof status.primary, &number));
  SWEEP_CHECK(is_filled(&status.backup, sizeof status.backup, &number));
  return status;
}

static int say_as(muster_pair *pair, uint64_t number) {
  muster_pair_primary said;
  fill(&said, sizeof said, number);
  return muster_pair_say(pair, &said);
}

static int say_standing_by_as(muster_pair *pair, uint64_t number) {
  muster_pair_backup said;
  fill(&said, sizeof said, number);
  return muster_pair_say_standing_by(pair, &said);
}

// A step as the header has it.
static int step_as(muster_pair *pair, uint64_t step) {
  int status = muster_pair_try(pair, step);
  if (!status) status = commit_as(pair, step, 0);
  if (status) return status;
  __atomic_store_n(out(), step, __ATOMIC_RELEASE);
  return muster_pair_emitted(pair, step);
}

// What the one before promises, whatever instruction it died at.
static uint64_t check_promise(const muster_pair *pair) {
  muster_pair_status status = look_at(pair);
  uint64_t newest = newest_of(pair), at_out = __atomic_load_n(out(), __ATOMIC_ACQUIRE);
  SWEEP_CHECK(status.primary_life != MUSTER_PAIR_ALIVE);
  SWEEP_EQUAL(status.entries, newest != UINT64_MAX);
  if (newest == UINT64_MAX) return newest;
  SWEEP_CHECK(status.tried == newest || status.tried == newest + 1);
  SWEEP_CHECK(status.committed == newest || status.committed + 1 == newest);
  SWEEP_CHECK(status.emitted <= newest && newest <= status.emitted + 1);
  // Nothing is out that is not an entry, and nothing counts as out that is not.
  SWEEP_CHECK(status.emitted <= at_out && at_out <= newest);
  return newest;
}

// Takes over as the header has it, does `steps` steps, and resigns. The output asked what it has, nothing is out twice.
static void succeed(muster_pair *pair, int steps) {
  uint64_t epoch, before = look_at(pair).epoch, newest = check_promise(pair);
  SWEEP_STATUS(muster_pair_lead(pair, &epoch), 0);
  SWEEP_EQUAL(epoch, before + 1);
  SWEEP_STATUS(say_as(pair, epoch), 0);
  SWEEP_EQUAL(newest_of(pair), newest);
  if (newest == UINT64_MAX) {
    SWEEP_STATUS(commit_as(pair, 0, 0), 0);
    newest = 0;
  }
  uint64_t emitted = look_at(pair).emitted;
  if (emitted < newest) {
    SWEEP_EQUAL(newest, emitted + 1);
    if (*out() < newest) *out() = newest;
    SWEEP_STATUS(muster_pair_emitted(pair, newest), 0);
  }
  for (int i = 0; i < steps; i++) {
    SWEEP_EQUAL(*out(), newest);
    SWEEP_STATUS(step_as(pair, ++newest), 0);
    SWEEP_EQUAL(newest_of(pair), newest);
  }
  muster_pair_status status = look_at(pair);
  SWEEP_CHECK(status.primary_life == MUSTER_PAIR_ALIVE && status.primary.epoch == epoch && status.epoch == epoch);
  SWEEP_CHECK(!steps || (status.tried == newest && status.committed == newest && status.emitted == newest));
  SWEEP_STATUS(muster_pair_resign(pair), 0);
}

static int succeeds(int steps) {
  muster_pair *pair = open_pair(0);
  succeed(pair, steps);
  SWEEP_STATUS(muster_pair_stand_by(pair), 0);
  SWEEP_STATUS(say_standing_by_as(pair, 9), 0);
  return muster_pair_close(pair);
}

// At the end: one who was there, and one who was not.
static void check_successors(void) {
  succeed(ours, 4);
  sweep_newcomer(succeeds, 3);
  SWEEP_STATUS(muster_pair_close(ours), 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("pair"), MUSTER_REGION_FORCE), 0);
}

// ---- The world before: steps of one who resigned.

static inline void lay_empty(void) { ours = open_pair(0); }

static inline void lay(void) {
  lay_empty();
  succeed(ours, BEGUN);
}

static inline void prepare(void) { mine = open_pair(0); }

static inline void lead_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_pair_lead(mine, &my_epoch), 0);
}

static inline void finish(void) { SWEEP_STATUS(muster_pair_close(mine), 0); }

#endif
