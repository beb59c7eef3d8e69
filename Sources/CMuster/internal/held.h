// The descriptors whose locks a forked child must not keep, and how it gets rid of them.
//
// A lock of flock(2) or of F_OFD_SETLK belongs to the open file, which a forked child shares: it would keep the lock
// after its parent's death, and its LOCK_UN would free the parent's. So each descriptor that holds an Alive file, and
// each that has, or may come to have, a region for itself alone, stands in a list from the moment that it is open, and
// a handler of pthread_atfork(3) closes them all in the child, which takes nothing from the parent. Opening and
// entering are one step for fork: both are done under the list's mutex, and fork waits for that mutex. (A region's
// handle is not in the list: a forked child goes on with it.)
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_HELD_H
#define MUSTER_INTERNAL_HELD_H

#include <sys/types.h>

typedef struct held_files {
  struct held_files *next;
  struct held_files *previous;
  int listed;   // cleared by the handler in a child
  int file;
  int folder;
  int watches;  // `file` is an inotify instance: ours to keep between calls, so the program may have closed it unawares
} held_files;

// The list's mutex, which fork waits for. Signals are held back while a thread has it.
void muster_held_lock(void);
void muster_held_unlock(void);

// Installs the handler, at the first call. Returns 0 or ENOMEM.
int muster_held_install(void);

// With the mutex: enters a pair of descriptors, both still closed (-1), into the list; closes both and takes them from
// it, if they are in it.
void muster_held_link(held_files *held);
void muster_held_unlink(held_files *held);

// The same without: installs, locks, enters. Returns 0 or ENOMEM.
int muster_held_enter(held_files *held);
void muster_held_leave(held_files *held);

// Takes the pair from the list with the file open: it is the caller's from here on, and a child's. -1 in a child that
// was forked meanwhile, which has closed it.
int muster_held_keep(held_files *held);

// openat(2) into held->file or held->folder. Returns 0 or its error, but EINTR.
int muster_held_open(int *descriptor, int folder, const char *name, int flags, mode_t mode);

void muster_held_close(int *descriptor);

// Whether a number that was an inotify instance's can no longer be: closed, or another file's. Takes no watch.
int muster_held_is_no_instance(int file);

// Moves a descriptor that was just opened out of the way of stdin, stdout and stderr, in a program that has closed
// them: a stray printf would write over what it leads to. Returns its number, at least 3, or -1 with errno and closes
// it.
int muster_above_stdio(int file);

#endif
