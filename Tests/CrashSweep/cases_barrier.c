// The barrier: all who wait end the same way, whoever dies or stops at whatever instruction, under each policy and in
// both layouts.
// SPDX-License-Identifier: Apache-2.0
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

static uint32_t parties(void) { return sweep->variant & 0xff; }
static muster_on_death policy(void) { return (muster_on_death)(sweep->variant >> 8 & 3); }

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

static notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static int act(void *context) {
  (void)context;
  note()->actions++;
  return 0;
}

static int act_and_fail(void *context) {
  (void)context;
  note()->actions++;
  return EDOM;
}

static int open_with(int observe, muster_barrier_action action, muster_barrier **barrier) {
  muster_barrier_options options = {.observe = observe, .action = action};
  return muster_barrier_attach(sweep->arena, SWEEP_ARENA / 2, &options, barrier);
}

static int open_one(int observe, int with_action, muster_barrier **barrier) {
  return open_with(observe, with_action ? act : NULL, barrier);
}

static void until(const uint32_t *word, uint32_t at_least) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < at_least) {
    if (sweep_now() > sweep_deadline()) sweep_fail(__FILE__, __LINE__, "a peer does not come");
    sweep_pause(50000);
  }
}

static void say(uint32_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_RELEASE); }

// ---- Who takes part: the operator, two processes that sleep, and the survivor for all the other places.

static muster_barrier *watcher, *crowd[PARTIES_MOST], *mine;
static uint32_t crowd_size;

static void lay(void) {
  SWEEP_STATUS(muster_barrier_init(sweep->arena, SWEEP_ARENA / 2, parties(), policy()), 0);
  SWEEP_STATUS(open_one(1, 0, &watcher), 0);
}

static void crowd_comes(uint32_t size) {
  for (crowd_size = 0; crowd_size < size; crowd_size++) SWEEP_STATUS(open_one(0, 0, &crowd[crowd_size]), 0);
}

static void crowd_arrives(void) {
  for (uint32_t i = 0; i < crowd_size; i++) SWEEP_STATUS(muster_barrier_arrive(crowd[i], NULL), 0);
}

static void crowd_goes(void) {
  while (crowd_size > 0) SWEEP_STATUS(muster_barrier_close(crowd[--crowd_size]), 0);
}

static int tell_of(int number, int status, const muster_barrier_result *result) {
  note()->results[number] = *result;
  __atomic_store_n(&note()->statuses[number], (uint32_t)status + 1, __ATOMIC_RELEASE);
  sweep_operator_done();
  return 0;
}

static int sleeper(int number) {
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

static void sleepers_come(void) {
  lay();
  for (int i = 0; i < SLEEPERS; i++) note()->peers[i] = sweep_peer(sleeper, i);
  until(&note()->seated, SLEEPERS);
}

static void crowd_setup(void) {
  lay();
  crowd_comes(parties() - 1);
}

// All but the operator have arrived or are about to.
static void last_setup(void) {
  sleepers_come();
  crowd_comes(parties() - SLEEPERS - 1);
  crowd_arrives();
}

static void prepare(void) {
  SWEEP_STATUS(open_one((sweep->variant & OBSERVER) != 0, (sweep->variant & WITH_ACTION) != 0, &mine), 0);
  note()->place = muster_barrier_member(mine);
  note()->phase = muster_barrier_phase(mine);
}

static void prepare_with_sleepers(void) {
  prepare();
  __atomic_store_n(&note()->go, 1, __ATOMIC_RELEASE);
  until(&note()->asleep, SLEEPERS);
  for (int i = 0; i < SLEEPERS; i++) sweep_settle(note()->peers[i]);
}

static void finish(void) { SWEEP_STATUS(muster_barrier_close(mine), 0); }

// ---- What has to be possible at the end, and at any time.

// A crew of newcomers takes every place there is, not one more, and meets.
static int newcomers_meet(int rounds) {
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
static void check_whole(void) {
  crowd_goes();
  SWEEP_STATUS(muster_barrier_reset(watcher), 0);
  SWEEP_EQUAL(muster_barrier_broken(watcher), 0);
  SWEEP_EQUAL(muster_barrier_waiting(watcher), 0);
  sweep_newcomer(newcomers_meet, 3);
}

static void ask(void) {
  muster_barrier_state state;
  muster_barrier *other;
  SWEEP_STATUS(muster_barrier_state_get(watcher, &state), 0);
  SWEEP_CHECK(state.arrived <= state.parties && state.parties <= parties());
  SWEEP_STATUS(open_one(1, 0, &other), 0);
  SWEEP_STATUS(muster_barrier_close(other), 0);
}

static void abort_and_reset(void) {
  for (int turn = 0; turn < 3; turn++) {
    SWEEP_STATUS(muster_barrier_abort(watcher), 0);
    ask();
    SWEEP_STATUS(muster_barrier_reset(watcher), 0);
    ask();
  }
}

// What may come of an operation that others aborted, reset and left meanwhile.
static void check_disturbed(int result) {
  SWEEP_CHECK(result == 0 || result == ECANCELED || result == EOWNERDEAD || result == ENOTRECOVERABLE);
}

// What the sleepers' waits came to: the same for all, unless somebody else broke or reset the barrier while they woke.
static int reap_sleepers(void) {
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

static void check_results(int status) {
  const muster_barrier_result *result = note()->results;
  if (status == EOWNERDEAD)
    for (int i = 0; i < SLEEPERS; i++) SWEEP_EQUAL(result[i].culprit, note()->place);
  if (status) return;
  SWEEP_CHECK(result[0].index != result[1].index && result[0].index < parties() && result[1].index < parties());
  SWEEP_CHECK(!result[0].serial || !result[1].serial);
}

// ---- Arriving first, without waiting. The others come later.

static int arrive_operate(void) { return muster_barrier_arrive(mine, NULL); }
static int drop_operate(void) { return muster_barrier_arrive_and_drop(mine, NULL); }

static void arrive_meanwhile(void) {
  ask();
  if (sweep->point % 2) crowd_arrives();
  else abort_and_reset();
}

// The operator is dead, and had arrived or not. The others come, and for the one that is missing whoever the policy
// asks for.
static int crowd_meets(int arrived) {
  crowd_arrives();
  muster_barrier *other;
  if (!arrived && policy() == MUSTER_ON_DEATH_AWAIT) {
    SWEEP_STATUS(open_one(0, 0, &other), 0);
    SWEEP_EQUAL(muster_barrier_member(other), note()->place);
    SWEEP_STATUS(muster_barrier_arrive(other, NULL), 0);
    crowd[crowd_size++] = other;
  }
  int first = muster_barrier_wait_phase(crowd[0], note()->phase, sweep_deadline(), NULL);
  for (uint32_t i = 1; i < crowd_size; i++)
    SWEEP_STATUS(muster_barrier_wait_phase(crowd[i], note()->phase, sweep_deadline(), NULL), first);
  return first;
}

static void arrive_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    int arrived = muster_barrier_waiting(watcher) == 1;
    sweep_found(arrived ? SWEEP_AFTER : SWEEP_BEFORE);
    int broken = !arrived && policy() == MUSTER_ON_DEATH_BREAK;
    SWEEP_STATUS(crowd_meets(arrived), broken ? EOWNERDEAD : 0);
    if (policy() == MUSTER_ON_DEATH_SHRINK && !arrived) SWEEP_EQUAL(muster_barrier_parties(watcher), parties() - 1);
  } else if (sweep->point % 2) {
    SWEEP_STATUS(sweep->result, 0);
    for (uint32_t i = 0; i < crowd_size; i++)
      SWEEP_STATUS(muster_barrier_wait_phase(crowd[i], note()->phase, sweep_deadline(), NULL), 0);
    sweep_finish();
  } else {
    SWEEP_CHECK(sweep->result == 0 || sweep->result == ENOTRECOVERABLE || sweep->result == ECANCELED);
    sweep_finish();
  }
  check_whole();
}

// Dropping out: once it counts as absent, it counts as arrived, and is waited for no more.
static void drop_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    int dropped = muster_barrier_parties(watcher) == parties() - 1;
    sweep_found(dropped ? SWEEP_AFTER : SWEEP_BEFORE);
    int broken = !dropped && policy() == MUSTER_ON_DEATH_BREAK;
    SWEEP_STATUS(crowd_meets(dropped), broken ? EOWNERDEAD : 0);
    if (dropped) {
      crowd_arrives();
      SWEEP_EQUAL(muster_barrier_phase(watcher), note()->phase + 2);
    }
  } else if (sweep->point % 2) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(muster_barrier_phase(watcher), note()->phase + 1);
    sweep_finish();
    crowd_arrives();
    SWEEP_EQUAL(muster_barrier_phase(watcher), note()->phase + 2);
  } else {
    SWEEP_CHECK(sweep->result == 0 || sweep->result == ENOTRECOVERABLE || sweep->result == ECANCELED);
    sweep_finish();
  }
  check_whole();
}

// ---- Arriving last, while others sleep, with and without an action.

static int wait_operate(void) { return muster_barrier_wait(mine, MUSTER_DEADLINE_NEVER, NULL); }

static int is_disturbed(void) { return sweep->point % 2 == 0 && policy() != MUSTER_ON_DEATH_AWAIT; }

// Aborted and reset; the sleepers go, newcomers take their places, and all but the operator arrive in the new phase.
static void last_meanwhile(void) {
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
static void replace_if_missing(void) {
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

// Before it arrived the policy decides; who dies in the action has broken it under every policy.
static void last_check_crash(void) {
  int met = muster_barrier_phase(watcher) != note()->phase;
  replace_if_missing();
  int status = reap_sleepers();
  check_results(status);
  int may_break = policy() == MUSTER_ON_DEATH_BREAK || sweep->variant & WITH_ACTION;
  SWEEP_CHECK(status == 0 || (status == EOWNERDEAD && may_break));
  if (policy() == MUSTER_ON_DEATH_BREAK) met = status == 0;
  if (policy() == MUSTER_ON_DEATH_SHRINK) met = status == 0 && muster_barrier_parties(watcher) == parties();
  sweep_found(met ? SWEEP_AFTER : SWEEP_BEFORE);
}

static void last_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    last_check_crash();
  } else {
    int status = reap_sleepers();
    if (is_disturbed()) {
      check_disturbed(sweep->result);
      check_disturbed(status);
    } else {
      SWEEP_STATUS(sweep->result, 0);
      SWEEP_STATUS(status, 0);
    }
    sweep_finish();
  }
  if (!is_disturbed()) SWEEP_CHECK(note()->actions <= 1);
  check_whole();
}

// Arriving last and dropping out: whoever dies after that has died as one who is not waited for any more, and may still owe the others
// their wake.
static void drop_last_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    int status = reap_sleepers();
    check_results(status);
    int dropped = muster_barrier_parties(watcher) == parties() - 1;
    SWEEP_STATUS(status, dropped ? 0 : EOWNERDEAD);
    sweep_found(dropped ? SWEEP_AFTER : SWEEP_BEFORE);
    check_whole();
  } else {
    last_check();
  }
}

// The sleepers have an action that fails, the operator, who arrives last, has none. Who dies between its leaf and the root leaves
// the action to a sleeper, who alone is told what it returned.
static void stead_check(void) {
  SWEEP_STATUS(sweep_reap(note()->peers[0]), 0);
  SWEEP_STATUS(sweep_reap(note()->peers[1]), 0);
  int one = (int)note()->statuses[0] - 1, other = (int)note()->statuses[1] - 1;
  SWEEP_EQUAL(note()->actions, one == EDOM || other == EDOM);
  if (note()->actions) SWEEP_STATUS(one == EDOM ? other : one, ENOTRECOVERABLE);
  else SWEEP_STATUS(one, other);
  SWEEP_CHECK(note()->actions || one == 0 || one == EOWNERDEAD);
  sweep_found(one == EOWNERDEAD ? SWEEP_BEFORE : SWEEP_AFTER);
  check_whole();
}

// ---- Arriving first and falling asleep. Then another sleeps, and a third arrives for all the rest, or dies.

static int late_sleeper(int number) {
  muster_barrier *barrier;
  muster_barrier_result result;
  SWEEP_STATUS(open_one(0, 0, &barrier), 0);
  say(&note()->seated);
  until(&note()->go, 1);
  sweep_operator_asleep();
  say(&note()->asleep);
  int status = muster_barrier_wait(barrier, sweep_deadline(), &result);
  tell_of(number, status, &result);
  return muster_barrier_close(barrier);
}

static int late_crowd(int number) {
  muster_barrier_result result;
  crowd_comes(parties() - 2);
  say(&note()->seated);
  until(&note()->asleep, 1);
  sweep_settle(note()->peers[0]);
  int status = 0;
  for (uint32_t i = 0; i < crowd_size && !status; i++) status = muster_barrier_arrive(crowd[i], &result);
  if (!status) status = muster_barrier_wait_phase(crowd[crowd_size - 1], result.phase, sweep_deadline(), &result);
  // A phase that was broken already when it came.
  if (status == ENOTRECOVERABLE && result.culprit == note()->place) status = EOWNERDEAD;
  tell_of(number, status, &result);
  crowd_goes();
  return 0;
}

static int late_to_die(int number) {
  (void)number;
  muster_barrier *barrier;
  SWEEP_STATUS(open_one(0, 0, &barrier), 0);
  say(&note()->seated);
  until(&note()->asleep, 1);
  sweep_settle(note()->peers[0]);
  raise(SIGKILL);
  return 1;
}

static void first_setup_with(int (*third)(int)) {
  lay();
  note()->peers[0] = sweep_peer(late_sleeper, 0);
  until(&note()->seated, 1);
  note()->peers[1] = sweep_peer(third, 1);
  until(&note()->seated, 2);
}

static void first_setup(void) { first_setup_with(late_crowd); }

static void death_setup(void) {
  first_setup_with(late_to_die);
  crowd_comes(parties() - 3);
  crowd_arrives();
}

static void first_prepare(void) {
  prepare();
  __atomic_store_n(&note()->go, 1, __ATOMIC_RELEASE);
}

// The phase that the operator's death leaves unfinished is finished by a newcomer, once all others have come to it.
static void replace_when_all_wait(void) {
  if (policy() != MUSTER_ON_DEATH_AWAIT) return;
  while (muster_barrier_phase(watcher) == note()->phase && muster_barrier_waiting(watcher) < parties() - 1) {
    if (sweep_now() > sweep_deadline()) sweep_fail(__FILE__, __LINE__, "the others do not arrive");
    sweep_pause(50000);
  }
  // All but one have arrived; whether that one is the operator is for the join to say.
  if (muster_barrier_phase(watcher) != note()->phase) return;
  muster_member member;
  SWEEP_STATUS(muster_group_member(muster_barrier_group(watcher), note()->place, &member), 0);
  SWEEP_EQUAL(member.state, MUSTER_MEMBER_DEAD);
  muster_barrier *other;
  SWEEP_STATUS(open_one(0, 0, &other), 0);
  int status = muster_barrier_arrive(other, NULL);
  // Its predecessor had arrived, and the phase was about to end: then this one starts at the next.
  SWEEP_CHECK(status == 0 || status == EAGAIN);
  crowd[crowd_size++] = other;
}

static void first_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    replace_when_all_wait();
    int status = reap_sleepers();
    check_results(status);
    SWEEP_CHECK(status == 0 || (status == EOWNERDEAD && policy() == MUSTER_ON_DEATH_BREAK));
    if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
    if (policy() == MUSTER_ON_DEATH_BREAK) sweep_found(status == 0 ? SWEEP_AFTER : SWEEP_BEFORE);
  } else {
    int status = reap_sleepers();
    SWEEP_STATUS(status, 0);
    SWEEP_STATUS(sweep->result, 0);
    sweep_finish();
  }
  check_whole();
}

// A member died before arriving: whoever is left goes by the policy. Who comes when it is broken already is told so.
static void death_check(void) {
  SWEEP_STATUS(sweep_reap(note()->peers[0]), 0);
  sweep_reap_killed(note()->peers[1]);
  int expected = policy() == MUSTER_ON_DEATH_BREAK ? EOWNERDEAD : 0;
  SWEEP_STATUS((int)note()->statuses[0] - 1, expected);
  int late = sweep->injection == SWEEP_STALL && expected && sweep->result == ENOTRECOVERABLE;
  if (sweep->returned && !late) SWEEP_STATUS(sweep->result, expected);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole();
}

// ---- Breaking it, mending it, leaving it, while others sleep.

static int abort_operate(void) { return muster_barrier_abort(mine); }
static int reset_operate(void) { return muster_barrier_reset(mine); }
static int close_operate(void) { return muster_barrier_close(mine); }

// A deadline that has passed: breaks the barrier unless this arrival is the last.
static int expire_operate(void) { return muster_barrier_wait(mine, 1, NULL); }

static void sleepers_setup(void) {
  sleepers_come();
  crowd_comes(parties() - SLEEPERS - (sweep->variant & OBSERVER ? 0 : 1));
}

// Whether the phase goes on, with a dead operator that was an observer, or had arrived: neither is missed.
static int goes_on(void) {
  if (muster_barrier_broken(watcher) || muster_barrier_phase(watcher) != note()->phase) return 0;
  return sweep->variant & OBSERVER || muster_barrier_waiting(watcher) == SLEEPERS + 1;
}

// What the sleepers are told when the operation was done; else they sleep on, or learn of a member's death.
static void broken_check(int done, int returned) {
  if (sweep->injection == SWEEP_CRASH && goes_on()) {
    for (uint32_t i = 0; i < crowd_size; i++) SWEEP_STATUS(muster_barrier_arrive(crowd[i], NULL), 0);
    SWEEP_STATUS(reap_sleepers(), 0);
    sweep_found(SWEEP_BEFORE);
  } else {
    int status = reap_sleepers();
    int by_death = status == EOWNERDEAD && !(sweep->variant & OBSERVER);
    if (sweep->injection == SWEEP_STALL) check_disturbed(status);
    else SWEEP_CHECK(status == done || by_death);
    if (sweep->injection == SWEEP_CRASH && by_death) check_results(status);
    if (done != EOWNERDEAD) sweep_found(status == done ? SWEEP_AFTER : SWEEP_BEFORE);
  }
  if (sweep->returned && sweep->injection == SWEEP_CRASH) SWEEP_STATUS(sweep->result, returned);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole();
}

static void abort_check(void) { broken_check(ECANCELED, 0); }
static void reset_check(void) { broken_check(ECANCELED, 0); }
static void close_check(void) { broken_check(EOWNERDEAD, 0); }
static void expire_check(void) { broken_check(ENOTRECOVERABLE, ETIMEDOUT); }

static void break_meanwhile(void) {
  ask();
  abort_and_reset();
}

// ---- Mending one that a death has broken.

static int joins_and_dies(int number) {
  (void)number;
  muster_barrier *barrier;
  SWEEP_STATUS(open_one(0, 0, &barrier), 0);
  raise(SIGKILL);
  return 1;
}

static void broken_setup(void) {
  lay();
  crowd_comes(parties() - 2);
  sweep_reap_killed(sweep_peer(joins_and_dies, 0));
}

static void broken_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_barrier_wait(mine, MUSTER_DEADLINE_NEVER, NULL), EOWNERDEAD);
}

static void mend_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    sweep_found(muster_barrier_broken(watcher) ? SWEEP_BEFORE : SWEEP_AFTER);
  } else {
    sweep_finish();
  }
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  check_whole();
}

// ---- Joining in the place of one that died, while others sleep.

static void replace_setup(void) {
  sleepers_come();
  crowd_comes(parties() - SLEEPERS - 1);
  sweep_reap_killed(sweep_peer(joins_and_dies, 0));
  crowd_arrives();
}

static void replace_prepare(void) {
  note()->place = parties() - 1;
  note()->phase = 0;
  __atomic_store_n(&note()->go, 1, __ATOMIC_RELEASE);
  until(&note()->asleep, SLEEPERS);
  for (int i = 0; i < SLEEPERS; i++) sweep_settle(note()->peers[i]);
}

static int replace_operate(void) {
  int status = open_one(0, 0, &mine);
  return status ? status : muster_barrier_arrive(mine, NULL);
}

static void replace_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_CRASH) {
    sweep_found(muster_barrier_phase(watcher) != note()->phase ? SWEEP_AFTER : SWEEP_BEFORE);
    replace_if_missing();
  }
  SWEEP_STATUS(reap_sleepers(), 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_whole();
}

// ---- Asking.

static int ask_operate(void) {
  muster_barrier_state state;
  muster_barrier_result result;
  int status = muster_barrier_state_get(mine, &state);
  if (!status) status = muster_barrier_try_wait(mine, note()->phase, &result);
  return status == EAGAIN ? 0 : status;
}

static int poll_operate(void) {
  muster_wait_set set;
  int status = muster_barrier_poll(mine, note()->phase, NULL, &set);
  return status == EAGAIN ? 0 : status;
}

static void ask_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  replace_if_missing();
  SWEEP_STATUS(reap_sleepers(), 0);
  check_whole();
}

static void poll_check(void) {
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_disturbed(reap_sleepers());
  check_whole();
}

// An observer is watched by nobody: the wake that one owes is made up for by the sleepers' own look.
#define CASE(text, least, of, one, two, three, four, five, six)                                              \
  {.name = "barrier." text, .minimum = least, .variant = of, .setup = one, .prepare = two, .operate = three, \
   .meanwhile = four, .finish = five, .check = six, .rechecks = ((of) & OBSERVER) != 0}

SWEEP_SUITE(
    barrier,
    CASE("arrive-break", 60, BREAK(3), crowd_setup, prepare, arrive_operate, arrive_meanwhile, finish,
         arrive_check),
    CASE("arrive-shrink", 60, SHRINK(8), crowd_setup, prepare, arrive_operate, arrive_meanwhile, finish,
         arrive_check),
    CASE("arrive-await", 60, AWAIT(3), crowd_setup, prepare, arrive_operate, arrive_meanwhile, finish,
         arrive_check),
    CASE("arrive-break-tree", 60, BREAK(40), crowd_setup, prepare, arrive_operate, arrive_meanwhile, finish,
         arrive_check),
    CASE("arrive-shrink-tree", 60, SHRINK(9), crowd_setup, prepare, arrive_operate, arrive_meanwhile, finish,
         arrive_check),
    CASE("arrive-await-tree", 60, AWAIT(9), crowd_setup, prepare, arrive_operate, arrive_meanwhile, finish,
         arrive_check),
    CASE("drop", 60, BREAK(3), crowd_setup, prepare, drop_operate, arrive_meanwhile, finish, drop_check),
    CASE("drop-tree", 60, BREAK(40), crowd_setup, prepare, drop_operate, arrive_meanwhile, finish, drop_check),
    CASE("wait-last-break", 60, BREAK(3), last_setup, prepare_with_sleepers, wait_operate, last_meanwhile, finish,
         last_check),
    CASE("wait-last-shrink", 60, SHRINK(3), last_setup, prepare_with_sleepers, wait_operate, last_meanwhile,
         finish, last_check),
    CASE("wait-last-await", 60, AWAIT(3), last_setup, prepare_with_sleepers, wait_operate, last_meanwhile, finish,
         last_check),
    CASE("wait-last-break-tree", 60, BREAK(40), last_setup, prepare_with_sleepers, wait_operate, last_meanwhile,
         finish, last_check),
    CASE("wait-last-shrink-tree", 60, SHRINK(9), last_setup, prepare_with_sleepers, wait_operate, last_meanwhile,
         finish, last_check),
    CASE("wait-last-await-tree", 60, AWAIT(9), last_setup, prepare_with_sleepers, wait_operate, last_meanwhile,
         finish, last_check),
    CASE("action-break", 60, BREAK(3) | WITH_ACTION, last_setup, prepare_with_sleepers, wait_operate,
         last_meanwhile, finish, last_check),
    CASE("action-shrink", 60, SHRINK(8) | WITH_ACTION, last_setup, prepare_with_sleepers, wait_operate,
         last_meanwhile, finish, last_check),
    CASE("action-await-tree", 60, AWAIT(9) | WITH_ACTION, last_setup, prepare_with_sleepers, wait_operate,
         last_meanwhile, finish, last_check),
    CASE("drop-last", 60, BREAK(4), last_setup, prepare_with_sleepers, drop_operate, last_meanwhile, finish,
         drop_last_check),
    CASE("drop-last-tree", 60, BREAK(40), last_setup, prepare_with_sleepers, drop_operate, last_meanwhile, finish,
         drop_last_check),
    CASE("action-in-anothers-stead", 60, BREAK(9) | FAILING_ACTION, last_setup, prepare_with_sleepers, wait_operate,
         NULL, finish, stead_check),
    CASE("wait-first-break", 100, BREAK(3), first_setup, first_prepare, wait_operate, ask, finish, first_check),
    CASE("wait-first-shrink", 100, SHRINK(4), first_setup, first_prepare, wait_operate, ask, finish, first_check),
    CASE("wait-first-await", 100, AWAIT(3), first_setup, first_prepare, wait_operate, ask, finish, first_check),
    CASE("wait-first-break-tree", 100, BREAK(9), first_setup, first_prepare, wait_operate, ask, finish,
         first_check),
    CASE("wait-for-a-death-break", 100, BREAK(3), death_setup, first_prepare, wait_operate, ask, finish,
         death_check),
    CASE("wait-for-a-death-shrink", 100, SHRINK(5), death_setup, first_prepare, wait_operate, ask, finish,
         death_check),
    CASE("wait-for-a-death-tree", 100, BREAK(12), death_setup, first_prepare, wait_operate, ask, finish,
         death_check),
    CASE("abort", 30, BREAK(4), sleepers_setup, prepare_with_sleepers, abort_operate, break_meanwhile, finish,
         abort_check),
    CASE("abort-by-an-observer", 30, BREAK(3) | OBSERVER, sleepers_setup, prepare_with_sleepers, abort_operate,
         break_meanwhile, finish, abort_check),
    CASE("reset", 50, BREAK(4), sleepers_setup, prepare_with_sleepers, reset_operate, break_meanwhile, finish,
         reset_check),
    CASE("reset-by-an-observer", 50, BREAK(3) | OBSERVER, sleepers_setup, prepare_with_sleepers, reset_operate,
         break_meanwhile, finish, reset_check),
    CASE("reset-a-broken-one", 100, BREAK(4), broken_setup, broken_prepare, reset_operate, break_meanwhile,
         finish, mend_check),
    CASE("expire", 100, BREAK(4), sleepers_setup, prepare_with_sleepers, expire_operate, break_meanwhile, finish,
         expire_check),
    CASE("close", 50, BREAK(4), sleepers_setup, prepare_with_sleepers, close_operate, break_meanwhile, NULL,
         close_check),
    CASE("join-in-a-dead-place", 100, AWAIT(4), replace_setup, replace_prepare, replace_operate, ask, finish,
         replace_check),
    CASE("ask", 100, AWAIT(9), last_setup, prepare_with_sleepers, ask_operate, last_meanwhile, finish, ask_check),
    CASE("poll", 100, BREAK(4), sleepers_setup, prepare_with_sleepers, poll_operate, break_meanwhile, finish,
         poll_check));
