// One daemon, from its fork to the first instruction of its `run`: tied to its root, fenced off, its state put in order.
//
// What is put in order here may be what the daemon died of, so all of it counts as part of the attempt: a death in
// `accept`, in `decide`, or in here is one of the daemon. Each step can be done over by the next attempt, whatever instruction
// this one ends at (arena.h).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "internal/arena.h"
#include "internal/root.h"

// ---- What it is

// Its life ends with its root's. If the root died before that was said, its parent is another by now.
static void tie(const muster_root *root) {
  (void)setpgid(0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != root->pid) _exit(ROOT_EXIT_UNPROTECTED);
}

static void default_action(int number) {
  struct sigaction plain = {.sa_handler = SIG_DFL};
  sigemptyset(&plain.sa_mask);
  sigaction(number, &plain, NULL);
}

// What the root has for itself, and what is to stop the daemon, must reach it: a root may have been started with all signals blocked,
// as a child of a thread that has them so, and its daemons could then be stopped by SIGKILL alone.
static void restore_signals(const muster_root *root, uint32_t index) {
  const int stop = root->parts[index].spec.stop_signal, ours[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, stop};
  sigset_t mask = root->mask_before;
  for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) {
    if (ours[k] == stop || sigismember(&root->ignored, ours[k]) != 1) default_action(ours[k]);
    sigdelset(&mask, ours[k]);
  }
  sigprocmask(SIG_SETMASK, &mask, NULL);
}

// Each function's first call is looked up by the dynamic linker, which takes longer than most of these calls, and touches some hundred KiB
// that have to be mapped and unmapped. What was looked up before the fork is known in each child.
void muster_root_rehearse(const muster_root *root) {
  struct sigaction none;
  sigset_t mask;
  int signal;
  (void)setpgid(0, getpgid(0));
  (void)prctl(PR_GET_PDEATHSIG, &signal);
  (void)getppid();
  (void)muster_root_mseal(root->base, 0);
  sigaction(SIGTERM, NULL, &none);
  sigemptyset(&mask);
  sigdelset(&mask, SIGTERM);
  sigprocmask(SIG_BLOCK, &mask, NULL);
}

// Its index, and how it came to be, stand there.
static void become(muster_root *root) {
  muster_daemon *self = &root->self;
  self->root = root;
  self->pid = getpid();
  self->arena = &root->parts[self->index].arena;
  self->desk = root_desk_of(root, self->index);
  self->beat_every = root->parts[self->index].spec.heartbeat / 4;
  if (muster_fork_guard(&self->guard)) _exit(ROOT_EXIT_UNPROTECTED);
}

// ---- Its state

// Fails only where the log could not be put in order before.
static void zero(muster_daemon *self) {
  if (muster_arena_zero(self->arena)) _exit(ROOT_EXIT_UNPROTECTED);
  self->how.found = MUSTER_DAEMON_ZERO;
}

// The newest checkpoint that is good, from the `nth` newest on.
static void load(muster_daemon *self, const muster_daemon_spec *spec, uint32_t nth) {
  muster_arena_checkpoint loaded;
  if (muster_arena_load(self->arena, nth, spec->accept, spec->context, &loaded)) {
    zero(self);
    return;
  }
  self->how.found = MUSTER_DAEMON_CHECKPOINT;
  self->how.checkpoint = loaded.number;
}

static uint32_t place_of(const muster_arena *arena, uint64_t number) {
  muster_arena_checkpoint kept[MUSTER_ARENA_CHECKPOINTS_MAX];
  uint32_t count = 0;
  if (muster_arena_checkpoints(arena, 0, kept, MUSTER_ARENA_CHECKPOINTS_MAX, &count)) return 0;
  uint32_t nth = 0;
  while (nth < count && nth < MUSTER_ARENA_CHECKPOINTS_MAX && kept[nth].number > number) nth++;
  return nth;
}

static void keep(muster_daemon *self, const muster_daemon_spec *spec) {
  int good = !spec->accept || spec->accept(self->arena->state, spec->state_size, spec->context);
  // Half of a redo that can't be ended is never good.
  if (good && self->how.changing) good = muster_arena_change_end(self->arena) == 0;
  if (good) self->how.found = MUSTER_DAEMON_KEEP;
  else load(self, spec, 0);
}

static muster_daemon_policy decide(const muster_daemon *self, const muster_daemon_spec *spec) {
  muster_arena_info info;
  muster_arena_info_of(self->arena, &info);
  muster_daemon_case found = {.state = self->arena->state, .size = spec->state_size, .death = self->how.death,
                              .attempts = self->how.attempts, .changing = self->how.changing, .checkpoint = info.newest};
  return spec->decide(&found, spec->context);
}

static void follow(muster_daemon *self, const muster_daemon_spec *spec, muster_daemon_policy policy) {
  switch (policy) {
    case MUSTER_DAEMON_KEEP: keep(self, spec); break;
    case MUSTER_DAEMON_CHECKPOINT: load(self, spec, 0); break;
    default: zero(self); break;
  }
}

// What was committed comes first, so that every policy finds it in the state. A log that no death can have left is dropped: it
// would be there at each attempt.
static void redo(muster_daemon *self) {
  int status = muster_arena_redo(self->arena);
  if (status == EBADMSG && muster_arena_log_drop(self->arena)) _exit(ROOT_EXIT_UNPROTECTED);
  self->how.redone = status == 0;
  self->how.changing = muster_arena_changing(self->arena) != 0;
}

static void settle(const muster_root *root, muster_daemon *self) {
  const muster_daemon_spec *spec = &root->parts[self->index].spec;
  uint64_t checkpoint = self->how.checkpoint;
  self->how.checkpoint = 0;
  // In a new region all is zeros.
  if (self->how.starts > 1) {
    muster_arena_lay_head(self->arena);
    redo(self);
    switch (self->how.rung) {
      case MUSTER_DAEMON_AS_DECLARED:
        follow(self, spec, spec->policy == MUSTER_DAEMON_DECIDE ? decide(self, spec) : spec->policy);
        break;
      case MUSTER_DAEMON_CHECKPOINTS: load(self, spec, place_of(self->arena, checkpoint)); break;
      default: zero(self); break;
    }
  }
  root_desk *desk = self->desk;
  __atomic_store_n(&desk->transaction, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&desk->found, root_found_word(self->how.starts, self->how.found), __ATOMIC_RELEASE);
}

void muster_root_child_begin(muster_root *root) {
  uint32_t index = root->self.index;
  tie(root);
  if (muster_root_protect_daemon(root, index)) _exit(ROOT_EXIT_UNPROTECTED);
  restore_signals(root, index);
  become(root);
  settle(root, &root->self);
}

void muster_root_child_main(muster_root *root) {
  muster_root_child_begin(root);
  const muster_daemon_spec *spec = &root->parts[root->self.index].spec;
  _exit(spec->run(&root->self, spec->context) & 0xff);
}
