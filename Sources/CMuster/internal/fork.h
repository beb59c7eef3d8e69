// Whether a handle is used by the process that made it.
//
// One page of the process is marked MADV_WIPEONFORK (madvise(2)), so that a forked child finds a zero where its parent
// has a number of its own. A handle keeps the number it was made under; comparing the two is one load and no system
// call, and can't be fooled by a pid that is used again.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_FORK_H
#define MUSTER_INTERNAL_FORK_H

#include <stdint.h>

// What a handle keeps.
typedef struct fork_guard {
  const uint64_t *word;  // the process's number, in the page that is wiped; 0 in a child that has not asked yet
  uint64_t token;        // what it was when the handle was made
} fork_guard;

// Notes the present process. Returns 0, or ENOMEM where no page is to be had.
int muster_fork_guard(fork_guard *guard);

// Whether the handle was inherited over fork.
static inline int muster_fork_inherited(const fork_guard *guard) {
  return __atomic_load_n(guard->word, __ATOMIC_RELAXED) != guard->token;
}

#endif
