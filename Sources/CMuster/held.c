// SPDX-License-Identifier: Apache-2.0
#include "internal/held.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sigset_t mask;  // of the thread that has the mutex, from before
static held_files *first;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int installed;

// Signals are held back meanwhile: a handler that forks (or runs popen) would wait for a mutex of its own thread.
void muster_held_lock(void) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pthread_mutex_lock(&mutex);
  mask = before;
}

void muster_held_unlock(void) {
  sigset_t before = mask;
  pthread_mutex_unlock(&mutex);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void close_one(int *descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

// Runs in the child, before fork returns there: only what is safe after a fork of a process with threads.
static void in_child(void) {
  int saved = errno;
  for (held_files *held = first, *next; held; held = next) {
    next = held->next;
    // Not what the program has opened under the number of one that it closed.
    if (!held->watches || !muster_held_is_no_instance(held->file)) close_one(&held->file);
    held->file = -1;
    close_one(&held->folder);
    held->listed = 0;
  }
  first = NULL;
  muster_held_unlock();
  errno = saved;
}

// It lacks memory when it fails, and musl's returns a number that is no error's.
static void install(void) { installed = pthread_atfork(muster_held_lock, muster_held_unlock, in_child) ? ENOMEM : 0; }

int muster_held_install(void) {
  pthread_once(&once, install);
  return installed;
}

void muster_held_link(held_files *held) {
  held->file = held->folder = -1;
  held->previous = NULL;
  held->next = first;
  if (first) first->previous = held;
  first = held;
  held->listed = 1;
  held->watches = 0;
}

void muster_held_unlink(held_files *held) {
  if (!held->listed) return;
  close_one(&held->file);
  close_one(&held->folder);
  if (held->next) held->next->previous = held->previous;
  if (held->previous) held->previous->next = held->next;
  else first = held->next;
  held->listed = 0;
}

int muster_held_enter(held_files *held) {
  int status = muster_held_install();
  if (status) return status;
  muster_held_lock();
  muster_held_link(held);
  muster_held_unlock();
  return 0;
}

void muster_held_leave(held_files *held) {
  muster_held_lock();
  muster_held_unlink(held);
  muster_held_unlock();
}

int muster_held_keep(held_files *held) {
  muster_held_lock();
  int file = held->file;
  held->file = -1;
  muster_held_unlink(held);
  muster_held_unlock();
  return file;
}

int muster_above_stdio(int file) {
  if (file < 0 || file > 2) return file;
  int moved = fcntl(file, F_DUPFD_CLOEXEC, 3), error = errno;
  close(file);
  errno = error;
  return moved;
}

int muster_held_open(int *descriptor, int folder, const char *name, int flags, mode_t mode) {
  muster_held_lock();
  close_one(descriptor);
  int file;
  do file = openat(folder, name, flags | O_CLOEXEC, mode);
  while (file < 0 && errno == EINTR);
  *descriptor = muster_above_stdio(file);
  int status = *descriptor < 0 ? errno : 0;
  muster_held_unlock();
  return status;
}

void muster_held_close(int *descriptor) {
  muster_held_lock();
  close_one(descriptor);
  muster_held_unlock();
}

int muster_held_is_no_instance(int file) {
  int saved = errno;
  // The descriptor is looked at before the path, which is none.
  int got = inotify_add_watch(file, "", IN_CREATE), error = got < 0 ? errno : 0;
  errno = saved;
  return error == EBADF || error == EINVAL;
}
