// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_wait.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal/alive_events.h"
#include "internal/alive_stop.h"
#include "internal/boot.h"

// In nanoseconds. The steps are for what follows an event by some microseconds: the kernel reports the close of a dying
// owner's file just before it drops the locks on it.
#define FIRST_STEP INT64_C(20000)
#define LAST_STEP INT64_C(50000000)
#define QUIET INT64_C(1000000000)
#define UNWATCHED INT64_C(20000000)

#define FOLDER_EVENTS \
  (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define FILE_EVENTS (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW)

typedef struct watcher {
  alive_events *lent;
  int events;    // the inotify instance, or -1
  int folder;    // its watches, or -1
  int file;
  int owner;     // pidfd of the process that the file names, or -1
  int32_t pid;   // and which process that is, also when it is gone or couldn't be opened
  uint64_t start;
  int stop;      // readable when the wait is to end, or -1
  int stopped;   // it was
  int64_t pause; // how long to sleep next
} watcher;

static int watch(watcher *w, int *watched, const char *path, uint32_t events) {
  int fresh = inotify_add_watch(w->events, path, events);
  int status = fresh < 0 ? errno : 0;
  if (*watched >= 0 && fresh != *watched) inotify_rm_watch(w->events, *watched);
  *watched = fresh;
  return status;
}

// What the kernel says of a descriptor that is no inotify instance: the program has closed it, and perhaps opened
// something else.
static int is_none(int status) { return status == EBADF || status == EINVAL; }

// Watches what the path leads to now. To ask again for what is watched already changes nothing, so this is done before
// each look and follows files and folders that are replaced. Returns whether whatever happens next will be told.
static int watch_path(watcher *w, const alive_path *path, alive_events *spare) {
  if (!w->lent) {
    w->lent = muster_alive_events_borrow(spare);
    if (!w->lent) return 0;
    w->events = w->lent->held.file;
  }
  int folder = watch(w, &w->folder, path->folder, FOLDER_EVENTS);
  int file = watch(w, &w->file, path->whole, FILE_EVENTS);
  if (is_none(folder) || is_none(file)) {
    muster_alive_events_forget(w->lent);
    w->lent = NULL;
    w->events = w->folder = w->file = -1;
    return 0;
  }
  return !folder && (!file || file == ENOENT);
}

// Follows the process that the file names, if it is one of ours to see: the same number in another pid namespace, or a
// later process of that number, began at another time. The time is read with the pidfd open, so that the number cannot
// change hands between.
static void watch_owner(watcher *w, const muster_alive_found *found) {
  int32_t pid = found->kind == MUSTER_ALIVE_HELD ? found->pid : 0;
  if (w->pid == pid && w->start == found->start) return;
  if (w->owner >= 0) close(w->owner);
  w->owner = -1;
  w->pid = pid;
  w->start = found->start;
  if (pid <= 0) return;
  w->owner = (int)syscall(SYS_pidfd_open, pid, 0);
  if (w->owner >= 0 && (!w->start || muster_process_start(pid) != w->start)) {
    close(w->owner);
    w->owner = -1;
  }
  // Without a pidfd the only word of its death may have come just before the watch on the file was there, the lock
  // going a moment later.
  if (w->owner < 0) w->pause = FIRST_STEP;
}

// Reads what inotify has to tell. Returns whether any of it may concern the file.
static int read_events(watcher *w, const char *base) {
  _Alignas(struct inotify_event) char buffer[4096];
  int concerned = 0;
  // Not for ever: in a busy folder they may come as fast as they are read.
  for (int i = 0; i < 16; i++) {
    ssize_t got = read(w->events, buffer, sizeof buffer);
    if (got <= 0) break;
    for (ssize_t at = 0; at < got;) {
      const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);
      int other = event->wd == w->folder && event->len && strcmp(event->name, base);
      if (!other && (event->wd == w->folder || event->wd == w->file || event->wd < 0)) concerned = 1;
      at += (ssize_t)(sizeof *event + event->len);
    }
  }
  return concerned;
}

static struct timespec rest_until(muster_deadline until) {
  int64_t rest = until - muster_clock_now();
  if (rest < 0) rest = 0;
  return (struct timespec){.tv_sec = (time_t)(rest / 1000000000), .tv_nsec = (long)(rest % 1000000000)};
}

// Sleeps until an event that may concern the file, the owner's death, the stop, or `until`. Returns whether it was one
// of the first three.
static int sleep_until(watcher *w, const char *base, muster_deadline until) {
  // One that has taken no watch has nothing to tell.
  int events = w->folder >= 0 || w->file >= 0 ? w->events : -1;
  for (;;) {
    struct pollfd polled[] = {{.fd = events, .events = POLLIN},
                              {.fd = w->owner, .events = POLLIN},
                              {.fd = w->stop, .events = POLLIN}};
    struct timespec timeout = rest_until(until);
    int got = ppoll(polled, 3, &timeout, NULL);
    if (got < 0 && errno != EINTR) muster_alive_sleep(muster_deadline_after(UNWATCHED));
    if (got > 0 && polled[2].revents) return w->stopped = 1;
    if (got > 0 && polled[1].revents) {
      // It stays readable for ever; a lock that is held nevertheless is somebody else's business and comes with events
      // of the file.
      close(w->owner);
      w->owner = -1;
      return 1;
    }
    if (got > 0 && polled[0].revents && read_events(w, base)) return 1;
    if (muster_clock_now() >= until) return 0;
  }
}

// Somebody holds the file and is not its owner, or not yet: one who is just taking it, or a stranger with a lock of
// flock(2). To try to take it is itself an event of the file, so events would keep all who wait for it awake.
static void pause_without_events(watcher *w, muster_deadline deadline) {
  w->pause = w->pause > UNWATCHED ? FIRST_STEP : w->pause * 2 > UNWATCHED ? UNWATCHED : w->pause * 2;
  muster_deadline until = muster_deadline_after(w->pause);
  struct pollfd polled = {.fd = w->stop, .events = POLLIN};
  struct timespec timeout = rest_until(until < deadline ? until : deadline);
  w->stopped = ppoll(&polled, 1, &timeout, NULL) > 0;
}

static void pause_for(watcher *w, const alive_path *path, int watched, muster_deadline deadline) {
  int64_t pause = !watched && w->pause > UNWATCHED ? UNWATCHED : w->pause;
  muster_deadline until = muster_deadline_after(pause);
  if (sleep_until(w, path->base, until < deadline ? until : deadline)) {
    w->pause = FIRST_STEP;
  } else if (w->pause < QUIET) {
    w->pause = w->pause * 2 > LAST_STEP ? QUIET : w->pause * 2;
  }
}

int muster_alive_wait_until(const alive_path *path, muster_deadline deadline, alive_check *check, void *context,
                            muster_alive_found *found) {
  // Most waits are over before they begin, or are not meant to wait: those need no descriptors.
  int status = check(path, context, found);
  alive_events spare;
  watcher w = {.events = -1, .folder = -1, .file = -1, .owner = -1, .pause = QUIET};
  w.stop = muster_alive_stop_descriptor();
  while (status == EAGAIN) {
    int last = w.stopped || muster_deadline_passed(deadline);
    // Watch, then look: what happens after the look is told, what happened before is seen.
    int watched = last || watch_path(&w, path, &spare);
    status = check(path, context, found);
    if (status != EAGAIN) break;
    if (last) status = w.stopped ? ECANCELED : ETIMEDOUT;
    else if (found->kind == MUSTER_ALIVE_HELD && !found->pid) pause_without_events(&w, deadline);
    else watch_owner(&w, found), pause_for(&w, path, watched, deadline);
  }
  if (w.folder >= 0) inotify_rm_watch(w.events, w.folder);
  if (w.file >= 0) inotify_rm_watch(w.events, w.file);
  if (w.lent) muster_alive_events_return(w.lent);
  if (w.owner >= 0) close(w.owner);
  return status;
}
