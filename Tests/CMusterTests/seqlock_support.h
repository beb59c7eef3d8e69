// What the tests of the seqlock share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_SEQLOCK_SUPPORT_H
#define MUSTER_SEQLOCK_SUPPORT_H

#include "muster/seqlock.h"

// A seqlock laid into anonymous shared memory, which forked children inherit; a handle of this process unless NULL.
void *seqlock_test_memory(uint32_t words, muster_seqlock **counters);

// The value of write `number`: each word another function of it. And whether these words are that value; 0 is all
// zeros.
void seqlock_test_value(uint64_t *words, uint32_t count, uint64_t number);
int seqlock_test_is_value(const uint64_t *words, uint32_t count, uint64_t number);

#endif
