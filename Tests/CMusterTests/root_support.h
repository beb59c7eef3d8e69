// What the tests of the root share: a root in a process of its own, and a board in shared memory for what its daemons tell.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_ROOT_SUPPORT_H
#define MUSTER_ROOT_SUPPORT_H

#include "muster/root.h"
#include "support.h"

enum { ROOT_TEST_DAEMONS = 8, ROOT_TEST_EVENTS = 256 };

// Each daemon of a test writes to its own place; the test reads.
typedef struct root_test_place {
  uint32_t starts;
  int32_t pid;
  muster_daemon_start how;
  uint64_t value;
  uint32_t gate;
  uint32_t told;
} root_test_place;

typedef struct root_test_board {
  root_test_place places[ROOT_TEST_DAEMONS];
  uint32_t events, laid, seen, order;
  struct {
    muster_root_event_kind kind;
    uint32_t daemon;
    muster_daemon_status status;
  } event[ROOT_TEST_EVENTS];
} root_test_board;

typedef struct root_test_scene {
  const char *name;
  const muster_daemon_spec *specs;
  uint32_t count;
  int expect;                           // what run has to return
  muster_root_options options;
  void (*before)(muster_root *root);    // in the root, before run
  void (*after)(muster_root *root);
  pid_t pid;                            // of the root
  muster_root_view *view;
} root_test_scene;

// Of this test, shared by all its processes.
extern root_test_board *board;

// Skips where a sanitizer has a thread of its own in every process.
void root_test_needs_one_thread(void);

void root_test_begin(root_test_scene *scene);
void root_test_end(root_test_scene *scene);     // by SIGTERM
void root_test_join(root_test_scene *scene, int signal);  // it ends by itself, or by that signal

muster_daemon_status root_test_look(const root_test_scene *scene, uint32_t daemon);

// Waits until a daemon was started so many times, and has come to its `run`; or is in that phase.
void root_test_await_starts(const root_test_scene *scene, uint32_t daemon, uint64_t starts);
void root_test_await_phase(const root_test_scene *scene, uint32_t daemon, muster_daemon_phase phase);

// In a daemon, first of all: writes down how it was started.
root_test_place *root_test_note(muster_daemon *self);

// Bodies of daemons: beats and sleeps until the stop signal ends it, or says that it is to stop.
int root_test_idle(muster_daemon *self, void *context);
int root_test_polite(muster_daemon *self, void *context);

#endif
