// The POSIX barrier: a pthread_barrier_t with PTHREAD_PROCESS_SHARED in a region, met by name, whoever comes first.
//
// Its limits are those of pthread_barrier_wait(3), and the reason why barrier.h exists:
//   - no deadline: who waits, waits until all have come;
//   - a death hangs it: who is killed before arriving is waited for for ever, who is killed while waiting counts as
//     arrived, and shifts every later round;
//   - pthread_barrier_destroy after a death hangs as well, so this module never destroys one: it unmaps, and lays a new
//     barrier into the region when nobody holds it any more. A hung one ends by killing its processes;
//   - nothing tells who is missing.
// It is here for programs that need that very object, and as the peer to measure against.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_POSIX_BARRIER_H
#define MUSTER_POSIX_BARRIER_H

#include "region.h"
#include "status.h"

MUSTER_BEGIN_DECLS

typedef struct muster_posix_barrier muster_posix_barrier;

typedef struct muster_posix_barrier_options {
  uint32_t parties;          // 1 to 2^30; when attaching, 0: as it is
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t mode;             // as of a region
  uint32_t reserved;
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;
} muster_posix_barrier_options;

// Creates or attaches.
//
// Returns 0; EINVAL also for parties that can't be, or READ_ONLY; EPROTO also for another libc (*mismatch has
// MUSTER_MISMATCH_LIBC); EBADMSG also when what the barrier says of its parties is not what its region says; ENOMEM; or
// what else muster_region_open returns.
int muster_posix_barrier_open(const char *MUSTER_NONNULL name,
                              const muster_posix_barrier_options *MUSTER_NONNULL options,
                              muster_posix_barrier *MUSTER_NULLABLE *MUSTER_NONNULL barrier) MUSTER_MUST_CHECK;

// Waits, without a deadline, until `parties` have called it. *serial, which may be NULL, becomes 1 for exactly one of
// them. Returns 0.
int muster_posix_barrier_wait(muster_posix_barrier *MUSTER_NONNULL barrier, int *MUSTER_NULLABLE serial);

uint32_t muster_posix_barrier_parties(const muster_posix_barrier *MUSTER_NONNULL barrier);

// Unmaps. Never waits.
void muster_posix_barrier_close(muster_posix_barrier *MUSTER_NULLABLE barrier);

MUSTER_END_DECLS

#endif
