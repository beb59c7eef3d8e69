// What the cases of the barrier share: who takes part beside the operator, what has to be possible at the end and at any
// time, and what the others may be told. Statics, so that each file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_BARRIER_WORLD_H
#define SWEEP_BARRIER_WORLD_H

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/barrier.h"
#include "sweep.h"

// A variant is the number of parties (up to 8 a flat barrier, above a tree), the policy, and how the operator takes
// part.
#define BREAK(parties) (parties)
#define SHRINK(parties) ((parties) | MUSTER_ON_DEATH_SHRINK << 8)
#define AWAIT(parties) ((parties) | MUSTER_ON_DEATH_AWAIT << 8)
enum { WITH_ACTION = 1 << 10, OBSERVER = 1 << 11, FAILING_ACTION = 1 << 12, SLEEPERS = 2, PARTIES_MOST = 64 };

static inline uint32_t parties(void) { return sweep->variant & 0xff; }
static inline muster_on_death policy(void) { return (muster_on_death)(sweep->variant >> 8 & 3); }

// Beside the barrier, what the processes of a case tell each other.
typedef struct notes {
  uint32_t seated, go, asleep, told;
  int32_t peers[SLEEPERS];
  uint32_t statuses[SLEEPERS];  // what their waits came to, plus 1
  muster_barrier_result results[SLEEPERS];
  uint32_t place;    // the operator's
  uint32_t phase;    // the phase in which it operates
  uint32_t actions;  // how often the action has run to its end
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static inline int act(void *context) {
  (void)context;
  note()->actions++;
  return 0;
}

static inline int act_and_fail(void *context) {
  (void)context;
  note()->actions++;
  return EDOM;
}

static inline int open_with(int observe, muster_barrier_action action, muster_barrier **barrier) {
  muster_barrier_options options = {.observe = observe, .action = action};
  return muster_barrier_attach(sweep->arena, SWEEP_ARENA / 2, &options, barrier);
}

static inline int open_one(int observe, int with_action, muster_barrier **barrier) {
  return open_with(observe, with_action ? act : NULL, barrier);
}

static inline void until(const uint32_t *word, uint32_t at_least) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < at_least) {
    if (sweep_now() > sweep_deadline()) sweep_fail(__FILE__, __LINE__, "a peer does not come");
    sweep_pause(50000);
  }
}

static inline void say(uint32_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_RELEASE); }

// ---- Who takes part: the operator, two processes that sleep, and the survivor for all the other places.

static muster_barrier *watcher, *crowd[PARTIES_MOST], *mine;
static uint32_t crowd_size;

static inline void lay(void) {
  SWEEP_STATUS(muster_barrier_init(sweep->arena, SWEEP_ARENA / 2, parties(), policy()), 0);
  SWEEP_STATUS(open_one(1, 0, &watcher), 0);
}

static inline void crowd_comes(uint32_t size) {
  for (crowd_size = 0; crowd_size < size; crowd_size++) SWEEP_STATUS(open_one(0, 0, &crowd[crowd_size]), 0);
}

static inline void crowd_arrives(void) {
  for (uint32_t i = 0; i < crowd_size; i++) SWEEP_STATUS(muster_barrier_arrive(crowd[i], NULL), 0);
}

static inline void crowd_goes(void) {
  while (crowd_size > 0) SWEEP_STATUS(muster_barrier_close(crowd[--crowd_size]), 0);
}

static inline int tell_of(int number, int status, const muster_barrier_result *result) {
  note()->results[number] = *result;
  __atomic_store_n(&note()->statuses[number], (uint32_t)status + 1, __ATOMIC_RELEASE);
  sweep_operator_done();
  return 0;
}

static inline int sleeper(int number) {
  muster_barrier *barrier;
  muster_barrier_result result;
  SWEEP_STATUS(open_with(0, sweep->variant & FAILING_ACTION ? act_and_fail : NULL, &barrier), 0);
  say(&note()->seated);
  until(&note()->go, 1);
  say(&note()->asleep);
  int status = muster_barrier_wait(barrier, sweep_deadline(), &result);
  tell_of(number, status, &result);
  // Who closes wakes those who watch him, and so would make up for a wake that they were owed.
  say(&note()->told);
  until(&note()->told, SLEEPERS);
  return muster_barrier_close(barrier);
}

static inline void sleepers_come(void) {
  lay();
  for (int i = 0; i < SLEEPERS; i++) note()->peers[i] = sweep_peer(sleeper, i);
  until(&note()->seated, SLEEPERS);
}

static inline void crowd_setup(void) {
  lay();
  crowd_comes(parties() - 1);
}

// All but the operator have arrived or are about to.
static inline void last_setup(void) {
  sleepers_come();
  crowd_comes(parties() - SLEEPERS - 1);
  crowd_arrives();
}

static inline void prepare(void) {
  SWEEP_STATUS(open_one((sweep->variant & OBSERVER) != 0, (sweep->variant & WITH_ACTION) != 0, &mine), 0);
  note()->place = muster_barrier_member(mine);
  note()->phase = muster_barrier_phase(mine);
}

static inline void prepare_with_sleepers(void) {
  prepare();
  __atomic_store_n(&note()->go, 1, __ATOMIC_RELEASE);
  until(&note()->asleep, SLEEPERS);
  for (int i = 0; i < SLEEPERS; i++) sweep_settle(note()->peers[i]);
}

static inline void finish(void) { SWEEP_STATUS(muster_barrier_close(mine), 0); }

// ---- What has to be possible at the end, and at any time.

// A crew of newcomers takes every place there is, not one more, and meets.
static inline int newcomers_meet(int rounds) {
  muster_barrier *all[PARTIES_MOST + 1];
  uint32_t wanted = muster_barrier_parties(watcher), joined = 0;
  int status = 0;
  while (joined <= wanted && (status = open_one(0, 0, &all[joined])) == 0) joined++;
  SWEEP_EQUAL(joined, wanted);
  SWEEP_STATUS(status, EOVERFLOW);
  for (int round = 0; round < rounds; round++) {
    muster_barrier_result last;
    for (uint32_t i = 0; i < joined; i++) {
      SWEEP_STATUS(muster_barrier_arrive(all[i], &last), 0);
      SWEEP_EQUAL(last.index, i);
    }
    for (uint32_t i = 0; i < joined; i++)
      SWEEP_STATUS(muster_barrier_wait_phase(all[i], last.phase, sweep_deadline(), &last), 0);
  }
  for (uint32_t i = 0; i < joined; i++) SWEEP_STATUS(muster_barrier_close(all[i]), 0);
  return 0;
}

// After everybody has gone, a reset makes it usable by others.
static inline void check_whole(void) {
  crowd_goes();
  SWEEP_STATUS(muster_barrier_reset(watcher), 0);
  SWEEP_EQUAL(muster_barrier_broken(watcher), 0);
  SWEEP_EQUAL(muster_barrier_waiting(watcher), 0);
  sweep_newcomer(newcomers_meet, 3);
}

static inline void ask(void) {
  muster_barrier_state state;
  muster_barrier *other;
  SWEEP_STATUS(muster_barrier_state_get(watcher, &state), 0);
  SWEEP_CHECK(state.arrived <= state.parties && state.parties <= parties());
  SWEEP_STATUS(open_one(1, 0, &other), 0);
  SWEEP_STATUS(muster_barrier_close(other), 0);
}

static inline void abort_and_reset(void) {
  for (int turn = 0; turn < 3; turn++) {
    SWEEP_STATUS(muster_barrier_abort(watcher), 0);
    ask();
    SWEEP_STATUS(muster_barrier_reset(watcher), 0);
    ask();
  }
}

// What may come of an operation that others aborted, reset and left meanwhile.
static inline void check_disturbed(int result) {
  SWEEP_CHECK(result == 0 || result == ECANCELED || result == EOWNERDEAD || result == ENOTRECOVERABLE);
}

// What the sleepers' waits came to: the same for all, unless somebody else broke or reset the barrier while they woke.
static inline int reap_sleepers(void) {
  static int reaped;
  if (!reaped)
    for (int i = 0; i < SLEEPERS; i++) SWEEP_STATUS(sweep_reap(note()->peers[i]), 0);
  reaped = 1;
  int status = (int)note()->statuses[0] - 1;
  for (int i = 1; i < SLEEPERS; i++) {
    int other = (int)note()->statuses[i] - 1;
    if (sweep->injection == SWEEP_CRASH) SWEEP_STATUS(other, status);
    else check_disturbed(other);
  }
  return status;
}

static inline void check_results(int status) {
  const muster_barrier_result *result = note()->results;
  if (status == EOWNERDEAD)
    for (int i = 0; i < SLEEPERS; i++) SWEEP_EQUAL(result[i].culprit, note()->place);
  if (status) return;
  SWEEP_CHECK(result[0].index != result[1].index && result[0].index < parties() && result[1].index < parties());
  SWEEP_CHECK(!result[0].serial || !result[1].serial);
}

static inline int is_disturbed(void) { return sweep->point % 2 == 0 && policy() != MUSTER_ON_DEATH_AWAIT; }

// Aborted and reset; the sleepers go, newcomers take their places, and all but the operator arrive in the new phase.
static inline void last_meanwhile(void) {
  ask();
  if (!is_disturbed()) return;
  abort_and_reset();
  check_disturbed(reap_sleepers());
  SWEEP_STATUS(muster_barrier_reset(watcher), 0);
  int status;
  while ((status = open_one(0, 0, &crowd[crowd_size])) == 0) crowd_size++;
  SWEEP_STATUS(status, EOVERFLOW);
  crowd_arrives();
}

// Under await the phase goes on until somebody comes in the place of one that died before arriving.
static inline void replace_if_missing(void) {
  muster_barrier_state state;
  SWEEP_STATUS(muster_barrier_state_get(watcher, &state), 0);
  if (policy() != MUSTER_ON_DEATH_AWAIT || state.phase != note()->phase || state.cause || state.in_action) return;
  SWEEP_STATUS(open_one(0, 0, &crowd[crowd_size]), 0);
  muster_barrier *newcomer = crowd[crowd_size++];
  // Its predecessor had arrived at a leaf: those who wait may have carried that to the root by now, and gone, leaving places too.
  if (parties() > 8 && muster_barrier_phase(watcher) != note()->phase) return;
  SWEEP_EQUAL(muster_barrier_member(newcomer), note()->place);
  int status = muster_barrier_arrive(newcomer, NULL);
  // Or they were about to.
  SWEEP_CHECK(status == 0 || (status == EAGAIN && parties() > 8));
}

// An observer is watched by nobody: the wake that one owes is made up for by the sleepers' own look.
#define CASE(text, least, of, one, two, three, four, five, six)                                              \
  {.name = "barrier." text, .minimum = least, .variant = of, .setup = one, .prepare = two, .operate = three, \
   .meanwhile = four, .finish = five, .check = six, .rechecks = ((of) & OBSERVER) != 0}

#endif
