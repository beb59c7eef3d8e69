// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal/boot.h"

// REPLACED: the file was, while it was looked at. Positive values are the kernel's.
enum { TRIES = 1000, REPLACED = -1, FIRST_STEP = 10000, LAST_STEP = 10240000 };

int muster_alive_path(const char *path, alive_path *parts) {
  size_t length = strlen(path);
  if (length == 0) return EINVAL;
  if (length >= sizeof parts->folder) return ENAMETOOLONG;
  const char *slash = strrchr(path, '/');
  parts->whole = path;
  parts->base = slash ? slash + 1 : path;
  if (!*parts->base) return EISDIR;
  if (!slash) {
    strcpy(parts->folder, ".");
  } else {
    size_t folder = slash == path ? 1 : (size_t)(slash - path);
    memcpy(parts->folder, path, folder);
    parts->folder[folder] = 0;
  }
  return 0;
}

static const short types[] = {[ALIVE_FREE] = F_UNLCK, [ALIVE_CLAIMED] = F_RDLCK, [ALIVE_TOLD] = F_WRLCK};

int muster_alive_lock_ask(int file, alive_lock *lock) {
  // A lock for writing would conflict with both kinds, so the answer names whichever there is.
  struct flock question = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  if (fcntl(file, F_OFD_GETLK, &question)) return errno;
  *lock = question.l_type == F_UNLCK ? ALIVE_FREE : question.l_type == F_RDLCK ? ALIVE_CLAIMED : ALIVE_TOLD;
  return 0;
}

int muster_alive_lock_set(int file, alive_lock lock) {
  struct flock order = {.l_type = types[lock], .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  int got;
  do got = fcntl(file, F_OFD_SETLK, &order);
  while (got && errno == EINTR);
  if (!got) return 0;
  return errno == EACCES ? EAGAIN : errno;
}

int muster_alive_refuse(const struct stat *status) {
  if (S_ISREG(status->st_mode)) return 0;
  if (S_ISDIR(status->st_mode)) return EISDIR;
  return S_ISLNK(status->st_mode) ? ELOOP : EINVAL;
}

int muster_alive_same(int folder, const char *path, const struct stat *file) {
  struct stat there;
  if (fstatat(folder, path, &there, AT_SYMLINK_NOFOLLOW))
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? ESTALE : errno;
  return there.st_dev == file->st_dev && there.st_ino == file->st_ino ? 0 : ESTALE;
}

void muster_alive_sleep(muster_deadline until) {
  struct timespec end = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR) {
  }
}

int muster_alive_step(int64_t *step) {
  *step = *step ? *step * 2 : FIRST_STEP;
  if (*step > LAST_STEP) return 0;
  muster_alive_sleep(muster_deadline_after(*step));
  return 1;
}

// What an open file tells. The lock is asked for on both sides of reading the record:
//   free, free: a record that was read is that of an owner who has let go. Whoever holds the file at the second
//   question had not
//     begun to write at the first, and whoever wrote between the two took the lock before and has dropped it since.
//     What is no record is read twice, in case that one was being written;
//   told, then anything: the record was the owner's at the first question, or is that of somebody who came after;
//   anything else: somebody is just taking the file; a few microseconds, unless they were stopped in the midst of it.
static int read_file(int file, alive_reading *reading, alive_record *record, alive_lock *lock) {
  int readings = 0;
  for (int64_t step = 0;;) {
    alive_lock before = ALIVE_FREE, after = ALIVE_FREE;
    int status = muster_alive_lock_ask(file, &before);
    if (!status) status = muster_alive_record_read(file, reading, record);
    if (!status) status = muster_alive_lock_ask(file, &after);
    if (status) return status;
    readings++;
    *lock = before;
    if (before == ALIVE_FREE && after == ALIVE_FREE && (*reading == ALIVE_WHOLE || readings > 1)) return 0;
    if (before == ALIVE_TOLD && *reading == ALIVE_WHOLE) return 0;
    if (!muster_alive_step(&step)) {
      *lock = after > before ? after : before;
      return 0;
    }
  }
}

static int look_once(const alive_path *path, muster_alive_found *found, int *told) {
  struct stat status;
  *told = 0;
  *found = (muster_alive_found){.kind = MUSTER_ALIVE_NOTHING};
  if (fstatat(AT_FDCWD, path->whole, &status, AT_SYMLINK_NOFOLLOW)) {
    if (errno != ENOENT) return errno;
    return stat(path->folder, &status) ? errno : 0;
  }
  int error = muster_alive_refuse(&status);
  if (error) return error;
  int file = open(path->whole, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT || errno == EINTR ? REPLACED : errno;
  alive_reading reading = ALIVE_TORN;
  alive_record record = {0};
  alive_lock lock = ALIVE_FREE;
  if (fstat(file, &status)) error = errno;
  if (!error) error = muster_alive_refuse(&status);
  if (!error) error = read_file(file, &reading, &record, &lock);
  // An owner that ends cleanly removes the file before it lets go, so a file that is found free and still leads here
  // was not removed. The descriptor is open still, so its number cannot be another file's by now.
  if (!error) error = muster_alive_same(AT_FDCWD, path->whole, &status);
  if (error == ESTALE) error = REPLACED;
  close(file);
  if (error) return error;
  if (lock == ALIVE_FREE || reading == ALIVE_FOREIGN) {
    uint8_t boot[ALIVE_BOOT_SIZE];
    muster_boot_id(boot);
    return muster_alive_record_judge(reading, &record, &status, boot, found);
  }
  *told = lock == ALIVE_TOLD && reading == ALIVE_WHOLE;
  found->kind = MUSTER_ALIVE_HELD;
  if (*told) found->pid = record.pid, found->start = record.start, found->since = record.since;
  return 0;
}

int muster_alive_look(const alive_path *path, muster_alive_found *found, int *told) {
  int64_t step = 0;
  int status = REPLACED;
  for (int i = 0; i < TRIES && (status == REPLACED || status == EAGAIN); i++) {
    status = look_once(path, found, told);
    // Somebody's lease of fcntl(2) stands against opening; they have been told.
    if (status == EAGAIN && !muster_alive_step(&step)) break;
  }
  return status == REPLACED ? EAGAIN : status;
}
