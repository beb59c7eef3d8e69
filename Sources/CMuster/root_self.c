// What a daemon's `run` calls.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "internal/root.h"

// ---- Who it is

uint32_t muster_daemon_count(const muster_daemon *self) { return self->root->count; }
uint32_t muster_daemon_self(const muster_daemon *self) { return self->index; }
const char *muster_daemon_name(const muster_daemon *self) { return self->root->parts[self->index].spec.name; }
const muster_daemon_start *muster_daemon_how(const muster_daemon *self) { return &self->how; }

int muster_daemon_find(const muster_daemon *self, const char *name, uint32_t *index) {
  for (uint32_t k = 0; k < self->root->count; k++)
    if (!strcmp(self->root->parts[k].spec.name, name)) return *index = k, 0;
  return ENOENT;
}

// ---- State

void *muster_daemon_state(const muster_daemon *self) { return self->arena->state; }
uint64_t muster_daemon_state_size(const muster_daemon *self) { return self->arena->size; }

const muster_arena *muster_daemon_arena(const muster_daemon *self, uint32_t index) {
  return index < self->root->count ? &self->root->parts[index].arena : NULL;
}

int muster_daemon_read(const muster_daemon *self, uint32_t index, uint64_t offset, void *to, uint64_t size) {
  const muster_arena *arena = muster_daemon_arena(self, index);
  return arena ? muster_arena_read(arena, offset, to, size, NULL) : EINVAL;
}

int muster_daemon_read_until(const muster_daemon *self, uint32_t index, uint64_t offset, void *to, uint64_t size,
                             muster_deadline deadline) {
  const muster_arena *arena = muster_daemon_arena(self, index);
  return arena ? muster_arena_read_until(arena, offset, to, size, deadline, NULL) : EINVAL;
}

int muster_daemon_change_begin(muster_daemon *self) {
  return muster_fork_inherited(&self->guard) ? EPERM : muster_arena_change_begin(self->arena);
}

int muster_daemon_change_end(muster_daemon *self) {
  return muster_fork_inherited(&self->guard) ? EPERM : muster_arena_change_end(self->arena);
}

int muster_daemon_save(muster_daemon *self) {
  return muster_fork_inherited(&self->guard) ? EPERM : muster_arena_save(self->arena, NULL);
}

// ---- Life

void muster_daemon_beat(muster_daemon *self) {
  if (!muster_fork_inherited(&self->guard)) muster_arena_beat(self->arena, muster_clock_now());
}

static volatile sig_atomic_t stop_seen;

static void see_stop(int number) {
  (void)number;
  stop_seen = 1;
}

int muster_daemon_catch_stop(muster_daemon *self) {
  if (muster_fork_inherited(&self->guard)) return EPERM;
  // Without SA_RESTART, so that what the daemon sleeps in ends.
  struct sigaction action = {.sa_handler = see_stop};
  sigemptyset(&action.sa_mask);
  if (sigaction(self->root->parts[self->index].spec.stop_signal, &action, NULL)) return EPERM;
  self->catches = 1;
  return 0;
}

int muster_root_stop_seen(const muster_daemon *self) { return self->catches && stop_seen; }

int muster_daemon_stopping(const muster_daemon *self) { return muster_root_stop_seen(self); }

// ---- Waiting

static muster_deadline next_beat(const muster_daemon *self, muster_deadline until) {
  if (!self->beat_every) return until;
  muster_deadline beat = muster_deadline_after(self->beat_every);
  return beat < until ? beat : until;
}

// One sleep: until the file can be read (-1: none), or the time. The stop signal can't come between the look at it and the
// sleep: it is blocked but in there.
static int sleep_once(const muster_daemon *self, int file, muster_deadline until) {
  sigset_t stop, before;
  sigemptyset(&stop);
  sigaddset(&stop, self->root->parts[self->index].spec.stop_signal);
  if (self->catches) sigprocmask(SIG_BLOCK, &stop, &before);
  int status = 0;
  if (muster_root_stop_seen(self)) {
    status = ECANCELED;
  } else {
    struct timespec rest = {0, 0}, *timeout = until == MUSTER_DEADLINE_NEVER ? NULL : &rest;
    int64_t left = until - muster_clock_now();
    if (timeout && left > 0) rest = (struct timespec){(time_t)(left / 1000000000), (long)(left % 1000000000)};
    struct pollfd poll = {.fd = file, .events = POLLIN};
    // With no file it must not count one: there is none where RLIMIT_NOFILE is 0.
    int found = ppoll(&poll, file >= 0, timeout, self->catches ? &before : NULL);
    status = found > 0 ? EALREADY : found < 0 ? errno : 0;
  }
  if (self->catches) sigprocmask(SIG_SETMASK, &before, NULL);
  return status;
}

// Sleeps until the file can be read (EALREADY), or the time has come (0), beating meanwhile; ECANCELED: it is to stop;
// EINTR: another signal.
int muster_root_wait(muster_daemon *self, int file, muster_deadline until) {
  for (;;) {
    if (self->beat_every) muster_daemon_beat(self);
    int status = sleep_once(self, file, next_beat(self, until));
    if (status == EINTR && muster_root_stop_seen(self)) return ECANCELED;
    if (status || muster_deadline_passed(until)) return status;
  }
}

int muster_daemon_pause(muster_daemon *self, muster_deadline deadline) {
  int saved = errno;
  int status = muster_root_wait(self, -1, deadline);
  errno = saved;
  return status;
}
