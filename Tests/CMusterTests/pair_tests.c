// A process pair by one process at a time: what each call does and refuses.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "muster/heartbeat.h"
#include "pair_support.h"
#include "support.h"
#include "test.h"

static void shapes(void) {
  const char *name = test_name("shapes");
  muster_pair_shape wrong[] = {{.state = 0, .output = 1, .history = 2},
                               {.state = 1, .output = 1, .history = 1},
                               {.state = 1, .output = 1, .history = 65},
                               {.state = 1, .output = 1, .history = 0},
                               {.state = UINT64_MAX, .output = 1, .history = 2},
                               {.state = 1, .output = UINT64_MAX, .history = 2},
                               {.state = PTRDIFF_MAX / 8, .output = PTRDIFF_MAX / 8, .history = 2}};
  muster_pair *pair;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    CHECK_STATUS(muster_pair_open(name, &(muster_pair_options){.shape = wrong[i]}, &pair), EINVAL);
    CHECK(!pair);
  }
  CHECK_STATUS(pair_test_try_open(name, MUSTER_REGION_ATTACH, &pair), ENOENT);
  pair = pair_test_open(name, 0);
  muster_pair_shape shape;
  muster_pair_shape_of(pair, &shape);
  CHECK(shape.state == PAIR_TEST_STATE && shape.output == PAIR_TEST_OUTPUT && shape.history == PAIR_TEST_HISTORY);
  CHECK(muster_pair_buffer_size(pair) >= PAIR_TEST_STATE + PAIR_TEST_OUTPUT);
  CHECK(muster_pair_region(pair) != NULL);
  const unsigned char *cell = muster_pair_cell(pair);
  CHECK((uintptr_t)cell % MUSTER_PAIR_CELL_SIZE == 0);
  for (int i = 0; i < MUSTER_PAIR_CELL_SIZE; i++) CHECK_EQUAL(cell[i], 0);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_pair_close(NULL), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// The second shape takes as many bytes as the one there is.
static void mismatches(void) {
  const char *name = test_name("mismatches");
  muster_pair *pair = pair_test_open(name, 0), *other;
  muster_pair_options options = pair_test_options(MUSTER_REGION_ATTACH);
  muster_mismatch mismatch;
  options.mismatch = &mismatch;
  options.shape.history++;
  CHECK_STATUS(muster_pair_open(name, &options, &other), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_SIZE);
  options = pair_test_options(MUSTER_REGION_ATTACH);
  options.mismatch = &mismatch;
  options.shape.state += 8, options.shape.output -= 8;
  CHECK_STATUS(muster_pair_open(name, &options, &other), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LAYOUT);
  CHECK(mismatch.expected == PAIR_TEST_STATE + 8 && mismatch.found == PAIR_TEST_STATE);
  options.shape = (muster_pair_shape){.history = 0};
  CHECK_STATUS(muster_pair_open(name, &options, &other), 0);
  CHECK_EQUAL(mismatch.kind, 0);
  CHECK_STATUS(muster_pair_close(other), 0);
  options.layout = 7;
  CHECK_STATUS(muster_pair_open(name, &options, &other), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LAYOUT);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  REQUIRE(!make_region(name, 0, 4096));
  CHECK_STATUS(pair_test_try_open(name, MUSTER_REGION_ATTACH, &other), EPROTO);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void check_lives(const muster_pair *pair, muster_pair_life primary, muster_pair_life backup) {
  muster_pair_status status = pair_test_look(pair);
  CHECK_EQUAL(status.primary_life, primary);
  CHECK_EQUAL(status.backup_life, backup);
}

static void roles(void) {
  const char *name = test_name("roles");
  muster_pair *one = pair_test_open(name, 0), *two = pair_test_open(name, 0);
  muster_pair_primary primary = pair_test_primary(1);
  muster_pair_backup backup = pair_test_backup(1);
  uint64_t epoch = 0;
  check_lives(one, MUSTER_PAIR_NOBODY, MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_say(one, &primary), EPERM);
  CHECK_STATUS(muster_pair_say_standing_by(one, &backup), EPERM);
  CHECK_STATUS(muster_pair_try(one, 1), EPERM);
  CHECK_STATUS(muster_pair_emitted(one, 1), EPERM);
  CHECK_STATUS(pair_test_commit(one, 0, 0), EPERM);
  CHECK_STATUS(muster_pair_resign(one), EINVAL);
  CHECK_STATUS(muster_pair_lead(one, &epoch), 0);
  CHECK_EQUAL(epoch, 1);
  CHECK_STATUS(muster_pair_lead(one, &epoch), EALREADY);
  CHECK_STATUS(muster_pair_stand_by(one), EALREADY);
  CHECK_STATUS(muster_pair_lead(two, &epoch), EBUSY);
  CHECK_STATUS(muster_pair_stand_by(two), 0);
  CHECK_STATUS(muster_pair_stand_by(two), EALREADY);
  CHECK_STATUS(muster_pair_say_standing_by(two, &backup), 0);
  CHECK_STATUS(muster_pair_say(two, &primary), EPERM);
  CHECK_STATUS(muster_pair_try(two, 1), EPERM);
  check_lives(two, MUSTER_PAIR_ALIVE, MUSTER_PAIR_ALIVE);
  // One that is refused has no role any more, so another may have it.
  CHECK_STATUS(muster_pair_lead(two, &epoch), EBUSY);
  check_lives(one, MUSTER_PAIR_ALIVE, MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_say_standing_by(two, &backup), EPERM);
  CHECK_STATUS(muster_pair_stand_by(two), 0);
  CHECK_STATUS(muster_pair_resign(one), 0);
  check_lives(one, MUSTER_PAIR_NOBODY, MUSTER_PAIR_ALIVE);
  CHECK_STATUS(muster_pair_stand_by(one), EBUSY);
  CHECK_STATUS(muster_pair_lead(two, &epoch), 0);
  CHECK_EQUAL(epoch, 2);
  check_lives(one, MUSTER_PAIR_ALIVE, MUSTER_PAIR_NOBODY);
  CHECK_EQUAL(pair_test_look(one).epoch, 2);
  CHECK_STATUS(muster_pair_close(two), 0);
  check_lives(one, MUSTER_PAIR_NOBODY, MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_close(one), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Roles belong to threads

typedef struct worker {
  muster_pair *pair;
  int leads;
  uint32_t gate;
} worker;

static void *take_role(void *context) {
  worker *of = context;
  uint64_t epoch;
  if (of->leads) CHECK_STATUS(muster_pair_lead(of->pair, &epoch), 0);
  else CHECK_STATUS(muster_pair_stand_by(of->pair), 0);
  gate_open(&of->gate, 1);
  gate_wait(&of->gate, 2);
  return NULL;
}

static pthread_t start(worker *of) {
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, take_role, of));
  gate_wait(&of->gate, 1);
  return thread;
}

static void end(worker *of, pthread_t thread) {
  gate_open(&of->gate, 2);
  pthread_join(thread, NULL);
}

static void a_role_ends_with_its_thread(void) {
  const char *name = test_name("threads");
  worker of = {.pair = pair_test_open(name, 0), .leads = 1};
  muster_pair *other = pair_test_open(name, 0);
  muster_pair_primary primary = pair_test_primary(1), theirs = pair_test_primary(2);
  uint64_t epoch;
  pthread_t thread = start(&of);
  // Another thread of the process may work for it, and give nothing back.
  CHECK_STATUS(muster_pair_say(of.pair, &primary), 0);
  pair_test_step(of.pair, 1);
  CHECK_STATUS(muster_pair_resign(of.pair), EBUSY);
  CHECK_STATUS(muster_pair_close(of.pair), EBUSY);
  CHECK_STATUS(muster_pair_lead(of.pair, &epoch), EALREADY);
  CHECK_STATUS(muster_pair_lead(other, &epoch), EBUSY);
  end(&of, thread);
  check_lives(other, MUSTER_PAIR_DEAD, MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_lead(other, &epoch), 0);
  CHECK_STATUS(muster_pair_say(other, &theirs), 0);
  // What is a successor's now is not written to any more.
  CHECK_STATUS(muster_pair_try(of.pair, 9), EPERM);
  CHECK_STATUS(pair_test_commit(of.pair, 9, 0), EPERM);
  CHECK_STATUS(muster_pair_emitted(of.pair, 9), EPERM);
  CHECK_STATUS(muster_pair_say(of.pair, &primary), EPERM);
  muster_pair_status status = pair_test_look(other);
  CHECK(status.tried == 1 && status.committed == 1 && status.emitted == 1 && status.primary.epoch == 2);
  CHECK_STATUS(muster_pair_lead(of.pair, &epoch), EBUSY);
  CHECK_STATUS(muster_pair_close(other), 0);
  CHECK_STATUS(muster_pair_close(of.pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// The handle may have another one, by another thread.
static void and_may_be_taken_anew(void) {
  const char *name = test_name("anew");
  uint64_t epoch;
  for (int leads = 0; leads <= 1; leads++) {
    worker of = {.pair = pair_test_open(name, 0), .leads = leads};
    pthread_t thread = start(&of);
    end(&of, thread);
    if (leads) CHECK_STATUS(muster_pair_lead(of.pair, &epoch), 0);
    else CHECK_STATUS(muster_pair_stand_by(of.pair), 0);
    if (leads) CHECK_EQUAL(epoch, 2);
    check_lives(of.pair, leads ? MUSTER_PAIR_ALIVE : MUSTER_PAIR_NOBODY, leads ? MUSTER_PAIR_NOBODY : MUSTER_PAIR_ALIVE);
    CHECK_STATUS(muster_pair_close(of.pair), 0);
    CHECK_STATUS(muster_region_remove(name, 0), 0);
  }
}

static void a_backup_of_another_thread(void) {
  const char *name = test_name("threads");
  worker of = {.pair = pair_test_open(name, 0)};
  muster_pair *other = pair_test_open(name, 0);
  muster_pair_backup backup = pair_test_backup(1);
  uint64_t epoch;
  pthread_t thread = start(&of);
  // It keeps its role, as nothing can be given back for it.
  CHECK_STATUS(muster_pair_lead(of.pair, &epoch), EBUSY);
  CHECK_STATUS(muster_pair_say_standing_by(of.pair, &backup), 0);
  CHECK_STATUS(muster_pair_close(of.pair), EBUSY);
  check_lives(of.pair, MUSTER_PAIR_NOBODY, MUSTER_PAIR_ALIVE);
  end(&of, thread);
  check_lives(of.pair, MUSTER_PAIR_NOBODY, MUSTER_PAIR_DEAD);
  CHECK_STATUS(muster_pair_say_standing_by(of.pair, &backup), EPERM);
  CHECK_STATUS(muster_pair_stand_by(other), 0);
  CHECK_STATUS(muster_pair_stand_by(of.pair), EBUSY);
  CHECK_STATUS(muster_pair_close(other), 0);
  CHECK_STATUS(muster_pair_close(of.pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Steps

static void steps(void) {
  const char *name = test_name("steps");
  muster_pair *pair = pair_test_lead(name, 0, 1), *reader = pair_test_open(name, MUSTER_REGION_READ_ONLY);
  muster_pair_entry entry;
  muster_pair_status status = pair_test_look(reader);
  CHECK(!status.entries && status.tried == 0 && status.committed == 0 && status.emitted == 0);
  CHECK_STATUS(pair_test_load(reader, 0, NULL, NULL, &entry), ENODATA);
  CHECK_STATUS(pair_test_commit(pair, 0, 0), 0);
  CHECK_STATUS(pair_test_load(reader, 0, NULL, NULL, &entry), 0);
  CHECK(entry.step == 0 && entry.sequence == 1 && entry.epoch == 1);
  for (uint64_t n = 1; n <= 50; n++) {
    CHECK_STATUS(muster_pair_try(pair, n), 0);
    status = pair_test_look(reader);
    CHECK(status.entries && status.tried == n && status.committed == n - 1 && status.emitted == n - 1);
    CHECK_STATUS(pair_test_commit(pair, n, n % 7 == 0), 0);
    status = pair_test_look(reader);
    CHECK(status.tried == n && status.committed == n && status.emitted == n - 1);
    CHECK_STATUS(muster_pair_emitted(pair, n), 0);
    CHECK_EQUAL(pair_test_look(reader).emitted, n);
    CHECK_EQUAL(pair_test_newest(reader), n);
  }
  CHECK_STATUS(muster_pair_emitted(pair, 3), 0);
  CHECK_EQUAL(pair_test_look(pair).emitted, 50);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_EQUAL(pair_test_newest(reader), 50);
  CHECK_STATUS(muster_pair_close(reader), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void entries(void) {
  const char *name = test_name("entries");
  muster_pair *pair = pair_test_lead(name, 0, 1);
  unsigned char state[PAIR_TEST_STATE + 1] = {1}, output[PAIR_TEST_OUTPUT + 1] = {2};
  _Alignas(16) unsigned char buffer[256];
  muster_pair_entry wrong[] = {
      {.kind = MUSTER_PAIR_STEP, .state = state, .state_length = sizeof state},
      {.kind = MUSTER_PAIR_STEP, .state = state, .output = output, .output_length = sizeof output},
      {.kind = MUSTER_PAIR_STEP, .state_length = UINT64_MAX, .output_length = 1, .state = state, .output = output},
      {.kind = 0, .state = state, .state_length = 1},
      {.kind = MUSTER_PAIR_FRESH + 1, .state = state, .state_length = 1}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int expected = i < 3 ? EMSGSIZE : EINVAL;
    CHECK_STATUS(muster_pair_commit(pair, &wrong[i]), expected);
    CHECK_STATUS(muster_pair_commit_durable(pair, &wrong[i]), expected);
  }
  CHECK(!pair_test_look(pair).entries);
  muster_pair_entry got, full = {.step = 7,
                                 .kind = MUSTER_PAIR_SKIP,
                                 .position = UINT64_MAX,
                                 .state = state,
                                 .state_length = PAIR_TEST_STATE,
                                 .output = output,
                                 .output_length = PAIR_TEST_OUTPUT};
  CHECK_STATUS(muster_pair_commit(pair, &full), 0);
  CHECK_STATUS(muster_pair_load(pair, 0, NULL, NULL, buffer, muster_pair_buffer_size(pair) - 1, &got), EMSGSIZE);
  CHECK_STATUS(muster_pair_load(pair, 0, NULL, NULL, buffer, muster_pair_buffer_size(pair), &got), 0);
  CHECK(got.step == 7 && got.kind == MUSTER_PAIR_SKIP && got.position == UINT64_MAX && got.sequence == 1);
  CHECK(got.state_length == PAIR_TEST_STATE && got.output_length == PAIR_TEST_OUTPUT);
  CHECK(!memcmp(got.state, state, PAIR_TEST_STATE) && !memcmp(got.output, output, PAIR_TEST_OUTPUT));
  CHECK((uintptr_t)got.state % 16 == 0);
  muster_pair_entry empty = {.step = 8, .kind = MUSTER_PAIR_FRESH};
  CHECK_STATUS(muster_pair_commit(pair, &empty), 0);
  CHECK_STATUS(muster_pair_load(pair, 0, NULL, NULL, buffer, sizeof buffer, &got), 0);
  CHECK(got.step == 8 && got.kind == MUSTER_PAIR_FRESH && got.state_length == 0 && got.output_length == 0);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static int accept_up_to(const muster_pair_entry *entry, void *context) { return entry->step <= *(uint64_t *)context; }

static void older_entries(void) {
  const char *name = test_name("older");
  muster_pair *pair = pair_test_lead(name, 0, 1);
  muster_pair_entry entry = {0};
  for (uint64_t n = 0; n <= 9; n++) CHECK_STATUS(pair_test_commit(pair, n, 0), 0);
  // Sequences are one ahead of steps here; two entries before the last are kept.
  for (uint64_t before = 0; before <= 12; before++) {
    int status = pair_test_load(pair, before, NULL, NULL, &entry);
    if (before == 0 || before > 8) CHECK_STATUS(status, 0);
    else CHECK_STATUS(status, ENOENT);
    if (!status) CHECK_EQUAL(entry.sequence, before == 0 || before > 10 ? 10 : before - 1);
    if (!status) CHECK_EQUAL(entry.step, entry.sequence - 1);
  }
  uint64_t most = 8;
  CHECK_STATUS(pair_test_load(pair, 0, accept_up_to, &most, &entry), 0);
  CHECK_EQUAL(entry.step, 8);
  CHECK_STATUS(pair_test_load(pair, 9, accept_up_to, &most, &entry), 0);
  CHECK_EQUAL(entry.step, 7);
  most = 6;
  CHECK_STATUS(pair_test_load(pair, 0, accept_up_to, &most, &entry), ENOENT);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Saying

typedef struct talk {
  const char *name;
  uint32_t *gate;
} talk;

static void say_on(void *context) {
  const talk *of = context;
  muster_pair *pair = pair_test_lead(of->name, 0, 1), *backup = pair_test_open(of->name, 0);
  REQUIRE(!muster_pair_stand_by(backup));
  for (uint64_t n = 1;; n++) {
    muster_pair_primary primary = pair_test_primary(n);
    muster_pair_backup standing_by = pair_test_backup(n);
    REQUIRE(!muster_pair_say(pair, &primary) && !muster_pair_say_standing_by(backup, &standing_by));
    pair_test_step(pair, n);
    if (n == 1) gate_open(of->gate, 1);
  }
}

static void snapshots(void) {
  talk of = {.name = test_name("snapshots"), .gate = shared_memory(sizeof(uint32_t))};
  pid_t speaker = test_fork(say_on, &of);
  gate_wait(of.gate, 1);
  muster_pair *pair = pair_test_open(of.name, MUSTER_REGION_READ_ONLY);
  uint64_t primary = 0, backup = 0, number, turns = 0;
  for (int last = 0; !test_result() && (turns < 20000 || primary <= 1); turns++) {
    muster_pair_status status;
    last = muster_pair_look(pair, &status);
    if (last == EAGAIN) continue;
    REQUIRE(!last);
    CHECK(pair_test_is_said(&status.primary, sizeof status.primary, &number) && number >= primary);
    primary = number;
    CHECK(pair_test_is_said(&status.backup, sizeof status.backup, &number) && number >= backup);
    backup = number;
    CHECK(status.emitted <= status.committed && status.committed <= status.tried);
    CHECK(status.primary_life == MUSTER_PAIR_ALIVE && status.backup_life == MUSTER_PAIR_ALIVE);
  }
  kill_process(speaker);
  check_lives(pair, MUSTER_PAIR_DEAD, MUSTER_PAIR_DEAD);
  CHECK(primary > 1);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(of.name, 0), 0);
  munmap(of.gate, sizeof(uint32_t));
}

static void read_only(void) {
  const char *name = test_name("readonly");
  muster_pair *pair = pair_test_lead(name, 0, 1), *reader = pair_test_open(name, MUSTER_REGION_READ_ONLY);
  muster_pair_primary primary = pair_test_primary(3);
  uint64_t epoch, number;
  int descriptor;
  CHECK_STATUS(muster_pair_say(pair, &primary), 0);
  pair_test_step(pair, 1);
  CHECK_STATUS(muster_pair_lead(reader, &epoch), EACCES);
  CHECK_STATUS(muster_pair_stand_by(reader), EACCES);
  CHECK_STATUS(muster_pair_seat(reader, &descriptor), EACCES);
  CHECK_EQUAL(descriptor, -1);
  CHECK_STATUS(muster_pair_try(reader, 1), EPERM);
  CHECK_STATUS(muster_pair_say(reader, &primary), EPERM);
  CHECK(!muster_pair_cell(reader));
  muster_pair_status status = pair_test_look(reader);
  CHECK(pair_test_is_said(&status.primary, sizeof status.primary, &number) && number == 3);
  CHECK(status.primary_life == MUSTER_PAIR_ALIVE && status.epoch == 1);
  CHECK_EQUAL(pair_test_newest(reader), 1);
  CHECK_STATUS(muster_pair_close(reader), 0);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// ---- Fork

static void use_inherited(void *context) {
  muster_pair *pair = context;
  muster_pair_primary primary = pair_test_primary(9);
  uint64_t epoch;
  int descriptor;
  CHECK_STATUS(muster_pair_lead(pair, &epoch), EPERM);
  CHECK_STATUS(muster_pair_stand_by(pair), EPERM);
  CHECK_STATUS(muster_pair_resign(pair), EPERM);
  CHECK_STATUS(muster_pair_say(pair, &primary), EPERM);
  CHECK_STATUS(muster_pair_try(pair, 9), EPERM);
  CHECK_STATUS(pair_test_commit(pair, 9, 0), EPERM);
  CHECK_STATUS(muster_pair_emitted(pair, 9), EPERM);
  CHECK_STATUS(muster_pair_seat(pair, &descriptor), EPERM);
  CHECK_EQUAL(pair_test_newest(pair), 1);
  // Who is there is told as it is.
  check_lives(pair, MUSTER_PAIR_ALIVE, MUSTER_PAIR_NOBODY);
  CHECK_STATUS(muster_pair_close(pair), 0);
}

static void inherited_over_fork(void) {
  const char *name = test_name("fork");
  muster_pair *pair = pair_test_lead(name, 0, 1);
  pair_test_step(pair, 1);
  test_join(test_fork(use_inherited, pair), 0);
  muster_pair_status status = pair_test_look(pair);
  CHECK(status.primary_life == MUSTER_PAIR_ALIVE && status.tried == 1 && status.emitted == 1);
  pair_test_step(pair, 2);
  CHECK_STATUS(muster_pair_close(pair), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void descriptors(void) {
  const char *name = test_name("descriptors");
  unsigned before = count_descriptors();
  for (int i = 0; i < 20; i++) {
    muster_pair *pair = pair_test_open(name, 0), *reader = pair_test_open(name, MUSTER_REGION_READ_ONLY), *none;
    uint64_t epoch;
    int seat, again;
    CHECK_STATUS(muster_pair_lead(pair, &epoch), 0);
    CHECK_STATUS(muster_pair_seat(pair, &seat), 0);
    CHECK_STATUS(muster_pair_seat(pair, &again), EBUSY);
    muster_pair_options options = pair_test_options(0);
    options.shape.state++, options.shape.output--;
    CHECK_STATUS(muster_pair_open(name, &options, &none), EPROTO);
    CHECK_STATUS(muster_pair_close(reader), 0);
    CHECK_STATUS(muster_pair_close(pair), 0);
    close(seat);
    CHECK_EQUAL(count_descriptors(), before);
  }
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

TEST_SUITE(pair, {"shapes", shapes, 0}, {"mismatches", mismatches, 0}, {"roles", roles, 0},
           {"a_role_ends_with_its_thread", a_role_ends_with_its_thread, 0},
           {"and_may_be_taken_anew", and_may_be_taken_anew, 0},
           {"a_backup_of_another_thread", a_backup_of_another_thread, 0}, {"steps", steps, 0}, {"entries", entries, 0},
           {"older_entries", older_entries, 0}, {"snapshots", snapshots, 0}, {"read_only", read_only, 0},
           {"inherited_over_fork", inherited_over_fork, 0}, {"descriptors", descriptors, 0});
