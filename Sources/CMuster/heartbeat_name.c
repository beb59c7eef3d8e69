// Names of files and queues that belong to whoever listens. internal/heartbeat.h has the argument.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "internal/heartbeat.h"

enum { TRIES = 1000, GONE = -1 };

static int lock(int file) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  int got;
  do got = fcntl(file, F_OFD_SETLK, &whole);
  while (got && errno == EINTR);
  if (!got) return 0;
  return errno == EAGAIN || errno == EACCES ? EBUSY : errno;
}

int muster_heartbeat_name_held(int file) {
  struct flock question = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  if (fcntl(file, F_OFD_GETLK, &question)) return errno;
  return question.l_type == F_UNLCK ? ECONNREFUSED : 0;
}

int muster_heartbeat_name_is(int file, const muster_heartbeat_contact *contact) {
  struct stat status;
  if (fstat(file, &status)) return errno;
  if (status.st_uid != geteuid()) return EACCES;
  return (uint64_t)status.st_ino == contact->node ? 0 : ECONNREFUSED;
}

// Whether the name leads to what is open: 0, GONE, or an error.
static int leads_here(const muster_heartbeat_listener *listener, const heartbeat_names *names) {
  struct stat here, there;
  if (fstat(listener->held.file, &here)) return errno;
  int status = names->leads(listener, &there);
  if (status) return status == ENOENT || status == ELOOP ? GONE : status;
  return here.st_dev == there.st_dev && here.st_ino == there.st_ino ? 0 : GONE;
}

// Under the lock nobody else takes the name away between the comparison and unlink.
static int remove_open(const muster_heartbeat_listener *listener, const heartbeat_names *names) {
  int status = leads_here(listener, names);
  return status ? status : names->unlink(listener);
}

int muster_heartbeat_name_give_up(const muster_heartbeat_listener *listener, const heartbeat_names *names) {
  int status = remove_open(listener, names);
  return status == GONE || status == ENOENT ? ESTALE : status;
}

static int clear_once(muster_heartbeat_listener *listener, const heartbeat_names *names) {
  struct stat found;
  int status = names->open(listener);
  if (!status) status = fstat(listener->held.file, &found) ? errno : 0;
  if (!status && found.st_uid != geteuid()) status = EACCES;
  if (!status) status = names->vet(listener, &found);
  if (!status) status = lock(listener->held.file);
  if (!status) status = remove_open(listener, names);
  muster_held_close(&listener->held.file);
  return status;
}

int muster_heartbeat_name_clear(muster_heartbeat_listener *listener, const heartbeat_names *names) {
  int status = GONE;
  for (int i = 0; i < TRIES && status == GONE; i++) status = clear_once(listener, names);
  return status == GONE ? EBUSY : status;
}

// A name that was just made and is not locked yet looks like a dead one's to others, who may lock or remove it.
static int make_once(muster_heartbeat_listener *listener, const heartbeat_names *names) {
  int status = names->make(listener);
  if (status) return status;
  status = lock(listener->held.file);
  if (!status) status = leads_here(listener, names);
  if (status == EBUSY) status = GONE;
  if (status) muster_held_close(&listener->held.file);
  return status;
}

int muster_heartbeat_name_claim(muster_heartbeat_listener *listener, const heartbeat_names *names) {
  int status = GONE;
  for (int i = 0; i < TRIES; i++) {
    status = make_once(listener, names);
    if (status == EEXIST) status = clear_once(listener, names);
    else if (status != GONE) return status;
    if (status && status != GONE && status != ENOENT) return status;
  }
  return EBUSY;
}
