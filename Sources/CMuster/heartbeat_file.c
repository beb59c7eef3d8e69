// Heartbeats by a file: two copies of a beat, each written by one pwrite(2), in turn. A reader that meets a copy half
// written finds that it does not fit its checksum, and reads again.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "internal/heartbeat.h"

enum { ATTEMPTS = 8, FLAGS = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC };

static int file_make(muster_heartbeat_listener *listener) {
  const int flags = FLAGS | O_CREAT | O_EXCL;
  return muster_held_open(&listener->held.file, listener->held.folder, listener->name, flags, 0600);
}

static int file_open(muster_heartbeat_listener *listener) {
  int status = muster_held_open(&listener->held.file, listener->held.folder, listener->name, FLAGS, 0);
  return status == EISDIR || status == ENXIO ? EBADMSG : status;  // a folder, a socket
}

static int file_vet(const muster_heartbeat_listener *listener, const struct stat *status) {
  uint64_t magic = 0;
  if (!S_ISREG(status->st_mode)) return EBADMSG;
  // Whoever died before it was filled in left it empty.
  if (status->st_size == 0) return 0;
  if (status->st_size != sizeof(heartbeat_file)) return EBADMSG;
  if (pread(listener->held.file, &magic, sizeof magic, 0) != (ssize_t)sizeof magic) return EBADMSG;
  return magic == HEARTBEAT_FILE_MAGIC ? 0 : EBADMSG;
}

static int file_leads(const muster_heartbeat_listener *listener, struct stat *status) {
  return fstatat(listener->held.folder, listener->name, status, AT_SYMLINK_NOFOLLOW) ? errno : 0;
}

static int file_unlink(const muster_heartbeat_listener *listener) {
  return unlinkat(listener->held.folder, listener->name, 0) ? errno : 0;
}

static const heartbeat_names names = {file_make, file_open, file_vet, file_leads, file_unlink};

static int open_folder(muster_heartbeat_listener *listener) {
  return muster_held_open(&listener->held.folder, AT_FDCWD, listener->folder, O_PATH | O_DIRECTORY, 0);
}

// SIGXFSZ would kill who writes beyond the limit.
static int may_write(void) {
  struct rlimit limit;
  return getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur >= sizeof(heartbeat_file) ? 0 : EFBIG;
}

static int write_at(int file, const void *bytes, size_t size, size_t at) {
  int status = may_write();
  if (status) return status;
  ssize_t wrote;
  do wrote = pwrite(file, bytes, size, (off_t)at);
  while (wrote < 0 && errno == EINTR);
  return wrote < 0 ? errno : (size_t)wrote == size ? 0 : ENOSPC;
}

static int fill(muster_heartbeat_listener *listener) {
  heartbeat_file empty = {.magic = HEARTBEAT_FILE_MAGIC, .version = MUSTER_HEARTBEAT_VERSION};
  heartbeat_copy none = heartbeat_copy_of(listener->key, &(muster_heartbeat){0});
  for (int i = 0; i < 2; i++) {
    empty.copies[i] = none;
    listener->seen[i] = none.check;
  }
  if (fchmod(listener->held.file, 0600)) return errno;
  return write_at(listener->held.file, &empty, sizeof empty, 0);
}

static int file_listen(const muster_heartbeat_options *options, muster_heartbeat_listener *listener,
                       muster_heartbeat_contact *contact) {
  (void)options;
  int status = open_folder(listener);
  if (!status) status = muster_heartbeat_name_claim(listener, &names);
  if (status) return status;
  status = fill(listener);
  struct stat made;
  if (!status) status = fstat(listener->held.file, &made) ? errno : 0;
  if (status) muster_heartbeat_name_give_up(listener, &names);
  else contact->node = made.st_ino;
  return status;
}

static int file_remove(muster_heartbeat_listener *listener) {
  int status = open_folder(listener);
  return status ? status : muster_heartbeat_name_clear(listener, &names);
}

static int file_let_go(muster_heartbeat_listener *listener) { return muster_heartbeat_name_give_up(listener, &names); }

// Both copies, read until both fit: what does not at last is somebody else's writing. A file that was cut short has none.
static int read_copies(int file, uint64_t key, heartbeat_copy copies[2]) {
  const size_t size = 2 * sizeof *copies;
  for (int i = 0; i < ATTEMPTS; i++) {
    ssize_t got;
    do got = pread(file, copies, size, offsetof(heartbeat_file, copies));
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno;
    if ((size_t)got != size) copies[0] = copies[1] = heartbeat_copy_of(key, &(muster_heartbeat){0});
    if (heartbeat_copy_fits(key, &copies[0]) && heartbeat_copy_fits(key, &copies[1])) return 0;
  }
  return 0;
}

static int file_receive(muster_heartbeat_listener *listener) {
  heartbeat_copy copies[2];
  int status = read_copies(listener->held.file, listener->key, copies);
  if (status) return status;
  for (int i = 0; i < 2; i++) {
    if (copies[i].check == listener->seen[i]) continue;
    listener->seen[i] = copies[i].check;
    muster_heartbeat_take_copy(listener, &copies[i]);
  }
  return 0;
}

static void file_count(const muster_heartbeat_listener *listener, muster_heartbeat_counts *counts) {
  struct stat status;
  if (fstat(listener->held.file, &status)) return;
  counts->modified = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
}

// The folder by a descriptor: together with the name a path may be longer than the kernel takes.
static int open_file(const char *folder, muster_heartbeat_sender *sender) {
  int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) return errno == ENOENT ? ECONNREFUSED : errno;
  int status = 0;
  sender->descriptor = muster_above_stdio(openat(at, sender->name, FLAGS));
  if (sender->descriptor < 0) status = errno == ENOENT ? ECONNREFUSED : errno == EISDIR || errno == ENXIO ? EBADMSG : errno;
  close(at);
  return status;
}

static int file_connect(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                        muster_heartbeat_sender *sender) {
  struct stat found;
  heartbeat_copy copies[2];
  int status = open_file(options->folder ? options->folder : "/dev/shm", sender);
  if (!status) status = fstat(sender->descriptor, &found) ? errno : S_ISREG(found.st_mode) ? 0 : EBADMSG;
  if (!status) status = muster_heartbeat_name_is(sender->descriptor, contact);
  if (!status) status = muster_heartbeat_name_held(sender->descriptor);
  if (!status) status = read_copies(sender->descriptor, sender->key, copies);
  if (!status) sender->next = muster_heartbeat_older(sender->key, copies);
  return status;
}

static int file_send(muster_heartbeat_sender *sender, const muster_heartbeat *beat) {
  int status = muster_heartbeat_name_held(sender->descriptor);
  if (status) return status;
  heartbeat_copy copy = heartbeat_copy_of(sender->key, beat);
  size_t at = offsetof(heartbeat_file, copies) + (size_t)sender->next * sizeof copy;
  status = write_at(sender->descriptor, &copy, sizeof copy, at);
  if (!status) sender->next = !sender->next;
  return status;
}

const heartbeat_way muster_heartbeat_by_file = {.listen = file_listen, .receive = file_receive, .count = file_count,
                                                .let_go = file_let_go, .remove = file_remove, .connect = file_connect,
                                                .send = file_send};
