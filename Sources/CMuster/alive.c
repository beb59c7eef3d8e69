// SPDX-License-Identifier: Apache-2.0
#include "muster/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/alive_take.h"
#include "internal/alive_wait.h"
#include "internal/caller.h"
#include "internal/fork.h"

struct muster_alive {
  held_files held;
  fork_guard guard;
  const char *base;  // the last part of `path`
  char path[];
};

typedef struct taking {
  mode_t mode;
  int hopeful;
  muster_alive *alive;
} taking;

static int check_take(const alive_path *path, void *context, muster_alive_found *found) {
  taking *want = context;
  int hopeful = want->hopeful;
  want->hopeful = 0;
  int status = muster_alive_take(path, want->mode, hopeful, &want->alive->held, found);
  return status == EBUSY ? EAGAIN : status;
}

// A holder without a pid is about to be one that tells, or nobody: its lock is on the way, or on its way out.
static int take_now(const alive_path *path, taking *want, muster_alive_found *found) {
  muster_deadline patience = muster_deadline_after(20000000);
  for (int64_t step = 0;;) {
    int status = muster_alive_take(path, want->mode, 0, &want->alive->held, found);
    if (status != EBUSY || found->pid || muster_deadline_passed(patience) || !muster_alive_step(&step)) return status;
  }
}

static int make(const char *path, const alive_path *parts, muster_alive **made) {
  size_t size = strlen(path) + 1;
  muster_alive *alive = malloc(sizeof *alive + size);
  if (!alive) return ENOMEM;
  memcpy(alive->path, path, size);
  alive->base = alive->path + (parts->base - path);
  int status = muster_fork_guard(&alive->guard);
  if (!status) status = muster_held_enter(&alive->held);
  if (status) free(alive);
  else *made = alive;
  return status;
}

static int acquire(const char *path, mode_t mode, muster_deadline deadline, muster_alive_found *found,
                   muster_alive **alive) {
  alive_path parts;
  // Who is going to wait has seen its owner die, or begins now: one try more is worth no look before. Not so who comes again and again, perhaps
  // with a deadline that is always over.
  taking want = {.mode = mode, .hopeful = !muster_deadline_passed(deadline)};
  int status = muster_alive_path(path, &parts);
  if (!status) status = make(path, &parts, &want.alive);
  if (status) return status;
  if (deadline <= MUSTER_DEADLINE_NOW) status = take_now(&parts, &want, found);
  else status = muster_alive_wait_until(&parts, deadline, check_take, &want, found);
  if (!status) {
    *alive = want.alive;
  } else {
    muster_held_leave(&want.alive->held);
    free(want.alive);
  }
  return status;
}

int muster_alive_acquire(const char *path, uint32_t mode, muster_deadline deadline, muster_alive_found *found,
                         muster_alive **alive) {
  muster_caller came = muster_enter();
  muster_alive_found unwanted;
  if (!found) found = &unwanted;
  *found = (muster_alive_found){.kind = MUSTER_ALIVE_NOTHING};
  *alive = NULL;
  int status = mode & ~07777u ? EINVAL : acquire(path, mode, deadline, found, alive);
  muster_leave(came);
  return status;
}

// In a child the descriptors are closed already, unless it was made past the handlers of fork: then its copies are
// closed here, and the handle, which stands in a list whose mutex may be locked for ever, is left where it is.
static void forget(muster_alive *alive) {
  int listed = alive->held.listed;
  if (alive->held.file >= 0) close(alive->held.file);
  if (alive->held.folder >= 0) close(alive->held.folder);
  alive->held.file = alive->held.folder = -1;
  if (!listed) free(alive);
}

static void let_go(muster_alive *alive) {
  muster_alive_unlock(&alive->held);
  muster_held_leave(&alive->held);
  free(alive);
}

int muster_alive_release(muster_alive *alive) {
  if (!alive) return 0;
  muster_caller came = muster_enter();
  int status = 0;
  if (muster_fork_inherited(&alive->guard)) {
    forget(alive);
  } else {
    status = muster_alive_remove(&alive->held, alive->base);
    let_go(alive);
  }
  muster_leave(came);
  return status;
}

void muster_alive_abandon(muster_alive *alive) {
  if (!alive) return;
  muster_caller came = muster_enter();
  if (muster_fork_inherited(&alive->guard)) forget(alive);
  else let_go(alive);
  muster_leave(came);
}

int muster_alive_current(const muster_alive *alive) {
  if (muster_fork_inherited(&alive->guard)) return EPERM;
  muster_caller came = muster_enter();
  struct stat file;
  int status = fstat(alive->held.file, &file) ? errno : 0;
  // A relative path meant the working folder of then, which is still held open.
  if (!status && alive->path[0] == '/') status = muster_alive_same(AT_FDCWD, alive->path, &file);
  else if (!status) status = muster_alive_same(alive->held.folder, alive->base, &file);
  muster_leave(came);
  return status;
}

int muster_alive_probe(const char *path, muster_alive_found *found) {
  muster_caller came = muster_enter();
  *found = (muster_alive_found){.kind = MUSTER_ALIVE_NOTHING};
  alive_path parts;
  int told, status = muster_alive_path(path, &parts);
  if (!status) status = muster_alive_look(&parts, found, &told);
  muster_leave(came);
  return status;
}

static int check_alive(const alive_path *path, void *context, muster_alive_found *found) {
  (void)context;
  int told, status = muster_alive_look(path, found, &told);
  return status ? status : told ? 0 : EAGAIN;
}

static int check_dead(const alive_path *path, void *context, muster_alive_found *found) {
  (void)context;
  int told, status = muster_alive_look(path, found, &told);
  return status ? status : found->kind == MUSTER_ALIVE_HELD ? EAGAIN : 0;
}

static int wait_until(const char *path, muster_deadline deadline, alive_check *check, muster_alive_found *found) {
  muster_caller came = muster_enter();
  *found = (muster_alive_found){.kind = MUSTER_ALIVE_NOTHING};
  alive_path parts;
  int status = muster_alive_path(path, &parts);
  if (!status) status = muster_alive_wait_until(&parts, deadline, check, NULL, found);
  muster_leave(came);
  return status;
}

int muster_alive_wait(const char *path, muster_deadline deadline, muster_alive_found *found) {
  muster_alive_found unwanted;
  if (!found) found = &unwanted;
  int status = wait_until(path, deadline, check_alive, found);
  // Somebody who took it and has not come to saying who, stopped perhaps, is worth waiting for, but not worth an error.
  return status == ETIMEDOUT && found->kind == MUSTER_ALIVE_HELD ? 0 : status;
}

int muster_alive_wait_death(const char *path, muster_deadline deadline, muster_alive_found *found) {
  muster_alive_found unwanted;
  return wait_until(path, deadline, check_dead, found ? found : &unwanted);
}
