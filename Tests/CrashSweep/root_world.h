// What the cases of the root's daemons share: a root of one daemon, and what its daemons and those who look at it tell. Statics, so
// that each file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_ROOT_WORLD_H
#define SWEEP_ROOT_WORLD_H

#include <signal.h>
#include <sys/wait.h>

#include "arena_world.h"
#include "internal/arena.h"
#include "internal/root.h"

static const int64_t never = 1000 * INT64_C(3600000000000);

static muster_root *made;

static inline const char *root_name(void) {
  static const char *name;
  return name ? name : (name = sweep_name("root"));
}

// No restart comes by itself, so that the cases take each step.
static inline muster_daemon_spec spec_of(muster_daemon_run run, uint64_t size) {
  return (muster_daemon_spec){.name = "one", .run = run, .state_size = size, .checkpoints = CHECKPOINTS,
                              .policy = MUSTER_DAEMON_KEEP, .tries = 100, .delay_first = never, .delay_most = never,
                              .delay_jitter = MUSTER_ROOT_NONE, .stable = never};
}

static inline int start_root(const muster_daemon_spec *spec, muster_root **root) {
  const muster_root_options options = {.deadline = sweep_deadline(), .seed = 1};
  int status = muster_root_start(root_name(), spec, 1, &options, root);
  // The first restart in a row would come at once.
  if (!status) (*root)->unsettled = 1, (*root)->daemons[0].ladder.streak = 1;
  return status;
}

// Its death is there to be seen, and nothing of it was reaped.
static inline siginfo_t await_death(const muster_root *root) {
  siginfo_t info = {0};
  SWEEP_EQUAL(waitid(P_PID, (id_t)root->pids[0], &info, WEXITED | WNOWAIT), 0);
  return info;
}

// One life, from its start to what the root makes of its end.
static inline void live_once(muster_root *root) {
  muster_root_start_daemon(root, 0);
  siginfo_t info = await_death(root);
  muster_root_child_died(root, &info);
}

static inline muster_daemon_status status_of(const muster_root_view *view) {
  muster_daemon_status status;
  SWEEP_STATUS(muster_root_view_daemon(view, 0, &status), 0);
  SWEEP_EQUAL(status.arena_error, 0);
  return status;
}

static inline muster_root_view *look_at_root(void) {
  muster_root_view *view;
  SWEEP_STATUS(muster_root_observe(root_name(), 0, &view), 0);
  SWEEP_EQUAL(muster_root_view_count(view), 1);
  return view;
}

#endif
