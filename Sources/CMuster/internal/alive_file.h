// An Alive file as others see it: its path, its lock, and what it tells.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_FILE_H
#define MUSTER_INTERNAL_ALIVE_FILE_H

#include <limits.h>
#include <sys/stat.h>

#include "alive_record.h"

// A path with its last part and the folder that it lies in. `whole` and `base` point into the caller's string.
typedef struct alive_path {
  const char *whole;
  const char *base;
  char folder[PATH_MAX];
} alive_path;

// Returns 0, EINVAL for an empty path, EISDIR for one that ends in a slash, ENAMETOOLONG.
int muster_alive_path(const char *path, alive_path *parts);

// The owner's OFD lock on byte 0. A lock for reading says "somebody holds the file, and its record is not yet theirs";
// one for writing says that the record is the owner's. Going from one to the other is one step in the kernel.
typedef enum alive_lock {
  ALIVE_FREE = 0,
  ALIVE_CLAIMED = 1,
  ALIVE_TOLD = 2,
} alive_lock;

// Asks without locking. Any descriptor of the file will do, also one for reading only.
int muster_alive_lock_ask(int file, alive_lock *lock);

// Takes, changes or drops the lock without waiting; EAGAIN when somebody else has one.
int muster_alive_lock_set(int file, alive_lock lock);

// 0 for a regular file, else EISDIR, ELOOP or EINVAL.
int muster_alive_refuse(const struct stat *status);

// Whether the path leads to this very file, now. Returns 0, ESTALE, or an error of stat(2).
int muster_alive_same(int folder, const char *path, const struct stat *file);

// Tells what stands at the path, taking no lock. Where the file is held, *told says whether the owner's record was to
// be had. Returns 0, EAGAIN when the file was replaced each of a thousand times that it was looked at, or somebody's
// lease of fcntl(2) kept it from being opened for 20 ms, or what else muster_alive_probe returns.
int muster_alive_look(const alive_path *path, muster_alive_found *found, int *told);

// Sleeps until then, whatever signals come.
void muster_alive_sleep(muster_deadline until);

// Growing pauses for what takes somebody else some microseconds: start with a step of 0; 0 when 20 ms are over.
int muster_alive_step(int64_t *step);

#endif
