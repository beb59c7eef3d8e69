// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_held.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sigset_t mask;  // of the thread that has the mutex, from before
static alive_held *first;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int installed;

// Signals are held back meanwhile: a handler that forks (or runs popen) would wait for a mutex of its own thread.
void muster_alive_held_lock(void) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pthread_mutex_lock(&mutex);
  mask = before;
}

void muster_alive_held_unlock(void) {
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
  for (alive_held *held = first, *next; held; held = next) {
    next = held->next;
    close_one(&held->file);
    close_one(&held->folder);
    held->listed = 0;
  }
  first = NULL;
  muster_alive_held_unlock();
  errno = saved;
}

static void install(void) { installed = pthread_atfork(muster_alive_held_lock, muster_alive_held_unlock, in_child); }

int muster_alive_held_install(void) {
  pthread_once(&once, install);
  return installed;
}

void muster_alive_held_link(alive_held *held) {
  held->file = held->folder = -1;
  held->previous = NULL;
  held->next = first;
  if (first) first->previous = held;
  first = held;
  held->listed = 1;
}

void muster_alive_held_unlink(alive_held *held) {
  close_one(&held->file);
  close_one(&held->folder);
  if (held->next) held->next->previous = held->previous;
  if (held->previous) held->previous->next = held->next;
  else first = held->next;
  held->listed = 0;
}

int muster_alive_held_enter(alive_held *held) {
  int status = muster_alive_held_install();
  if (status) return status;
  muster_alive_held_lock();
  muster_alive_held_link(held);
  muster_alive_held_unlock();
  return 0;
}

void muster_alive_held_leave(alive_held *held) {
  muster_alive_held_lock();
  muster_alive_held_unlink(held);
  muster_alive_held_unlock();
}

int muster_alive_held_open(int *descriptor, int folder, const char *name, int flags, mode_t mode) {
  muster_alive_held_lock();
  close_one(descriptor);
  *descriptor = openat(folder, name, flags | O_CLOEXEC, mode);
  int status = *descriptor < 0 ? errno : 0;
  muster_alive_held_unlock();
  return status;
}

void muster_alive_held_close(int *descriptor) {
  muster_alive_held_lock();
  close_one(descriptor);
  muster_alive_held_unlock();
}
