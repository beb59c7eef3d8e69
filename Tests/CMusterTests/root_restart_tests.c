// Daemons that die, and what they find when they are started again: policies, the ladder, heartbeats, draining, storms.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal/root.h"
#include "root_support.h"

#define MS INT64_C(1000000)

__attribute__((noreturn)) static void die(int number) {
  kill(getpid(), number);
  for (;;) pause();
}

// ---- What is found. Each life looks, changes and saves, and dies; the last one stays.

typedef struct numbers {
  uint64_t lives, saved, bad;
} numbers;

static void change(muster_daemon *self, uint64_t lives) {
  numbers *state = muster_daemon_state(self);
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  state->lives = lives;
  CHECK_STATUS(muster_daemon_change_end(self), 0);
}

// `value` of its place: what `lives` was.
static int three_lives(muster_daemon *self, void *context) {
  root_test_place *place = &board->places[muster_daemon_self(self)];
  numbers *state = muster_daemon_state(self);
  uint64_t starts = muster_daemon_how(self)->starts;
  place->value = state->lives;
  if (starts == 3) return root_test_polite(self, context);
  root_test_note(self);
  change(self, state->lives + 10);
  if (starts == 1 && self->root->parts[self->index].spec.checkpoints) {
    CHECK_STATUS(muster_daemon_save(self), 0);
    change(self, 99);
  }
  die(SIGKILL);
}

static int good(const void *state, uint64_t size, void *context) {
  (void)context;
  return size == sizeof(numbers) && !((const numbers *)state)->bad;
}

static void policies(void) {
  const muster_daemon_spec specs[] = {
      {.name = "zero", .run = three_lives, .state_size = sizeof(numbers), .delay_first = MUSTER_ROOT_NONE},
      {.name = "keep", .run = three_lives, .state_size = sizeof(numbers), .policy = MUSTER_DAEMON_KEEP, .accept = good,
       .delay_first = MUSTER_ROOT_NONE},
      {.name = "checkpoint", .run = three_lives, .state_size = sizeof(numbers), .policy = MUSTER_DAEMON_CHECKPOINT,
       .checkpoints = 2, .accept = good, .delay_first = MUSTER_ROOT_NONE},
      {.name = "none", .run = three_lives, .state_size = sizeof(numbers), .policy = MUSTER_DAEMON_CHECKPOINT,
       .delay_first = MUSTER_ROOT_NONE}};
  root_test_scene scene = {.specs = specs, .count = 4};
  root_test_begin(&scene);
  const uint64_t found[] = {0, 20, 10, 0};
  const muster_daemon_policy how[] = {MUSTER_DAEMON_ZERO, MUSTER_DAEMON_KEEP, MUSTER_DAEMON_CHECKPOINT, MUSTER_DAEMON_ZERO};
  for (uint32_t k = 0; k < 4; k++) {
    root_test_await_starts(&scene, k, 3);
    CHECK_EQUAL(board->places[k].value, found[k]);
    CHECK_EQUAL(board->places[k].how.found, how[k]);
    CHECK_EQUAL(board->places[k].how.death.how, MUSTER_DAEMON_SIGNALED);
    CHECK_EQUAL(board->places[k].how.death.value, SIGKILL);
    muster_daemon_status status = root_test_look(&scene, k);
    CHECK_EQUAL(status.found, how[k]);
    CHECK_EQUAL(status.starts, 3);
    CHECK_EQUAL(status.failures, 2);
    CHECK_EQUAL(status.attempts, 3);
  }
  CHECK_EQUAL(board->places[2].how.checkpoint, 1);
  root_test_end(&scene);
}

// Its memory is bad, and so is its newest checkpoint: it gets the one before.
static int bad_state(muster_daemon *self, void *context) {
  numbers *state = muster_daemon_state(self);
  root_test_place *place = &board->places[muster_daemon_self(self)];
  place->value = state->lives;
  if (muster_daemon_how(self)->starts == 2) return root_test_polite(self, context);
  root_test_note(self);
  state->lives = 1;
  CHECK_STATUS(muster_daemon_save(self), 0);
  state->bad = 1;
  CHECK_STATUS(muster_daemon_save(self), 0);
  state->lives = 2;
  return 1;
}

static void accepts(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = bad_state, .state_size = sizeof(numbers), .checkpoints = 3,
                                       .policy = MUSTER_DAEMON_KEEP, .accept = good}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(board->places[0].value, 1);
  CHECK_EQUAL(board->places[0].how.found, MUSTER_DAEMON_CHECKPOINT);
  CHECK_EQUAL(board->places[0].how.checkpoint, 1);
  CHECK_EQUAL(board->places[0].how.death.how, MUSTER_DAEMON_EXITED);
  CHECK_EQUAL(board->places[0].how.death.value, 1);
  root_test_end(&scene);
}

static muster_daemon_policy decides(const muster_daemon_case *found, void *context) {
  (void)context;
  board->places[1].value = found->changing;
  board->places[2].value = found->checkpoint;
  board->places[3].value = (uint64_t)found->death.value;
  board->places[4].value = found->attempts;
  return found->changing ? MUSTER_DAEMON_CHECKPOINT : MUSTER_DAEMON_KEEP;
}

static int dies_changing(muster_daemon *self, void *context) {
  uint64_t starts = muster_daemon_how(self)->starts;
  numbers *state = muster_daemon_state(self);
  board->places[0].value = state->lives;
  if (starts == 3) return root_test_polite(self, context);
  root_test_note(self);
  change(self, 5);
  if (starts == 1) die(SIGABRT);
  CHECK_STATUS(muster_daemon_save(self), 0);
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  state->lives = 6;
  die(SIGUSR1);
}

static void decisions(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = dies_changing, .state_size = sizeof(numbers), .checkpoints = 1,
                                       .policy = MUSTER_DAEMON_DECIDE, .decide = decides, .delay_first = MUSTER_ROOT_NONE}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 3);
  CHECK_EQUAL(board->places[0].value, 5);
  CHECK_EQUAL(board->places[0].how.found, MUSTER_DAEMON_CHECKPOINT);
  CHECK_EQUAL(board->places[0].how.changing, 1);
  CHECK_EQUAL(board->places[1].value, 1);
  CHECK_EQUAL(board->places[2].value, 1);
  CHECK_EQUAL(board->places[3].value, SIGUSR1);
  CHECK_EQUAL(board->places[4].value, 3);
  // What was half changed is whole again for readers.
  numbers there;
  CHECK_STATUS(muster_root_view_read(scene.view, 0, 0, &there, sizeof there), 0);
  CHECK_EQUAL(there.lives, 5);
  root_test_end(&scene);
}

static int kept_half(muster_daemon *self, void *context) {
  numbers *state = muster_daemon_state(self);
  if (muster_daemon_how(self)->starts == 2) return root_test_polite(self, context);
  root_test_note(self);
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  state->lives = 6;
  die(SIGKILL);
}

static void kept_half_changed(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = kept_half, .state_size = sizeof(numbers), .policy = MUSTER_DAEMON_KEEP}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(board->places[0].how.changing, 1);
  numbers there;
  CHECK_STATUS(muster_root_view_read(scene.view, 0, 0, &there, sizeof there), 0);
  CHECK_EQUAL(there.lives, 6);
  root_test_end(&scene);
}

// ---- Before a start has told what it found, nothing of its predecessor's is taken for its own

static int hangs(void *state, uint64_t size, void *context) {
  (void)state, (void)size, (void)context;
  for (;;) pause();
  return 0;
}

static int dies_beside_a_transaction(muster_daemon *self, void *context) {
  if (muster_daemon_how(self)->starts == 2) return root_test_polite(self, context);
  CHECK_STATUS(muster_daemon_begin(self, hangs, NULL, NULL), 0);
  die(SIGKILL);
}

static int accepts_later(const void *state, uint64_t size, void *context) {
  (void)state, (void)size, (void)context;
  gate_open(&board->places[1].gate, 1);
  gate_wait(&board->places[2].gate, 1);
  return 1;
}

static void untold_at_first(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = dies_beside_a_transaction, .state_size = sizeof(numbers),
                                       .policy = MUSTER_DAEMON_KEEP, .accept = accepts_later}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  gate_wait(&board->places[1].gate, 1);
  root_test_await_phase(&scene, 0, MUSTER_DAEMON_RUNNING);
  muster_daemon_status status = root_test_look(&scene, 0);
  CHECK_EQUAL(status.starts, 2);
  CHECK(status.found == (muster_daemon_policy)-1);
  CHECK_EQUAL(status.transaction_pid, 0);
  gate_open(&board->places[2].gate, 1);
  root_test_await_starts(&scene, 0, 1);
  CHECK_EQUAL(root_test_look(&scene, 0).found, MUSTER_DAEMON_KEEP);
  root_test_end(&scene);
}

// ---- The ladder, with real processes

static int always_dies(muster_daemon *self, void *context) {
  (void)context;
  root_test_place *place = root_test_note(self);
  uint64_t k = place->starts - 1;
  if (k < ROOT_TEST_EVENTS) board->event[k].status.found = muster_daemon_how(self)->found;
  if (k < ROOT_TEST_EVENTS) board->event[k].status.checkpoint = muster_daemon_how(self)->checkpoint;
  if (k < 1) {
    CHECK_STATUS(muster_daemon_save(self), 0);
    CHECK_STATUS(muster_daemon_save(self), 0);
  }
  die(SIGSEGV);
}

static void silent(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status,
                   void *context) {
  (void)root;
  (void)daemon;
  (void)context;
  if (kind == MUSTER_ROOT_GAVE_UP) board->order = (uint32_t)status->starts;
}

static void up_the_ladder(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = always_dies, .state_size = 8, .policy = MUSTER_DAEMON_KEEP,
                                       .checkpoints = 2, .tries = 2, .delay_first = MUSTER_ROOT_NONE}};
  root_test_scene scene = {.specs = specs, .count = 1, .expect = ENOTRECOVERABLE, .options.tell = silent};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
  CHECK_EQUAL(board->places[0].starts, 8);
  CHECK_EQUAL(board->order, 8);
  const muster_daemon_policy found[] = {MUSTER_DAEMON_ZERO, MUSTER_DAEMON_KEEP, MUSTER_DAEMON_CHECKPOINT, MUSTER_DAEMON_CHECKPOINT,
                                        MUSTER_DAEMON_CHECKPOINT, MUSTER_DAEMON_CHECKPOINT, MUSTER_DAEMON_ZERO, MUSTER_DAEMON_ZERO};
  const uint64_t checkpoints[] = {0, 0, 2, 2, 1, 1, 0, 0};
  for (int k = 0; k < 8; k++) {
    CHECK_EQUAL(board->event[k].status.found, found[k]);
    CHECK_EQUAL(board->event[k].status.checkpoint, checkpoints[k]);
  }
}

// One is given up, the others run on; or all end.
static void given_up(void) {
  const muster_daemon_spec specs[] = {{.name = "dies", .run = always_dies, .state_size = 8, .checkpoints = 1, .tries = 1,
                                       .delay_first = MUSTER_ROOT_NONE},
                                      {.name = "lives", .run = root_test_polite, .state_size = 8}};
  root_test_scene scene = {.specs = specs, .count = 2};
  root_test_begin(&scene);
  root_test_await_phase(&scene, 0, MUSTER_DAEMON_ABANDONED);
  root_test_await_starts(&scene, 1, 1);
  CHECK_EQUAL(root_test_look(&scene, 0).rung, MUSTER_DAEMON_GIVEN_UP);
  CHECK_EQUAL(root_test_look(&scene, 1).phase, MUSTER_DAEMON_RUNNING);
  // The root tells of itself after it has told of its daemons.
  muster_root_status status = {0};
  for (muster_deadline end = soon(); !status.abandoned && !muster_deadline_passed(end); test_pause(100000))
    CHECK_STATUS(muster_root_view_root(scene.view, &status), 0);
  CHECK_EQUAL(status.abandoned, 1);
  root_test_end(&scene);
  scene = (root_test_scene){.specs = specs, .count = 2, .expect = ENOTRECOVERABLE, .options.flags = MUSTER_ROOT_END_WHEN_GIVEN_UP};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
}

// The third restart is put off; the root does other work meanwhile.
static int dies_thrice(muster_daemon *self, void *context) {
  if (muster_daemon_how(self)->starts <= 2) die(SIGKILL);
  return root_test_polite(self, context);
}

static void put_off(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = dies_thrice, .state_size = 8, .delay_first = INT64_C(3600000000000),
                                       .delay_most = INT64_C(3600000000000)},
                                      {.name = "b", .run = dies_thrice, .state_size = 8, .delay_first = MUSTER_ROOT_NONE}};
  root_test_scene scene = {.specs = specs, .count = 2};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 1, 1);
  root_test_await_phase(&scene, 0, MUSTER_DAEMON_WAITING);
  for (muster_deadline end = soon(); root_test_look(&scene, 0).starts < 2;) REQUIRE(!muster_deadline_passed(end));
  root_test_await_phase(&scene, 0, MUSTER_DAEMON_WAITING);
  muster_daemon_status status = root_test_look(&scene, 0);
  CHECK_EQUAL(status.starts, 2);
  CHECK(status.next_start > muster_clock_now() + INT64_C(1800000000000));
  root_test_end(&scene);
}

// ---- Heartbeats

static int hangs_once(muster_daemon *self, void *context) {
  root_test_place *place = &board->places[muster_daemon_self(self)];
  // A machine that has no time may cost the successor its life, too.
  if (muster_daemon_how(self)->starts <= 2) place->how = *muster_daemon_how(self);
  muster_daemon_beat(self);
  if (place->how.starts == 1) raise(SIGSTOP);
  CHECK_STATUS(muster_daemon_catch_stop(self), 0);
  __atomic_store_n(&place->starts, 1, __ATOMIC_RELEASE);
  while (!muster_daemon_stopping(self)) (void)muster_daemon_pause(self, soon());
  (void)context;
  return test_result();
}

static void hung(void) {
  const muster_daemon_spec specs[] = {{.name = "hangs", .run = hangs_once, .state_size = 8, .heartbeat = 50 * MS},
                                      {.name = "beats", .run = root_test_polite, .state_size = 8, .heartbeat = 10000 * MS}};
  root_test_scene scene = {.specs = specs, .count = 2};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  CHECK_EQUAL(board->places[0].how.starts, 2);
  CHECK_EQUAL(board->places[0].how.death.how, MUSTER_DAEMON_HUNG);
  CHECK_EQUAL(root_test_look(&scene, 1).starts, 1);
  root_test_end(&scene);
}

// ---- Groups

// Leaves children behind, and grandchildren, none of whom dies by itself.
static int leaves_children(muster_daemon *self, void *context) {
  if (muster_daemon_how(self)->starts == 2) return root_test_polite(self, context);
  uint32_t *there = &board->places[1].gate;
  for (int k = 0; k < 3; k++) {
    if (fork()) continue;
    if (k == 0 && fork()) _exit(0);
    __atomic_fetch_add(there, 1, __ATOMIC_ACQ_REL);
    for (;;) pause();
  }
  while (__atomic_load_n(there, __ATOMIC_ACQUIRE) < 3) test_pause(100000);
  root_test_note(self);
  die(SIGKILL);
}

static void groups_are_drained(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = leaves_children, .state_size = 8}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(root_test_look(&scene, 0).drained, 4);
  root_test_end(&scene);
}

// ---- No process is to be had

static void at_most(muster_root *root) {
  (void)root;
  struct rlimit limit = {1, RLIM_INFINITY};
  getrlimit(RLIMIT_NPROC, &limit);
  limit.rlim_cur = 1;
  CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
  // The limit holds for others than the superuser.
  if (getuid() == 0 && (setgid(65534) || setuid(65534))) test_fail(__FILE__, __LINE__, "not to become nobody");
}

static void unlimited(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status,
                      void *context) {
  (void)daemon;
  (void)context;
  if (kind == MUSTER_ROOT_NOT_FORKED && ++board->places[2].value == 3) {
    board->places[1].value = (uint64_t)status->fork_error;
    board->places[1].told = (uint32_t)status->starts + status->attempts;
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
  }
  if (kind == MUSTER_ROOT_STARTED) muster_root_stop(root);
}

static void fork_fails(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_idle, .state_size = 8, .tries = 1}};
  root_test_scene scene = {.specs = specs, .count = 1, .before = at_most, .options = {.tell = unlimited}};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
  CHECK_EQUAL(board->places[2].value, 3);
  CHECK_EQUAL(board->places[1].value, EAGAIN);
  CHECK_EQUAL(board->places[1].told, 0);
  // The root was nobody, who may not remove it.
  int status = muster_region_remove(scene.name, 0);
  CHECK(status == 0 || status == ENOENT);
}

// ---- Many

typedef struct usage {
  unsigned descriptors;
  long kib;
} usage;

// Pages are counted one by one (smaps_rollup): the sums that the kernel keeps anyway are off by some.
static usage used_by_this(void) {
  usage now = {.descriptors = count_descriptors(), .kib = -1};
  char line[128];
  FILE *file = fopen("/proc/self/smaps_rollup", "r");
  REQUIRE(file);
  while (now.kib < 0 && fgets(line, sizeof line, file)) (void)sscanf(line, "Rss: %ld", &now.kib);
  fclose(file);
  return now;
}

static int short_life(muster_daemon *self, void *context) {
  (void)context;
  ++*(uint64_t *)muster_daemon_state(self);
  return 0;
}

static usage first, last;

static void many_restarts_told(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status,
                               void *context) {
  (void)context;
  (void)daemon;
  if (kind != MUSTER_ROOT_ENDED) return;
  // The first look is one that lays libc's buffers.
  if (status->starts == 50 || status->starts == 60) first = used_by_this();
  if (status->starts == 500) last = used_by_this(), muster_root_stop(root);
}

static void leaves_nothing(muster_root *root) {
  (void)root;
  CHECK_EQUAL(last.descriptors, first.descriptors);
#if !defined(__SANITIZE_ADDRESS__)
  // Its allocator keeps for a while what the looks have freed.
  CHECK(last.kib <= first.kib + 16);
#endif
}

static void many_restarts(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = short_life, .state_size = 8, .policy = MUSTER_DAEMON_KEEP,
                                       .stable = MUSTER_ROOT_NONE, .delay_first = MUSTER_ROOT_NONE}};
  root_test_scene scene = {.specs = specs, .count = 1, .options.tell = many_restarts_told, .after = leaves_nothing};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
}

// Whoever is killed or stopped: each daemon counts in its own state, and no count is ever lost.
static int counts(muster_daemon *self, void *context) {
  (void)context;
  root_test_place *place = root_test_note(self);
  uint64_t *state = muster_daemon_state(self);
  CHECK_STATUS(muster_daemon_catch_stop(self), 0);
  if (muster_daemon_how(self)->starts > 1 && *state < place->value) test_fail(__FILE__, __LINE__, "a count was lost");
  while (!muster_daemon_stopping(self)) {
    CHECK_STATUS(muster_daemon_change_begin(self), 0);
    state[0]++;
    state[1] = state[0];
    CHECK_STATUS(muster_daemon_change_end(self), 0);
    place->value = state[0];
    muster_daemon_beat(self);
    for (uint32_t k = 0; k < muster_daemon_count(self); k++) {
      uint64_t seen[2] = {0, 0};
      if (!muster_daemon_read(self, k, 0, seen, sizeof seen) && seen[0] != seen[1])
        test_fail(__FILE__, __LINE__, "half a change was seen");
    }
  }
  return test_result();
}

static int is_whole(const void *state, uint64_t size, void *context) {
  (void)size;
  (void)context;
  // Half changed: the first count is the newer one.
  uint64_t *pair = (uint64_t *)(uintptr_t)state;
  if (pair[0] != pair[1]) pair[1] = pair[0];
  return 1;
}

static void storm(void) {
  uint64_t seed = test_seed();
  enum { DAEMONS = 5 };
  static const char *const names[DAEMONS] = {"a", "b", "c", "d", "e"};
  muster_daemon_spec specs[DAEMONS];
  for (int k = 0; k < DAEMONS; k++)
    specs[k] = (muster_daemon_spec){.name = names[k], .run = counts, .state_size = 16, .policy = MUSTER_DAEMON_KEEP, .accept = is_whole,
                                    .stable = MUSTER_ROOT_NONE, .delay_first = MUSTER_ROOT_NONE, .heartbeat = 30 * MS * test_slower()};
  root_test_scene scene = {.specs = specs, .count = DAEMONS};
  root_test_begin(&scene);
  uint32_t turns = 150 / test_slower();
  for (uint32_t k = 0; k < turns; k++) {
    uint32_t victim = (uint32_t)(test_random(&seed) % DAEMONS);
    muster_daemon_status status = root_test_look(&scene, victim);
    // Its number is a child's of the root: as long as that has not reaped it nobody else's; a test can't know better.
    if (status.pid) kill(status.pid, test_random(&seed) % 4 ? SIGKILL : SIGSTOP);
    test_pause((int64_t)(test_random(&seed) % (4 * MS)));
  }
  for (uint32_t k = 0; k < DAEMONS; k++) {
    uint64_t before = board->places[k].value;
    for (muster_deadline end = soon(); board->places[k].value <= before && !muster_deadline_passed(end);) test_pause(MS);
    CHECK(board->places[k].value > before);
    CHECK_EQUAL(root_test_look(&scene, k).rung, MUSTER_DAEMON_AS_DECLARED);
  }
  root_test_end(&scene);
}

// ---- An idle root sleeps: it wakes for heartbeats alone, once a period.

static void idle(void) {
  enum { PERIOD = 500 };
  static const char *const names[ROOT_TEST_DAEMONS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
  muster_daemon_spec specs[ROOT_TEST_DAEMONS];
  for (int k = 0; k < ROOT_TEST_DAEMONS; k++)
    specs[k] = (muster_daemon_spec){.name = names[k], .run = root_test_idle, .state_size = 8, .heartbeat = (PERIOD + k) * MS};
  root_test_scene scene = {.specs = specs, .count = ROOT_TEST_DAEMONS};
  root_test_begin(&scene);
  for (uint32_t k = 0; k < ROOT_TEST_DAEMONS; k++) root_test_await_starts(&scene, k, 1);
  // Until it has told of the starts, before its first sleep.
  muster_root_status before, after;
  do CHECK_STATUS(muster_root_view_root(scene.view, &before), 0);
  while (before.starts < ROOT_TEST_DAEMONS);
  muster_deadline begun = muster_clock_now();
  test_pause(1000 * MS);
  CHECK_STATUS(muster_root_view_root(scene.view, &after), 0);
  int64_t periods = (muster_clock_now() - begun) / (PERIOD * MS);
  CHECK(after.wakes - before.wakes <= (uint64_t)periods + 1);
  CHECK_EQUAL(after.starts, before.starts);
  root_test_end(&scene);
}

TEST_SUITE(root_restart, {"policies", policies, 0}, {"accepts", accepts, 0}, {"decisions", decisions, 0},
           {"kept_half_changed", kept_half_changed, 0}, {"untold_at_first", untold_at_first, 0},
           {"up_the_ladder", up_the_ladder, 0}, {"given_up", given_up, 0}, {"put_off", put_off, 0}, {"hung", hung, 0},
           {"groups_are_drained", groups_are_drained, 0}, {"fork_fails", fork_fails, 0}, {"many_restarts", many_restarts, 0}, {"storm", storm, 0}, {"idle", idle, 0});
