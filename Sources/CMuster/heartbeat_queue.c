// Heartbeats by a POSIX message queue. On Linux its descriptor is one of a file in a file system of its own: it can be
// polled and locked.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <string.h>

#include "internal/heartbeat.h"

// Few: what a listener that was stopped finds are the newest ones. The system's limit is at least 1, and 10 by default.
enum { ROOM = 8, LEAST = 1, MOST = 4096, FLAGS = O_RDWR | O_NONBLOCK, TURNS = 16 };

typedef struct queue_name {
  char text[HEARTBEAT_NAME + 1];
} queue_name;

static queue_name name_of(const char *name) {
  queue_name made = {"/"};
  strcpy(made.text + 1, name);
  return made;
}

static int open_queue(muster_heartbeat_listener *listener, int flags, struct mq_attr *attributes) {
  queue_name name = name_of(listener->name);
  muster_held_lock();
  int file = listener->held.file = muster_above_stdio((int)mq_open(name.text, flags, 0600, attributes));
  int status = file < 0 ? errno : 0;
  muster_held_unlock();
  return status;
}

static int queue_make(muster_heartbeat_listener *listener) {
  struct mq_attr attributes = {.mq_maxmsg = ROOM, .mq_msgsize = sizeof(heartbeat_message)};
  int status = open_queue(listener, FLAGS | O_CREAT | O_EXCL, &attributes);
  if (status != EINVAL) return status;
  attributes.mq_maxmsg = LEAST;
  return open_queue(listener, FLAGS | O_CREAT | O_EXCL, &attributes);
}

static int queue_open(muster_heartbeat_listener *listener) { return open_queue(listener, FLAGS, NULL); }

static int check_attributes(int file) {
  struct mq_attr attributes;
  if (mq_getattr(file, &attributes)) return errno;
  return attributes.mq_msgsize == sizeof(heartbeat_message) ? 0 : EBADMSG;
}

static int queue_vet(const muster_heartbeat_listener *listener, const struct stat *status) {
  (void)status;
  return check_attributes(listener->held.file);
}

static int queue_leads(const muster_heartbeat_listener *listener, struct stat *status) {
  queue_name name = name_of(listener->name);
  mqd_t there = mq_open(name.text, O_RDONLY | O_NONBLOCK);
  if (there < 0) return errno;
  int error = fstat(there, status) ? errno : 0;
  mq_close(there);
  return error;
}

static int queue_unlink(const muster_heartbeat_listener *listener) {
  queue_name name = name_of(listener->name);
  return mq_unlink(name.text) ? errno : 0;
}

static const heartbeat_names names = {queue_make, queue_open, queue_vet, queue_leads, queue_unlink};

static int queue_listen(const muster_heartbeat_options *options, muster_heartbeat_listener *listener,
                        muster_heartbeat_contact *contact) {
  (void)options;
  int status = muster_heartbeat_name_claim(listener, &names);
  if (status) return status;
  struct stat made;
  // The umask may have taken from the mode what the sender needs.
  if (fchmod(listener->held.file, 0600) || fstat(listener->held.file, &made)) status = errno;
  if (status) muster_heartbeat_name_give_up(listener, &names);
  else contact->node = made.st_ino;
  return status;
}

static int queue_remove(muster_heartbeat_listener *listener) { return muster_heartbeat_name_clear(listener, &names); }

static int queue_let_go(muster_heartbeat_listener *listener) { return muster_heartbeat_name_give_up(listener, &names); }

static int queue_receive(muster_heartbeat_listener *listener) {
  for (int i = 0; i < MOST; i++) {
    heartbeat_message message;
    ssize_t got = mq_receive(listener->held.file, (char *)&message, sizeof message, NULL);
    if (got >= 0) muster_heartbeat_take_message(listener, &message, (size_t)got);
    else if (errno == EAGAIN) return 0;
    else if (errno != EINTR) return errno;
  }
  return 0;
}

static int queue_connect(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                         muster_heartbeat_sender *sender) {
  (void)options;
  queue_name name = name_of(sender->name);
  sender->descriptor = muster_above_stdio((int)mq_open(name.text, FLAGS));
  if (sender->descriptor < 0) return errno == ENOENT ? ECONNREFUSED : errno;
  int status = muster_heartbeat_name_is(sender->descriptor, contact);
  if (!status) status = check_attributes(sender->descriptor);
  if (!status) status = muster_heartbeat_name_held(sender->descriptor);
  return status;
}

// A full queue holds what a stopped listener can do without: its oldest message makes room. Whoever dies between the two
// has taken an older beat than those that are left.
static int queue_send(muster_heartbeat_sender *sender, const muster_heartbeat *beat) {
  int status = muster_heartbeat_name_held(sender->descriptor);
  if (status) return status;
  heartbeat_message message = {.key = sender->key, .copy = heartbeat_copy_of(sender->key, beat)};
  for (int turn = 0; turn < TURNS; turn++) {
    if (mq_send(sender->descriptor, (const char *)&message, sizeof message, 0) == 0) return 0;
    if (errno != EAGAIN && errno != EINTR) return errno;
    heartbeat_message oldest;
    if (errno == EAGAIN && mq_receive(sender->descriptor, (char *)&oldest, sizeof oldest, NULL) < 0 && errno != EAGAIN &&
        errno != EINTR)
      return errno;
  }
  return EAGAIN;
}

const heartbeat_way muster_heartbeat_by_queue = {.can_poll = 1, .listen = queue_listen, .receive = queue_receive,
                                                 .let_go = queue_let_go, .remove = queue_remove,
                                                 .connect = queue_connect, .send = queue_send};
