// The root: laying out, starting, the fences between daemons, stopping, and what can be seen from outside.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/root.h"
#include "root_support.h"

#define MS INT64_C(1000000)

// ---- Arguments

static int nothing(muster_daemon *self, void *context) {
  (void)self;
  (void)context;
  return 0;
}

static void refused(void) {
  char long_name[MUSTER_ROOT_NAME_SIZE + 1];
  memset(long_name, 'x', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = 0;
  const muster_daemon_spec bad[] = {
      {.name = "a", .run = nothing},
      {.name = "a", .state_size = 1},
      {.run = nothing, .state_size = 1},
      {.name = "", .run = nothing, .state_size = 1},
      {.name = long_name, .run = nothing, .state_size = 1},
      {.name = "a", .run = nothing, .state_size = 1, .checkpoints = MUSTER_ARENA_CHECKPOINTS_MAX + 1},
      {.name = "a", .run = nothing, .state_size = 1, .transaction_pages = -2},
      {.name = "a", .run = nothing, .state_size = 1, .heartbeat = -1},
      {.name = "a", .run = nothing, .state_size = 1, .stop_grace = -2},
      {.name = "a", .run = nothing, .state_size = 1, .stop_signal = -1},
      {.name = "a", .run = nothing, .state_size = 1, .stop_signal = SIGCHLD},
      {.name = "a", .run = nothing, .state_size = 1, .tries = -1},
  };
  muster_root *root;
  const char *name = test_name("bad");
  uint64_t bytes;
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    CHECK_STATUS(muster_root_start(name, &bad[k], 1, NULL, &root), EINVAL);
    CHECK_STATUS(muster_root_size(&bad[k], 1, &bytes), EINVAL);
  }
  const muster_daemon_spec twice[] = {{.name = "a", .run = nothing, .state_size = 1}, {.name = "a", .run = nothing, .state_size = 1}};
  CHECK_STATUS(muster_root_start(name, twice, 2, NULL, &root), EINVAL);
  CHECK_STATUS(muster_root_start(name, twice, 0, NULL, &root), EINVAL);
  CHECK_STATUS(muster_root_start("", twice, 1, NULL, &root), EINVAL);
  const muster_daemon_spec huge = {.name = "a", .run = nothing, .state_size = UINT64_C(1) << 62};
  int status = muster_root_size(&huge, 1, &bytes);
  CHECK(status == EOVERFLOW || status == EINVAL);
  CHECK(!root);
}

static void name_of_something_else(void) {
  const char *name = test_name("other");
  REQUIRE(make_region(name, MUSTER_REGION_CREATE, 100) == 0);
  const muster_daemon_spec spec = {.name = "a", .run = nothing, .state_size = 1};
  muster_root *root;
  CHECK_STATUS(muster_root_start(name, &spec, 1, NULL, &root), EEXIST);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void *sleeps(void *context) {
  gate_wait(context, 1);
  return NULL;
}

static void other_threads(void) {
  root_test_needs_one_thread();
  const muster_daemon_spec spec = {.name = "a", .run = nothing, .state_size = 1, .restart = MUSTER_DAEMON_NEVER};
  muster_root *root;
  REQUIRE(muster_root_start(test_name("threads"), &spec, 1, NULL, &root) == 0);
  static uint32_t gate;
  pthread_t thread;
  REQUIRE(pthread_create(&thread, NULL, sleeps, &gate) == 0);
  CHECK_STATUS(muster_root_run(root), EBUSY);
  gate_open(&gate, 1);
  pthread_join(thread, NULL);
  CHECK_STATUS(muster_root_run(root), 0);
  CHECK_STATUS(muster_root_run(root), EALREADY);
  muster_root_close(root);
}

static void *ends(void *context) { return context; }

// A thread that was joined does not count, though the kernel has it for a moment still.
static void joined_threads(void) {
  root_test_needs_one_thread();
  const muster_daemon_spec spec = {.name = "a", .run = nothing, .state_size = 1, .restart = MUSTER_DAEMON_NEVER};
  for (int k = 0; k < 200 && !test_result(); k++) {
    muster_root *root;
    pthread_t thread;
    REQUIRE(muster_root_start(test_name("joined"), &spec, 1, NULL, &root) == 0);
    REQUIRE(pthread_create(&thread, NULL, ends, NULL) == 0);
    pthread_join(thread, NULL);
    CHECK_STATUS(muster_root_run(root), 0);
    muster_root_close(root);
  }
}

// ---- Where things lie

static void places(void) {
  const muster_daemon_spec specs[] = {
      {.name = "small", .run = nothing, .state_size = 100, .checkpoints = 2},
      {.name = "large", .run = nothing, .state_size = MUSTER_ARENA_HUGE + 1},
      {.name = "none", .run = nothing, .state_size = 5000, .transaction_pages = MUSTER_ROOT_NONE},
  };
  muster_root *root;
  REQUIRE(muster_root_start(test_name("places"), specs, 3, NULL, &root) == 0);
  uint64_t bytes, end = root->rows_size, page = root->page;
  muster_arena_shape shapes[3];
  for (int k = 0; k < 3; k++) muster_root_shape_of(&specs[k], &shapes[k]);
  CHECK_STATUS(muster_root_size(specs, 3, &bytes), 0);
  CHECK_EQUAL(bytes, root->size);
  CHECK_EQUAL((uintptr_t)root->base % MUSTER_ARENA_HUGE, 0);
  for (uint32_t k = 0; k < 3; k++) {
    const root_place *place = &root->parts[k].place;
    CHECK(place->arena >= end && place->arena % page == 0);
    CHECK_EQUAL(place->desk, place->arena + muster_arena_size(&shapes[k]));
    CHECK_EQUAL(place->end, place->desk + page);
    CHECK_EQUAL((uintptr_t)root->parts[k].arena.state, (uintptr_t)root->base + place->state);
    CHECK_EQUAL(root->parts[k].arena.size, specs[k].state_size);
    end = place->end;
  }
  CHECK_EQUAL(end, root->size);
  CHECK_EQUAL((uintptr_t)root->parts[1].arena.state % MUSTER_ARENA_HUGE, 0);
  muster_root_close(root);
}

// ---- Names

static void one_at_a_time(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_polite, .state_size = 1}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  muster_root *root;
  muster_root_options options = {.deadline = MUSTER_DEADLINE_NOW + 1};
  CHECK_STATUS(muster_root_start(scene.name, specs, 1, &options, &root), EBUSY);
  root_test_end(&scene);
}

// Its daemons go with it, and the next root of that name finds nothing of it in the way.
static void killed_root(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_idle, .state_size = 1},
                                      {.name = "b", .run = root_test_polite, .state_size = 1}};
  root_test_scene scene = {.specs = specs, .count = 2};
  // So that they are this process's to be waited for when their parent is gone.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  root_test_await_starts(&scene, 1, 1);
  pid_t daemons[2] = {board->places[0].pid, board->places[1].pid};
  muster_root_status status;
  CHECK_STATUS(muster_root_view_root(scene.view, &status), 0);
  CHECK_EQUAL(status.alive, 1);
  kill(scene.pid, SIGKILL);
  test_join(scene.pid, SIGKILL);
  root_test_scene next = {.name = scene.name, .specs = specs, .count = 2, .options.deadline = soon()};
  root_test_begin(&next);
  for (int k = 0; k < 2; k++) test_join(daemons[k], SIGKILL);
  CHECK_STATUS(muster_root_view_root(scene.view, &status), 0);
  CHECK_EQUAL(status.alive, 0);
  CHECK_EQUAL(status.pid, scene.pid);
  muster_root_view_close(scene.view);
  root_test_await_starts(&next, 1, 1);
  CHECK_EQUAL(board->places[1].how.starts, 1);
  root_test_end(&next);
}

// ---- Fences

static unsigned char *state_of(muster_daemon *self, uint32_t index) { return muster_daemon_arena(self, index)->state; }

// Each life tries another thing; what can't be done ends it by SIGSEGV, what succeeds is noted.
static int trespasses(muster_daemon *self, void *context) {
  (void)context;
  root_test_place *place = root_test_note(self);
  muster_root *root = self->root;
  *(volatile unsigned char *)muster_daemon_state(self) = 7;
  switch (muster_daemon_how(self)->starts) {
    case 1: *(volatile unsigned char *)state_of(self, 0) = 1; break;
    case 2: *(volatile unsigned char *)state_of(self, 2) = 1; break;
    case 3: *(volatile uint32_t *)(void *)(root->base + ROOT_HEAD_OFFSET) = 1; break;
    case 4: *(volatile uint64_t *)&root_slot_of(root, 1)->row.latest = 1; break;
    case 5: *(volatile uint64_t *)root_desk_of(root, 2) = 1; break;
    default:
      place->value = 1;
      return root_test_polite(self, context);
  }
  return 0;
}

static void only_the_offender_dies(void) {
  const muster_daemon_spec specs[] = {
      {.name = "before", .run = root_test_polite, .state_size = 5000},
      {.name = "trespasser", .run = trespasses, .state_size = 5000, .policy = MUSTER_DAEMON_KEEP, .stable = MUSTER_ROOT_NONE},
      {.name = "behind", .run = root_test_polite, .state_size = 5000}};
  root_test_scene scene = {.specs = specs, .count = 3};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 1, 7);
  muster_daemon_status status = root_test_look(&scene, 1);
  CHECK_EQUAL(status.failures, 5);
  CHECK_EQUAL(status.death.how, MUSTER_DAEMON_SIGNALED);
  CHECK_EQUAL(status.death.value, SIGSEGV);
  CHECK_EQUAL(root_test_look(&scene, 0).starts, 1);
  CHECK_EQUAL(root_test_look(&scene, 2).starts, 1);
  unsigned char state;
  CHECK_STATUS(muster_root_view_read(scene.view, 0, 0, &state, 1), 0);
  CHECK_EQUAL(state, 0);
  root_test_end(&scene);
}

static int unseals(muster_daemon *self, void *context) {
  root_test_place *place = root_test_note(self);
  size_t page = self->root->page;
  uint32_t failures = 0;
  for (uint32_t k = 0; k < 3; k++) {
    if (k == 1) continue;
    void *other = state_of(self, k);
    if (mprotect(other, page, PROT_READ | PROT_WRITE) && errno == EPERM) failures++;
    if (munmap(other, page) && errno == EPERM) failures++;
    if (mmap(other, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EPERM)
      failures++;
  }
  if (mprotect(self->root->base, page, PROT_READ | PROT_WRITE) && errno == EPERM) failures++;
  if (mprotect(self->root->parts, page, PROT_READ | PROT_WRITE) && errno == EPERM) failures++;
  // What the root writes is not there.
  unsigned char there;
  if (mincore(self->root->rows, page, &there) && errno == ENOMEM) failures++;
  if (mincore((void *)((uintptr_t)self->root->daemons & ~(page - 1)), page, &there) && errno == ENOMEM) failures++;
  // Never on its own.
  if (mprotect(state_of(self, 1), page, PROT_READ) == 0 && mprotect(state_of(self, 1), page, PROT_READ | PROT_WRITE) == 0)
    place->value = failures;
  return root_test_polite(self, context);
}

static void seals(void) {
  void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (muster_root_mseal(page, 4096)) test_skip("no mseal(2) here");
  const muster_daemon_spec specs[] = {{.name = "before", .run = root_test_polite, .state_size = 5000},
                                      {.name = "unsealer", .run = unseals, .state_size = 5000},
                                      {.name = "behind", .run = root_test_polite, .state_size = 5000}};
  root_test_scene scene = {.specs = specs, .count = 3};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 1, 2);
  CHECK_EQUAL(board->places[1].value, 10);
  root_test_end(&scene);
}

// Without the seals the fences stand all the same.
static void no_seals(void) {
#ifdef SYS_mseal
  refuse_call(SYS_mseal, ENOSYS);
#else
  refuse_call(462, ENOSYS);
#endif
  only_the_offender_dies();
}

// ---- What a daemon is

static int looks_around(muster_daemon *self, void *context) {
  root_test_place *place = root_test_note(self);
  uint32_t index = 9;
  CHECK_EQUAL(muster_daemon_count(self), 2);
  CHECK_STATUS(muster_daemon_find(self, "other", &index), 0);
  CHECK_EQUAL(index, 1);
  CHECK_STATUS(muster_daemon_find(self, "nobody", &index), ENOENT);
  CHECK(!strcmp(muster_daemon_name(self), "self"));
  CHECK_EQUAL(muster_daemon_state_size(self), 16);
  CHECK(!muster_daemon_arena(self, 2));
  CHECK_EQUAL(getpgrp(), getpid());
  struct sigaction action;
  CHECK(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
  CHECK(sigaction(SIGTERM, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  sigset_t mask;
  CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
  CHECK_EQUAL(sigismember(&mask, SIGUSR2), 1);
  CHECK_EQUAL(sigismember(&mask, SIGCHLD), 0);
  uint64_t there;
  CHECK_STATUS(muster_daemon_read(self, 2, 0, &there, 8), EINVAL);
  CHECK_STATUS(muster_daemon_read(self, 1, 9, &there, 8), EINVAL);
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  CHECK_STATUS(muster_daemon_change_begin(self), EALREADY);
  *(uint64_t *)muster_daemon_state(self) = 42;
  CHECK_STATUS(muster_daemon_read(self, 0, 0, &there, 8), EAGAIN);
  CHECK_STATUS(muster_daemon_change_end(self), 0);
  CHECK_STATUS(muster_daemon_change_end(self), EINVAL);
  CHECK_STATUS(muster_daemon_read(self, 0, 0, &there, 8), 0);
  CHECK_EQUAL(there, 42);
  CHECK_STATUS(muster_daemon_save(self), ENOTSUP);
  do there = 0;
  while (muster_daemon_read_until(self, 1, 8, &there, 8, soon()) || there != 43);
  muster_daemon_status status;
  CHECK_STATUS(muster_daemon_look(self, 2, &status), EINVAL);
  CHECK_STATUS(muster_daemon_look(self, 1, &status), 0);
  CHECK(!strcmp(status.name, "other"));
  place->value = 1 + (uint64_t)test_result();
  return root_test_polite(self, context);
}

static int other(muster_daemon *self, void *context) {
  CHECK_STATUS(muster_daemon_change_begin(self), 0);
  ((uint64_t *)muster_daemon_state(self))[1] = 43;
  CHECK_STATUS(muster_daemon_change_end(self), 0);
  return root_test_polite(self, context);
}

static void signals_of_the_program(muster_root *root) {
  (void)root;
  signal(SIGUSR1, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  sigprocmask(SIG_BLOCK, &mask, NULL);
}

static void signals_as_before(muster_root *root) {
  (void)root;
  struct sigaction action;
  CHECK(sigaction(SIGTERM, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
  sigset_t mask;
  CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
  CHECK_EQUAL(sigismember(&mask, SIGUSR2), 1);
  CHECK_EQUAL(sigismember(&mask, SIGTERM), 0);
}

static void daemons(void) {
  const muster_daemon_spec specs[] = {{.name = "self", .run = looks_around, .state_size = 16},
                                      {.name = "other", .run = other, .state_size = 16}};
  root_test_scene scene = {.specs = specs, .count = 2, .before = signals_of_the_program, .after = signals_as_before};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 2);
  CHECK_EQUAL(board->places[0].value, 1);
  root_test_end(&scene);
}

// ---- The end

static void reverse_order(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_polite, .state_size = 1},
                                      {.name = "b", .run = root_test_idle, .state_size = 1},
                                      {.name = "c", .run = root_test_polite, .state_size = 1, .stop_signal = SIGUSR1},
                                      {.name = "d", .run = root_test_polite, .state_size = 1}};
  root_test_scene scene = {.specs = specs, .count = 4};
  root_test_begin(&scene);
  for (uint32_t k = 0; k < 4; k++) root_test_await_starts(&scene, k, 1);
  kill(scene.pid, SIGTERM);
  test_join(scene.pid, 0);
  CHECK_EQUAL(board->places[3].told, 1);
  CHECK_EQUAL(board->places[2].told, 2);
  CHECK_EQUAL(board->places[0].told, 3);
  const muster_daemon_end ends[] = {MUSTER_DAEMON_STOPPED, MUSTER_DAEMON_STOPPED, MUSTER_DAEMON_STOPPED, MUSTER_DAEMON_STOPPED};
  for (uint32_t k = 0; k < 4; k++) {
    muster_daemon_status status = root_test_look(&scene, k);
    CHECK_EQUAL(status.phase, MUSTER_DAEMON_ENDED);
    CHECK_EQUAL(status.death.how, ends[k]);
    CHECK_EQUAL(status.failures, 0);
  }
  muster_root_view_close(scene.view);
}

static int deaf(muster_daemon *self, void *context) {
  signal(SIGTERM, SIG_IGN);
  return root_test_idle(self, context);
}

static void deaf_ones_are_killed(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_polite, .state_size = 1},
                                      {.name = "deaf", .run = deaf, .state_size = 1, .stop_grace = 20 * MS},
                                      {.name = "now", .run = root_test_polite, .state_size = 1, .stop_grace = MUSTER_ROOT_NONE}};
  root_test_scene scene = {.specs = specs, .count = 3};
  root_test_begin(&scene);
  for (uint32_t k = 0; k < 3; k++) root_test_await_starts(&scene, k, 1);
  kill(scene.pid, SIGINT);
  test_join(scene.pid, 0);
  CHECK_EQUAL(root_test_look(&scene, 2).death.how, MUSTER_DAEMON_KILLED);
  CHECK_EQUAL(root_test_look(&scene, 1).death.how, MUSTER_DAEMON_KILLED);
  CHECK_EQUAL(root_test_look(&scene, 0).death.how, MUSTER_DAEMON_STOPPED);
  CHECK_EQUAL(board->places[2].told, 0);
  muster_root_view_close(scene.view);
}

static void no_more_patience(void) {
  const muster_daemon_spec specs[] = {{.name = "deaf", .run = deaf, .state_size = 1, .stop_grace = INT64_C(3600000000000)}};
  root_test_scene scene = {.specs = specs, .count = 1};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  kill(scene.pid, SIGHUP);
  kill(scene.pid, SIGTERM);
  root_test_await_phase(&scene, 0, MUSTER_DAEMON_STOPPING);
  kill(scene.pid, SIGTERM);
  root_test_join(&scene, 0);
}

static void hangup_may_stop(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_polite, .state_size = 1}};
  root_test_scene scene = {.specs = specs, .count = 1, .options.flags = MUSTER_ROOT_END_AT_HANGUP};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  kill(scene.pid, SIGHUP);
  root_test_join(&scene, 0);
}

// ---- From outside

static void seen_from_outside(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = root_test_polite, .state_size = 100, .heartbeat = INT64_C(3600000000000)},
                                      {.name = "b", .run = nothing, .state_size = 100, .restart = MUSTER_DAEMON_ON_FAILURE}};
  root_test_scene scene = {.specs = specs, .count = 2};
  root_test_begin(&scene);
  root_test_await_starts(&scene, 0, 1);
  root_test_await_phase(&scene, 1, MUSTER_DAEMON_ENDED);
  CHECK_EQUAL(muster_root_view_count(scene.view), 2);
  muster_daemon_status status = root_test_look(&scene, 0);
  CHECK(!strcmp(status.name, "a"));
  CHECK_EQUAL(status.phase, MUSTER_DAEMON_RUNNING);
  CHECK_EQUAL(status.pid, board->places[0].pid);
  CHECK_EQUAL(status.starts, 1);
  CHECK_EQUAL(status.state_size, 100);
  CHECK_EQUAL(status.heartbeat, INT64_C(3600000000000));
  CHECK_EQUAL(status.found, MUSTER_DAEMON_ZERO);
  CHECK_EQUAL(status.arena_error, 0);
  status = root_test_look(&scene, 1);
  CHECK_EQUAL(status.death.how, MUSTER_DAEMON_EXITED);
  CHECK_EQUAL(status.death.value, 0);
  CHECK_EQUAL(status.pid, 0);
  muster_root_status root;
  CHECK_STATUS(muster_root_view_root(scene.view, &root), 0);
  CHECK_EQUAL(root.pid, scene.pid);
  CHECK_EQUAL(root.running, 1);
  CHECK_EQUAL(root.starts, 2);
  CHECK_EQUAL(root.alive, 1);
  CHECK_STATUS(muster_root_view_daemon(scene.view, 2, &status), EINVAL);
  CHECK_STATUS(muster_root_view_read(scene.view, 2, 0, &status, 1), EINVAL);
  CHECK_STATUS(muster_root_view_read(scene.view, 0, 100, &status, 1), EINVAL);
  muster_root_view *none;
  CHECK_STATUS(muster_root_observe(test_name("nobody"), 0, &none), ENOENT);
  CHECK_STATUS(muster_root_observe(scene.name, MUSTER_REGION_FORCE, &none), EINVAL);
  root_test_end(&scene);
}

static void nothing_left_to_run(void) {
  const muster_daemon_spec specs[] = {{.name = "a", .run = nothing, .state_size = 1, .restart = MUSTER_DAEMON_ON_FAILURE},
                                      {.name = "b", .run = nothing, .state_size = 1, .restart = MUSTER_DAEMON_NEVER}};
  root_test_scene scene = {.specs = specs, .count = 2};
  root_test_begin(&scene);
  root_test_join(&scene, 0);
}

static void words(void) {
  CHECK(!strcmp(muster_daemon_phase_text(MUSTER_DAEMON_RUNNING), "running"));
  CHECK(!strcmp(muster_daemon_phase_text((muster_daemon_phase)99), "unknown"));
  CHECK(!strcmp(muster_daemon_phase_text((muster_daemon_phase)-1), "unknown"));
  CHECK(!strcmp(muster_daemon_end_text(MUSTER_DAEMON_HUNG), "no heartbeat"));
  CHECK(!strcmp(muster_daemon_end_text((muster_daemon_end)99), "unknown"));
  CHECK(!strcmp(muster_daemon_rung_text(MUSTER_DAEMON_GIVEN_UP), "given up"));
  CHECK(!strcmp(muster_daemon_rung_text((muster_daemon_rung)4), "unknown"));
}

TEST_SUITE(root, {"refused", refused, 0}, {"name_of_something_else", name_of_something_else, 0},
           {"other_threads", other_threads, 0}, {"joined_threads", joined_threads, 0}, {"places", places, 0}, {"one_at_a_time", one_at_a_time, 0},
           {"killed_root", killed_root, 0}, {"only_the_offender_dies", only_the_offender_dies, 0}, {"seals", seals, 0},
           {"no_seals", no_seals, 0}, {"daemons", daemons, 0}, {"reverse_order", reverse_order, 0},
           {"deaf_ones_are_killed", deaf_ones_are_killed, 0}, {"no_more_patience", no_more_patience, 0},
           {"hangup_may_stop", hangup_may_stop, 0}, {"seen_from_outside", seen_from_outside, 0},
           {"nothing_left_to_run", nothing_left_to_run, 0}, {"words", words, 0});
