// The barrier, who arrives and waits: all who wait end the same way, whoever dies or stops at whatever instruction, under
// each policy and in both layouts.
// SPDX-License-Identifier: Apache-2.0
#include "barrier_world.h"

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
         death_check));
