// What every waiter does before it sleeps and whenever it wakes: finish what others left half done, and apply the policy to the dead.
//
// Each step here may be taken by several at once, and by one that was stopped for long: each is a compare-and-swap on a word that
// holds the phase, or sets a bit that is never cleared.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/barrier.h"

static int is_absent(const muster_barrier *barrier, uint32_t member) {
  return muster_barrier_absent_in(barrier, member / BARRIER_LEAF) >> member % BARRIER_LEAF & 1;
}

int muster_barrier_has_arrived(const muster_barrier *barrier, uint32_t phase, uint64_t root, uint32_t member) {
  if (barrier_is_flat(barrier)) return root_children(root) >> member & 1;
  uint32_t leaf = member / BARRIER_LEAF;
  if (root_children(root) >> leaf & 1) return 1;
  uint64_t word = __atomic_load_n(&barrier->shared->leaves[leaf].arrived, __ATOMIC_ACQUIRE);
  return leaf_phase(word) == phase && (leaf_bits(word) >> member % BARRIER_LEAF & 1);
}

// The children that are done although the root does not say so yet: absent members, and leaves that are full.
static uint32_t unsettled(const muster_barrier *barrier, uint32_t phase, uint64_t root) {
  uint32_t children = 0;
  if (barrier_is_flat(barrier)) {
    children = muster_barrier_absent_children(barrier);
  } else {
    for (uint32_t leaf = 0; leaf < barrier_leaves(barrier); leaf++) {
      uint64_t word = __atomic_load_n(&barrier->shared->leaves[leaf].arrived, __ATOMIC_ACQUIRE);
      uint32_t bits = leaf_phase(word) == phase ? leaf_bits(word) : 0;
      bits |= muster_barrier_absent_in(barrier, leaf);
      if (bits == barrier_leaf_full(barrier, leaf)) children |= 1u << leaf;
    }
  }
  return children & ~root_children(root);
}

// A place whose member is gone before it arrived. Whether anything was changed.
static int apply_policy(muster_barrier *barrier, uint32_t phase, uint32_t member) {
  // The root and the leaf are read after the death was seen: who is dead arrives no more, so what they say is final.
  uint64_t root = barrier_root(barrier);
  if (muster_barrier_outcome(barrier, phase, root) != EAGAIN) return 1;
  if (is_absent(barrier, member) || muster_barrier_has_arrived(barrier, phase, root, member)) return 0;
  switch (barrier->on_death) {
    case MUSTER_ON_DEATH_BREAK:
      muster_barrier_break(barrier, &root, MUSTER_BARRIER_DEATH, member);
      return 1;
    case MUSTER_ON_DEATH_SHRINK:
      muster_barrier_mark_absent(barrier, member);
      return 1;
    default:
      return 0;
  }
}

static int is_gone(muster_member_state state) { return state == MUSTER_MEMBER_DEAD || state == MUSTER_MEMBER_LEFT; }

int muster_barrier_tend(muster_barrier *barrier, uint32_t phase, int look_for_dead) {
  uint64_t root = barrier_root(barrier);
  if (muster_barrier_outcome(barrier, phase, root) != EAGAIN) return 1;
  // Who is no member has no action that he could run in a member's stead, and no death of his own that others would see.
  if (barrier->member == GROUP_NOBODY) return 0;
  uint32_t bits = unsettled(barrier, phase, root);
  if (bits) {
    barrier_step step = muster_barrier_set_children(barrier, phase, bits, 0);
    if (step.last && barrier->arrived && barrier->phase == phase) barrier->last = 1;
    return 1;
  }
  if (!look_for_dead) return 0;
  if (root_state(root) == STATE_ACTION) {
    // Nobody but its own process is in an action, so a free place says as much as a dead one.
    uint32_t runner = root_member(root);
    if (runner < barrier->parties && muster_group_life(barrier->group, runner) == MUSTER_MEMBER_ALIVE) return 0;
    muster_barrier_break(barrier, &root, MUSTER_BARRIER_DEATH, runner);
    return 1;
  }
  for (uint32_t k = 0; k < barrier->parties; k++)
    if (is_gone(muster_group_life(barrier->group, k)) && apply_policy(barrier, phase, k)) return 1;
  return 0;
}
