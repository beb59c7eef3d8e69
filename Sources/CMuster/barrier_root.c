// The root word: phases, their completion and their outcome. Its bits stand in internal/barrier_layout.h.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/barrier.h"

uint32_t muster_barrier_absent_in(const muster_barrier *barrier, uint32_t leaf) {
  return __atomic_load_n(&barrier->shared->leaves[leaf].absent, __ATOMIC_SEQ_CST) & barrier_leaf_full(barrier, leaf);
}

uint32_t muster_barrier_absent_children(const muster_barrier *barrier) {
  if (!__atomic_load_n(&barrier->shared->absences, __ATOMIC_SEQ_CST)) return 0;
  if (barrier_is_flat(barrier)) return muster_barrier_absent_in(barrier, 0);
  uint32_t children = 0;
  for (uint32_t leaf = 0; leaf < barrier_leaves(barrier); leaf++)
    if (muster_barrier_absent_in(barrier, leaf) == barrier_leaf_full(barrier, leaf)) children |= 1u << leaf;
  return children;
}

void muster_barrier_mark_absent(muster_barrier *barrier, uint32_t member) {
  __atomic_store_n(&barrier->shared->absences, 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_or(&barrier->shared->leaves[member / BARRIER_LEAF].absent, 1u << member % BARRIER_LEAF,
                    __ATOMIC_SEQ_CST);
}

enum { FORGET_EVERY = 0xffffff, NEAR = 1 << 20 };

// Before phases are so many that it would seem to lie ahead.
static void forget_old_reset(muster_barrier *barrier, uint32_t phase) {
  uint32_t *last = &barrier->shared->last_reset, seen = __atomic_load_n(last, __ATOMIC_ACQUIRE);
  if (seen & ~PHASE_MASK && phase_distance(seen & PHASE_MASK, phase) > UINT32_C(1) << 29)
    __atomic_compare_exchange_n(last, &seen, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

// The absent places are read after `root`, so that who set his absent bit before a bit of this root is seen.
uint64_t muster_barrier_next(muster_barrier *barrier, uint64_t root, int completed) {
  uint32_t phase = root_phase(root), history = root_history(root);
  if (!(history >> (BARRIER_HISTORY - 1) & 1)) {
    uint32_t reset = (phase - BARRIER_HISTORY) & PHASE_MASK, *last = &barrier->shared->last_reset;
    uint32_t seen = __atomic_load_n(last, __ATOMIC_ACQUIRE);
    // Forwards only: one who was stopped just here may come with a phase long gone.
    while (!(seen & ~PHASE_MASK) || phase_is_past(seen & PHASE_MASK, reset))
      if (__atomic_compare_exchange_n(last, &seen, reset | ~PHASE_MASK, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) break;
  }
  if (!(phase & FORGET_EVERY)) forget_old_reset(barrier, phase);
  return root_make(phase + 1, 0, muster_barrier_absent_children(barrier), STATE_OPEN, 0, 0,
                   history << 1 | (uint32_t)completed);
}

// Whether a note of sleepers is of that phase or of one that a fast member may have got to. Nobody gets far before those who sleep have
// been woken; what lies further ahead is of long ago.
static int is_due(uint32_t note, uint32_t phase) { return note && phase_distance(phase, note >> 1) < NEAR; }

static void wake_sleepers(muster_barrier *barrier, uint32_t phase) {
  uint32_t sleeping = __atomic_load_n(&barrier->shared->sleeping, __ATOMIC_SEQ_CST);
  if (is_due(sleeping, phase)) muster_futex_wake_all(barrier_futex(barrier));
}

void muster_barrier_announce_sleep(muster_barrier *barrier, uint32_t phase) {
  uint32_t *word = &barrier->shared->sleeping, tag = phase << 1 | 1, seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  while (!is_due(seen, phase))
    if (__atomic_compare_exchange_n(word, &seen, tag, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
}

int muster_barrier_break(muster_barrier *barrier, uint64_t *seen, muster_barrier_cause cause, uint32_t member) {
  uint64_t broken = root_make(root_phase(*seen), 1, root_children(*seen), STATE_BROKEN + (uint32_t)cause, member,
                              root_count(*seen), root_history(*seen));
  if (!barrier_root_swap(barrier, seen, broken)) return 0;
  muster_futex_wake_all(barrier_futex(barrier));
  return 1;
}

static int broken_outcome(uint64_t root) {
  switch (root_state(root) - STATE_BROKEN) {
    case MUSTER_BARRIER_ABORTED: return ECANCELED;
    case MUSTER_BARRIER_DEATH: return EOWNERDEAD;
    case MUSTER_BARRIER_TIMED_OUT:
    case MUSTER_BARRIER_ACTION: return ENOTRECOVERABLE;
    default: return EBADMSG;
  }
}

int muster_barrier_outcome(const muster_barrier *barrier, uint32_t phase, uint64_t root) {
  if (phase & ~PHASE_MASK) return EINVAL;
  uint32_t distance = phase_distance(phase, root_phase(root));
  if (distance == 0) {
    if (root_broken(root)) return broken_outcome(root);
    if (root_state(root) > STATE_ACTION || root_children(root) & ~barrier_children(barrier)) return EBADMSG;
    return EAGAIN;
  }
  if (distance >= UINT32_C(1) << 30) return EINVAL;
  if (distance <= BARRIER_HISTORY) return root_history(root) >> (distance - 1) & 1 ? 0 : ECANCELED;
  // Longer ago than the history tells. A reset after that phase makes its outcome unknown, and `reset` a true answer.
  uint32_t reset = __atomic_load_n(&barrier->shared->last_reset, __ATOMIC_ACQUIRE);
  if (!(reset & ~PHASE_MASK)) return 0;
  return phase_is_past(reset & PHASE_MASK, phase) ? 0 : ECANCELED;
}

// All have arrived, and nobody is released before the action is done. Whoever finds this process dead meanwhile breaks the barrier; if
// somebody broke or reset it, the root is not ours to change any more, and the swap fails.
static int run_action(muster_barrier *barrier, uint64_t root, uint32_t phase) {
  int error = barrier->action(barrier->context);
  uint64_t seen = root;
  if (error) {
    barrier->action_phase = phase;
    // EAGAIN says of an arrival that it was not made; this one was.
    barrier->action_error = error == EAGAIN ? ENOTRECOVERABLE : error;
    muster_barrier_break(barrier, &seen, MUSTER_BARRIER_ACTION, barrier->member);
    return barrier->action_error;
  }
  if (!barrier_root_swap(barrier, &seen, muster_barrier_next(barrier, root, 1)))
    return muster_barrier_outcome(barrier, phase, seen);
  wake_sleepers(barrier, phase);
  return 0;
}

barrier_step muster_barrier_set_children(muster_barrier *barrier, uint32_t phase, uint32_t bits, int arriving) {
  barrier_step step = {.before = barrier_root(barrier)};
  uint32_t all = barrier_children(barrier);
  for (;;) {
    uint64_t root = step.before, next;
    uint32_t children = root_children(root) | bits;
    // What a swap that failed was about to do is not told: another may have completed the phase with these very bits.
    step.last = 0;
    if (root_phase(root) != phase || root_broken(root) || children == root_children(root)) return step;
    step.last = children == all;
    if (!step.last) {
      next = root_make(phase, 0, children, STATE_OPEN, 0, root_count(root) + (uint32_t)arriving, root_history(root));
    } else if (barrier->action) {
      next = root_make(phase, 0, children, STATE_ACTION, barrier->member, 0, root_history(root));
    } else {
      next = muster_barrier_next(barrier, root, 1);
    }
    if (!barrier_root_swap(barrier, &step.before, next)) continue;
    step.set = 1;
    if (step.last && barrier->action) {
      step.status = run_action(barrier, next, phase);
      step.last = step.status == 0;
    } else if (step.last) {
      wake_sleepers(barrier, phase);
    }
    return step;
  }
}
