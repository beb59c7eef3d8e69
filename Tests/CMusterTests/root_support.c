// SPDX-License-Identifier: Apache-2.0
#include "root_support.h"

#include <signal.h>
#include <unistd.h>

root_test_board *board;

void root_test_needs_one_thread(void) {
#if defined(__SANITIZE_THREAD__)
  test_skip("the thread sanitizer has a thread of its own in each process, which a root may not have");
#endif
}

static void tell(muster_root *root, muster_root_event_kind kind, uint32_t daemon, const muster_daemon_status *status,
                 void *context) {
  (void)root;
  (void)context;
  uint32_t k = __atomic_fetch_add(&board->events, 1, __ATOMIC_ACQ_REL);
  if (k >= ROOT_TEST_EVENTS) return;
  board->event[k].kind = kind;
  board->event[k].daemon = daemon;
  board->event[k].status = *status;
}

static void run(void *context) {
  root_test_scene *scene = context;
  muster_root *root;
  if (!scene->options.tell) scene->options.tell = tell;
  int status = muster_root_start(scene->name, scene->specs, scene->count, &scene->options, &root);
  CHECK_STATUS(status, 0);
  if (status) return;
  if (scene->before) scene->before(root);
  gate_open(&board->laid, 1);
  // It may end by itself, and its name with it.
  gate_wait(&board->seen, 1);
  CHECK_STATUS(muster_root_run(root), scene->expect);
  if (scene->after) scene->after(root);
  muster_root_close(root);
}

void root_test_begin(root_test_scene *scene) {
  root_test_needs_one_thread();
  board = shared_memory(sizeof *board);
  if (!scene->name) scene->name = test_name("root");
  scene->pid = test_fork(run, scene);
  gate_wait(&board->laid, 1);
  CHECK_STATUS(muster_root_observe(scene->name, 0, &scene->view), 0);
  REQUIRE(scene->view);
  gate_open(&board->seen, 1);
}

void root_test_join(root_test_scene *scene, int signal) {
  test_join(scene->pid, signal);
  muster_root_view_close(scene->view);
}

void root_test_end(root_test_scene *scene) {
  kill(scene->pid, SIGTERM);
  root_test_join(scene, 0);
  CHECK_EQUAL(access(shm_path(scene->name), F_OK), -1);
}

muster_daemon_status root_test_look(const root_test_scene *scene, uint32_t daemon) {
  muster_daemon_status status;
  CHECK_STATUS(muster_root_view_daemon(scene->view, daemon, &status), 0);
  return status;
}

void root_test_await_starts(const root_test_scene *scene, uint32_t daemon, uint64_t starts) {
  (void)scene;
  for (muster_deadline end = soon(); __atomic_load_n(&board->places[daemon].starts, __ATOMIC_ACQUIRE) < starts;) {
    REQUIRE(!muster_deadline_passed(end));
    test_pause(100000);
  }
}

void root_test_await_phase(const root_test_scene *scene, uint32_t daemon, muster_daemon_phase phase) {
  for (muster_deadline end = soon(); root_test_look(scene, daemon).phase != phase;) {
    REQUIRE(!muster_deadline_passed(end));
    test_pause(100000);
  }
}

root_test_place *root_test_note(muster_daemon *self) {
  root_test_place *place = &board->places[muster_daemon_self(self)];
  place->pid = (int32_t)getpid();
  place->how = *muster_daemon_how(self);
  __atomic_fetch_add(&place->starts, 1, __ATOMIC_ACQ_REL);
  return place;
}

int root_test_idle(muster_daemon *self, void *context) {
  (void)context;
  root_test_note(self);
  for (;;) (void)muster_daemon_pause(self, soon());
}

int root_test_polite(muster_daemon *self, void *context) {
  (void)context;
  CHECK_STATUS(muster_daemon_catch_stop(self), 0);
  root_test_place *place = root_test_note(self);
  while (!muster_daemon_stopping(self)) (void)muster_daemon_pause(self, soon());
  // In which order daemons were stopped: the first is 1.
  place->told = __atomic_add_fetch(&board->order, 1, __ATOMIC_ACQ_REL);
  return test_result();
}
