// Becoming the owner of an Alive file, and ceasing to be it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_TAKE_H
#define MUSTER_INTERNAL_ALIVE_TAKE_H

#include "alive_file.h"
#include "held.h"

// Tries once. Returns 0 with both descriptors of `held` open and the file locked, or with both closed EBUSY (*found is
// HELD; without a pid where its holder is just taking it or letting go of it), or what muster_alive_acquire returns.
// To try to lock a file is itself an event of it, and wakes all who wait for it; so it is looked at first, but by one who is `hopeful`.
int muster_alive_take(const alive_path *path, mode_t mode, int hopeful, held_files *held, muster_alive_found *found);

// Removes the file if `base` in the held folder is still this one. Where it may not be removed, its record says from
// then on that the owner ended cleanly. Returns 0, ESTALE, or the error at removing.
int muster_alive_remove(const held_files *held, const char *base);

// Drops the locks, also for copies of the descriptor that may have got into other processes.
void muster_alive_unlock(const held_files *held);

#endif
