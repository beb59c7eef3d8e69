// SPDX-License-Identifier: Apache-2.0
#include "muster/posix_barrier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal/liveness.h"
#include "internal/region_layout.h"

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

// The parties that the payload speaks of, if they can be, and are those of the header, which open has compared with
// what was asked for.
static int parties_of(const posix_shared *shared, uint32_t *parties) {
  const region_header *header = (const region_header *)((const char *)shared - MUSTER_REGION_HEADER_SIZE);
  *parties = __atomic_load_n(&shared->parties, __ATOMIC_RELAXED);
  uint64_t layout = __atomic_load_n(&header->layout, __ATOMIC_RELAXED);
  return *parties == 0 || *parties > PARTIES_MAX || *parties != layout ? EBADMSG : 0;
}

// Nobody holds the region, so nobody is inside: the object is laid anew over whatever the dead left of it.
static int renew(void *payload, size_t size, void *context) {
  (void)context;
  uint32_t parties;
  int status = parties_of(payload, &parties);
  return status ? status : fill(payload, size, &parties);
}

static int check(const posix_shared *shared, muster_mismatch *mismatch, uint32_t *parties) {
  uint32_t abi = __atomic_load_n(&shared->abi, __ATOMIC_RELAXED), ours = muster_liveness_abi();
  if (abi == ours) return parties_of(shared, parties);
  if (mismatch) *mismatch = (muster_mismatch){MUSTER_MISMATCH_LIBC, ours, abi};
  return EPROTO;
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
  if (!status) status = check(shared, options->mismatch, &parties);
  if (status) return free(made), muster_region_close(region), status;
  *made = (muster_posix_barrier){.shared = shared, .parties = parties, .region = region};
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
