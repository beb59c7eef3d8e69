// Inotify instances, lent to one wait at a time.
//
// To close an instance that had a watch takes some 12 ms (the kernel waits for a grace period of SRCU), an order of
// magnitude more than all else between an event and the return of who waited for it. So a wait gives its instance back,
// without watches, for the next one, and the process keeps as many as ever waited at once, up to eight. Children close
// them at fork.
//
// The program does not know of them, and may close all descriptors, as daemons do, and then open others under the same
// numbers. So an instance is asked whether it is one before it is lent, and one that will take no watch is let alone.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_EVENTS_H
#define MUSTER_INTERNAL_ALIVE_EVENTS_H

#include "held.h"

typedef struct alive_events {
  held_files held;  // held.file is the instance
  int lent;
} alive_events;

// Lends an instance: one that is kept, or `spare`, the caller's own, when all are lent. NULL where none is to be had.
alive_events *muster_alive_events_borrow(alive_events *spare);

// Lets one alone that is none any more: the number is somebody else's, and not closed.
void muster_alive_events_forget(alive_events *events);

// Gives it back; the caller has removed its watches. The spare is closed.
void muster_alive_events_return(alive_events *events);

#endif
