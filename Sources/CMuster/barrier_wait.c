// Arriving and waiting.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "internal/barrier.h"

// Turns of the two kinds of waiting that are no sleep; see docs/barrier.md for the measurements behind them.
enum {
  SPINS_LEAST = 16,
  SPINS_MOST = 4000,
  YIELDS_LEAST = 1,
  YIELDS_MOST = 64,
  YIELD_LONG = 250000,      // nanoseconds, and for each party
  YIELD_TURN = 4000,        // as much: a yield among members takes some microseconds for each
  YIELD_SOON = 8000000,     // two long ones within that time are no accident
  YIELD_PAUSE = 5000000,    // then nobody yields on that processor for twice that time, and for twice as long each time it is
  YIELD_DOUBLES = 5,        // found so again, so many times at the most
  YIELD_TIMES = 7,          // the bits of a note that count them
  NAP = 5000000             // longer than a tick, so that its timer is not the one that the processor has to be set to
};

static void tell(const muster_barrier *barrier, muster_barrier_result *result, uint32_t phase, int status,
                 uint64_t root) {
  if (!result) return;
  int mine = barrier->arrived && barrier->phase == phase;
  *result = (muster_barrier_result){.phase = phase,
                                    .index = mine ? barrier->index : UINT32_MAX,
                                    .serial = mine && status == 0 && barrier->last,
                                    .culprit = MUSTER_BARRIER_NOBODY};
  // A phase that was met stays so, also when the next one is broken already.
  if (status && root_broken(root) && root_state(root) == STATE_BROKEN + MUSTER_BARRIER_DEATH)
    result->culprit = root_member(root);
}

static void note_arrival(muster_barrier *barrier, uint32_t phase, uint32_t index, int last) {
  barrier->arrived = 1;
  barrier->phase = phase;
  barrier->index = index;
  barrier->last = last;
}

// A place in the order of arrival, taken before the arrival itself: so all of a phase's are taken before it completes, and
// none can fall into the next. 0: the phase is over.
static int take_ticket(muster_barrier *barrier, uint32_t phase) {
  if (barrier->has_ticket && barrier->ticket_phase == phase) return 1;
  uint64_t *word = &barrier->shared->ticket, seen = __atomic_load_n(word, __ATOMIC_ACQUIRE), next;
  do {
    if (phase_is_past(phase, leaf_phase(seen))) return 0;
    next = leaf_phase(seen) == phase ? seen + 1 : leaf_make(phase, 1);
  } while (!__atomic_compare_exchange_n(word, &seen, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  barrier->has_ticket = 1;
  barrier->ticket_phase = phase;
  barrier->ticket = leaf_bits(next) - 1;
  return 1;
}

// EAGAIN: the phase is over without this arrival.
static int arrive_at_leaf(muster_barrier *barrier, uint32_t phase) {
  uint32_t leaf = barrier->member / BARRIER_LEAF, bit = 1u << barrier->member % BARRIER_LEAF;
  uint64_t *word = &barrier->shared->leaves[leaf].arrived, next;
  if (!take_ticket(barrier, phase)) return EAGAIN;
  uint64_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  do {
    if (leaf_phase(seen) == phase) {
      next = seen | bit;
    } else if (phase_is_past(leaf_phase(seen), phase)) {
      next = leaf_make(phase, muster_barrier_absent_in(barrier, leaf) | bit);
    } else {
      return EAGAIN;
    }
  } while (!__atomic_compare_exchange_n(word, &seen, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
  note_arrival(barrier, phase, barrier->ticket, 0);
  if ((leaf_bits(next) | muster_barrier_absent_in(barrier, leaf)) != barrier_leaf_full(barrier, leaf)) return 0;
  barrier_step step = muster_barrier_set_children(barrier, phase, 1u << leaf, 0);
  barrier->last = step.last;
  return step.status;
}

static int arrive_at_root(muster_barrier *barrier, uint32_t phase) {
  uint32_t bit = 1u << barrier->member;
  barrier_step step = muster_barrier_set_children(barrier, phase, bit, 1);
  if (step.set) {
    note_arrival(barrier, phase, root_count(step.before), step.last);
    return step.status;
  }
  if (root_phase(step.before) != phase || root_broken(step.before)) return EAGAIN;
  // Somebody has counted us as absent already, which for one that drops out is the same.
  note_arrival(barrier, phase, UINT32_MAX, 0);
  return 0;
}

static int arrive(muster_barrier *barrier, int dropping, muster_barrier_result *result) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  if (barrier->member == GROUP_NOBODY || barrier->dropped) return EINVAL;
  for (;;) {
    // The line is about to be written: fetched as such it crosses between the cores once, not twice.
    __builtin_prefetch(&barrier->shared->root, 1);
    uint64_t root = barrier_root(barrier);
    uint32_t phase = root_phase(root);
    int status = muster_barrier_outcome(barrier, phase, root);
    if (status != EAGAIN) {
      tell(barrier, result, phase, status, root);
      return status == EBADMSG ? EBADMSG : ENOTRECOVERABLE;
    }
    if (barrier->arrived && barrier->phase == phase) return EALREADY;
    if (muster_barrier_has_arrived(barrier, phase, root, barrier->member)) {
      // Dropped by this very call, at a phase that was reset meanwhile: an absent place has arrived at every phase from then on.
      if (barrier->dropped) note_arrival(barrier, phase, UINT32_MAX, 0);
      status = barrier->dropped ? 0 : EAGAIN;
      tell(barrier, result, phase, status, root);
      return status;
    }
    if (dropping) {
      muster_barrier_mark_absent(barrier, barrier->member);
      barrier->dropped = 1;
    }
    status = barrier_is_flat(barrier) ? arrive_at_root(barrier, phase) : arrive_at_leaf(barrier, phase);
    if (status == EAGAIN && !(barrier->arrived && barrier->phase == phase)) {
      // A leaf or a ticket of a later phase is only ever made by one who saw the root in that phase.
      uint64_t now = barrier_root(barrier);
      if (root_phase(now) == phase && !root_broken(now)) return EBADMSG;
      continue;
    }
    tell(barrier, result, phase, status, status ? barrier_root(barrier) : root);
    return status;
  }
}

int muster_barrier_arrive(muster_barrier *barrier, muster_barrier_result *result) { return arrive(barrier, 0, result); }

int muster_barrier_arrive_and_drop(muster_barrier *barrier, muster_barrier_result *result) {
  return arrive(barrier, 1, result);
}

// Whoever ran the action is told what it returned, also when it did so in the stead of one who died.
static int outcome(const muster_barrier *barrier, uint32_t phase, uint64_t root) {
  int status = muster_barrier_outcome(barrier, phase, root);
  int ours = status == ENOTRECOVERABLE && barrier->action_error && barrier->action_phase == phase;
  return ours ? barrier->action_error : status;
}

static int has_died(const muster_barrier *barrier, uint32_t index) {
  uint32_t incarnation = __atomic_load_n(&barrier->group->places[index].incarnation, __ATOMIC_ACQUIRE);
  if (muster_group_life(barrier->group, index) != MUSTER_MEMBER_DEAD) return 0;
  // Who napped does not know who lived before, so each death is told once, by whoever counts it.
  return !barrier->napping || muster_group_note_end(barrier->group, index, incarnation);
}

// Who is on duty may have been woken by the death of the very process that would have woken the others after it changed the phase. Not
// without a death: by now others sleep in the next phase, at the same word. One whose place somebody else has taken since is told
// by the roster, which counts that death before the place can be taken, and the joiner after.
static void pass_on(muster_barrier *barrier, uint32_t phase) {
  muster_member_set watched = barrier->watched;
  if (!(watched.bits[0] | watched.bits[1] | watched.bits[2] | watched.bits[3])) return;
  if (barrier->polled != phase) return;
  barrier->watched = (muster_member_set){{0}};
  int early = muster_clock_now() < barrier->nap_ends;
  barrier->quick = barrier->may_yield && early;
  // A nap that ended by its own clock and finds the phase over was not woken, so the others may not be either; and whoever owes them that
  // may die only now, when nobody sleeps at his lock any more.
  int died = (barrier->napping && !early) || muster_group_roster(barrier->group) != barrier->roster;
  for (uint32_t k = 0; k < barrier->parties && !died; k++)
    died = watched.bits[k / 64] >> k % 64 & 1 && has_died(barrier, k);
  if (died) muster_futex_wake_all(barrier_futex(barrier));
}

static int look(muster_barrier *barrier, uint32_t phase, muster_barrier_result *result) {
  uint64_t root = barrier_root(barrier);
  int status = outcome(barrier, phase, root);
  if (status != EAGAIN) pass_on(barrier, phase);
  tell(barrier, result, phase, status, root);
  return status;
}

// Who only ever tries sleeps nowhere, so nobody wakes him for a death: he looks for it himself.
int muster_barrier_try_wait(muster_barrier *barrier, uint32_t phase, muster_barrier_result *result) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  int status = look(barrier, phase, result);
  if (status != EAGAIN || barrier->group->read_only || !muster_barrier_tend(barrier, phase, 1)) return status;
  return look(barrier, phase, result);
}

// Of a dead or left place: whether the policy has been applied, or does not ask for anything now.
static int is_settled(uint32_t index, void *context) {
  const muster_barrier *barrier = context;
  if (barrier->member == GROUP_NOBODY) return 1;
  uint64_t root = barrier_root(barrier);
  if (root_state(root) == STATE_ACTION) return root_member(root) != index;
  if (barrier->on_death == MUSTER_ON_DEATH_AWAIT) return 1;
  uint32_t absent = muster_barrier_absent_in(barrier, index / BARRIER_LEAF);
  return absent >> index % BARRIER_LEAF & 1 || muster_barrier_has_arrived(barrier, root_phase(root), root, index);
}

int muster_barrier_poll(muster_barrier *barrier, uint32_t phase, muster_barrier_result *result, muster_wait_set *set) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  if (barrier->group->read_only) return EACCES;
  barrier_shared *shared = barrier->shared;
  group_watch watch = {.slots = shared->slots,
                       .tag = phase << 1,
                       .wake = barrier_futex(barrier),
                       .known_dead = is_settled,
                       .context = barrier};
  for (int turn = 0;; turn++) {
    // Before the root: whoever changes the phase after it was seen here dies after this roster.
    watch.roster = muster_group_roster(barrier->group);
    int status = look(barrier, phase, result);
    if (status != EAGAIN) return status;
    // The first look in a phase is for the watchers alone; who looks again was woken before the release, or has slept for a second.
    int again = barrier->has_polled && barrier->polled == phase;
    // The kernel may have woken this observer for a death, in a watcher's stead: the change of the roster wakes the watchers.
    if (again && barrier->member == GROUP_NOBODY) muster_group_note_ends(barrier->group);
    group_duty duty = muster_group_duty(barrier->group, &watch, again);
    barrier->has_polled = 1;
    barrier->polled = phase;
    barrier->roster = watch.roster;
    // Others may go to sleep by this duty from here on, so until it is known who lives, it is for all.
    memset(&barrier->watched, duty.role == DUTY_NONE ? 0 : 0xff, sizeof barrier->watched);
    barrier->napping = 1;
    if (!again) barrier->nap_ends = muster_deadline_after(NAP);
    if (muster_barrier_tend(barrier, phase, again || duty.role == DUTY_WATCHER)) continue;
    muster_barrier_announce_sleep(barrier, phase);
    uint64_t root = __atomic_load_n(&shared->root, __ATOMIC_SEQ_CST);
    if (muster_barrier_outcome(barrier, phase, root) != EAGAIN) continue;
    set->count = 0;
    set->recheck = muster_deadline_after(muster_recheck);
    muster_wait_set_add(set, barrier_futex(barrier), (uint32_t)root);
    // To sleep at many words costs more than a quick round. Where the last was one, those on duty begin to watch a little later.
    if (!again && barrier->quick && duty.role != DUTY_NONE) {
      set->recheck = barrier->nap_ends;
      return EAGAIN;
    }
    muster_member_set watched = {{0}};
    watch.watched = &watched;
    if (!muster_group_watch(barrier->group, &watch, duty, set)) {
      barrier->watched = watched;
      barrier->napping = 0;
      return EAGAIN;
    }
    if (turn < GROUP_TURNS) continue;
    muster_group_watch_alone(set);
    return EAGAIN;
  }
}

int muster_barrier_expire(muster_barrier *barrier, uint32_t phase, muster_barrier_result *result) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  if (barrier->group->read_only) return EACCES;
  uint64_t root = barrier_root(barrier);
  int status;
  while ((status = outcome(barrier, phase, root)) == EAGAIN) {
    if (barrier->member != GROUP_NOBODY &&
        !muster_barrier_break(barrier, &root, MUSTER_BARRIER_TIMED_OUT, barrier->member))
      continue;
    tell(barrier, result, phase, ETIMEDOUT, 0);
    return ETIMEDOUT;
  }
  pass_on(barrier, phase);
  tell(barrier, result, phase, status, root);
  return status;
}

static int still_in(const muster_barrier *barrier, uint32_t phase) {
  return (__atomic_load_n(barrier_futex(barrier), __ATOMIC_ACQUIRE)) == phase << 1;
}

// Looks on for a while before sleeping. What has paid is done longer next time, what has not, shorter: halved and doubled, so that
// the cost is at most a constant times that of the better of the two (Karlin et al., SOSP 1991, on competitive spinning).
static int spin(muster_barrier *barrier, uint32_t phase) {
  for (int turn = 0; turn < barrier->spins; turn++) {
    if (!still_in(barrier, phase)) {
      if (barrier->spins < SPINS_MOST) barrier->spins *= 2;
      return 1;
    }
    muster_cpu_pause();
  }
  if (barrier->spins > SPINS_LEAST) barrier->spins /= 2;
  return 0;
}

static int64_t *yield_note(muster_barrier *barrier) {
  int processor = sched_getcpu();
  return &barrier->shared->yield_after[(processor < 0 ? 0 : processor) % BARRIER_PROCESSORS];
}

// A yield that began at `began` took long. Whoever waited for the same time slice tells of it too: one that began before the last that
// is noted ended is no other. Only one that ended where it began counts: of the others it can't be said which processor was busy.
static void note_long_yield(int64_t *note, int64_t began, int64_t ended) {
  int64_t last = __atomic_load_n(note, __ATOMIC_RELAXED), times = 0;
  if (last > began) return;
  if (last > ended - YIELD_SOON) times = (last & YIELD_TIMES) < YIELD_DOUBLES ? (last & YIELD_TIMES) + 1 : YIELD_DOUBLES;
  int64_t until = times ? ended + ((int64_t)YIELD_PAUSE << times) : ended;
  __atomic_store_n(note, (until & ~(int64_t)YIELD_TIMES) | times, __ATOMIC_RELAXED);
}

// Yielding is how members that share a processor let each other arrive, at half the price of a sleep and a wake. But where another
// program wants that processor too, a yield gives it a whole time slice, while who sleeps is put before it when woken. Whoever
// finds that out tells all.
static void yield(muster_barrier *barrier, uint32_t phase) {
  int64_t now = muster_clock_now(), much = YIELD_LONG + YIELD_TURN * (int64_t)barrier->parties;
  for (int turn = 0; turn < barrier->yields; turn++) {
    int64_t *note = yield_note(barrier), began = now;
    if (now < __atomic_load_n(note, __ATOMIC_RELAXED)) return;
    sched_yield();
    int met = !still_in(barrier, phase);
    now = muster_clock_now();
    if (now - began > much) {
      if (note == yield_note(barrier)) note_long_yield(note, began, now);
      return;
    }
    if (met) {
      if (barrier->yields < YIELDS_MOST) barrier->yields *= 2;
      return;
    }
  }
  if (barrier->yields > YIELDS_LEAST) barrier->yields /= 2;
}

static void linger(muster_barrier *barrier, uint32_t phase) {
  if (barrier->may_spin && spin(barrier, phase)) return;
  if (barrier->may_yield) yield(barrier, phase);
}

static int wait_for(muster_barrier *barrier, uint32_t phase, muster_deadline deadline, muster_barrier_result *result) {
  if (deadline > 0) linger(barrier, phase);
  int status = look(barrier, phase, result);
  while (status == EAGAIN) {
    muster_wait_set set;
    status = muster_barrier_poll(barrier, phase, result, &set);
    if (status != EAGAIN) break;
    if (muster_deadline_passed(deadline)) return muster_barrier_expire(barrier, phase, result);
    int slept = muster_wait_any(&set, deadline);
    if (slept && slept != ETIMEDOUT) return slept;
  }
  return status;
}

int muster_barrier_wait_phase(muster_barrier *barrier, uint32_t phase, muster_deadline deadline,
                              muster_barrier_result *result) {
  if (muster_fork_inherited(&barrier->group->guard)) return EPERM;
  return wait_for(barrier, phase, deadline, result);
}

int muster_barrier_wait(muster_barrier *barrier, muster_deadline deadline, muster_barrier_result *result) {
  muster_barrier_result own, *told = result ? result : &own;
  int status = arrive(barrier, 0, told);
  while (status == EAGAIN) {
    // The one before in this place has arrived already: this member starts at the next phase.
    status = wait_for(barrier, told->phase, deadline, told);
    if (status && status != ECANCELED) return status;
    status = arrive(barrier, 0, told);
  }
  if (status || barrier->last) return status;
  return wait_for(barrier, barrier->phase, deadline, told);
}
