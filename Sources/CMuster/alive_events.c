// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_events.h"

#include <stddef.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { KEPT = 8 };

static alive_events kept[KEPT];

static int is_kept(const alive_events *events) { return events >= kept && events < kept + KEPT; }

// With the mutex. Not closed: the number leads to something of the program's.
static void forget(alive_events *events) {
  events->held.file = -1;
  muster_held_unlink(&events->held);
  events->lent = 0;
}

// In the list of descriptors from the moment that it is open, as they all are. One that is in use and not in the list
// was its parent's.
static int lend(alive_events *events) {
  if (events->held.listed && muster_held_is_no_instance(events->held.file)) forget(events);
  if (!events->held.listed) {
    muster_held_link(&events->held);
    events->held.watches = 1;
    events->held.file = muster_above_stdio(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (events->held.file < 0) muster_held_unlink(&events->held);
  }
  events->lent = events->held.listed;
  return events->lent;
}

alive_events *muster_alive_events_borrow(alive_events *spare) {
  if (muster_held_install()) return NULL;
  alive_events *found = spare;
  spare->held.listed = 0;
  muster_held_lock();
  for (int i = KEPT; i-- > 0;)
    if (!kept[i].held.listed) found = &kept[i];
  for (int i = 0; i < KEPT; i++)
    if (kept[i].held.listed && !kept[i].lent) found = &kept[i];
  if (!lend(found)) found = NULL;
  muster_held_unlock();
  return found;
}

void muster_alive_events_forget(alive_events *events) {
  muster_held_lock();
  forget(events);
  muster_held_unlock();
}

void muster_alive_events_return(alive_events *events) {
  muster_held_lock();
  events->lent = 0;
  int spare = is_kept(events) ? -1 : events->held.file;
  if (spare >= 0) events->held.file = -1, muster_held_unlink(&events->held);
  muster_held_unlock();
  // Not under the mutex: it takes its time.
  if (spare >= 0) close(spare);
}
