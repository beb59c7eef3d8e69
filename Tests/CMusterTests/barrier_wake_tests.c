// Who wakes whom: sleepers whose wake was owed by one who is gone. Their own look once a second is put off for an hour here, so that
// a wake that nobody makes up for is a hang.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/barrier.h"
#include "support.h"

enum { ON_DUTY = 4 };

typedef struct stage {
  void *memory;
  size_t size;
  uint32_t gate;
  int32_t status;  // of the sleeper, plus 1
} stage;

static stage *make_stage(uint32_t parties, muster_on_death on_death) {
  stage *made = shared_memory(sizeof *made);
  *made = (stage){.size = muster_barrier_size(parties)};
  made->memory = shared_memory(made->size);
  CHECK_STATUS(muster_barrier_init(made->memory, made->size, parties, on_death), 0);
  muster_recheck = 3600 * MUSTER_WAIT_RECHECK;
  return made;
}

static muster_barrier *attach(const stage *on) {
  muster_barrier *barrier;
  CHECK_STATUS(muster_barrier_attach(on->memory, on->size, &(muster_barrier_options){0}, &barrier), 0);
  return barrier;
}

static void sleep_in_it(void *context) {
  stage *on = context;
  muster_barrier *barrier = attach(on);
  gate_open(&on->gate, 1);
  // Without a deadline of its own, which would make it look once more: the test's ends a sleep that is missed.
  int status = muster_barrier_wait(barrier, MUSTER_DEADLINE_NEVER, NULL);
  __atomic_store_n(&on->status, status + 1, __ATOMIC_RELEASE);
  CHECK_STATUS(muster_barrier_close(barrier), 0);
}

static pid_t start_sleeper(stage *on) {
  pid_t pid = test_fork(sleep_in_it, on);
  gate_wait(&on->gate, 1);
  CHECK(test_asleep(pid));
  return pid;
}

static void join_and_stay(void *context) {
  stage *on = context;
  attach(on);
  gate_open(&on->gate, 2);
  pause();
}

// The phase is over, and who brought that about has not woken anybody.
static void complete_without_a_wake(muster_barrier *barrier) {
  uint64_t root = barrier_root(barrier);
  CHECK(barrier_root_swap(barrier, &root, muster_barrier_next(barrier, root, 1)));
}

// Whoever owes the wake may die after the nap, when nobody sleeps at his lock any more: so the one who napped passes it on.
static void a_nap_that_was_not_ended_by_a_wake_ends_others_sleep(void) {
  stage *on = make_stage(3, MUSTER_ON_DEATH_BREAK);
  muster_barrier *napper = attach(on), *late = attach(on);
  muster_barrier_result result;
  muster_wait_set set;
  CHECK_STATUS(muster_barrier_arrive(napper, &result), 0);
  pid_t sleeper = start_sleeper(on);
  napper->quick = 1;
  CHECK_STATUS(muster_barrier_poll(napper, result.phase, NULL, &set), EAGAIN);
  CHECK_EQUAL(set.count, 1);
  CHECK(set.recheck <= muster_deadline_after(MUSTER_WAIT_RECHECK));
  complete_without_a_wake(late);
  napper->nap_ends = 1;
  CHECK_STATUS(muster_barrier_poll(napper, result.phase, NULL, &set), 0);
  test_join(sleeper, 0);
  CHECK_EQUAL(on->status, 1);
  CHECK_STATUS(muster_barrier_close(napper), 0);
  CHECK_STATUS(muster_barrier_close(late), 0);
}

// By whatever call one on duty learns that the phase is over, and whatever he asked before.
static void whoever_is_on_duty_passes_it_on(void) {
  for (int by_expire = 0; by_expire <= 1; by_expire++) {
    stage *on = make_stage(ON_DUTY + 2, MUSTER_ON_DEATH_BREAK);
    muster_barrier *duty[ON_DUTY];
    muster_barrier_result result;
    muster_wait_set set;
    for (int k = 0; k < ON_DUTY; k++) CHECK_STATUS(muster_barrier_arrive(duty[k] = attach(on), &result), 0);
    pid_t releaser = test_fork(join_and_stay, on);
    gate_wait(&on->gate, 2);
    on->gate = 0;
    for (int k = 0; k < ON_DUTY; k++) CHECK_STATUS(muster_barrier_poll(duty[k], result.phase, NULL, &set), EAGAIN);
    pid_t sleeper = start_sleeper(on);
    CHECK_STATUS(muster_barrier_try_wait(duty[0], result.phase + 1, NULL), EINVAL);
    complete_without_a_wake(duty[0]);
    kill(releaser, SIGKILL);
    test_join(releaser, SIGKILL);
    if (by_expire) CHECK_STATUS(muster_barrier_expire(duty[0], result.phase, NULL), 0);
    else CHECK_STATUS(muster_barrier_try_wait(duty[0], result.phase, NULL), 0);
    test_join(sleeper, 0);
    CHECK_EQUAL(on->status, 1);
    for (int k = 0; k < ON_DUTY; k++) CHECK_STATUS(muster_barrier_close(duty[k]), 0);
  }
}

typedef struct member {
  stage *on;
  int waits;
} member;

static void *be_a_member(void *context) {
  const member *me = context;
  muster_barrier *barrier = attach(me->on);
  __atomic_fetch_add(&me->on->gate, 1, __ATOMIC_RELEASE);
  muster_futex_wake_all(&me->on->gate);
  if (!me->waits) pause();
  CHECK_STATUS(muster_barrier_wait(barrier, MUSTER_DEADLINE_NEVER, NULL), 0);
  return NULL;
}

static void be_many_members(void *context) {
  member waiting = {context, 1}, away = {context, 0};
  pthread_t thread;
  for (int k = 0; k <= ON_DUTY; k++) REQUIRE(!pthread_create(&thread, NULL, be_a_member, k < ON_DUTY ? &waiting : &away));
  pause();
}

static int all_duties_are_taken(const stage *on) {
  const barrier_shared *shared = on->memory;
  int taken = 0;
  for (int slot = 0; slot < ON_DUTY; slot++) taken += __atomic_load_n(&shared->slots[slot], __ATOMIC_ACQUIRE) != 0;
  return taken == ON_DUTY;
}

// Four threads of one process have all the duties, and die at once.
static void members_of_one_process_are_not_all_who_watch(void) {
  stage *on = make_stage(ON_DUTY + 2, MUSTER_ON_DEATH_BREAK);
  pid_t many = test_fork(be_many_members, on);
  gate_wait(&on->gate, ON_DUTY + 1);
  while (!all_duties_are_taken(on)) test_pause(100000);
  on->gate = 0;
  pid_t sleeper = start_sleeper(on);
  kill(many, SIGKILL);
  test_join(many, SIGKILL);
  test_join(sleeper, 0);
  CHECK_EQUAL(on->status, EOWNERDEAD + 1);
}

// The note of a phase in which somebody slept seems to lie ahead after 2^30 more; it is neither heeded nor kept.
static void notes_of_long_ago_are_forgotten(void) {
  stage *on = make_stage(2, MUSTER_ON_DEATH_BREAK);
  muster_barrier *one = attach(on), *other = attach(on);
  const uint32_t far = (UINT32_C(1) << 30) + 100;
  one->shared->sleeping = 5 << 1 | 1;
  one->shared->last_reset = 3 | UINT32_C(1) << 31;
  one->shared->root = root_make(far, 0, 0, STATE_OPEN, 0, 0, (1u << BARRIER_HISTORY) - 1);
  muster_barrier_announce_sleep(one, far);
  CHECK_EQUAL(one->shared->sleeping >> 1, far);
  one->shared->root = root_make(UINT32_C(1) << 30, 0, 0, STATE_OPEN, 0, 0, (1u << BARRIER_HISTORY) - 1);
  for (int round = 0; round < 2; round++) {
    CHECK_STATUS(muster_barrier_arrive(one, NULL), 0);
    CHECK_STATUS(muster_barrier_arrive(other, NULL), 0);
  }
  CHECK_EQUAL(one->shared->last_reset, 0);
  CHECK_STATUS(muster_barrier_outcome(one, (UINT32_C(1) << 30) - 100, barrier_root(one)), 0);
  CHECK_STATUS(muster_barrier_close(one), 0);
  CHECK_STATUS(muster_barrier_close(other), 0);
}

TEST_SUITE(barrier_wake,
           {"a_nap_that_was_not_ended_by_a_wake_ends_others_sleep", a_nap_that_was_not_ended_by_a_wake_ends_others_sleep, 0},
           {"whoever_is_on_duty_passes_it_on", whoever_is_on_duty_passes_it_on, 0},
           {"members_of_one_process_are_not_all_who_watch", members_of_one_process_are_not_all_who_watch, 0},
           {"notes_of_long_ago_are_forgotten", notes_of_long_ago_are_forgotten, 0});
