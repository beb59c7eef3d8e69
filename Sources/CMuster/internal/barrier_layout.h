// A robust barrier in shared memory, version 1.
//
// Root word (64 bits; its low half is the futex word at which waiters sleep):
//
//   bit  0       broken
//   bits 1..31   phase; one more with each release and each reset, mod 2^31
//   bits 32..39  children that are done in this phase: members (flat, up to 8 parties) or leaves (tree)
//   bits 40..42  state: open, in action, or why it is broken
//   bits 43..50  member: who runs the action, or whose end broke it
//   bits 51..53  flat: how many have arrived in this phase
//   bits 54..63  history: bit i says whether phase - 1 - i was completed (1) or reset (0)
//
// Leaf word (tree): the phase in the high half, in the low half a bit for each of its 32 members that has arrived in that phase.
// A leaf of an older phase counts as empty; whoever arrives first in the new phase replaces it.
//
// Writers, all by compare-and-swap on the whole word (sequentially consistent), and what their death means:
//
//   root, child bit      who arrives; anyone, for a leaf that is full or a place that is absent. Dead just after: arrived
//   root, next phase     who sets the last child bit, in the same step. Dead just after: released; that sleepers may not be woken
//                        yet is mended by whoever watches it (group_watch.c), who looks at the phase first
//   root, in action      who sets the last child bit and has an action. Dead in it: anyone breaks the barrier
//   root, broken         whoever finds the reason. Dead just after: as above
//   leaf, bit            who arrives; anyone, for an absent place. Dead just after: arrived; a full leaf is carried to the root by
//                        anyone who looks
//   leaf.absent          who drops out, or anyone for a dead member (shrink): set before the bit in the leaf or root word
//                        word. Dead between: anyone who looks sets the bit. Never cleared. A word of the next phase starts with these
//                        bits; its maker reads `absent` after the old word, and so sees all whose bit the old word shows
//   ticket               tree, who is about to arrive: {phase, count}. Dead just after: that arrival index is given to nobody
//   sleeping             who is about to sleep, before he looks at the phase once more: the newest phase that somebody sleeps in; never
//                        replaced by an older one, which one who was stopped just here would else do. Dead: a wake too many. A releaser
//                        reads it after the phase has changed, so one of the two sees the other's (Dekker), and wakes also for a newer
//                        phase, which one who was fast may have put over the one released
//   last_reset           who advances the phase, before a reset phase leaves the history; forwards only. Idempotent
//   slots                see group_watch.c
//   yield_after          a waiter whose yield took long, relaxed: until when nobody is to yield on that processor (by its number, mod 32);
//                        when that is over, when the last long one ended; in the last three bits, how often that was found in a row.
//                        Nothing but the waiters' pastime depends on it
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_BARRIER_LAYOUT_H
#define MUSTER_INTERNAL_BARRIER_LAYOUT_H

#include "group_layout.h"
#include "muster/barrier.h"

#define BARRIER_MAGIC UINT64_C(0x52454952524142)  // "BARRIER"

enum {
  BARRIER_VERSION = 1,
  BARRIER_FLAT = 8,     // up to so many parties arrive at the root itself
  BARRIER_LEAF = 32,    // members of a leaf
  BARRIER_LEAVES = 8,
  BARRIER_PROCESSORS = 32,
  BARRIER_HISTORY = 10  // phases whose outcome the root word tells
};

enum { STATE_OPEN = 0, STATE_ACTION = 1, STATE_BROKEN = 1 /* plus muster_barrier_cause */ };

#define PHASE_MASK UINT32_C(0x7fffffff)

typedef struct barrier_leaf {
  uint64_t arrived;
  uint32_t absent;
  uint32_t reserved;
  uint64_t unused[6];
} barrier_leaf;

typedef struct barrier_shared {
  // constant
  uint64_t magic;
  uint32_t version;
  uint32_t parties;
  uint32_t on_death;
  uint32_t reserved;
  uint64_t unused[5];
  // hot
  uint64_t root;
  uint32_t sleeping;
  uint32_t hot_reserved;
  uint64_t hot_unused[6];
  // tree
  uint64_t ticket;
  uint64_t ticket_unused[15];
  // cold
  uint32_t absences;    // not 0: some place is, or is about to be, absent
  uint32_t last_reset;  // phase | 2^31 of the last reset phase that has left the history; 0: none has
  uint64_t slots[GROUP_SLOTS];
  uint64_t cold_unused[3];
  int64_t yield_after[BARRIER_PROCESSORS];  // CLOCK_MONOTONIC
  barrier_leaf leaves[BARRIER_LEAVES];
  // The group follows.
} barrier_shared;

_Static_assert(sizeof(barrier_shared) % MUSTER_GROUP_ALIGNMENT == 0, "the group that follows is aligned");

static inline uint32_t root_phase(uint64_t root) { return (uint32_t)root >> 1; }
static inline int root_broken(uint64_t root) { return (int)(root & 1); }
static inline uint32_t root_children(uint64_t root) { return (uint32_t)(root >> 32) & 0xff; }
static inline uint32_t root_state(uint64_t root) { return (uint32_t)(root >> 40) & 7; }
static inline uint32_t root_member(uint64_t root) { return (uint32_t)(root >> 43) & 0xff; }
static inline uint32_t root_count(uint64_t root) { return (uint32_t)(root >> 51) & 7; }
static inline uint32_t root_history(uint64_t root) { return (uint32_t)(root >> 54); }

static inline uint64_t root_make(uint32_t phase, int broken, uint32_t children, uint32_t state, uint32_t member,
                                 uint32_t count, uint32_t history) {
  return (uint64_t)(phase & PHASE_MASK) << 1 | (uint64_t)broken | (uint64_t)children << 32 | (uint64_t)state << 40 |
         (uint64_t)(member & 0xff) << 43 | (uint64_t)(count & 7) << 51 | (uint64_t)(history & 0x3ff) << 54;
}

static inline uint64_t root_with_children(uint64_t root, uint32_t children) { return root | (uint64_t)children << 32; }

static inline uint64_t leaf_make(uint32_t phase, uint32_t bits) { return (uint64_t)phase << 32 | bits; }
static inline uint32_t leaf_phase(uint64_t leaf) { return (uint32_t)(leaf >> 32); }
static inline uint32_t leaf_bits(uint64_t leaf) { return (uint32_t)leaf; }

// How far `later` lies behind `earlier`, mod 2^31; from 2^30 on it lies before it.
static inline uint32_t phase_distance(uint32_t earlier, uint32_t later) { return (later - earlier) & PHASE_MASK; }
static inline int phase_is_past(uint32_t phase, uint32_t now) {
  uint32_t distance = phase_distance(phase, now);
  return distance != 0 && distance < UINT32_C(1) << 30;
}

#endif
