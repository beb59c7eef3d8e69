// SPDX-License-Identifier: Apache-2.0
#include "muster/posix_barrier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal/liveness.h"

#define POSIX_KIND MUSTER_KIND('P', 'S', 'X', 'B')
enum { POSIX_VERSION = 1, PARTIES_MAX = 1 << 30 };

typedef struct posix_shared {
  uint32_t parties;  // constant
  uint32_t abi;      // constant: the libc whose object follows
  union {
    pthread_barrier_t object;  // libc's
    unsigned char space[120];
  } barrier;
} posix_shared;

_Static_assert(sizeof(posix_shared) == 128, "a pthread_barrier_t fits");

struct muster_posix_barrier {
  posix_shared *shared;
  uint32_t parties;
  muster_region *region;
};

static int fill(void *payload, size_t size, void *context) {
  (void)size;
  posix_shared *shared = payload;
  uint32_t parties = *(uint32_t *)context;
  pthread_barrierattr_t attributes;
  int status = pthread_barrierattr_init(&attributes);
  if (status) return status;
  memset(&shared->barrier, 0, sizeof shared->barrier);
  status = pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (!status) status = pthread_barrier_init(&shared->barrier.object, &attributes, parties);
  pthread_barrierattr_destroy(&attributes);
  shared->parties = parties;
  shared->abi = muster_liveness_abi();
  return status;
}

// Nobody holds the region, so nobody is inside: the object is laid anew over whatever the dead left of it.
static int renew(void *payload, size_t size, void *context) {
  (void)context;
  uint32_t parties = ((posix_shared *)payload)->parties;
  return parties == 0 || parties > PARTIES_MAX ? EBADMSG : fill(payload, size, &parties);
}

int muster_posix_barrier_open(const char *name, const muster_posix_barrier_options *options,
                              muster_posix_barrier **barrier) {
  *barrier = NULL;
  uint32_t flags = options->flags & MUSTER_REGION_OPEN ? options->flags : options->flags | MUSTER_REGION_OPEN;
  uint32_t parties = options->parties;
  if (flags & MUSTER_REGION_READ_ONLY || parties > PARTIES_MAX) return EINVAL;
  if (!parties && flags & MUSTER_REGION_CREATE) return EINVAL;
  muster_region *region;
  int status = muster_region_open(name,
                                  &(muster_region_options){.flags = flags,
                                                           .mode = options->mode,
                                                           .kind = POSIX_KIND,
                                                           .version = POSIX_VERSION,
                                                           .layout = parties,
                                                           .size = sizeof(posix_shared),
                                                           .deadline = options->deadline,
                                                           .initialize = fill,
                                                           .renew = renew,
                                                           .context = &parties,
                                                           .mismatch = options->mismatch},
                                  &region);
  if (status) return status;
  posix_shared *shared = muster_region_payload(region);
  int saved = errno;
  muster_posix_barrier *made = malloc(sizeof *made);
  errno = saved;
  if (!made) status = ENOMEM;
  if (!status && shared->abi != muster_liveness_abi()) status = EPROTO;
  if (!status && (shared->parties == 0 || shared->parties > PARTIES_MAX)) status = EBADMSG;
  if (status) return free(made), muster_region_close(region), status;
  *made = (muster_posix_barrier){.shared = shared, .parties = shared->parties, .region = region};
  *barrier = made;
  return 0;
}

int muster_posix_barrier_wait(muster_posix_barrier *barrier, int *serial) {
  int status = pthread_barrier_wait(&barrier->shared->barrier.object);
  if (serial) *serial = status == PTHREAD_BARRIER_SERIAL_THREAD;
  return status == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : status;
}

uint32_t muster_posix_barrier_parties(const muster_posix_barrier *barrier) { return barrier->parties; }

void muster_posix_barrier_close(muster_posix_barrier *barrier) {
  if (!barrier) return;
  muster_region_close(barrier->region);
  free(barrier);
}
