// The ladder of restarts, its budget and its delays: tables of ends, and what has to follow. No process, no clock.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdint.h>

#include "internal/root_policy.h"
#include "support.h"

#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)

static int runs(muster_daemon *self, void *context) {
  (void)self;
  (void)context;
  return 0;
}

static muster_daemon_policy decides(const muster_daemon_case *found, void *context) {
  (void)found;
  (void)context;
  return MUSTER_DAEMON_KEEP;
}

static root_policy policy_of(muster_daemon_spec spec) {
  spec.run = runs;
  root_policy policy;
  REQUIRE(muster_root_policy_of(&spec, &policy) == 0);
  return policy;
}

// ---- Specs

static void defaults(void) {
  root_policy policy = policy_of((muster_daemon_spec){0});
  CHECK_EQUAL(policy.tries, 3);
  CHECK_EQUAL(policy.stable, 10 * SECOND);
  CHECK_EQUAL(policy.budget, 0);
  CHECK_EQUAL(policy.within, 60 * SECOND);
  CHECK_EQUAL(policy.delay_first, 50 * MS);
  CHECK_EQUAL(policy.delay_most, 10 * SECOND);
  CHECK_EQUAL(policy.jitter, 20);
  policy = policy_of((muster_daemon_spec){.stable = MUSTER_ROOT_NONE, .delay_first = MUSTER_ROOT_NONE,
                                          .delay_jitter = MUSTER_ROOT_NONE});
  CHECK_EQUAL(policy.stable, 0);
  CHECK_EQUAL(policy.delay_first, 0);
  CHECK_EQUAL(policy.jitter, 0);
}

static void refused(void) {
  const muster_daemon_spec bad[] = {
      {.tries = -1},
      {.stable = -2},
      {.budget = -1},
      {.budget = (int32_t)MUSTER_ROOT_BUDGET_MAX + 1},
      {.budget_within = -1},
      {.delay_first = -2},
      {.delay_most = -1},
      {.delay_jitter = 101},
      {.delay_jitter = -2},
      {.policy = MUSTER_DAEMON_DECIDE},
      {.policy = MUSTER_DAEMON_KEEP, .decide = decides},
      {.policy = (muster_daemon_policy)4},
      {.restart = (muster_daemon_restart)3},
  };
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    root_policy policy;
    if (muster_root_policy_of(&bad[k], &policy) != EINVAL) test_fail(__FILE__, __LINE__, "number %zu is accepted", k);
  }
}

// ---- The ladder. Each step is an attempt, what it found, and how it ended.

typedef struct attempt {
  uint64_t newest;      // checkpoints newest, newest - 1, ... newest - kept + 1 are there
  uint32_t kept;
  muster_daemon_rung rung;  // the attempt is made on
  uint32_t attempts;
  uint64_t checkpoint;  // on the rung of checkpoints
  int clean;            // it ended by returning 0
  int64_t lived;
} attempt;

static root_checkpoints there_are(uint64_t newest, uint32_t count) {
  root_checkpoints there = {.count = count};
  for (uint32_t k = 0; k < count; k++) there.numbers[k] = newest - k;
  return there;
}

static void climb(const char *what, const root_policy *policy, root_ladder *ladder, const attempt *steps, size_t count) {
  int64_t now = SECOND;
  for (size_t k = 0; k < count; k++) {
    const attempt *step = &steps[k];
    root_checkpoints there = there_are(step->newest, step->kept);
    muster_root_ladder_try(policy, ladder, &there);
    int fits = ladder->rung == step->rung && ladder->attempts == step->attempts;
    if (step->rung == MUSTER_DAEMON_CHECKPOINTS) fits = fits && ladder->checkpoint == step->checkpoint;
    if (!fits)
      test_fail(__FILE__, __LINE__, "%s, step %zu: rung %d, attempt %u, checkpoint %llu", what, k, (int)ladder->rung,
                ladder->attempts, (unsigned long long)ladder->checkpoint);
    now += step->lived;
    root_end end = {.failed = !step->clean, .lived = step->lived, .now = now};
    (void)muster_root_ladder_ended(policy, ladder, &end, &there);
  }
}

#define CLIMB(what, policy, ladder, ...)                                                    \
  do {                                                                                      \
    const attempt steps[] = {__VA_ARGS__};                                                  \
    climb(what, &policy, &ladder, steps, sizeof steps / sizeof *steps);                     \
  } while (0)

#define DECLARED MUSTER_DAEMON_AS_DECLARED
#define POINTS MUSTER_DAEMON_CHECKPOINTS
#define ZEROED MUSTER_DAEMON_ZEROED

static void zero_then_up(void) {
  root_policy policy = policy_of((muster_daemon_spec){.tries = 2});
  root_ladder ladder = {0};
  CLIMB("zero", policy, ladder, {0, 0, DECLARED, 1, 0, 0, 0}, {0, 0, DECLARED, 2, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

static void keep_climbs(void) {
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_KEEP, .tries = 2});
  root_ladder ladder = {0};
  CLIMB("keep", policy, ladder,
        {5, 2, DECLARED, 1, 0, 0, 0}, {5, 2, DECLARED, 2, 0, 0, 0},
        {5, 2, POINTS, 1, 5, 0, 0}, {5, 2, POINTS, 2, 5, 0, 0},
        {5, 2, POINTS, 1, 4, 0, 0}, {5, 2, POINTS, 2, 4, 0, 0},
        {5, 2, ZEROED, 1, 0, 0, 0}, {5, 2, ZEROED, 2, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

static void checkpoint_starts_with_the_newest(void) {
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_CHECKPOINT, .tries = 1});
  root_ladder ladder = {0};
  CLIMB("checkpoint", policy, ladder,
        {9, 3, DECLARED, 1, 0, 0, 0}, {9, 3, POINTS, 1, 8, 0, 0}, {9, 3, POINTS, 1, 7, 0, 0}, {9, 3, ZEROED, 1, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

// Saved by attempts that failed later: not looked at, and what they wrote over is no more.
static void newer_ones_are_under_suspicion(void) {
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_CHECKPOINT, .tries = 2});
  root_ladder ladder = {0};
  CLIMB("suspicion", policy, ladder,
        {9, 4, DECLARED, 1, 0, 0, 0}, {10, 4, DECLARED, 2, 0, 0, 0},
        {10, 4, POINTS, 1, 9, 0, 0}, {11, 4, POINTS, 2, 9, 0, 0},
        // 8 has been written over meanwhile.
        {12, 4, ZEROED, 1, 0, 0, 0}, {13, 4, ZEROED, 2, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

static void none_there(void) {
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_KEEP, .tries = 1});
  root_ladder ladder = {0};
  CLIMB("none", policy, ladder, {0, 0, DECLARED, 1, 0, 0, 0}, {0, 0, ZEROED, 1, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

static void stable_falls_back(void) {
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_KEEP, .tries = 2, .stable = SECOND});
  root_ladder ladder = {0};
  CLIMB("stable", policy, ladder,
        {3, 1, DECLARED, 1, 0, 0, 0}, {3, 1, DECLARED, 2, 0, 0, SECOND - 1},
        {3, 1, POINTS, 1, 3, 0, SECOND},
        {4, 1, DECLARED, 1, 0, 0, 0}, {4, 1, DECLARED, 2, 0, 0, 0}, {4, 1, POINTS, 1, 4, 0, 0});
}

static void clean_ends_do_not_count(void) {
  root_policy policy = policy_of((muster_daemon_spec){.tries = 2});
  root_ladder ladder = {0};
  CLIMB("clean", policy, ladder, {0, 0, DECLARED, 1, 0, 1, 0}, {0, 0, DECLARED, 1, 0, 1, 0}, {0, 0, DECLARED, 1, 0, 0, 0},
        {0, 0, DECLARED, 2, 0, 1, 0}, {0, 0, DECLARED, 2, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

static void fork_failures_do_not_count(void) {
  root_policy policy = policy_of((muster_daemon_spec){.tries = 1});
  root_ladder ladder = {0};
  root_checkpoints none = {0};
  for (int k = 0; k < 10; k++) {
    muster_root_ladder_try(&policy, &ladder, &none);
    muster_root_ladder_untry(&ladder);
  }
  CLIMB("after failures", policy, ladder, {0, 0, DECLARED, 1, 0, 0, 0});
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_GIVEN_UP);
}

static void restart_kinds(void) {
  const struct {
    muster_daemon_restart kind;
    int failed, again;
  } table[] = {{MUSTER_DAEMON_ALWAYS, 0, 1}, {MUSTER_DAEMON_ALWAYS, 1, 1},     {MUSTER_DAEMON_ON_FAILURE, 0, 0},
               {MUSTER_DAEMON_ON_FAILURE, 1, 1}, {MUSTER_DAEMON_NEVER, 0, 0}, {MUSTER_DAEMON_NEVER, 1, 0}};
  for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
    root_policy policy = policy_of((muster_daemon_spec){.restart = table[k].kind});
    root_ladder ladder = {0};
    root_checkpoints none = {0};
    muster_root_ladder_try(&policy, &ladder, &none);
    root_end end = {.failed = table[k].failed, .now = SECOND};
    CHECK_EQUAL(muster_root_ladder_ended(&policy, &ladder, &end, &none) != ROOT_FOR_GOOD, table[k].again);
    CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_AS_DECLARED);
  }
}

// Whatever fails and is saved, a ladder that is not reset ends.
static void always_ends(void) {
  uint64_t seed = test_seed();
  for (int turn = 0; turn < 200; turn++) {
    muster_daemon_spec spec = {.tries = 1 + (int32_t)(test_random(&seed) % 3)};
    spec.policy = (muster_daemon_policy)(test_random(&seed) % 3);
    root_policy policy = policy_of(spec);
    root_ladder ladder = {0};
    uint32_t kept = (uint32_t)(test_random(&seed) % (MUSTER_ARENA_CHECKPOINTS_MAX + 1)), attempts = 0;
    for (uint64_t newest = 100; ladder.rung != MUSTER_DAEMON_GIVEN_UP; newest += test_random(&seed) % 2) {
      root_checkpoints there = there_are(newest, kept);
      muster_root_ladder_try(&policy, &ladder, &there);
      root_end end = {.failed = 1, .now = (int64_t)attempts++};
      (void)muster_root_ladder_ended(&policy, &ladder, &end, &there);
      REQUIRE(attempts <= policy.tries * (2 + MUSTER_ARENA_CHECKPOINTS_MAX));
    }
  }
}

// ---- Budget and delays

static int64_t end_at(const root_policy *policy, root_ladder *ladder, int64_t now, int64_t lived) {
  root_checkpoints none = {0};
  muster_root_ladder_try(policy, ladder, &none);
  root_end end = {.failed = 1, .lived = lived, .now = now};
  return muster_root_ladder_ended(policy, ladder, &end, &none);
}

static void budget(void) {
  // Each life is stable, so that the ladder alone would never climb.
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_KEEP, .stable = MUSTER_ROOT_NONE, .budget = 3,
                                                      .budget_within = SECOND});
  root_ladder ladder = {0};
  int64_t now = SECOND;
  for (int k = 0; k < 10; k++) {
    CHECK_EQUAL(end_at(&policy, &ladder, now, 0), 0);
    CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_AS_DECLARED);
    now += SECOND / 3 + 1;
  }
  for (int k = 0; k < 3 && ladder.rung == MUSTER_DAEMON_AS_DECLARED; k++) (void)end_at(&policy, &ladder, now, 0);
  CHECK_EQUAL(ladder.rung, MUSTER_DAEMON_ZEROED);
}

static void delays(void) {
  root_policy policy = policy_of((muster_daemon_spec){.tries = 1000, .stable = SECOND, .delay_first = 10 * MS,
                                                      .delay_most = 60 * MS, .delay_jitter = MUSTER_ROOT_NONE});
  root_ladder ladder = {0};
  const int64_t expected[] = {0, 10, 20, 40, 60, 60, 60};
  for (size_t k = 0; k < sizeof expected / sizeof *expected; k++)
    CHECK_EQUAL(end_at(&policy, &ladder, SECOND, 0), expected[k] * MS);
  CHECK_EQUAL(end_at(&policy, &ladder, 5 * SECOND, SECOND), 0);
  CHECK_EQUAL(end_at(&policy, &ladder, 5 * SECOND, 0), 10 * MS);
}

static void longest_delays(void) {
  root_policy policy = policy_of((muster_daemon_spec){.tries = INT32_MAX, .delay_first = INT64_MAX, .delay_most = INT64_MAX,
                                                      .delay_jitter = 100});
  root_ladder ladder = {0};
  for (int k = 0; k < 100; k++) CHECK(end_at(&policy, &ladder, SECOND, 0) >= 0);
}

static void jitter(void) {
  root_policy policy = policy_of((muster_daemon_spec){.tries = 100000, .delay_first = 100 * MS, .delay_most = 100 * MS});
  root_ladder ladder = {.random = test_seed()};
  int64_t least = INT64_MAX, most = 0;
  CHECK_EQUAL(end_at(&policy, &ladder, SECOND, 0), 0);
  for (int k = 0; k < 1000; k++) {
    int64_t delay = end_at(&policy, &ladder, SECOND, 0);
    CHECK(delay >= 80 * MS && delay <= 120 * MS);
    if (delay < least) least = delay;
    if (delay > most) most = delay;
  }
  CHECK(most - least > 20 * MS);
}

// A daemon that went astray says in each life that there is one checkpoint, with a lower number than the last.
static void checkpoints_without_end(void) {
  for (uint32_t slower = 1; slower <= 4; slower++) {
    root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_KEEP, .tries = 3});
    root_ladder ladder = {0};
    unsigned lives = 0;
    for (; ladder.rung != MUSTER_DAEMON_GIVEN_UP && lives < 1000; lives++) {
      root_checkpoints there = there_are(1000000 - lives / slower, 1);
      muster_root_ladder_try(&policy, &ladder, &there);
      root_end end = {.failed = 1, .now = SECOND * (lives + 1)};
      (void)muster_root_ladder_ended(&policy, &ladder, &end, &there);
    }
    CHECK(lives <= 3 * (MUSTER_ARENA_CHECKPOINTS_MAX + 2));
  }
}

// All that there can be are tried.
static void as_many_checkpoints_as_there_can_be(void) {
  root_policy policy = policy_of((muster_daemon_spec){.policy = MUSTER_DAEMON_KEEP, .tries = 1});
  root_ladder ladder = {0};
  root_checkpoints there = there_are(100, MUSTER_ARENA_CHECKPOINTS_MAX);
  uint64_t last = 0;
  unsigned lives = 0;
  for (; ladder.rung != MUSTER_DAEMON_GIVEN_UP && lives < 1000; lives++) {
    muster_root_ladder_try(&policy, &ladder, &there);
    if (ladder.rung == MUSTER_DAEMON_CHECKPOINTS) last = ladder.checkpoint;
    root_end end = {.failed = 1, .now = SECOND * (lives + 1)};
    (void)muster_root_ladder_ended(&policy, &ladder, &end, &there);
  }
  CHECK_EQUAL(lives, MUSTER_ARENA_CHECKPOINTS_MAX + 2);
  CHECK_EQUAL(last, 100 - MUSTER_ARENA_CHECKPOINTS_MAX + 1);
}

TEST_SUITE(root_policy, {"defaults", defaults, 0}, {"refused", refused, 0}, {"zero_then_up", zero_then_up, 0},
           {"keep_climbs", keep_climbs, 0},
           {"checkpoint_starts_with_the_newest", checkpoint_starts_with_the_newest, 0},
           {"newer_ones_are_under_suspicion", newer_ones_are_under_suspicion, 0}, {"none_there", none_there, 0},
           {"stable_falls_back", stable_falls_back, 0}, {"clean_ends_do_not_count", clean_ends_do_not_count, 0},
           {"fork_failures_do_not_count", fork_failures_do_not_count, 0}, {"restart_kinds", restart_kinds, 0},
           {"always_ends", always_ends, 0},
           {"checkpoints_without_end", checkpoints_without_end, 0},
           {"as_many_checkpoints_as_there_can_be", as_many_checkpoints_as_there_can_be, 0}, {"budget", budget, 0}, {"delays", delays, 0},
           {"longest_delays", longest_delays, 0}, {"jitter", jitter, 0});
