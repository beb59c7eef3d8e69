// SPDX-License-Identifier: Apache-2.0
#include "muster/heartbeat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "internal/caller.h"
#include "internal/heartbeat.h"

static const char suffix[] = ".heartbeat";

_Static_assert(sizeof(muster_heartbeat_cell) == 64, "as the header says");
_Static_assert(sizeof(muster_heartbeat_contact) == 64, "as the header says");

size_t muster_heartbeat_cell_size(void) { return sizeof(muster_heartbeat_cell); }
size_t muster_heartbeat_cell_alignment(void) { return sizeof(muster_heartbeat_cell); }

static const heartbeat_way *way_of(muster_heartbeat_kind kind) {
  switch (kind) {
    case MUSTER_HEARTBEAT_MEMORY: return &muster_heartbeat_by_memory;
    case MUSTER_HEARTBEAT_FILE: return &muster_heartbeat_by_file;
    case MUSTER_HEARTBEAT_UDP: return &muster_heartbeat_by_udp;
    case MUSTER_HEARTBEAT_QUEUE: return &muster_heartbeat_by_queue;
    case MUSTER_HEARTBEAT_SIGNAL: return &muster_heartbeat_by_signal;
  }
  return NULL;
}

static int make_name(const char *given, char name[HEARTBEAT_NAME]) {
  if (!given) return EINVAL;
  if (*given == '/') given++;
  size_t length = strlen(given);
  if (length == 0 || strchr(given, '/')) return EINVAL;
  if (length + sizeof suffix > HEARTBEAT_NAME) return ENAMETOOLONG;
  memcpy(name, given, length);
  memcpy(name + length, suffix, sizeof suffix);
  return 0;
}

// What of the options is the same for both sides.
static int check_options(const muster_heartbeat_options *options, const heartbeat_way **way, char name[HEARTBEAT_NAME],
                         const char **folder) {
  *way = way_of(options->kind);
  if (!*way) return EINVAL;
  *folder = options->folder ? options->folder : "/dev/shm";
  name[0] = 0;
  if (options->kind == MUSTER_HEARTBEAT_MEMORY) {
    uintptr_t address = (uintptr_t)options->cell;
    return address && address % muster_heartbeat_cell_alignment() == 0 ? 0 : EINVAL;
  }
  if (options->kind != MUSTER_HEARTBEAT_FILE && options->kind != MUSTER_HEARTBEAT_QUEUE) return 0;
  if (options->kind == MUSTER_HEARTBEAT_FILE && !**folder) return EINVAL;
  return make_name(options->name, name);
}

// ---- The checksum.

// The finalizer of splitmix64 (Steele, Lea, Flood 2014): each bit of the input changes each of the output half the time.
static uint64_t stir(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

uint64_t muster_heartbeat_sum(uint64_t key, uint64_t epoch, uint64_t number, uint64_t time) {
  const uint64_t step = UINT64_C(0x9e3779b97f4a7c15);
  uint64_t sum = stir(key + step);
  sum = stir((sum ^ epoch) + step);
  sum = stir((sum ^ number) + step);
  sum = stir((sum ^ time) + step);
  return sum >> 32 ? sum : sum | UINT64_C(1) << 32;
}

// Two words that say the same must not cancel each other out: each has a sum of its own.
static uint64_t sum_contact(const muster_heartbeat_contact *contact) {
  uint64_t sum = muster_heartbeat_sum(contact->key, contact->version, contact->kind, (uint32_t)contact->pid);
  sum = muster_heartbeat_sum(sum, contact->place, contact->start, contact->node);
  return muster_heartbeat_sum(sum, contact->epoch, contact->number, 0);
}

static uint64_t fresh_key(void) {
  static uint32_t count;
  uint64_t key = 0;
  if (getrandom(&key, sizeof key, GRND_NONBLOCK) == (ssize_t)sizeof key && key) return key;
  uint64_t nth = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
  return stir((uint64_t)muster_clock_now() ^ (uint64_t)getpid() << 40 ^ nth << 32) | 1;
}

// ---- The listener.

static void free_listener(muster_heartbeat_listener *listener) {
  muster_held_leave(&listener->held);
  free(listener);
}

static int make_listener(const muster_heartbeat_options *options, muster_heartbeat_listener **made) {
  muster_heartbeat_listener *listener = calloc(1, sizeof *listener);
  if (!listener) return ENOMEM;
  int status = check_options(options, &listener->way, listener->name, &listener->folder);
  if (!status) status = muster_fork_guard(&listener->guard);
  if (!status) status = muster_held_enter(&listener->held);
  if (status) return free(listener), status;
  listener->key = fresh_key();
  listener->last = options->after;
  *made = listener;
  return 0;
}

static int listen_by(const muster_heartbeat_options *options, muster_heartbeat_listener **listener,
                     muster_heartbeat_contact *contact) {
  muster_heartbeat_listener *made;
  int status = make_listener(options, &made);
  if (status) return status;
  *contact = (muster_heartbeat_contact){.version = MUSTER_HEARTBEAT_VERSION, .kind = (uint32_t)options->kind,
                                        .key = made->key, .pid = (int32_t)getpid(), .epoch = options->after.epoch,
                                        .number = options->after.number};
  status = made->way->listen(options, made, contact);
  made->folder = NULL;
  if (status) {
    free_listener(made);
    *contact = (muster_heartbeat_contact){0};
  } else {
    contact->check = sum_contact(contact);
    *listener = made;
  }
  return status;
}

int muster_heartbeat_listen(const muster_heartbeat_options *options, muster_heartbeat_listener **listener,
                            muster_heartbeat_contact *contact) {
  muster_caller came = muster_enter();
  *listener = NULL;
  int status = listen_by(options, listener, contact);
  muster_leave(came);
  return status;
}

int muster_heartbeat_remove(const muster_heartbeat_options *options) {
  muster_caller came = muster_enter();
  muster_heartbeat_listener *listener;
  int status = make_listener(options, &listener);
  if (!status) {
    status = listener->way->remove ? listener->way->remove(listener) : EINVAL;
    free_listener(listener);
  }
  muster_leave(came);
  return status;
}

void muster_heartbeat_take(muster_heartbeat_listener *listener, const muster_heartbeat *beat) {
  if (!heartbeat_is_newer(beat, &listener->last)) {
    listener->counts.old++;
    return;
  }
  listener->counts.beats++;
  listener->last = *beat;
}

void muster_heartbeat_take_copy(muster_heartbeat_listener *listener, const heartbeat_copy *copy) {
  if (!heartbeat_copy_fits(listener->key, copy) || !copy->number) {
    listener->counts.foreign++;
    return;
  }
  muster_heartbeat beat = {.epoch = copy->epoch, .number = copy->number, .time = (int64_t)copy->time};
  muster_heartbeat_take(listener, &beat);
}

void muster_heartbeat_take_message(muster_heartbeat_listener *listener, const heartbeat_message *message,
                                   size_t length) {
  if (length != sizeof *message || message->key != listener->key) listener->counts.foreign++;
  else muster_heartbeat_take_copy(listener, &message->copy);
}

int muster_heartbeat_receive(muster_heartbeat_listener *listener, muster_heartbeat *beat) {
  if (muster_fork_inherited(&listener->guard)) return EPERM;
  muster_caller came = muster_enter();
  uint64_t before = listener->counts.beats;
  int status = listener->way->receive(listener);
  if (!status && listener->counts.beats == before) status = EAGAIN;
  *beat = listener->last;
  muster_leave(came);
  return status;
}

int muster_heartbeat_descriptor(const muster_heartbeat_listener *listener) {
  return listener->way->can_poll && !muster_fork_inherited(&listener->guard) ? listener->held.file : -1;
}

void muster_heartbeat_count(const muster_heartbeat_listener *listener, muster_heartbeat_counts *counts) {
  *counts = listener->counts;
  if (!listener->way->count || muster_fork_inherited(&listener->guard)) return;
  muster_caller came = muster_enter();
  listener->way->count(listener, counts);
  muster_leave(came);
}

// In a child the descriptors are closed already, unless it was made past the handlers of fork: then its copies are
// closed here, and the handle, which stands in a list whose mutex may be locked for ever, is left where it is.
static void forget(muster_heartbeat_listener *listener) {
  int listed = listener->held.listed;
  if (listener->held.file >= 0) close(listener->held.file);
  if (listener->held.folder >= 0) close(listener->held.folder);
  listener->held.file = listener->held.folder = -1;
  if (!listed) free(listener);
}

int muster_heartbeat_listener_close(muster_heartbeat_listener *listener) {
  if (!listener) return 0;
  muster_caller came = muster_enter();
  int status = 0;
  if (muster_fork_inherited(&listener->guard)) {
    forget(listener);
  } else {
    if (listener->way->let_go) status = listener->way->let_go(listener);
    free_listener(listener);
  }
  muster_leave(came);
  return status;
}

// ---- The sender.

static void free_sender(muster_heartbeat_sender *sender) {
  if (sender->descriptor >= 0) close(sender->descriptor);
  free(sender);
}

static int check_contact(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact) {
  if (contact->check != sum_contact(contact)) return EBADMSG;
  if (contact->version != MUSTER_HEARTBEAT_VERSION || contact->kind != (uint32_t)options->kind) return EPROTO;
  return 0;
}

static int connect_by(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                      muster_heartbeat_sender **sender) {
  muster_heartbeat_sender *made = calloc(1, sizeof *made);
  if (!made) return ENOMEM;
  const char *folder;
  made->descriptor = -1;
  made->key = contact->key;
  made->last = (muster_heartbeat){.epoch = contact->epoch, .number = contact->number};
  int status = check_options(options, &made->way, made->name, &folder);
  if (!status) status = check_contact(options, contact);
  if (!status) status = muster_fork_guard(&made->guard);
  if (!status) status = made->way->connect(options, contact, made);
  if (status) free_sender(made);
  else *sender = made;
  return status;
}

int muster_heartbeat_connect(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                             muster_heartbeat_sender **sender) {
  muster_caller came = muster_enter();
  *sender = NULL;
  // Others may write to it meanwhile: one copy is checked and used.
  muster_heartbeat_contact copy;
  memcpy(&copy, contact, sizeof copy);
  int status = connect_by(options, &copy, sender);
  muster_leave(came);
  return status;
}

int muster_heartbeat_send(muster_heartbeat_sender *sender, const muster_heartbeat *beat) {
  if (muster_fork_inherited(&sender->guard)) return EPERM;
  if (beat->number == 0) return EINVAL;
  if (sender->refused) return ECONNREFUSED;
  muster_heartbeat stamped = *beat;
  if (stamped.time == 0) stamped.time = muster_clock_now();
  muster_caller came = muster_enter();
  int status = sender->way->send(sender, &stamped);
  if (!status) sender->last = stamped;
  if (status == ECONNREFUSED) sender->refused = 1;
  muster_leave(came);
  return status;
}

void muster_heartbeat_sender_close(muster_heartbeat_sender *sender) {
  if (!sender) return;
  muster_caller came = muster_enter();
  free_sender(sender);
  muster_leave(came);
}

// Whatever a stopped sender has scribbled, the one that is written next is not the newest whole one.
int muster_heartbeat_older(uint64_t key, const heartbeat_copy copies[2]) {
  for (int i = 0; i < 2; i++)
    if (!heartbeat_copy_fits(key, &copies[i])) return i;
  muster_heartbeat beats[2];
  for (int i = 0; i < 2; i++) beats[i] = (muster_heartbeat){.epoch = copies[i].epoch, .number = copies[i].number};
  return heartbeat_is_newer(&beats[0], &beats[1]);
}
