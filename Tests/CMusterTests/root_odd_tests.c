// Daemons that behave oddly, by accident: they block signals, leave their group, ignore SIGCHLD, have no descriptors, store into
// what they should not; and times that never come.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/arena.h"
#include "internal/region_map.h"
#include "internal/root.h"
#include "root_support.h"

#define MS INT64_C(1000000)

static void hang(void) {
  for (;;) pause();
}

// ---- Heartbeats

// A stray store left a time that is not there yet. It is no beat.
static int beats_ahead(muster_daemon *self, void *context) {
  if (muster_daemon_how(self)->starts > 1) return root_test_polite(self, context);
  muster_arena_beat(muster_daemon_arena(self, 0), (muster_deadline)1 << 62);
  root_test_note(self);
  hang();
  return 0;
}

static void beat_of_the_future(void) {
  const muster_daemon_spec spec = {.name = "a", .run = beats_ahead, .state_size = 8, .heartbeat = 50 * MS * test_slower()};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(root_test_look(&scene, 0).death.how, MUSTER_DAEMON_HUNG);
  CHECK_EQUAL(board->places[0].how.attempts, 2);
  root_test_end(&scene);
}

// ---- A daemon that is not in its group any more: its own process at least is killed.

static int leaves_its_group(muster_daemon *self, void *context) {
  if (muster_daemon_how(self)->starts == 2) return root_test_polite(self, context);
  // Not before the root has made it the leader of its group.
  for (muster_daemon_status status = {0}; status.pid != getpid(); test_pause(MS))
    CHECK_STATUS(muster_daemon_look(self, 0, &status), 0);
  CHECK(setpgid(0, getpgid(getppid())) == 0);
  signal(SIGTERM, SIG_IGN);
  root_test_note(self);
  hang();
  return 0;
}

static void hung_out_of_its_group(void) {
  const muster_daemon_spec spec = {.name = "a", .run = leaves_its_group, .state_size = 8, .heartbeat = 50 * MS * test_slower()};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(root_test_look(&scene, 0).death.how, MUSTER_DAEMON_HUNG);
  root_test_end(&scene);
}

static void stopped_out_of_its_group(void) {
  const muster_daemon_spec spec = {.name = "a", .run = leaves_its_group, .state_size = 8, .stop_grace = 10 * MS};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  root_test_end(&scene);
}

// ---- Signals

static void block_stop(muster_root *root) {
  (void)root;
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, NULL);
}

static void stop_signal_blocked_before(void) {
  const muster_daemon_spec specs[] = {{.name = "idle", .run = root_test_idle, .state_size = 8, .stop_grace = INT64_MAX},
                                      {.name = "polite", .run = root_test_polite, .state_size = 8, .stop_grace = INT64_MAX}};
  root_test_scene scene = {.specs = specs, .count = 2, .before = block_stop};
  root_test_begin(&scene);
  for (uint32_t k = 0; k < 2; k++) root_test_await_starts(&scene, k, 1);
  root_test_end(&scene);
  CHECK_EQUAL(board->order, 1);
}

// It comes right after the fork, when the child still has the program's handler for it.
static void swallow(int number) { (void)number; }

static void handle_stop(muster_root *root) {
  (void)root;
  signal(SIGUSR1, swallow);
}

static void stop_at_start(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status,
                          void *context) {
  (void)daemon;
  (void)context;
  if (kind == MUSTER_ROOT_STARTED) muster_root_stop(root);
  if (kind == MUSTER_ROOT_ENDED) board->event[0].status = *status;
}

static void stopped_at_once(void) {
  const muster_daemon_spec spec = {.name = "a", .run = root_test_idle, .state_size = 8, .stop_signal = SIGUSR1,
                                   .stop_grace = 2000 * MS * test_slower()};
  root_test_scene scene = {.specs = &spec, .count = 1, .before = handle_stop, .options.tell = stop_at_start};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
  CHECK_EQUAL(board->event[0].status.death.how, MUSTER_DAEMON_STOPPED);
  CHECK_EQUAL(board->event[0].status.death.value, SIGUSR1);
}

// ---- Times that never come

static int takes_its_time(muster_daemon *self, void *context) {
  int status = root_test_polite(self, context);
  test_pause(20 * MS);
  return status;
}

static void never(void) {
  const muster_daemon_spec spec = {.name = "a", .run = takes_its_time, .state_size = 8, .stop_grace = INT64_MAX,
                                   .heartbeat = INT64_MAX, .stable = INT64_MAX, .budget_within = INT64_MAX};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  muster_root_status before, after;
  CHECK_STATUS(muster_root_view_root(scene.view, &before), 0);
  test_pause(20 * MS);
  CHECK_STATUS(muster_root_view_root(scene.view, &after), 0);
  CHECK(after.wakes - before.wakes <= 1);
  CHECK_EQUAL(after.starts, 1);
  root_test_end(&scene);
  CHECK_EQUAL(board->event[1].kind, MUSTER_ROOT_ENDED);
  CHECK_EQUAL(board->event[1].status.death.how, MUSTER_DAEMON_STOPPED);
}

// ---- A daemon whose transaction is reaped behind its back, and one without descriptors

static int adds_one(void *state, uint64_t size, void *context) {
  (void)size;
  (void)context;
  return ++*(uint64_t *)state, 0;
}

static int crashes(void *state, uint64_t size, void *context) {
  (void)adds_one(state, size, context);
  raise(SIGKILL);
  return 0;
}

static void transacts(muster_daemon *self) {
  muster_transaction_outcome outcome;
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_COMMITTED);
  CHECK_STATUS(muster_daemon_transact(self, crashes, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_CRASHED);
  CHECK_EQUAL(outcome.attempts, 3);
  CHECK_EQUAL(*(uint64_t *)muster_daemon_state(self), 1);
}

static int ignores_children(muster_daemon *self, void *context) {
  signal(SIGCHLD, SIG_IGN);
  if (context) refuse_call(SYS_pidfd_open, EMFILE);
  transacts(self);
  board->places[0].value = 1 + (uint64_t)test_result();
  return root_test_polite(self, NULL);
}

static void children_ignored(void) {
  for (int refused = 0; refused < 2; refused++) {
    const muster_daemon_spec spec = {.name = "a", .run = ignores_children, .context = refused ? (void *)&spec : NULL,
                                     .state_size = 8, .heartbeat = 10000 * MS};
    root_test_scene scene = {.specs = &spec, .count = 1};
    root_test_begin(&scene);
    root_test_await_starts(&scene, 0, 1);
    CHECK_EQUAL(board->places[0].value, 1);
    root_test_end(&scene);
  }
}

static int has_no_descriptors(muster_daemon *self, void *context) {
  const struct rlimit none = {0, 0};
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  CHECK_STATUS(muster_daemon_pause(self, muster_deadline_after(MS)), 0);
  transacts(self);
  board->places[0].value = 1 + (uint64_t)test_result();
  return root_test_polite(self, context);
}

static void no_descriptors(void) {
  const muster_daemon_spec spec = {.name = "a", .run = has_no_descriptors, .state_size = 8, .heartbeat = 10000 * MS};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  CHECK_EQUAL(board->places[0].value, 1);
  root_test_end(&scene);
}

// It closed all descriptors, as programs do that make daemons of themselves, and the region's number is another file's.
static int has_another_file(muster_daemon *self, void *context) {
  int file = muster_region_descriptor(self->root->region), other = memfd_create("other", MFD_CLOEXEC);
  CHECK(other >= 0 && ftruncate(other, (off_t)self->root->size) == 0);
  uint64_t *state = muster_daemon_state(self);
  *state = 7;
  muster_transaction_outcome outcome;
  CHECK_EQUAL(dup2(other, file), file);
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_FAILED);
  CHECK_EQUAL(outcome.value, EBADF);
  CHECK_EQUAL(close(file), 0);
  CHECK_STATUS(muster_daemon_transact(self, adds_one, NULL, NULL, &outcome), 0);
  CHECK_EQUAL(outcome.how, MUSTER_TRANSACTION_FAILED);
  CHECK_EQUAL(outcome.value, EBADF);
  CHECK_EQUAL(*state, 7);
  board->places[0].value = 1 + (uint64_t)test_result();
  return root_test_polite(self, context);
}

static void another_file(void) {
  const muster_daemon_spec spec = {.name = "a", .run = has_another_file, .state_size = 8};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  CHECK_EQUAL(board->places[0].value, 1);
  root_test_end(&scene);
}

// ---- A daemon that scribbles over all of its arena's first page and dies: its successor is seen again.

static int scribbles(muster_daemon *self, void *context) {
  if (muster_daemon_how(self)->starts > 1) {
    CHECK_STATUS(muster_daemon_change_begin(self), 0);
    CHECK_STATUS(muster_daemon_change_end(self), 0);
    CHECK_STATUS(muster_daemon_save(self), 0);
    transacts(self);
    board->places[0].value = 1 + (uint64_t)test_result();
    return root_test_polite(self, context);
  }
  memset(arena_control_of(self->arena), 0xa5, self->arena->page);
  memset(arena_log_of(self->arena), 0x02, self->arena->page);
  root_test_note(self);
  return 1;
}

static void head_is_laid_again(void) {
  const muster_daemon_spec spec = {.name = "a", .run = scribbles, .state_size = 8, .checkpoints = 2,
                                   .policy = MUSTER_DAEMON_CHECKPOINT, .heartbeat = 10000 * MS};
  root_test_scene scene = {.specs = &spec, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(board->places[0].value, 1);
  CHECK_EQUAL(board->places[0].how.starts, 2);
  muster_root_view *view;
  CHECK_STATUS(muster_root_observe(scene.name, 0, &view), 0);
  muster_daemon_status status;
  CHECK_STATUS(muster_root_view_daemon(view, 0, &status), 0);
  CHECK_EQUAL(status.arena_error, 0);
  CHECK_EQUAL(status.state_size, 8);
  muster_root_view_close(view);
  root_test_end(&scene);
}

TEST_SUITE(root_odd, {"beat_of_the_future", beat_of_the_future, 0}, {"hung_out_of_its_group", hung_out_of_its_group, 0},
           {"stopped_out_of_its_group", stopped_out_of_its_group, 0},
           {"stop_signal_blocked_before", stop_signal_blocked_before, 0}, {"stopped_at_once", stopped_at_once, 0},
           {"never", never, 0},
           {"children_ignored", children_ignored, 0}, {"no_descriptors", no_descriptors, 0},
           {"another_file", another_file, 0}, {"head_is_laid_again", head_is_laid_again, 0});
