// A handle of a pair, for the sources that share it.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_PAIR_H
#define MUSTER_INTERNAL_PAIR_H

#include "fork.h"
#include "muster/checkpoint.h"
#include "muster/seqlock.h"
#include "pair_layout.h"

struct muster_pair {
  muster_region *region;
  pair_head head;  // as it was checked
  pair_marks *marks;
  void *cell;
  muster_seqlock *primary, *backup;
  muster_checkpoint *entries;
  fork_guard guard;
  int read_only;
  int leads, stands_by;
};

#endif
