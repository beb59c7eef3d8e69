// The barrier and death: the three policies, before and after arriving, in the action, and of whoever would have told the others.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "barrier_support.h"
#include "test.h"

static const uint32_t sizes[] = {2, 3, 8, 9, 64, 130, 256};
enum { STORM_KILLS = 40 };
#define EACH_SIZE(n) for (uint32_t at_ = 0, n; at_ < sizeof sizes / sizeof *sizes && (n = sizes[at_], 1); at_++)

// The last one never arrives; all others sleep in a wait.
static void work_last_stays_away(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  if (index == crew->size - 1) pause();
  report->status = muster_barrier_wait(barrier, soon(), &report->result);
}

static void work_stay_away(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  (void)crew, (void)index, (void)barrier, (void)report;
  pause();
}

static void await_sleep(test_crew *crew, uint32_t from, uint32_t to) {
  for (uint32_t k = from; k < to; k++) CHECK(test_asleep(crew->pids[k]));
}

static void check_all(test_crew *crew, uint32_t from, uint32_t to, int status) {
  for (uint32_t k = from; k < to; k++) CHECK_STATUS(crew->board->reports[k].status, status);
}

static void break_tells_all_who_died(void) {
  EACH_SIZE(n) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_last_stays_away);
    crew_start_all(&c);
    await_sleep(&c, 0, n - 1);
    crew_kill(&c, n - 1);
    crew_join(&c, 0, n - 1);
    check_all(&c, 0, n - 1, EOWNERDEAD);
    for (uint32_t k = 0; k < n - 1; k++) CHECK_EQUAL(c.board->reports[k].result.culprit, n - 1);
    crew_end(&c);
  }
}

static void a_death_that_nobody_watched_is_found_by_who_comes(void) {
  EACH_SIZE(n) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_stay_away);
    crew_start(&c, 0);
    crew_kill(&c, 0);
    muster_barrier *late;
    CHECK_STATUS(muster_barrier_open(c.name, &(muster_barrier_options){.parties = n}, &late), 0);
    // Nobody held the region after the kill, so this is a new barrier: nobody has died in it.
    muster_barrier_state state;
    CHECK_STATUS(muster_barrier_state_get(late, &state), 0);
    CHECK_EQUAL(state.cause, MUSTER_BARRIER_WHOLE);
    CHECK_EQUAL(muster_barrier_member(late), 0);
    // Another dies while `late` holds it: the next wait finds that.
    crew_start(&c, 1);
    crew_kill(&c, 1);
    muster_barrier_result result;
    CHECK_STATUS(muster_barrier_wait(late, soon(), &result), EOWNERDEAD);
    CHECK_EQUAL(result.culprit, 1);
    CHECK_STATUS(muster_barrier_wait(late, soon(), &result), ENOTRECOVERABLE);
    CHECK_EQUAL(result.culprit, 1);
    // The dead keep their places until reset; then there is room.
    muster_barrier *another = NULL;
    if (n == 2) CHECK_STATUS(muster_barrier_open(c.name, &(muster_barrier_options){.parties = n}, &another), ENOTRECOVERABLE);
    CHECK_STATUS(muster_barrier_reset(late), 0);
    CHECK_STATUS(muster_barrier_open(c.name, &(muster_barrier_options){.parties = n}, &another), 0);
    muster_barrier_close(another), muster_barrier_close(late);
    crew_end(&c);
  }
}

static void closing_without_dropping_is_a_death(void) {
  for (int policy = 0; policy <= 1; policy++) {
    const char *name = test_name("leave");
    muster_barrier_options options = {.parties = 3, .on_death = (muster_on_death)policy};
    muster_barrier *all[3];
    for (int k = 0; k < 3; k++) CHECK_STATUS(muster_barrier_open(name, &options, &all[k]), 0);
    muster_barrier_close(all[2]);
    muster_barrier_result result;
    CHECK_STATUS(muster_barrier_arrive(all[1], NULL), 0);
    CHECK_STATUS(muster_barrier_wait(all[0], soon(), &result), policy ? 0 : EOWNERDEAD);
    CHECK_EQUAL(result.culprit, policy ? MUSTER_BARRIER_NOBODY : 2);
    CHECK_EQUAL(muster_barrier_parties(all[0]), policy ? 2 : 3);
    muster_barrier_close(all[0]), muster_barrier_close(all[1]);
    CHECK_STATUS(muster_region_remove(name, 0), 0);
  }
}

// One that never sleeps finds a death by itself; and a phase that was met names nobody for the next one's end.
static void trying_finds_a_death_too(void) {
  const char *name = test_name("try");
  muster_barrier_options options = {.parties = 2};
  muster_barrier *a, *b;
  CHECK_STATUS(muster_barrier_open(name, &options, &a), 0);
  CHECK_STATUS(muster_barrier_open(name, &options, &b), 0);
  muster_barrier_result met, next, result;
  CHECK_STATUS(muster_barrier_arrive(a, &met), 0);
  CHECK_STATUS(muster_barrier_arrive(b, NULL), 0);
  CHECK_STATUS(muster_barrier_arrive(a, &next), 0);
  CHECK_STATUS(muster_barrier_try_wait(a, next.phase, &result), EAGAIN);
  muster_barrier_close(b);
  CHECK_STATUS(muster_barrier_try_wait(a, next.phase, &result), EOWNERDEAD);
  CHECK_EQUAL(result.culprit, 1);
  CHECK_STATUS(muster_barrier_try_wait(a, met.phase, &result), 0);
  CHECK_EQUAL(result.culprit, MUSTER_BARRIER_NOBODY);
  CHECK_STATUS(muster_barrier_try_wait(a, UINT32_MAX, &result), EINVAL);
  muster_barrier_close(a);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

static void closing_wakes_who_sleeps(void) {
  test_crew c;
  crew_make(&c, 3, (muster_barrier_options){.parties = 4}, work_wait_once);
  muster_barrier *leaver;
  crew_start_all(&c);
  CHECK_STATUS(muster_barrier_open(c.name, &c.options, &leaver), 0);
  await_sleep(&c, 0, 3);
  muster_barrier_close(leaver);
  crew_join(&c, 0, 3);
  check_all(&c, 0, 3, EOWNERDEAD);
  crew_end(&c);
}

static void work_two_rounds(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  if (index == crew->size - 1) pause();
  for (report->rounds = 0; report->rounds < 5 && !report->status; report->rounds++)
    report->status = muster_barrier_wait(barrier, soon(), &report->result);
}

static void shrink_goes_on_without_the_dead(void) {
  EACH_SIZE(n) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){.on_death = MUSTER_ON_DEATH_SHRINK}, work_two_rounds);
    crew_start_all(&c);
    await_sleep(&c, 0, n - 1);
    crew_kill(&c, n - 1);
    crew_join(&c, 0, n - 1);
    for (uint32_t k = 0; k < n - 1; k++) {
      CHECK_STATUS(c.board->reports[k].status, 0);
      CHECK_EQUAL(c.board->reports[k].rounds, 5);
    }
    crew_end(&c);
  }
}

static void await_waits_for_a_replacement(void) {
  EACH_SIZE(n) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){.on_death = MUSTER_ON_DEATH_AWAIT}, work_last_stays_away);
    crew_start_all(&c);
    await_sleep(&c, 0, n - 1);
    crew_kill(&c, n - 1);
    if (n > 1) CHECK(test_asleep(c.pids[0]));
    c.work = work_wait_once;
    crew_start(&c, n - 1);
    crew_join(&c, 0, n);
    check_all(&c, 0, n, 0);
    CHECK_EQUAL(c.board->reports[n - 1].member, n - 1);
    crew_end(&c);
  }
}

static void work_die_arrived(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  if (index == 0) {
    CHECK_STATUS(muster_barrier_arrive(barrier, &report->result), 0);
    board_set(&crew->board->go, 1);
    pause();
  }
  board_wait(&crew->board->go, 2);
  for (report->rounds = 0; report->rounds < 2 && !report->status; report->rounds++)
    report->status = muster_barrier_wait(barrier, soon(), &report->result);
}

static void who_dies_after_arriving_counts_for_this_phase(void) {
  for (int policy = 0; policy <= MUSTER_ON_DEATH_AWAIT; policy++) {
    for (uint32_t n = 3; n <= 43; n += 20) {
      test_crew c;
      crew_make(&c, n, (muster_barrier_options){.on_death = (muster_on_death)policy}, work_die_arrived);
      crew_start_all(&c);
      board_wait(&c.board->go, 1);
      crew_kill(&c, 0);
      if (policy == MUSTER_ON_DEATH_AWAIT) {
        // The one in its place starts at the next phase, so its first wait is the others' second.
        c.work = work_wait_once;
        crew_start(&c, 0);
        CHECK_EQUAL(c.board->reports[0].member, 0);
      }
      board_set(&c.board->go, 2);
      crew_join(&c, policy == MUSTER_ON_DEATH_AWAIT ? 0 : 1, n);
      for (uint32_t k = 1; k < n; k++) {
        member_report *r = &c.board->reports[k];
        CHECK_EQUAL(r->rounds, 2);
        int both = r->status == EOWNERDEAD || r->status == ENOTRECOVERABLE;
        if (policy == MUSTER_ON_DEATH_BREAK) CHECK(both && r->result.culprit == 0 && r->result.phase == 1);
        else CHECK_STATUS(r->status, 0);
      }
      if (policy == MUSTER_ON_DEATH_AWAIT) {
        CHECK_STATUS(c.board->reports[0].status, 0);
        CHECK_EQUAL(c.board->reports[0].result.phase, 1);
      }
      crew_end(&c);
    }
  }
}

static int tell_and_pause(void *context) {
  board_set(&((test_crew *)context)->board->go, 2);
  pause();
  return 0;
}

static void work_act(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  if (index == crew->size - 1) board_wait(&crew->board->go, 1);
  report->status = muster_barrier_wait(barrier, soon(), &report->result);
}

static void death_in_the_action_breaks_it_under_every_policy(void) {
  for (int policy = 0; policy <= MUSTER_ON_DEATH_AWAIT; policy++) {
    for (uint32_t n = 2; n <= 34; n += 32) {
      test_crew c;
      crew_make(&c, n, (muster_barrier_options){.on_death = (muster_on_death)policy}, work_act);
      c.options.action = tell_and_pause;
      c.options.context = &c;
      crew_start_all(&c);
      await_sleep(&c, 0, n - 1);
      board_set(&c.board->go, 1);
      board_wait(&c.board->go, 2);
      crew_kill(&c, n - 1);
      crew_join(&c, 0, n - 1);
      check_all(&c, 0, n - 1, EOWNERDEAD);
      for (uint32_t k = 0; k < n - 1; k++) CHECK_EQUAL(c.board->reports[k].result.culprit, n - 1);
      crew_end(&c);
    }
  }
}

static void whoever_takes_the_place_of_one_dead_in_the_action_breaks_it(void) {
  test_crew c;
  crew_make(&c, 2, (muster_barrier_options){.on_death = MUSTER_ON_DEATH_AWAIT}, work_act);
  c.options.action = tell_and_pause;
  c.options.context = &c;
  muster_barrier *other, *successor;
  muster_barrier_options plain = {.parties = 2, .on_death = MUSTER_ON_DEATH_AWAIT};
  CHECK_STATUS(muster_barrier_open(c.name, &plain, &other), 0);
  muster_barrier_result result;
  CHECK_STATUS(muster_barrier_arrive(other, &result), 0);
  crew_start(&c, 1);
  board_set(&c.board->go, 1);
  board_wait(&c.board->go, 2);
  crew_kill(&c, 1);
  CHECK_STATUS(muster_barrier_open(c.name, &plain, &successor), 0);
  CHECK_EQUAL(muster_barrier_member(successor), 1);
  CHECK_STATUS(muster_barrier_wait_phase(other, result.phase, soon(), &result), EOWNERDEAD);
  CHECK_EQUAL(result.culprit, 1);
  muster_barrier_close(other), muster_barrier_close(successor);
  crew_end(&c);
}

static void a_deadline_passes_although_the_action_is_stopped(void) {
  test_crew c;
  crew_make(&c, 1, (muster_barrier_options){.parties = 2}, work_act);
  c.options.action = tell_and_pause;
  c.options.context = &c;
  muster_barrier *other;
  CHECK_STATUS(muster_barrier_open(c.name, &(muster_barrier_options){.parties = 2}, &other), 0);
  muster_barrier_result result;
  CHECK_STATUS(muster_barrier_arrive(other, &result), 0);
  crew_start(&c, 0);
  board_set(&c.board->go, 1);
  board_wait(&c.board->go, 2);
  kill(c.pids[0], SIGSTOP);
  CHECK_STATUS(muster_barrier_wait_phase(other, result.phase, muster_deadline_after(50000000), &result), ETIMEDOUT);
  CHECK_STATUS(muster_barrier_reset(other), 0);
  kill(c.pids[0], SIGKILL);
  kill(c.pids[0], SIGCONT);
  test_join(c.pids[0], SIGKILL);
  muster_barrier_close(other);
  crew_end(&c);
}

// The watchers are among the first to sleep: kill them one after the other, and the member that nobody else could miss.
static void deaths_of_the_watchers_are_seen_too(void) {
  EACH_SIZE(n) {
    if (n < 8) continue;
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){.on_death = MUSTER_ON_DEATH_SHRINK}, work_last_stays_away);
    crew_start_all(&c);
    await_sleep(&c, 0, n - 1);
    // All have arrived but the last, so these deaths release nobody.
    for (uint32_t k = 0; k < 4; k++) crew_kill(&c, k);
    await_sleep(&c, 4, n - 1);
    crew_kill(&c, n - 1);
    crew_join(&c, 4, n - 1);
    check_all(&c, 4, n - 1, 0);
    crew_end(&c);
  }
}

static void the_watchers_and_the_missed_one_die_at_once(void) {
  EACH_SIZE(n) {
    if (n < 8) continue;
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){0}, work_last_stays_away);
    crew_start_all(&c);
    await_sleep(&c, 0, n - 1);
    for (uint32_t k = 0; k < 3; k++) kill(c.pids[k], SIGSTOP);
    kill(c.pids[n - 1], SIGKILL);
    for (uint32_t k = 0; k < 3; k++) kill(c.pids[k], SIGKILL);
    for (uint32_t k = 0; k < 3; k++) test_join(c.pids[k], SIGKILL);
    test_join(c.pids[n - 1], SIGKILL);
    crew_join(&c, 3, n - 1);
    check_all(&c, 3, n - 1, EOWNERDEAD);
    crew_end(&c);
  }
}

typedef struct opening {
  const char *name;
  muster_barrier *barrier;
} opening;

static void *open_and_end(void *context) {
  opening *o = context;
  CHECK_STATUS(muster_barrier_open(o->name, &(muster_barrier_options){.parties = 2}, &o->barrier), 0);
  return NULL;
}

static void a_thread_that_ends_is_dead(void) {
  opening ended = {.name = test_name("thread")};
  muster_barrier *mine;
  CHECK_STATUS(muster_barrier_open(ended.name, &(muster_barrier_options){.parties = 2}, &mine), 0);
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, open_and_end, &ended));
  pthread_join(thread, NULL);
  muster_barrier_result result;
  CHECK_STATUS(muster_barrier_wait(mine, soon(), &result), EOWNERDEAD);
  CHECK_EQUAL(result.culprit, 1);
  CHECK_STATUS(muster_barrier_close(ended.barrier), 0);
  CHECK_STATUS(muster_barrier_close(mine), 0);
  CHECK_STATUS(muster_region_remove(ended.name, 0), 0);
}

// What two processes hold each other to: a counter that only moves when all parties, less the dead, have met.
static void work_storm(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  uint64_t random = crew->board->counter + index * 977;
  while (!__atomic_load_n(&crew->board->go, __ATOMIC_ACQUIRE)) {
    int status = muster_barrier_wait(barrier, soon(), &report->result);
    if (status == 0) {
      report->rounds++;
    } else if (status == EOWNERDEAD || status == ENOTRECOVERABLE || status == ECANCELED) {
      if (crew->options.on_death != MUSTER_ON_DEATH_AWAIT) muster_barrier_reset(barrier);
    } else {
      CHECK_STATUS(status, 0);
      break;
    }
    if (test_random(&random) % 8 == 0) test_pause((int64_t)(test_random(&random) % 200000));
  }
  muster_barrier_abort(barrier);
}

// Rounds that those who live have met.
static uint64_t rounds_met(const test_crew *c) {
  uint64_t rounds = 0;
  for (uint32_t k = 0; k < c->size; k++) rounds += __atomic_load_n(&c->board->reports[k].rounds, __ATOMIC_RELAXED);
  return rounds;
}

// Random SIGKILL, SIGSTOP and SIGCONT; whoever dies is replaced. Nobody may hang: each wait ends long before its deadline, or
// the test does by its own. It is over when enough have died and those who live have met all the same.
static void storm(muster_on_death on_death, uint32_t n) {
  uint64_t random = test_seed();
  test_crew c;
  crew_make(&c, n, (muster_barrier_options){.on_death = on_death}, work_storm);
  c.board->counter = random;
  crew_start_all(&c);
  uint32_t kills = 0;
  while (kills < STORM_KILLS || rounds_met(&c) == 0) {
    uint32_t k = (uint32_t)(test_random(&random) % n);
    test_pause((int64_t)(test_random(&random) % 3000000));
    if (test_random(&random) % 3) {
      kill(c.pids[k], SIGSTOP);
      test_pause((int64_t)(test_random(&random) % 1000000));
      kill(c.pids[k], SIGCONT);
    } else {
      crew_kill(&c, k);
      kills++;
      int64_t end = test_now() + INT64_C(5000000000);
      do {
        crew_start(&c, k);
        int status = c.board->reports[k].status;
        if (!status) break;
        // The dead one's place is kept until somebody resets; ask again.
        if (status != EOWNERDEAD) CHECK_STATUS(status, ENOTRECOVERABLE);
        test_join(c.pids[k], 0);
        muster_barrier *outside;
        CHECK_STATUS(muster_barrier_open(c.name, &(muster_barrier_options){.observe = 1, .flags = MUSTER_REGION_ATTACH},
                                         &outside),
                     0);
        muster_barrier_reset(outside);
        muster_barrier_close(outside);
      } while (test_now() < end);
    }
  }
  board_set(&c.board->go, 1);
  crew_join(&c, 0, n);
  printf("%u parties: %u killed, %llu rounds met by the survivors\n", n, kills, (unsigned long long)rounds_met(&c));
  crew_end(&c);
}

static void storm_of_2_with_break(void) { storm(MUSTER_ON_DEATH_BREAK, 2); }
static void storm_of_6_with_break(void) { storm(MUSTER_ON_DEATH_BREAK, 6); }
static void storm_of_6_with_await(void) { storm(MUSTER_ON_DEATH_AWAIT, 6); }
static void storm_of_20_with_await(void) { storm(MUSTER_ON_DEATH_AWAIT, 20); }

// Each member is killed at a random moment until one is left: the last meets itself.
static void work_until_alone(test_crew *crew, uint32_t index, muster_barrier *barrier, member_report *report) {
  (void)index;
  while (!report->status && !__atomic_load_n(&crew->board->go, __ATOMIC_ACQUIRE)) {
    report->status = muster_barrier_wait(barrier, soon(), &report->result);
    report->rounds++;
  }
}

static void shrink_until_one_is_left(void) {
  uint64_t random = test_seed();
  for (uint32_t n = 4; n <= 40; n += 18) {
    test_crew c;
    crew_make(&c, n, (muster_barrier_options){.on_death = MUSTER_ON_DEATH_SHRINK}, work_until_alone);
    crew_start_all(&c);
    for (uint32_t k = n - 1; k > 0; k--) {
      test_pause((int64_t)(test_random(&random) % 2000000));
      crew_kill(&c, k);
    }
    muster_barrier *look;
    CHECK_STATUS(muster_barrier_open(c.name, &(muster_barrier_options){.observe = 1, .flags = MUSTER_REGION_ATTACH}, &look), 0);
    uint32_t before = c.board->reports[0].rounds;
    for (int64_t end = test_now() + INT64_C(20000000000);
         muster_barrier_parties(look) > 1 || __atomic_load_n(&c.board->reports[0].rounds, __ATOMIC_RELAXED) < before + 3;) {
      REQUIRE(test_now() < end);
      test_pause(100000);
    }
    board_set(&c.board->go, 1);
    crew_join(&c, 0, 1);
    CHECK_STATUS(c.board->reports[0].status, 0);
    muster_barrier_close(look);
    crew_end(&c);
  }
}

TEST_SUITE(barrier_death, {"break_tells_all_who_died", break_tells_all_who_died, 60},
           {"a_death_that_nobody_watched_is_found_by_who_comes", a_death_that_nobody_watched_is_found_by_who_comes, 0},
           {"closing_without_dropping_is_a_death", closing_without_dropping_is_a_death, 0},
           {"trying_finds_a_death_too", trying_finds_a_death_too, 0},
           {"closing_wakes_who_sleeps", closing_wakes_who_sleeps, 0},
           {"shrink_goes_on_without_the_dead", shrink_goes_on_without_the_dead, 60},
           {"await_waits_for_a_replacement", await_waits_for_a_replacement, 60},
           {"who_dies_after_arriving_counts_for_this_phase", who_dies_after_arriving_counts_for_this_phase, 60},
           {"death_in_the_action_breaks_it_under_every_policy", death_in_the_action_breaks_it_under_every_policy, 0},
           {"whoever_takes_the_place_of_one_dead_in_the_action_breaks_it",
            whoever_takes_the_place_of_one_dead_in_the_action_breaks_it, 0},
           {"a_deadline_passes_although_the_action_is_stopped", a_deadline_passes_although_the_action_is_stopped, 0},
           {"deaths_of_the_watchers_are_seen_too", deaths_of_the_watchers_are_seen_too, 60},
           {"the_watchers_and_the_missed_one_die_at_once", the_watchers_and_the_missed_one_die_at_once, 60},
           {"a_thread_that_ends_is_dead", a_thread_that_ends_is_dead, 0},
           {"storm_of_2_with_break", storm_of_2_with_break, 60}, {"storm_of_6_with_break", storm_of_6_with_break, 60},
           {"storm_of_6_with_await", storm_of_6_with_await, 60}, {"storm_of_20_with_await", storm_of_20_with_await, 60},
           {"shrink_until_one_is_left", shrink_until_one_is_left, 60});
