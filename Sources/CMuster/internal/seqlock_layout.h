// A seqlock in shared memory, version 1.
//
//   offset  what
//   0       seqlock_head: constant after muster_seqlock_init, which stores `magic` last
//   128     a group of one place, the claim (group_layout.h), rounded up to 128 bytes
//   then    seqlock_state, 128 bytes
//   then    copy 0: a stamp and `words` words, rounded up to 128 bytes; copy 1 likewise
//   then    `words` labels of 32 bytes, with a 0 in each
//
//   field     written by                 ordering         if its writer is dead
//   --------  -------------------------  ---------------  ------------------------------------------------------
//   latest    the writer                 seq_cst store    the newest whole value, for ever
//   stamp     the writer                 release          ~n: write n stands half done in this copy, which `latest`
//                                                         does not name; a successor writes it again
//   words     the writer                 relaxed, after   as the stamp says
//                                        a release fence
//   waiting   a waiter 1, the writer 0,  seq_cst store 1  a waiter's: one needless wake. A writer's that cleared it and
//             a claimant 1               relaxed store 0  died before `latest`: waiters see its death; the claimant's 1
//                                                         makes the successor's first write wake all
//   owner     the claimant its pid,      release          not 0 without a living claimant: that process ended without
//             at release 0                                releasing; the next claimant tells of it
//   labels    whoever initializes        none             constant
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_SEQLOCK_LAYOUT_H
#define MUSTER_INTERNAL_SEQLOCK_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/group.h"
#include "muster/seqlock.h"

#define SEQLOCK_MAGIC UINT64_C(0x004b434c5145534d)  // "MSEQLCK"

enum { SEQLOCK_VERSION = 1, SEQLOCK_LINE = 128 };

typedef struct seqlock_head {
  uint64_t magic;
  uint32_t version;
  uint32_t words;
  uint64_t unused[14];
} seqlock_head;

_Static_assert(sizeof(seqlock_head) == SEQLOCK_LINE, "the claim begins on a line of its own");

typedef struct seqlock_state {
  uint64_t latest;
  uint32_t waiting;
  uint32_t owner;
  uint64_t unused[14];
} seqlock_state;

_Static_assert(sizeof(seqlock_state) == MUSTER_SEQLOCK_COPIES * sizeof(uint64_t), "the copies follow the state");

// Offsets in bytes from the head's beginning, all from `words`, which its user has checked.
static inline size_t seqlock_up(size_t bytes) { return (bytes + SEQLOCK_LINE - 1) / SEQLOCK_LINE * SEQLOCK_LINE; }
static inline size_t seqlock_claim_size(void) { return seqlock_up(muster_group_size(1)); }
static inline size_t seqlock_state_offset(void) { return sizeof(seqlock_head) + seqlock_claim_size(); }
static inline size_t seqlock_copy_size(uint32_t words) { return seqlock_up((1 + (size_t)words) * sizeof(uint64_t)); }
static inline size_t seqlock_labels_offset(uint32_t words) {
  return seqlock_state_offset() + sizeof(seqlock_state) + 2 * seqlock_copy_size(words);
}

#endif
