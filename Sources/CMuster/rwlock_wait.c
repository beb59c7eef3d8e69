// Locking and unlocking of read-write locks.
//
//   reader                                             writer
//   -------------------------------------------------  -----------------------------------------------------------
//   r1  slot = READS                                   w1  the writers' mutex
//   r2  gate is open: it reads                         w2  gate = DRAINING
//   r3  else slot = WAITS, wake who sleeps at the slot w3  each slot of a living member that READS: sleep at it, w3
//   r4  sleep at the gate; slot READS: it reads        w4  gate = WRITING; it writes
//       gate open: r1
//   r5  unlock: slot = EMPTY                           w5  unlock: gate = OPEN, the next number
//   r6  gate not open: wake who sleeps at the slot     w6  each slot that WAITS: READS; any: wake all at the gate
//                                                      w7  the mutex
//
// r1 and r2, w2 and w3 are sequentially consistent, so of a reader and a writer that come at once one sees the other. The same
// for r5 and r6 with w2 and w3 (a writer that sleeps at a slot has closed the gate before), and r3 and r4 with w5 and w6.
//
// The states in which there are no writers in w4 and the data are whole, are OPEN and DRAINING. So a writer that died in w2, w3
// or w6 left nothing to repair. In w4 it left WRITING, without a living owner of the mutex: whoever has that mutex next
// makes it BROKEN. Any reader that waits and finds the mutex without an owner takes it for that, opens the gate that a DRAINING
// writer left closed, or returns EOWNERDEAD. Readers that sleep watch the members (group_watch.c): the kernel marks the locks of a
// dead thread in the order last taken first, so who sees a writer's place dead finds its mutex marked.
//
// w6 admits under the mutex and an open gate, so it never admits a reader beside a writer, however long it was stopped.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/rwlock.h"

enum { SPINS_LEAST = 16, SPINS_MOST = 2000, MEMBERS_AT_A_TIME = 60 };

static uint32_t mutex_owner(const muster_rwlock *rwlock) {
  return muster_liveness_owner(__atomic_load_n(rwlock->view.word, __ATOMIC_SEQ_CST));
}

// ---- The gate, by who holds the writers' mutex

void muster_rwlock_set_gate(muster_rwlock *rwlock, uint32_t state) {
  uint32_t gate = rwlock_gate(rwlock);
  __atomic_store_n(rwlock->gate, (gate & ~(uint32_t)GATE_STATES) | state, __ATOMIC_SEQ_CST);
}

void muster_rwlock_open_gate(muster_rwlock *rwlock) {
  uint32_t gate = rwlock_gate(rwlock);
  __atomic_store_n(rwlock->gate, (gate & ~(uint32_t)GATE_STATES) + GATE_NEXT, __ATOMIC_SEQ_CST);
  int any = 0;
  for (uint32_t k = 0; k < rwlock->capacity; k++) {
    uint32_t waits = SLOT_WAITS;
    if (__atomic_load_n(&rwlock->slots[k].state, __ATOMIC_SEQ_CST) != SLOT_WAITS) continue;
    any = 1;
    __atomic_compare_exchange_n(&rwlock->slots[k].state, &waits, SLOT_READS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  if (any) muster_futex_wake_all(rwlock->gate);
}

static void break_gate(muster_rwlock *rwlock) {
  muster_rwlock_set_gate(rwlock, GATE_BROKEN);
  muster_futex_wake_all(rwlock->gate);
}

// Has the mutex: that its last owner died is told by the gate from here on.
static void settle_mutex(muster_rwlock *rwlock) {
  if (gate_state(rwlock_gate(rwlock)) == GATE_WRITING) break_gate(rwlock);
  muster_lock_clear(&rwlock->view);
}

// ---- Reading

static inline int now_reads(muster_rwlock *rwlock) {
  __atomic_store_n(&rwlock->slot->since, lock_clock(&muster_liveness_thread), __ATOMIC_RELAXED);
  rwlock->hold = HOLDS_READ;
  return 0;
}

// A slot that reads no more: a writer may sleep at it.
static void leave_slot(muster_rwlock *rwlock, uint32_t state) {
  __atomic_store_n(&rwlock->slot->since, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&rwlock->slot->state, state, __ATOMIC_SEQ_CST);
  if (__builtin_expect(gate_state(rwlock_gate(rwlock)) != GATE_OPEN, 0)) muster_futex_wake_all(&rwlock->slot->state);
}

// 0, or EBUSY: a writer waits or writes; the slot is to be left.
static inline int enter(muster_rwlock *rwlock) {
  __atomic_store_n(&rwlock->slot->state, SLOT_READS, __ATOMIC_SEQ_CST);
  return __builtin_expect(gate_state(rwlock_gate(rwlock)) == GATE_OPEN, 1) ? now_reads(rwlock) : EBUSY;
}

static inline int begin_read(muster_rwlock *rwlock) {
  int status = rwlock_mine(rwlock);
  if (__builtin_expect(status, 0)) return status;
  return __builtin_expect(rwlock->hold != HOLDS_NOTHING, 0) ? EDEADLK : enter(rwlock);
}

// One that WAITS: 0 when it was let in or could go in by itself, else EBUSY.
static int enter_from_waiting(muster_rwlock *rwlock) {
  uint32_t waits = SLOT_WAITS;
  if (__atomic_load_n(&rwlock->slot->state, __ATOMIC_SEQ_CST) == SLOT_READS) return now_reads(rwlock);
  if (gate_state(rwlock_gate(rwlock)) != GATE_OPEN) return EBUSY;
  if (!__atomic_compare_exchange_n(&rwlock->slot->state, &waits, SLOT_READS, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    return waits == SLOT_READS ? now_reads(rwlock) : EBADMSG;
  if (gate_state(rwlock_gate(rwlock)) == GATE_OPEN) return now_reads(rwlock);
  leave_slot(rwlock, SLOT_WAITS);
  return EBUSY;
}

static int has_writer(uint32_t index, void *context) {
  (void)index;
  return mutex_owner((const muster_rwlock *)context) != 0;
}

static group_watch watch_gate(muster_rwlock *rwlock, uint32_t gate, uint32_t roster) {
  return (group_watch){.slots = rwlock->shared->slots,
                       .tag = gate / GATE_NEXT,
                       .wake = rwlock->gate,
                       .roster = roster,
                       .known_dead = has_writer,
                       .context = rwlock};
}

// Sleeps at the gate no more, though others rely on this one's watch: they look for themselves. Also where the gate is open, since who
// opened it may die before he wakes them, with nobody left who would notice.
static void leave_watch(muster_rwlock *rwlock) {
  if (!rwlock->on_duty) return;
  rwlock->on_duty = 0;
  group_watch watch = watch_gate(rwlock, rwlock_gate(rwlock), 0);
  if (watch.tag == rwlock->watched) muster_group_end_watch(rwlock->group, &watch);
  else muster_futex_wake_all(rwlock->gate);
}

// Waits no longer: 0 when it was let in just before, else `status`.
static int stop_waiting(muster_rwlock *rwlock, int status) {
  uint32_t waits = SLOT_WAITS;
  if (__atomic_compare_exchange_n(&rwlock->slot->state, &waits, SLOT_EMPTY, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    rwlock->hold = HOLDS_NOTHING;
  } else if (waits == SLOT_READS) {
    status = now_reads(rwlock);
  } else {
    rwlock->hold = HOLDS_NOTHING;
    leave_slot(rwlock, SLOT_EMPTY);
    status = EBADMSG;
  }
  leave_watch(rwlock);
  return status;
}

// At this gate, closed, nobody had the mutex: puts in order what is left of a dead writer. EAGAIN: look again. EOWNERDEAD.
static int tend(muster_rwlock *rwlock, uint32_t gate) {
  // Nothing to put in order: without the mutex, so that all who are told this don't take each other for one who repairs.
  if (gate_state(gate) == GATE_BROKEN) return rwlock_gate(rwlock) == gate ? EOWNERDEAD : EAGAIN;
  int status = lock_try(&rwlock->view);
  if (status == EBUSY) return EAGAIN;
  if (status && status != EOWNERDEAD) return status;
  settle_mutex(rwlock);
  uint32_t state = gate_state(rwlock_gate(rwlock));
  if (state == GATE_DRAINING) muster_rwlock_open_gate(rwlock);
  status = lock_release(&rwlock->view);
  if (status || state != GATE_BROKEN) return status ? status : EAGAIN;
  // Those who took us for one who repairs.
  muster_futex_wake_all(rwlock->gate);
  return EOWNERDEAD;
}

// EAGAIN with the words to sleep at, or what the wait came to.
static int poll_gate(muster_rwlock *rwlock, muster_wait_set *set) {
  for (int turn = 0; turn < GROUP_TURNS; turn++) {
    muster_group_note_ends(rwlock->group);
    uint32_t roster = muster_group_roster(rwlock->group), gate = rwlock_gate(rwlock), state = gate_state(gate);
    int status = enter_from_waiting(rwlock);
    if (!status) return leave_watch(rwlock), 0;
    if (status != EBUSY) return stop_waiting(rwlock, status);
    if (state == GATE_OPEN) continue;
    if (state == GATE_POISONED) return stop_waiting(rwlock, ENOTRECOVERABLE);
    if (state > GATE_POISONED) return stop_waiting(rwlock, EBADMSG);
    group_watch watch = watch_gate(rwlock, gate, roster);
    group_duty duty = muster_group_duty(rwlock->group, &watch, 1);
    if (duty.role != DUTY_NONE) rwlock->on_duty = 1, rwlock->watched = watch.tag;
    // Once more, by one who has his duty now.
    if (!mutex_owner(rwlock)) {
      status = tend(rwlock, gate);
      if (status == EAGAIN) continue;
      return stop_waiting(rwlock, status);
    }
    set->count = 0;
    set->recheck = muster_deadline_after(muster_recheck);
    muster_wait_set_add(set, rwlock->gate, gate);
    if (!muster_group_watch(rwlock->group, &watch, duty, set)) return EAGAIN;
  }
  set->count = 0;
  muster_wait_set_add(set, rwlock->gate, rwlock_gate(rwlock));
  muster_group_watch_alone(set);
  return EAGAIN;
}

int muster_rwlock_poll_read(muster_rwlock *rwlock, muster_wait_set *set) {
  int status = rwlock_mine(rwlock);
  if (status) return status;
  if (rwlock->hold == HOLDS_NOTHING) {
    status = enter(rwlock);
    if (status != EBUSY) return status;
    rwlock->hold = WAITS_READ;
    leave_slot(rwlock, SLOT_WAITS);
  }
  return rwlock->hold == WAITS_READ ? poll_gate(rwlock, set) : EDEADLK;
}

// Looks on for a while: longer next time where that has paid, shorter where not.
static int linger(muster_rwlock *rwlock, int (*is_over)(muster_rwlock *rwlock)) {
  if (muster_processors() < 2 || !muster_spinning()) return 0;
  for (int32_t turn = 0; turn < rwlock->spins; turn++) {
    if (is_over(rwlock)) {
      if (rwlock->spins < SPINS_MOST) rwlock->spins *= 2;
      return 1;
    }
    muster_cpu_pause();
  }
  if (rwlock->spins > SPINS_LEAST) rwlock->spins /= 2;
  return 0;
}

static int may_enter(muster_rwlock *rwlock) {
  return gate_state(rwlock_gate(rwlock)) == GATE_OPEN ||
         __atomic_load_n(&rwlock->slot->state, __ATOMIC_SEQ_CST) == SLOT_READS;
}

int muster_rwlock_read(muster_rwlock *rwlock, muster_deadline deadline) {
  int status = begin_read(rwlock);
  if (__builtin_expect(status != EBUSY, 1)) return status;
  rwlock->hold = WAITS_READ;
  leave_slot(rwlock, SLOT_WAITS);
  if (deadline > 0) linger(rwlock, may_enter);
  for (muster_wait_set set;;) {
    status = poll_gate(rwlock, &set);
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return stop_waiting(rwlock, ETIMEDOUT);
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return stop_waiting(rwlock, status);
  }
}

int muster_rwlock_try_read(muster_rwlock *rwlock) {
  int status = muster_rwlock_read(rwlock, MUSTER_DEADLINE_NOW);
  return status == ETIMEDOUT ? EBUSY : status;
}

// ---- Writing

// Has the mutex: closes the gate.
static int begin_write(muster_rwlock *rwlock) {
  settle_mutex(rwlock);
  uint32_t state = gate_state(rwlock_gate(rwlock));
  if (state >= GATE_POISONED) {
    int status = lock_release(&rwlock->view);
    return status ? status : state == GATE_POISONED ? ENOTRECOVERABLE : EBADMSG;
  }
  if (state == GATE_OPEN) muster_rwlock_set_gate(rwlock, GATE_DRAINING);
  rwlock->hold = WAITS_WRITE;
  return 0;
}

// A living member's lock word, marked so that the kernel wakes who sleeps at it. 0: it is dead, or just changes.
static int watch_member(const muster_rwlock *rwlock, uint32_t index, muster_wait_set *set) {
  uint32_t *word = muster_group_lock_word(rwlock->group, index), seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  while (!(seen & FUTEX_WAITERS)) {
    if (!muster_liveness_owner(seen) || muster_liveness_died(seen)) return 0;
    if (__atomic_compare_exchange_n(word, &seen, seen | FUTEX_WAITERS, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      seen |= FUTEX_WAITERS;
  }
  if (!muster_liveness_owner(seen) || muster_liveness_died(seen)) return 0;
  muster_wait_set_add(set, word, seen);
  return 1;
}

int muster_rwlock_reads(const muster_rwlock *rwlock, uint32_t index) {
  return __atomic_load_n(&rwlock->slots[index].state, __ATOMIC_SEQ_CST) == SLOT_READS &&
         muster_group_life(rwlock->group, index) == MUSTER_MEMBER_ALIVE && !muster_group_is_passing(rwlock->group, index);
}

static int nobody_reads(muster_rwlock *rwlock) {
  for (uint32_t k = 0; k < rwlock->capacity; k++)
    if (muster_rwlock_reads(rwlock, k)) return 0;
  return 1;
}

static int now_writes(muster_rwlock *rwlock) {
  rwlock->hold = HOLDS_WRITE;
  if (gate_state(rwlock_gate(rwlock)) == GATE_BROKEN) return EOWNERDEAD;
  muster_rwlock_set_gate(rwlock, GATE_WRITING);
  return 0;
}

// All that read must be gone, in whatever order: of many, some at a time are enough to sleep at.
static int poll_drain(muster_rwlock *rwlock, muster_wait_set *set) {
  for (int turn = 0;; turn++) {
    muster_group_note_ends(rwlock->group);
    uint32_t roster = muster_group_roster(rwlock->group);
    set->count = 0;
    set->recheck = muster_deadline_after(muster_recheck);
    int again = 0;
    for (uint32_t k = 0; k < rwlock->capacity && set->count < 2 * MEMBERS_AT_A_TIME && !again; k++) {
      if (!muster_rwlock_reads(rwlock, k)) continue;
      muster_wait_set_add(set, &rwlock->slots[k].state, SLOT_READS);
      again = !watch_member(rwlock, k, set);
    }
    if (!set->count) return now_writes(rwlock);
    if (again && turn < GROUP_TURNS) continue;
    // Who else was woken by a reader's death tells of it by the roster.
    muster_wait_set_add(set, &rwlock->group->head->roster, roster);
    if (again) muster_group_watch_alone(set);
    return EAGAIN;
  }
}

static int give_up_writing(muster_rwlock *rwlock, int status) {
  rwlock->hold = HOLDS_NOTHING;
  if (gate_state(rwlock_gate(rwlock)) == GATE_DRAINING) muster_rwlock_open_gate(rwlock);
  int released = lock_release(&rwlock->view);
  // Readers at a broken gate wait while somebody has the mutex.
  if (gate_state(rwlock_gate(rwlock)) == GATE_BROKEN) muster_futex_wake_all(rwlock->gate);
  return released ? released : status;
}

int muster_rwlock_poll_write(muster_rwlock *rwlock, muster_wait_set *set) {
  int status = rwlock_mine(rwlock);
  if (status) return status;
  if (rwlock->hold == HOLDS_NOTHING) {
    status = muster_lock_poll(&rwlock->view, set);
    if (status && status != EOWNERDEAD) return status;
    status = begin_write(rwlock);
    if (status) return status;
  }
  return rwlock->hold == WAITS_WRITE ? poll_drain(rwlock, set) : EDEADLK;
}

int muster_rwlock_write(muster_rwlock *rwlock, muster_deadline deadline) {
  int status = rwlock_mine(rwlock);
  if (status) return status;
  if (rwlock->hold != HOLDS_NOTHING) return EDEADLK;
  status = lock_wait(&rwlock->view, deadline);
  if (status && status != EOWNERDEAD) return status;
  status = begin_write(rwlock);
  if (status) return status;
  if (nobody_reads(rwlock) || (deadline > 0 && linger(rwlock, nobody_reads))) return now_writes(rwlock);
  for (muster_wait_set set;;) {
    status = poll_drain(rwlock, &set);
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return give_up_writing(rwlock, ETIMEDOUT);
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return give_up_writing(rwlock, status);
  }
}

int muster_rwlock_try_write(muster_rwlock *rwlock) {
  int status = muster_rwlock_write(rwlock, MUSTER_DEADLINE_NOW);
  return status == ETIMEDOUT ? EBUSY : status;
}

int muster_rwlock_write_repairing(muster_rwlock *rwlock, muster_lock_repair repair, void *context,
                                  muster_deadline deadline) {
  int status = muster_rwlock_write(rwlock, deadline);
  if (status != EOWNERDEAD) return status;
  status = repair(context);
  if (!status) return muster_rwlock_repaired(rwlock);
  (void)muster_rwlock_unlock(rwlock);
  return status;
}

int muster_rwlock_repaired(muster_rwlock *rwlock) {
  int status = rwlock_mine(rwlock);
  if (status) return status;
  if (rwlock->hold != HOLDS_WRITE) return EPERM;
  muster_rwlock_set_gate(rwlock, GATE_WRITING);
  return 0;
}

// ---- Unlocking

static int unlock_write(muster_rwlock *rwlock) {
  rwlock->hold = HOLDS_NOTHING;
  if (gate_state(rwlock_gate(rwlock)) == GATE_WRITING) {
    muster_rwlock_open_gate(rwlock);
  } else {
    muster_rwlock_set_gate(rwlock, GATE_POISONED);
    muster_futex_wake_all(rwlock->gate);
  }
  return lock_release(&rwlock->view);
}

int muster_rwlock_unlock(muster_rwlock *rwlock) {
  int status = rwlock_mine(rwlock);
  if (__builtin_expect(status, 0)) return status;
  switch (rwlock->hold) {
    case HOLDS_READ:
      rwlock->hold = HOLDS_NOTHING;
      leave_slot(rwlock, SLOT_EMPTY);
      return 0;
    case HOLDS_WRITE: return unlock_write(rwlock);
    case WAITS_WRITE: return give_up_writing(rwlock, 0);
    case WAITS_READ:
      status = stop_waiting(rwlock, ETIMEDOUT);
      return status ? status == ETIMEDOUT ? 0 : status : muster_rwlock_unlock(rwlock);
    default: return EPERM;
  }
}

int muster_rwlock_reset(muster_rwlock *rwlock) {
  if (muster_fork_inherited(&rwlock->view.guard)) return EPERM;
  if (rwlock->hold == ONLY_ASKS) return EACCES;
  uint32_t gate = rwlock_gate(rwlock);
  while (gate_state(gate) == GATE_POISONED)
    if (__atomic_compare_exchange_n(rwlock->gate, &gate, (gate & ~(uint32_t)GATE_STATES) | GATE_BROKEN, 0,
                                    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      break;
  return 0;
}
