// A seqlock's handle.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_SEQLOCK_H
#define MUSTER_INTERNAL_SEQLOCK_H

#include "fork.h"
#include "muster/group.h"
#include "muster/seqlock.h"
#include "seqlock_layout.h"

struct muster_seqlock {
  muster_seqlock_reader reader;
  muster_seqlock_writer writer;
  seqlock_state *state;
  const char *labels;
  muster_group *group;    // of one place, the claim
  muster_region *region;  // opened by name, else NULL
  fork_guard guard;
  int read_only;          // nothing is ever stored in the shared memory
  int claimed;
};

// The writer as the claim's place tells it: 0 and its pid; EOWNERDEAD and who died; ENOENT; EPERM, EBADMSG.
int muster_seqlock_life(const muster_seqlock *seqlock, int32_t *pid);

// When a seqlock was renewed, and before it has a writer: stores zeros into words of its newest value. A reader that is there meanwhile may
// see some of them. Returns 0, or EBADMSG: it has not so many words.
int muster_seqlock_zero(void *memory, size_t size, uint32_t first, uint32_t count);

#endif
