// Signals that the root was started with ignored, and daemons that are stopped when they are to end.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "root_support.h"

#define MS INT64_C(1000000)

static int is_ignored(int number) {
  struct sigaction now;
  CHECK(sigaction(number, NULL, &now) == 0);
  return now.sa_handler == SIG_IGN;
}

// ---- SIGINT and SIGHUP, as nohup(1) has them, and a shell for what it starts in the background

static void ignore_both(muster_root *root) {
  (void)root;
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
}

static void both_are_ignored(muster_root *root) {
  (void)root;
  CHECK(is_ignored(SIGINT));
  CHECK(is_ignored(SIGHUP));
}

static int raises_both(muster_daemon *self, void *context) {
  raise(SIGINT);
  raise(SIGHUP);
  return root_test_idle(self, context);
}

static void ignored_stays_ignored(void) {
  const muster_daemon_spec specs[] = {
      {.name = "a", .run = raises_both, .state_size = 8},
      {.name = "b", .run = root_test_idle, .state_size = 8, .stop_signal = SIGINT, .stop_grace = INT64_MAX}};
  root_test_scene scene = {.specs = specs, .count = 2, .before = ignore_both, .after = both_are_ignored,
                           .options.flags = MUSTER_ROOT_END_AT_HANGUP};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  root_test_await_starts(&scene, 1, 1);
  // Who does not ignore them would see them first: they have lower numbers than SIGCHLD.
  kill(scene.pid, SIGINT);
  kill(scene.pid, SIGHUP);
  kill(board->places[0].pid, SIGKILL);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(root_test_look(&scene, 0).death.value, SIGKILL);
  CHECK_EQUAL(root_test_look(&scene, 0).starts, 2);
  root_test_end(&scene);
}

// ---- SIGCHLD

static void ignore_children(muster_root *root) {
  (void)root;
  signal(SIGCHLD, SIG_IGN);
}

static void children_are_ignored(muster_root *root) {
  (void)root;
  CHECK(is_ignored(SIGCHLD));
}

static int adds_one(void *state, uint64_t size, void *context) {
  (void)size;
  (void)context;
  return ++*(uint64_t *)state, 0;
}

static int crashes(void *state, uint64_t size, void *context) {
  (void)adds_one(state, size, context);
  raise(SIGUSR2);
  return 0;
}

static int transacts(muster_daemon *self, void *context) {
  const muster_daemon_start *how = muster_daemon_how(self);
  if (how->starts > 1) return root_test_polite(self, context);
  CHECK(!is_ignored(SIGCHLD));
  muster_transaction_outcome outcome;
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  CHECK_STATUS(muster_daemon_transact(self, crashes, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_CRASHED);
  CHECK_EQUAL(outcome.signal, 1);
  CHECK_EQUAL(outcome.value, SIGUSR2);
  board->places[0].value = *(uint64_t *)muster_daemon_state(self) + (uint64_t)test_result();
  root_test_note(self);
  raise(SIGUSR1);
  return 0;
}

static void children_ignored_before(void) {
  const muster_daemon_spec spec = {.name = "a", .run = transacts, .state_size = 8};
  root_test_scene scene = {.specs = &spec, .count = 1, .before = ignore_children, .after = children_are_ignored};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(board->places[0].value, 1);
  CHECK_EQUAL(board->places[0].how.death.how, MUSTER_DAEMON_SIGNALED);
  CHECK_EQUAL(board->places[0].how.death.value, SIGUSR1);
  root_test_end(&scene);
}

// ---- A daemon that is stopped ends when it is told to, not after its grace. So does one that waits for a transaction that is stopped.

static void note_end(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status,
                     void *context) {
  (void)root;
  (void)context;
  if (kind == MUSTER_ROOT_ENDED) board->event[daemon].status = *status;
}

static void await_stopped(pid_t pid) {
  char path[64], state = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  for (muster_deadline end = soon(); state != 'T'; test_pause(MS)) {
    REQUIRE(!muster_deadline_passed(end));
    FILE *file = fopen(path, "r");
    REQUIRE(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
  }
}

static int stops(muster_daemon *self, void *context) {
  root_test_note(self);
  raise(SIGSTOP);
  return root_test_idle(self, context);
}

static int stops_itself(void *state, uint64_t size, void *context) {
  (void)context;
  raise(SIGSTOP);
  return adds_one(state, size, NULL);
}

static int waits_for_a_stopped_one(muster_daemon *self, void *context) {
  CHECK_STATUS(muster_daemon_catch_stop(self), 0);
  root_test_note(self);
  muster_transaction_outcome outcome = {0};
  CHECK_STATUS(muster_daemon_transact(self, stops_itself, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  board->places[1].value = *(uint64_t *)muster_daemon_state(self);
  return root_test_polite(self, context);
}

static void stopped_when_asked(void) {
  const muster_daemon_spec specs[] = {
      {.name = "a", .run = stops, .state_size = 8, .stop_grace = INT64_MAX},
      {.name = "b", .run = waits_for_a_stopped_one, .state_size = 8, .stop_grace = INT64_MAX}};
  root_test_scene scene = {.specs = specs, .count = 2, .options.tell = note_end};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  root_test_await_starts(&scene, 1, 1);
  await_stopped(board->places[0].pid);
  int32_t transaction = 0;
  for (muster_deadline end = soon(); !(transaction = root_test_look(&scene, 1).transaction_pid); test_pause(MS))
    REQUIRE(!muster_deadline_passed(end));
  await_stopped(transaction);
  root_test_end(&scene);
  CHECK_EQUAL(board->event[0].status.death.how, MUSTER_DAEMON_STOPPED);
  CHECK_EQUAL(board->event[0].status.death.value, SIGTERM);
  CHECK_EQUAL(board->places[1].value, 1);
  CHECK_EQUAL(board->event[1].status.death.how, MUSTER_DAEMON_STOPPED);
}

TEST_SUITE(root_signals, {"ignored_stays_ignored", ignored_stays_ignored, 0},
           {"children_ignored_before", children_ignored_before, 0}, {"stopped_when_asked", stopped_when_asked, 0});
