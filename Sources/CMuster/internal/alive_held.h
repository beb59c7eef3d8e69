// The descriptors that hold Alive files, and how a forked child gets rid of them.
//
// A lock of flock(2) or of F_OFD_SETLK belongs to the open file, which a forked child shares: it would keep the lock
// after its parent's death, and its LOCK_UN would free the parent's. So each such descriptor stands in a list from the
// moment that it is open, and a handler of pthread_atfork(3) closes them all in the child, which takes nothing from the
// parent. Opening and entering are one step for fork: both are done under the list's mutex, and fork waits for that
// mutex.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_HELD_H
#define MUSTER_INTERNAL_ALIVE_HELD_H

#include <sys/types.h>

typedef struct alive_held {
  struct alive_held *next;
  struct alive_held *previous;
  int listed;  // cleared by the handler in a child
  int file;
  int folder;
} alive_held;

// The list's mutex, which fork waits for. Signals are held back while a thread has it.
void muster_alive_held_lock(void);
void muster_alive_held_unlock(void);

// Installs the handler, at the first call. Returns 0 or ENOMEM.
int muster_alive_held_install(void);

// With the mutex: enters a pair of descriptors, both still closed (-1), into the list; closes both and takes them from
// it.
void muster_alive_held_link(alive_held *held);
void muster_alive_held_unlink(alive_held *held);

// The same without: installs, locks, enters. Returns 0 or ENOMEM.
int muster_alive_held_enter(alive_held *held);
void muster_alive_held_leave(alive_held *held);

// openat(2) into held->file or held->folder. Returns 0 or its error.
int muster_alive_held_open(int *descriptor, int folder, const char *name, int flags, mode_t mode);

void muster_alive_held_close(int *descriptor);

#endif
