// A read-write lock's handle.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_RWLOCK_H
#define MUSTER_INTERNAL_RWLOCK_H

#include "group.h"
#include "lock.h"

// What a handle has of the lock; WAITS_WRITE: the writers' mutex, with the gate closed.
typedef enum rwlock_hold { HOLDS_NOTHING = 0, HOLDS_READ, HOLDS_WRITE, WAITS_READ, WAITS_WRITE, OBSERVES, ONLY_ASKS } rwlock_hold;

struct muster_rwlock {
  rwlock_slot *slot;  // of this member
  uint32_t *gate;
  lock_view view;
  uint32_t thread;    // of this member
  rwlock_hold hold;
  int32_t spins;
  int on_duty;        // others rely on this one's watch at the gate,
  uint32_t watched;   // when its number was this
  uint32_t member;
  uint32_t capacity;
  rwlock_shared *shared;
  rwlock_slot *slots;
  muster_group *group;
  muster_region *region;  // opened by name, else NULL
};

// Whether the calling thread may use the handle: 0, EPERM, EACCES.
static inline int rwlock_mine(const muster_rwlock *rwlock) {
  if (__builtin_expect(muster_fork_inherited(&rwlock->view.guard), 0)) return EPERM;
  if (__builtin_expect(rwlock->hold >= OBSERVES, 0)) return EACCES;
  const liveness_thread *self = &muster_liveness_thread;
  return self->guard.token != rwlock->view.guard.token || self->id != rwlock->thread ? EPERM : 0;
}

static inline uint32_t rwlock_gate(const muster_rwlock *rwlock) { return __atomic_load_n(rwlock->gate, __ATOMIC_SEQ_CST); }
static inline uint32_t gate_state(uint32_t gate) { return gate & GATE_STATES; }

// Whether the member in that place reads. What a dead one left there is not that of who is just joining in its place, who may be stopped.
int muster_rwlock_reads(const muster_rwlock *rwlock, uint32_t index);

// By who holds the writers' mutex: opens the gate and lets in all who wait.
void muster_rwlock_open_gate(muster_rwlock *rwlock);

// The same: another state of a gate that stays closed.
void muster_rwlock_set_gate(muster_rwlock *rwlock, uint32_t state);

#endif
