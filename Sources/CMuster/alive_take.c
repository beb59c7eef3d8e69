// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal/boot.h"

enum { TRIES = 1000, DEFAULT_MODE = 0644 };

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

static int lock_file(int file) {
  int got;
  do got = flock(file, LOCK_EX | LOCK_NB);
  while (got && errno == EINTR);
  if (!got) return 0;
  return errno == EWOULDBLOCK ? EBUSY : errno;
}

static ssize_t write_at_start(int file, const char *text, size_t length) {
  ssize_t got;
  do got = pwrite(file, text, length, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

// One write of always the same length, so that a reader finds the old record, the new one, or a sum that doesn't fit.
// When there's no room for it, what was there before is put back.
static int write_record(int file, const alive_record *record) {
  char text[ALIVE_RECORD_SIZE], old[ALIVE_RECORD_SIZE];
  ssize_t length = pread(file, old, sizeof old, 0);
  if (length < 0) return errno;
  muster_alive_record_print(record, text);
  ssize_t got = write_at_start(file, text, sizeof text);
  if (got == (ssize_t)sizeof text) return 0;
  int status = got < 0 ? errno : ENOSPC;
  if (got > 0) {
    write_at_start(file, old, (size_t)length);
    if (ftruncate(file, (off_t)length)) return status;
  }
  return status;
}

// Against somebody's lease of fcntl(2), who has been told: for 20 ms, then EAGAIN.
static int open_existing(const alive_path *path, held_files *held) {
  const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  int status;
  int64_t step = 0;
  do status = muster_held_open(&held->file, held->folder, path->base, flags, 0);
  while (status == EAGAIN && muster_alive_step(&step));
  return status;
}

// Takes a file that stands at the path. ESTALE: it no longer does, begin again; ENOENT: there is none.
static int take_existing(const alive_path *path, const alive_record *record, held_files *held,
                         muster_alive_found *found) {
  int status = open_existing(path, held);
  struct stat file;
  alive_reading reading;
  alive_record former;
  if (!status && fstat(held->file, &file)) status = errno;
  if (!status) status = muster_alive_refuse(&file);
  if (!status) status = lock_file(held->file);
  // Who had it may have removed it between the opening and the locking; then this is the lock of a file that nobody
  // will find.
  if (!status) status = muster_alive_same(AT_FDCWD, path->whole, &file);
  if (!status) status = muster_alive_record_read(held->file, &reading, &former);
  if (!status) status = muster_alive_record_judge(reading, &former, &file, record->boot, found);
  if (status) return status;
  status = muster_alive_lock_set(held->file, ALIVE_CLAIMED);
  if (!status) status = write_record(held->file, record);
  if (!status) status = muster_alive_lock_set(held->file, ALIVE_TOLD);
  return status == EAGAIN ? EBUSY : status;
}

static int prepare_new(const held_files *held, mode_t mode, const alive_record *record) {
  int status = fchmod(held->file, mode) ? errno : 0;
  if (!status) status = lock_file(held->file);
  if (!status) status = muster_alive_lock_set(held->file, ALIVE_TOLD);
  if (!status) status = write_record(held->file, record);
  return status;
}

// Gives an unnamed file its name. By the descriptor where that is permitted (always since Linux 6.10), else by way of
// /proc.
static int publish(const held_files *held, const char *base) {
  if (!linkat(held->file, "", held->folder, base, AT_EMPTY_PATH)) return 0;
  if (errno == EEXIST) return EEXIST;
  char self[32];
  snprintf(self, sizeof self, "/proc/self/fd/%d", held->file);
  return linkat(AT_FDCWD, self, held->folder, base, AT_SYMLINK_FOLLOW) ? errno : 0;
}

static int create_unnamed(const alive_path *path, mode_t mode, const alive_record *record, held_files *held) {
  int status = muster_held_open(&held->file, held->folder, ".", O_TMPFILE | O_RDWR, 0600);
  if (status == EISDIR || status == EINVAL || status == ENOENT) return EOPNOTSUPP;
  if (!status) status = prepare_new(held, mode, record);
  if (!status) status = publish(held, path->base);
  return status == ENOENT ? EOPNOTSUPP : status;
}

static int rename_new(int folder, const char *from, const char *to) {
  if (!syscall(SYS_renameat2, folder, from, folder, to, RENAME_NOREPLACE)) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  int status = linkat(folder, from, folder, to, 0) ? errno : 0;
  if (!status) unlinkat(folder, from, 0);
  return status;
}

// For file systems without unnamed files. Its owner's death here leaves a file of this name behind, never one at the
// path.
static int create_named(const alive_path *path, mode_t mode, const alive_record *record, held_files *held) {
  char name[64];
  static unsigned number;
  int status;
  do {
    unsigned next = __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED);
    snprintf(name, sizeof name, ".muster-alive-%d-%llx-%u", (int)record->pid, (unsigned long long)record->since, next);
    status = muster_held_open(&held->file, held->folder, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0600);
  } while (status == EEXIST);
  if (status) return status;
  status = prepare_new(held, mode, record);
  if (!status) status = rename_new(held->folder, name, path->base);
  if (status) unlinkat(held->folder, name, 0);
  return status;
}

// A new file gets its name when it is locked and says whose it is: nobody ever sees one that is neither, so whoever
// finds a file free knows that it had an owner. EEXIST: somebody else was first.
static int create(const alive_path *path, mode_t mode, const alive_record *record, held_files *held) {
  int status = create_unnamed(path, mode, record, held);
  return status == EOPNOTSUPP ? create_named(path, mode, record, held) : status;
}

// Who tries without a look must not open what is no file: a FIFO's reader would see a writer come and go, a device do who knows what.
static int check_kind(const alive_path *path) {
  struct stat there;
  if (fstatat(AT_FDCWD, path->whole, &there, AT_SYMLINK_NOFOLLOW)) return errno == ENOENT ? 0 : errno;
  return muster_alive_refuse(&there);
}

int muster_alive_take(const alive_path *path, mode_t mode, int hopeful, held_files *held, muster_alive_found *found) {
  int told, status = EBUSY;
  for (int i = 0; i < TRIES; i++) {
    int looks = i > 0 || !hopeful;
    status = looks ? muster_alive_look(path, found, &told) : check_kind(path);
    if (looks && !status && found->kind == MUSTER_ALIVE_HELD) return EBUSY;
    alive_record record;
    muster_alive_record_own(&record);
    if (!status) status = muster_held_open(&held->folder, AT_FDCWD, path->folder, O_PATH | O_DIRECTORY, 0);
    if (!status) status = take_existing(path, &record, held, found);
    if (status == ENOENT && held->folder >= 0) {
      *found = (muster_alive_found){.kind = MUSTER_ALIVE_NOTHING};
      status = create(path, mode ? mode : DEFAULT_MODE, &record, held);
    }
    if (!status) return 0;
    muster_held_close(&held->file);
    muster_held_close(&held->folder);
    if (!looks) continue;
    if (status != ESTALE && status != EEXIST) break;
    status = EBUSY;
  }
  // Somebody has a lease on it, or so many replace it that it was never met standing.
  if (status == EAGAIN) status = EBUSY;
  *found = (muster_alive_found){.kind = status == EBUSY ? MUSTER_ALIVE_HELD : MUSTER_ALIVE_NOTHING};
  return status;
}

int muster_alive_remove(const held_files *held, const char *base) {
  struct stat file;
  int status = fstat(held->file, &file) ? errno : 0;
  if (!status) status = muster_alive_same(held->folder, base, &file);
  if (!status && unlinkat(held->folder, base, 0)) status = errno;
  if (status) {
    alive_record record;
    muster_alive_record_own(&record);
    record.ended = 1;
    write_record(held->file, &record);
  }
  return status;
}

void muster_alive_unlock(const held_files *held) {
  muster_alive_lock_set(held->file, ALIVE_FREE);
  flock(held->file, LOCK_UN);
}
