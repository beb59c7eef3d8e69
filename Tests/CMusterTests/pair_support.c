// SPDX-License-Identifier: Apache-2.0
#include "pair_support.h"

#include <string.h>

#include "checkpoint_support.h"
#include "test.h"

muster_pair_options pair_test_options(uint32_t flags) {
  return (muster_pair_options){
      .shape = {.state = PAIR_TEST_STATE, .output = PAIR_TEST_OUTPUT, .history = PAIR_TEST_HISTORY}, .flags = flags};
}

int pair_test_try_open(const char *name, uint32_t flags, muster_pair **pair) {
  muster_pair_options options = pair_test_options(flags);
  return muster_pair_open(name, &options, pair);
}

muster_pair *pair_test_open(const char *name, uint32_t flags) {
  muster_pair *pair;
  REQUIRE(!pair_test_try_open(name, flags, &pair));
  return pair;
}

muster_pair *pair_test_lead(const char *name, uint32_t flags, uint64_t epoch) {
  muster_pair *pair = pair_test_open(name, flags);
  uint64_t got;
  REQUIRE(!muster_pair_lead(pair, &got));
  CHECK_EQUAL(got, epoch);
  return pair;
}

static size_t state_length(uint64_t step) { return 8 + step % (PAIR_TEST_STATE - 7); }
static size_t output_length(uint64_t step) { return step ? 8 + step % (PAIR_TEST_OUTPUT - 7) : 0; }

int pair_test_commit(muster_pair *pair, uint64_t step, int durable) {
  unsigned char state[PAIR_TEST_STATE], output[PAIR_TEST_OUTPUT];
  checkpoint_test_state(state, state_length(step), step);
  checkpoint_test_state(output, output_length(step), ~step);
  muster_pair_entry entry = {.step = step,
                             .kind = step ? MUSTER_PAIR_STEP : MUSTER_PAIR_INITIAL,
                             .position = step * 3,
                             .state = state,
                             .state_length = state_length(step),
                             .output = output,
                             .output_length = output_length(step)};
  return durable ? muster_pair_commit_durable(pair, &entry) : muster_pair_commit(pair, &entry);
}

static void check_entry(const muster_pair_entry *entry) {
  uint64_t number;
  CHECK_EQUAL(entry->kind, entry->step ? MUSTER_PAIR_STEP : MUSTER_PAIR_INITIAL);
  CHECK_EQUAL(entry->position, entry->step * 3);
  CHECK_EQUAL(entry->state_length, state_length(entry->step));
  CHECK_EQUAL(entry->output_length, output_length(entry->step));
  CHECK((uintptr_t)entry->state % 16 == 0);
  if (test_result()) return;
  CHECK(checkpoint_test_is_state(entry->state, entry->state_length, &number) && number == entry->step);
  if (!entry->output_length) return;
  CHECK(checkpoint_test_is_state(entry->output, entry->output_length, &number) && number == ~entry->step);
}

int pair_test_load(const muster_pair *pair, uint64_t before, muster_pair_accept accept, void *context,
                   muster_pair_entry *entry) {
  _Alignas(16) static unsigned char buffer[256];
  REQUIRE(muster_pair_buffer_size(pair) <= sizeof buffer);
  int status = muster_pair_load(pair, before, accept, context, buffer, sizeof buffer, entry);
  if (!status) check_entry(entry);
  return status;
}

uint64_t pair_test_newest(const muster_pair *pair) {
  muster_pair_entry entry = {0};
  CHECK_STATUS(pair_test_load(pair, 0, NULL, NULL, &entry), 0);
  return entry.step;
}

void pair_test_step(muster_pair *pair, uint64_t step) {
  CHECK_STATUS(muster_pair_try(pair, step), 0);
  CHECK_STATUS(pair_test_commit(pair, step, 0), 0);
  CHECK_STATUS(muster_pair_emitted(pair, step), 0);
}

muster_pair_status pair_test_look(const muster_pair *pair) {
  muster_pair_status status;
  REQUIRE(!muster_pair_look(pair, &status));
  return status;
}

static void say(void *said, size_t size, uint64_t number) {
  for (size_t at = 0; at < size; at += sizeof number) memcpy((unsigned char *)said + at, &number, sizeof number);
}

muster_pair_primary pair_test_primary(uint64_t number) {
  muster_pair_primary said;
  say(&said, sizeof said, number);
  return said;
}

muster_pair_backup pair_test_backup(uint64_t number) {
  muster_pair_backup said;
  say(&said, sizeof said, number);
  return said;
}

int pair_test_is_said(const void *said, size_t size, uint64_t *number) {
  memcpy(number, said, sizeof *number);
  for (size_t at = 0; at < size; at += sizeof *number)
    if (memcmp((const unsigned char *)said + at, number, sizeof *number)) return 0;
  return 1;
}
