// Inotify instances, lent to one wait at a time.
//
// To close an instance that had a watch takes some 12 ms (the kernel waits for a grace period of SRCU), an order of
// magnitude more than all else between an event and the return of who waited for it. So a wait gives its instance back,
// without watches, for the next one, and the process keeps as many as ever waited at once, up to eight. Children close
// them at fork.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ALIVE_EVENTS_H
#define MUSTER_INTERNAL_ALIVE_EVENTS_H

#include "alive_held.h"

typedef struct alive_events {
  alive_held held;  // held.file is the instance
  int lent;
} alive_events;

// Lends an instance: one that is kept, or `spare`, the caller's own, when all are lent. NULL where none is to be had.
alive_events *muster_alive_events_borrow(alive_events *spare);

// Gives it back; the caller has removed its watches. The spare is closed.
void muster_alive_events_return(alive_events *events);

#endif
