// What the sources of the barrier share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_BARRIER_H
#define MUSTER_INTERNAL_BARRIER_H

#include "barrier_layout.h"
#include "futex.h"
#include "group.h"

struct muster_barrier {
  barrier_shared *shared;
  muster_group *group;
  uint32_t parties;   // checked at attach; never read again
  uint32_t on_death;
  uint32_t member;    // GROUP_NOBODY: an observer
  int dropped;
  int arrived;        // this handle arrived at `phase`
  uint32_t phase;
  uint32_t ticket;    // tree: the index taken for `ticket_phase`
  uint32_t ticket_phase;
  int has_ticket;
  int last;           // this handle set the last bit of `phase`
  uint32_t index;     // its arrival index in `phase`
  int may_spin;       // there is a processor for each party
  int may_yield;
  int spins;          // turns to spin before yielding, as they have paid so far
  int yields;         // turns to yield before sleeping, likewise
  int has_polled;     // looked at phase `polled` before sleeping,
  uint32_t polled;    // when the roster was
  uint32_t roster;    // this, and
  muster_member_set watched;  // these lived and were this member's to watch
  int quick;                  // the last phase in which this member had a duty ended before
  int64_t nap_ends;           // this time, and
  int napping;                // it knows not yet who lives, so `watched` is all
  int action_error;   // what the action returned that this handle ran last, in `action_phase`
  uint32_t action_phase;
  muster_barrier_action action;
  void *context;
  muster_region *region;
};

static inline int barrier_is_flat(const muster_barrier *barrier) { return barrier->parties <= BARRIER_FLAT; }
static inline uint32_t barrier_leaves(const muster_barrier *barrier) {
  return (barrier->parties + BARRIER_LEAF - 1) / BARRIER_LEAF;
}
static inline uint32_t barrier_children(const muster_barrier *barrier) {
  uint32_t count = barrier_is_flat(barrier) ? barrier->parties : barrier_leaves(barrier);
  return (1u << count) - 1;
}
static inline uint32_t barrier_leaf_full(const muster_barrier *barrier, uint32_t leaf) {
  uint32_t rest = barrier->parties - leaf * BARRIER_LEAF;
  return rest >= BARRIER_LEAF ? UINT32_MAX : (1u << rest) - 1;
}
static inline uint64_t barrier_root(const muster_barrier *barrier) {
  return __atomic_load_n(&barrier->shared->root, __ATOMIC_ACQUIRE);
}
static inline int barrier_root_swap(muster_barrier *barrier, uint64_t *seen, uint64_t next) {
  return __atomic_compare_exchange_n(&barrier->shared->root, seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}
static inline const uint32_t *barrier_futex(const muster_barrier *barrier) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return (const uint32_t *)(const void *)&barrier->shared->root;
#else
  return (const uint32_t *)(const void *)&barrier->shared->root + 1;
#endif
}

// The bits that are set without an arrival when a phase begins: places, or leaves, that are wholly absent.
uint32_t muster_barrier_absent_children(const muster_barrier *barrier);
uint32_t muster_barrier_absent_in(const muster_barrier *barrier, uint32_t leaf);

// Sets bits of the root for phase `phase`, as one step with what follows when they are the last: the next phase, or the action,
// which is then run here. `arriving` counts one arrival.
typedef struct barrier_step {
  uint64_t before;  // the root that was found: of another phase, broken, with the bits set already, or the one that was changed
  int set;          // this call set the bits
  int last;         // and completed the phase
  int status;       // 0; the action's error; or, after an action, why the phase did not complete
} barrier_step;
barrier_step muster_barrier_set_children(muster_barrier *barrier, uint32_t phase, uint32_t bits, int arriving);

// From the next phase on nobody is waited for in this place.
void muster_barrier_mark_absent(muster_barrier *barrier, uint32_t member);

// The root of the next phase.
uint64_t muster_barrier_next(muster_barrier *barrier, uint64_t root, int completed);

// Breaks the barrier if its root still is `seen`. Wakes all.
int muster_barrier_break(muster_barrier *barrier, uint64_t *seen, muster_barrier_cause cause, uint32_t member);

// Says, before the last look at the root, that somebody sleeps in that phase.
void muster_barrier_announce_sleep(muster_barrier *barrier, uint32_t phase);

// What became of phase `phase`, by root word `root`: 0, EAGAIN (it goes on), EINVAL (yet to come) or why it ended otherwise.
int muster_barrier_outcome(const muster_barrier *barrier, uint32_t phase, uint64_t root);

// Does for phase `phase` whatever others left half done, and, if `look_for_dead`, what the policy says about the dead. Returns other
// than 0 when it changed something, or found that the phase is over.
int muster_barrier_tend(muster_barrier *barrier, uint32_t phase, int look_for_dead);

// Whether a member is among those who have arrived in that phase, or need not.
int muster_barrier_has_arrived(const muster_barrier *barrier, uint32_t phase, uint64_t root, uint32_t member);

#endif
