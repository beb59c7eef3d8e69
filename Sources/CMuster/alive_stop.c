// SPDX-License-Identifier: Apache-2.0
#include "internal/alive_stop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "muster/alive.h"

struct muster_alive_stop {
  int event;  // an eventfd(2), which stays readable once it was written to
};

static _Thread_local const muster_alive_stop *heeded;

int muster_alive_stop_descriptor(void) { return heeded ? heeded->event : -1; }

int muster_alive_stop_make(muster_alive_stop **stop) {
  *stop = NULL;
  int saved = errno, status = 0;
  muster_alive_stop *made = malloc(sizeof *made);
  if (!made) {
    status = ENOMEM;
  } else if ((made->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
    status = errno;
    free(made);
  } else {
    *stop = made;
  }
  errno = saved;
  return status;
}

void muster_alive_stop_set(const muster_alive_stop *stop) {
  int saved = errno;
  // It can't fail for want of room: the kernel counts up to 2^64 - 2.
  (void)!write(stop->event, &(uint64_t){1}, sizeof(uint64_t));
  errno = saved;
}

void muster_alive_stop_heed(const muster_alive_stop *stop) { heeded = stop; }

void muster_alive_stop_free(muster_alive_stop *stop) {
  if (!stop) return;
  int saved = errno;
  close(stop->event);
  free(stop);
  errno = saved;
}
