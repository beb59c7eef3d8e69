// The barrier among the living: meeting, order, roles, phases, splitting, dropping, breaking and resetting.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "barrier_support.h"
#include "test.h"

static const uint32_t sizes[] = {1, 2, 3, 8, 9, 32, 33, 64, 65, 200, 256};
#define EACH_SIZE(n) for (uint32_t at_ = 0, n; at_ < sizeof sizes / sizeof *sizes && (n = sizes[at_], 1); at_++)

// Counts itself before the barrier, and reads the count after it: everybody must have been counted by then.
static void work_count_rounds(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  for (uint32_t round = 0; round < report->rounds || round < crew->board->go; round++) {
    __atomic_add_fetch(&crew->board->counter, 1, __ATOMIC_RELAXED);
    int status = muster_barrier_wait(barrier, soon(), &report->result);
    if (status) {
      report->status = status;
      return;
    }
    CHECK_EQUAL(report->result.phase, 2 * round);
    CHECK_EQUAL(__atomic_load_n(&crew->board->counter, __ATOMIC_RELAXED), (uint64_t)(round + 1) * crew->size);
    // The second meeting keeps the fast from counting the next round before the slow have read this one.
    CHECK_STATUS(muster_barrier_wait(barrier, soon(), &report->result), 0);
  }
  (void)index;
}

static void everybody_arrives_before_anybody_is_released(void) {
  EACH_SIZE(n) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_count_rounds);
    c.board->go = (n <= 8 ? 2000 : 2000 / n + 2) / test_slower() + 2;
    crew_start_all(&c);
    crew_join(&c, 0, n);
    for (uint32_t k = 0; k < n; k++) CHECK_STATUS(c.board->reports[k].status, 0);
    crew_end(&c);
  }
}

static void indexes_are_a_permutation_and_one_is_serial(void) {
  EACH_SIZE(n) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_wait_once);
    crew_start_all(&c);
    crew_join(&c, 0, n);
    unsigned serial = 0;
    unsigned char seen[CREW_MAX] = {0};
    for (uint32_t k = 0; k < n; k++) {
      member_report *r = &c.board->reports[k];
      CHECK_STATUS(r->status, 0);
      serial += (unsigned)r->result.serial;
      REQUIRE(r->result.index < n);
      CHECK_EQUAL(seen[r->result.index]++, 0);
      CHECK_EQUAL(r->member, k);
    }
    CHECK_EQUAL(serial, 1);
    crew_end(&c);
  }
}

static void work_arrive_in_turn(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  board_wait(&crew->board->go, index);
  report->status = muster_barrier_arrive(barrier, &report->result);
  board_set(&crew->board->go, index + 1);
  CHECK_EQUAL(report->result.index, index);
  CHECK_EQUAL(report->result.serial, index == crew->size - 1);
  report->status = muster_barrier_wait_phase(barrier, report->result.phase, soon(), &report->result);
}

static void index_0_arrives_first(void) {
  for (uint32_t n = 2; n <= 40; n += 19) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_arrive_in_turn);
    crew_start_all(&c);
    crew_join(&c, 0, n);
    for (uint32_t k = 0; k < n; k++) CHECK_STATUS(c.board->reports[k].status, 0);
    crew_end(&c);
  }
}

static muster_barrier *join(const char *name, uint32_t parties, muster_on_death on_death, int expected) {
  muster_barrier *barrier = NULL;
  CHECK_STATUS(muster_barrier_open(name, &(muster_barrier_options){.parties = parties, .on_death = on_death}, &barrier),
               expected);
  return barrier;
}

static void one_party_never_waits(void) {
  const char *name = test_name("one");
  muster_barrier *one = join(name, 1, MUSTER_ON_DEATH_BREAK, 0);
  muster_barrier_result result;
  for (uint32_t phase = 0; phase < 100; phase++) {
    CHECK_STATUS(muster_barrier_wait(one, MUSTER_DEADLINE_NOW, &result), 0);
    CHECK(result.serial && result.index == 0 && result.phase == phase);
  }
  CHECK_STATUS(muster_barrier_close(one), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// Two handles of one thread: arriving is not waiting, so one thread can be both parties.
static void phases_can_be_split(void) {
  const char *name = test_name("split");
  muster_barrier *a = join(name, 2, 0, 0), *b = join(name, 2, 0, 0);
  muster_barrier_result ra, rb, r;
  CHECK_STATUS(muster_barrier_arrive(a, &ra), 0);
  CHECK_STATUS(muster_barrier_arrive(a, NULL), EALREADY);
  CHECK_STATUS(muster_barrier_wait(a, soon(), NULL), EALREADY);
  CHECK_STATUS(muster_barrier_try_wait(a, ra.phase, &r), EAGAIN);
  CHECK_STATUS(muster_barrier_wait_phase(a, ra.phase + 1, soon(), &r), EINVAL);
  CHECK_EQUAL(muster_barrier_waiting(a), 1);
  CHECK_STATUS(muster_barrier_arrive(b, &rb), 0);
  CHECK_EQUAL(rb.phase, ra.phase);
  CHECK(rb.serial && rb.index == 1 && ra.index == 0);
  CHECK_STATUS(muster_barrier_try_wait(a, ra.phase, &r), 0);
  CHECK_STATUS(muster_barrier_wait_phase(b, rb.phase, MUSTER_DEADLINE_NOW, &r), 0);
  CHECK_EQUAL(muster_barrier_phase(a), ra.phase + 1);
  CHECK_EQUAL(muster_barrier_waiting(a), 0);
  muster_barrier_close(a), muster_barrier_close(b);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void dropping_lowers_the_parties_from_the_next_phase_on(void) {
  for (uint32_t n = 3; n <= 35; n += 32) {
    const char *name = test_name("drop");
    muster_barrier *all[40];
    muster_barrier_result r;
    for (uint32_t k = 0; k < n; k++) all[k] = join(name, n, 0, 0);
    CHECK_STATUS(muster_barrier_arrive_and_drop(all[1], &r), 0);
    CHECK_STATUS(muster_barrier_arrive(all[1], NULL), EINVAL);
    for (uint32_t k = 0; k < n; k++) {
      CHECK_STATUS(muster_barrier_try_wait(all[1], r.phase, NULL), EAGAIN);
      if (k != 1) CHECK_STATUS(muster_barrier_arrive(all[k], NULL), 0);
    }
    CHECK_STATUS(muster_barrier_try_wait(all[1], r.phase, NULL), 0);
    CHECK_EQUAL(muster_barrier_parties(all[0]), n - 1);
    CHECK_STATUS(muster_barrier_close(all[1]), 0);
    for (uint32_t phase = 1; phase < 30; phase++) {
      muster_barrier_result last = {0};
      for (uint32_t k = 0; k < n; k++) {
        CHECK_EQUAL(muster_barrier_phase(all[0]), phase);
        if (k != 1) CHECK_STATUS(muster_barrier_arrive(all[k], &last), 0);
      }
      CHECK(last.serial);
      CHECK_EQUAL(last.index, n - 2);
    }
    join(name, n, 0, EOVERFLOW);
    // All drop out: the barrier is at its end, and takes nobody any more.
    for (uint32_t k = 0; k < n; k++)
      if (k != 1) CHECK_STATUS(muster_barrier_arrive_and_drop(all[k], NULL), 0);
    CHECK_EQUAL(muster_barrier_parties(all[0]), 0);
    join(name, n, 0, EOVERFLOW);
    for (uint32_t k = 0; k < n; k++)
      if (k != 1) muster_barrier_close(all[k]);
    CHECK_STATUS(muster_region_remove(name, 0), 0);
  }
}

static void a_dropped_member_hears_of_its_phase_long_afterwards(void) {
  const char *name = test_name("late");
  muster_barrier *a = join(name, 2, 0, 0), *b = join(name, 2, 0, 0);
  muster_barrier_result r, again;
  CHECK_STATUS(muster_barrier_arrive_and_drop(b, &r), 0);
  CHECK_STATUS(muster_barrier_wait(a, soon(), NULL), 0);
  for (int i = 0; i < 1000; i++) CHECK_STATUS(muster_barrier_wait(a, soon(), NULL), 0);
  CHECK_STATUS(muster_barrier_try_wait(b, r.phase, NULL), 0);
  CHECK_STATUS(muster_barrier_reset(a), 0);
  CHECK_STATUS(muster_barrier_try_wait(a, r.phase + 1001, &again), ECANCELED);
  for (int i = 0; i < 1000; i++) CHECK_STATUS(muster_barrier_wait(a, soon(), NULL), 0);
  CHECK_STATUS(muster_barrier_try_wait(a, r.phase + 1001, &again), ECANCELED);
  CHECK_STATUS(muster_barrier_try_wait(a, r.phase + 1002, &again), 0);
  muster_barrier_close(a), muster_barrier_close(b);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static int add_up(void *context) {
  ++*(uint64_t *)context;
  return 0;
}

static void work_wait_with_action(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  for (uint32_t round = 1; round <= 200 && !report->status; round++) {
    report->status = muster_barrier_wait(barrier, soon(), &report->result);
    CHECK_EQUAL(__atomic_load_n(&crew->board->counter, __ATOMIC_RELAXED), round);
    report->status = report->status ? report->status : muster_barrier_arrive(barrier, &report->result);
    report->status = muster_barrier_wait_phase(barrier, report->result.phase, soon(), &report->result);
    // Asked after waiting, since one who waits may have completed the phase for the others. None is a round further before this one.
    if (report->result.serial) CHECK_EQUAL(__atomic_sub_fetch(&crew->board->counter, 1, __ATOMIC_RELAXED), round);
  }
  (void)index;
}

static void the_last_to_arrive_runs_the_action_before_anybody_is_released(void) {
  for (uint32_t n = 2; n <= 34; n += 16) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_wait_with_action);
    c.options.action = add_up;
    c.options.context = &c.board->counter;
    crew_start_all(&c);
    crew_join(&c, 0, n);
    for (uint32_t k = 0; k < n; k++) CHECK_STATUS(c.board->reports[k].status, 0);
    crew_end(&c);
  }
}

static int fail_once(void *context) { return *(int *)context; }

static void an_action_that_fails_breaks_the_barrier(void) {
  const char *name = test_name("action");
  int error = EXDEV;
  muster_barrier *a = join(name, 2, 0, 0), *b;
  CHECK_STATUS(muster_barrier_open(
                   name, &(muster_barrier_options){.parties = 2, .action = fail_once, .context = &error}, &b),
               0);
  muster_barrier_result r;
  CHECK_STATUS(muster_barrier_arrive(a, &r), 0);
  CHECK_STATUS(muster_barrier_wait(b, soon(), NULL), EXDEV);
  CHECK_STATUS(muster_barrier_try_wait(a, r.phase, &r), ENOTRECOVERABLE);
  muster_barrier_state state;
  CHECK_STATUS(muster_barrier_state_get(a, &state), 0);
  CHECK(state.cause == MUSTER_BARRIER_ACTION && state.culprit == muster_barrier_member(b));
  CHECK_STATUS(muster_barrier_reset(a), 0);
  error = EAGAIN;
  CHECK_STATUS(muster_barrier_arrive(a, &r), 0);
  CHECK_STATUS(muster_barrier_wait(b, soon(), NULL), ENOTRECOVERABLE);
  CHECK_STATUS(muster_barrier_reset(a), 0);
  error = 0;
  CHECK_STATUS(muster_barrier_arrive(a, &r), 0);
  CHECK_STATUS(muster_barrier_wait(b, soon(), NULL), 0);
  CHECK_STATUS(muster_barrier_try_wait(a, r.phase, NULL), 0);
  muster_barrier_close(a), muster_barrier_close(b);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void work_wait_briefly(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  muster_deadline deadline = index == 0 ? muster_deadline_after(100000000) : soon();
  report->status = muster_barrier_wait(barrier, deadline, &report->result);
  (void)crew;
}

static void a_deadline_that_passes_breaks_it_for_all_until_reset(void) {
  for (uint32_t n = 3; n <= 67; n += 32) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){.parties = n + 1}, work_wait_briefly);
    // Holds the region: if all of the crew that have started by then were gone at the deadline, the next would find a
    // region that nobody holds, and begin anew.
    muster_barrier *holder;
    REQUIRE(muster_barrier_open(c.name, &(muster_barrier_options){.parties = n + 1, .observe = 1}, &holder) == 0);
    crew_start_all(&c);
    muster_barrier *late = join(c.name, n + 1, 0, 0);
    muster_barrier_close(holder);
    crew_join(&c, 0, n);
    CHECK_STATUS(c.board->reports[0].status, ETIMEDOUT);
    for (uint32_t k = 1; k < n; k++) CHECK_STATUS(c.board->reports[k].status, ENOTRECOVERABLE);
    CHECK_STATUS(muster_barrier_wait(late, soon(), NULL), ENOTRECOVERABLE);
    CHECK_STATUS(muster_barrier_arrive(late, NULL), ENOTRECOVERABLE);
    CHECK(muster_barrier_broken(late));
    muster_barrier_state state;
    CHECK_STATUS(muster_barrier_state_get(late, &state), 0);
    CHECK(state.cause == MUSTER_BARRIER_TIMED_OUT && state.culprit == 0);
    CHECK_STATUS(muster_barrier_reset(late), 0);
    CHECK(!muster_barrier_broken(late));
    CHECK_EQUAL(muster_barrier_parties(late), n + 1);
    // Usable again, with newcomers in the places of those who have gone.
    c.work = work_wait_once;
    crew_start_all(&c);
    CHECK_STATUS(muster_barrier_wait(late, soon(), NULL), 0);
    crew_join(&c, 0, n);
    for (uint32_t k = 0; k < n; k++) CHECK_STATUS(c.board->reports[k].status, 0);
    muster_barrier_close(late);
    crew_end(&c);
  }
}

static void a_deadline_already_past_breaks_it_unless_this_arrival_is_the_last(void) {
  const char *name = test_name("past");
  muster_barrier *a = join(name, 2, 0, 0), *b = join(name, 2, 0, 0);
  CHECK_STATUS(muster_barrier_arrive(a, NULL), 0);
  CHECK_STATUS(muster_barrier_wait(b, MUSTER_DEADLINE_NOW, NULL), 0);
  CHECK_STATUS(muster_barrier_wait(b, 1, NULL), ETIMEDOUT);
  CHECK(muster_barrier_broken(a));
  muster_barrier_close(a), muster_barrier_close(b);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

// Members asleep in a wait are told by one call from outside.
static void wake_sleepers_by(int (*call)(muster_barrier *), int waiters_get) {
  for (uint32_t n = 1; n <= 65; n += 32) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){.parties = n + 1}, work_wait_once);
    crew_start_all(&c);
    for (uint32_t k = 0; k < n; k++) CHECK(test_asleep(c.pids[k]));
    muster_barrier *outside;
    REQUIRE(!muster_barrier_open(c.name, &(muster_barrier_options){.observe = 1, .flags = MUSTER_REGION_ATTACH}, &outside));
    CHECK_STATUS(muster_barrier_wait(outside, soon(), NULL), EINVAL);
    CHECK_EQUAL(muster_barrier_member(outside), MUSTER_BARRIER_NOBODY);
    CHECK_STATUS(call(outside), 0);
    crew_join(&c, 0, n);
    for (uint32_t k = 0; k < n; k++) CHECK_STATUS(c.board->reports[k].status, waiters_get);
    muster_barrier_close(outside);
    crew_end(&c);
  }
}

static void abort_cancels_who_waits(void) { wake_sleepers_by(muster_barrier_abort, ECANCELED); }
static void reset_cancels_who_waits(void) { wake_sleepers_by(muster_barrier_reset, ECANCELED); }

static void after_abort_who_comes_finds_it_broken(void) {
  const char *name = test_name("abort");
  muster_barrier *a = join(name, 2, 0, 0);
  CHECK_STATUS(muster_barrier_abort(a), 0);
  CHECK_STATUS(muster_barrier_abort(a), 0);
  CHECK_STATUS(muster_barrier_wait(a, soon(), NULL), ENOTRECOVERABLE);
  CHECK_STATUS(muster_barrier_reset(a), 0);
  CHECK_STATUS(muster_barrier_wait(a, MUSTER_DEADLINE_NOW, NULL), ETIMEDOUT);
  muster_barrier_close(a);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void who_comes_after_the_parties_is_refused(void) {
  const char *name = test_name("over");
  muster_barrier *a = join(name, 2, 0, 0), *b = join(name, 2, 0, 0);
  join(name, 2, 0, EOVERFLOW);
  join(name, 3, 0, EPROTO);
  join(name, 2, MUSTER_ON_DEATH_SHRINK, EPROTO);
  join(name, 257, 0, EINVAL);
  join(name, 2, (muster_on_death)3, EINVAL);
  join(name, 0, 0, EINVAL);
  muster_barrier_close(a), muster_barrier_close(b);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void lay_in_place(void) {
  size_t size = muster_barrier_size(5);
  CHECK_EQUAL(muster_barrier_size(0), 0);
  CHECK_EQUAL(muster_barrier_size(257), 0);
  char *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  muster_barrier_options options = {.parties = 5};
  muster_barrier *all[6] = {0};
  CHECK_STATUS(muster_barrier_attach(memory, size, &options, &all[0]), EBADMSG);
  CHECK_STATUS(muster_barrier_init(memory + 64, size, 5, 0), EINVAL);
  CHECK_STATUS(muster_barrier_init(memory, size - 1, 5, 0), EINVAL);
  CHECK_STATUS(muster_barrier_init(memory, size, 5, 0), 0);
  CHECK_STATUS(muster_barrier_attach(memory, size - 128, &options, &all[0]), EBADMSG);
  muster_barrier_result r;
  for (int k = 0; k < 5; k++) CHECK_STATUS(muster_barrier_attach(memory, size, &options, &all[k]), 0);
  CHECK_STATUS(muster_barrier_attach(memory, size, &options, &all[5]), EOVERFLOW);
  for (int k = 0; k < 5; k++) CHECK_STATUS(muster_barrier_arrive(all[k], &r), 0);
  CHECK(r.serial && !muster_barrier_region(all[0]));
  for (int k = 0; k < 5; k++) CHECK_STATUS(muster_barrier_close(all[k]), 0);
  munmap(memory, size + 4096);
}

static void in_the_child(void *context) {
  muster_barrier *barrier = context;
  muster_barrier_state state;
  muster_wait_set set;
  CHECK_STATUS(muster_barrier_wait(barrier, soon(), NULL), EPERM);
  CHECK_STATUS(muster_barrier_arrive(barrier, NULL), EPERM);
  CHECK_STATUS(muster_barrier_arrive_and_drop(barrier, NULL), EPERM);
  CHECK_STATUS(muster_barrier_wait_phase(barrier, 0, soon(), NULL), EPERM);
  CHECK_STATUS(muster_barrier_try_wait(barrier, 0, NULL), EPERM);
  CHECK_STATUS(muster_barrier_poll(barrier, 0, NULL, &set), EPERM);
  CHECK_STATUS(muster_barrier_expire(barrier, 0, NULL), EPERM);
  CHECK_STATUS(muster_barrier_abort(barrier), EPERM);
  CHECK_STATUS(muster_barrier_reset(barrier), EPERM);
  CHECK_STATUS(muster_barrier_state_get(barrier, &state), EPERM);
  CHECK_STATUS(muster_barrier_close(barrier), 0);
}

static void a_handle_is_not_inherited_over_fork(void) {
  const char *name = test_name("fork");
  muster_barrier *barrier = join(name, 1, 0, 0);
  test_join(test_fork(in_the_child, barrier), 0);
  CHECK_STATUS(muster_barrier_wait(barrier, soon(), NULL), 0);
  CHECK_STATUS(muster_barrier_close(barrier), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void looking_changes_nothing(void) {
  const char *name = test_name("look");
  muster_barrier *member = join(name, 2, 0, 0), *look;
  muster_barrier_options peek = {.observe = 1, .flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK};
  CHECK_STATUS(muster_barrier_arrive(member, NULL), 0);
  CHECK_STATUS(muster_barrier_open(name, &peek, &look), 0);
  muster_barrier_state state;
  muster_wait_set set;
  CHECK_STATUS(muster_barrier_state_get(look, &state), 0);
  CHECK(state.parties == 2 && state.arrived == 1 && state.phase == 0 && state.cause == 0);
  CHECK_STATUS(muster_barrier_abort(look), EACCES);
  CHECK_STATUS(muster_barrier_reset(look), EACCES);
  CHECK_STATUS(muster_barrier_poll(look, 0, NULL, &set), EACCES);
  CHECK_STATUS(muster_barrier_expire(look, 0, NULL), EACCES);
  muster_barrier_close(member);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  muster_barrier_close(look);
}

TEST_SUITE(barrier, {"everybody_arrives_before_anybody_is_released", everybody_arrives_before_anybody_is_released, 60},
           {"indexes_are_a_permutation_and_one_is_serial", indexes_are_a_permutation_and_one_is_serial, 0},
           {"index_0_arrives_first", index_0_arrives_first, 0}, {"one_party_never_waits", one_party_never_waits, 0},
           {"phases_can_be_split", phases_can_be_split, 0},
           {"dropping_lowers_the_parties_from_the_next_phase_on", dropping_lowers_the_parties_from_the_next_phase_on, 0},
           {"a_dropped_member_hears_of_its_phase_long_afterwards", a_dropped_member_hears_of_its_phase_long_afterwards, 0},
           {"the_last_to_arrive_runs_the_action_before_anybody_is_released",
            the_last_to_arrive_runs_the_action_before_anybody_is_released, 0},
           {"an_action_that_fails_breaks_the_barrier", an_action_that_fails_breaks_the_barrier, 0},
           {"a_deadline_that_passes_breaks_it_for_all_until_reset", a_deadline_that_passes_breaks_it_for_all_until_reset, 0},
           {"a_deadline_already_past_breaks_it_unless_this_arrival_is_the_last",
            a_deadline_already_past_breaks_it_unless_this_arrival_is_the_last, 0},
           {"abort_cancels_who_waits", abort_cancels_who_waits, 0}, {"reset_cancels_who_waits", reset_cancels_who_waits, 0},
           {"after_abort_who_comes_finds_it_broken", after_abort_who_comes_finds_it_broken, 0},
           {"who_comes_after_the_parties_is_refused", who_comes_after_the_parties_is_refused, 0},
           {"lay_in_place", lay_in_place, 0}, {"a_handle_is_not_inherited_over_fork", a_handle_is_not_inherited_over_fork, 0},
           {"looking_changes_nothing", looking_changes_nothing, 0});
