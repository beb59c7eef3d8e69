// What a call puts back for its caller: errno, and whether the thread may be cancelled. Cancelled in the midst of a
// call it would lose descriptors, with the locks on them.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_CALLER_H
#define MUSTER_INTERNAL_CALLER_H

#include <errno.h>
#include <pthread.h>

typedef struct muster_caller {
  int error;
  int cancellable;
} muster_caller;

static inline muster_caller muster_enter(void) {
  muster_caller came = {.error = errno, .cancellable = PTHREAD_CANCEL_ENABLE};
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &came.cancellable);
  return came;
}

static inline void muster_leave(muster_caller came) {
  pthread_setcancelstate(came.cancellable, NULL);
  errno = came.error;
}

#endif
