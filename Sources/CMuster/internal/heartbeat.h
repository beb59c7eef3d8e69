// What the five ways of heartbeats share: handles, the checksum, the two copies, and claiming a name.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_HEARTBEAT_H
#define MUSTER_INTERNAL_HEARTBEAT_H

#include <signal.h>
#include <sys/stat.h>

#include "fork.h"
#include "held.h"
#include "muster/heartbeat.h"

enum { HEARTBEAT_NAME = 256 };

// A beat with its checksum.
typedef struct heartbeat_copy {
  uint64_t check;
  uint64_t epoch;
  uint64_t number;  // 0: none yet
  uint64_t time;
} heartbeat_copy;

// A datagram, and a message in a queue.
typedef struct heartbeat_message {
  uint64_t key;  // first: the socket's filter looks for it there
  heartbeat_copy copy;
} heartbeat_message;

// The file. Each copy is written by one pwrite(2).
#define HEARTBEAT_FILE_MAGIC UINT64_C(0x005441454254484d)  // "MHTBEAT"
typedef struct heartbeat_file {
  uint64_t magic;
  uint64_t version;
  uint64_t unused[6];
  heartbeat_copy copies[2];
} heartbeat_file;

_Static_assert(sizeof(heartbeat_file) == 128, "as the header says");

typedef struct heartbeat_way heartbeat_way;

struct muster_heartbeat_listener {
  const heartbeat_way *way;
  fork_guard guard;
  held_files held;        // what it listens on; and, for a file, the folder
  uint64_t key;
  muster_heartbeat last;  // given, or `after`
  muster_heartbeat_counts counts;
  uint64_t seen[2];       // checksums of the two copies at the last look
  muster_heartbeat_cell *cell;
  int signal;
  int was_blocked;
  pid_t thread;           // that has the signal blocked
  const char *folder;     // until `listen` has opened it
  char name[HEARTBEAT_NAME];
};

struct muster_heartbeat_sender {
  const heartbeat_way *way;
  fork_guard guard;
  int descriptor;
  int refused;
  uint64_t key;
  int next;               // the copy to write
  muster_heartbeat_cell *cell;
  int signal;
  pid_t pid;              // this process, and its user
  uid_t user;
  muster_heartbeat last;  // sent, or the listener's `after`
  char name[HEARTBEAT_NAME];
};

// A way fills in what is its own; the frame (heartbeat.c) has checked the options and filled in the rest. What `listen`
// and `connect` have opened before they fail, the frame closes.
struct heartbeat_way {
  int can_poll;  // held.file is readable when something has come
  int (*listen)(const muster_heartbeat_options *options, muster_heartbeat_listener *listener,
                muster_heartbeat_contact *contact);
  int (*receive)(muster_heartbeat_listener *listener);  // calls muster_heartbeat_take with all that came
  void (*count)(const muster_heartbeat_listener *listener, muster_heartbeat_counts *counts);  // may be NULL
  int (*let_go)(muster_heartbeat_listener *listener);   // before the descriptors are closed; may be NULL
  int (*remove)(muster_heartbeat_listener *listener);   // what a killed one has left; NULL: nothing ever is
  int (*connect)(const muster_heartbeat_options *options, const muster_heartbeat_contact *contact,
                 muster_heartbeat_sender *sender);
  int (*send)(muster_heartbeat_sender *sender, const muster_heartbeat *beat);
};

extern const heartbeat_way muster_heartbeat_by_memory, muster_heartbeat_by_file, muster_heartbeat_by_udp,
    muster_heartbeat_by_queue, muster_heartbeat_by_signal;

// A keyed checksum; never 0, in its high half neither. Not a cipher: who sees beats may find the key.
uint64_t muster_heartbeat_sum(uint64_t key, uint64_t epoch, uint64_t number, uint64_t time);

static inline heartbeat_copy heartbeat_copy_of(uint64_t key, const muster_heartbeat *beat) {
  return (heartbeat_copy){.check = muster_heartbeat_sum(key, beat->epoch, beat->number, (uint64_t)beat->time),
                          .epoch = beat->epoch, .number = beat->number, .time = (uint64_t)beat->time};
}
static inline int heartbeat_copy_fits(uint64_t key, const heartbeat_copy *copy) {
  return copy->check == muster_heartbeat_sum(key, copy->epoch, copy->number, copy->time);
}

static inline int heartbeat_is_newer(const muster_heartbeat *beat, const muster_heartbeat *than) {
  return beat->epoch != than->epoch ? beat->epoch > than->epoch : beat->number > than->number;
}

// A beat that is the sender's: counted, and kept if it is newer than the last.
void muster_heartbeat_take(muster_heartbeat_listener *listener, const muster_heartbeat *beat);

// What came as a copy, or a message of `length` bytes: taken if it is the sender's, else counted as foreign.
void muster_heartbeat_take_copy(muster_heartbeat_listener *listener, const heartbeat_copy *copy);
void muster_heartbeat_take_message(muster_heartbeat_listener *listener, const heartbeat_message *message, size_t length);

// Which copy a sender that has just connected writes first: the one that is not the newest whole one.
int muster_heartbeat_older(uint64_t key, const heartbeat_copy copies[2]);

// Names of files and queues. A name belongs to who holds the OFD lock on what it leads to, and only they remove it:
//
//   claim    make it anew, lock it, and see whether the name still leads there (between the two somebody may have taken
//            it for what a dead one has left); what is there already is locked without waiting, and removed
//
// So whoever has the lock of what the name leads to is the one who listens; a death at any place leaves a name that
// nobody has locked.
typedef struct heartbeat_names {
  int (*make)(muster_heartbeat_listener *listener);  // into held.file; EEXIST
  int (*open)(muster_heartbeat_listener *listener);  // what is there, into held.file
  int (*vet)(const muster_heartbeat_listener *listener, const struct stat *status);  // whether that is a heartbeat's
  int (*leads)(const muster_heartbeat_listener *listener, struct stat *status);  // to what the name leads
  int (*unlink)(const muster_heartbeat_listener *listener);
} heartbeat_names;

int muster_heartbeat_name_claim(muster_heartbeat_listener *listener, const heartbeat_names *names);  // EBUSY...
int muster_heartbeat_name_clear(muster_heartbeat_listener *listener, const heartbeat_names *names);  // of a dead one
int muster_heartbeat_name_give_up(const muster_heartbeat_listener *listener, const heartbeat_names *names);

// For a sender: whether somebody holds the lock on what it has open. 0, ECONNREFUSED, or an error of fcntl(2).
int muster_heartbeat_name_held(int file);

// Whether what was opened is what the contact means, and the user's own: 0, ECONNREFUSED, EACCES.
int muster_heartbeat_name_is(int file, const muster_heartbeat_contact *contact);

#endif
