// SPDX-License-Identifier: Apache-2.0
#include "internal/root_policy.h"

#include <errno.h>
#include <limits.h>

#define SECOND INT64_C(1000000000)

// Jitter can be added to it.
#define DELAY_LONGEST (INT64_MAX / 4)

enum { TRIES = 3, JITTER = 20, DOUBLINGS_MOST = 40 };

// ---- Specs

// 0: the default; MUSTER_ROOT_NONE: none.
static int64_t or_default(int64_t value, int64_t fallback) {
  return value == 0 ? fallback : value == MUSTER_ROOT_NONE ? 0 : value;
}

static int numbers_fit(const muster_daemon_spec *spec) {
  if (spec->tries < 0 || spec->stable < MUSTER_ROOT_NONE || spec->delay_first < MUSTER_ROOT_NONE) return 0;
  if (spec->delay_jitter < MUSTER_ROOT_NONE || spec->delay_jitter > 100 || spec->delay_most < 0) return 0;
  return spec->budget >= 0 && spec->budget <= (int32_t)MUSTER_ROOT_BUDGET_MAX && spec->budget_within >= 0;
}

int muster_root_policy_of(const muster_daemon_spec *spec, root_policy *policy) {
  if (!numbers_fit(spec)) return EINVAL;
  if (spec->policy > MUSTER_DAEMON_DECIDE || (spec->policy == MUSTER_DAEMON_DECIDE) != (spec->decide != NULL)) return EINVAL;
  if (spec->restart > MUSTER_DAEMON_NEVER) return EINVAL;
  *policy = (root_policy){
      .state = spec->policy,
      .restart = spec->restart,
      .tries = spec->tries ? (uint32_t)spec->tries : TRIES,
      .budget = (uint32_t)spec->budget,
      .jitter = (uint32_t)or_default(spec->delay_jitter, JITTER),
      .stable = or_default(spec->stable, 10 * SECOND),
      .within = or_default(spec->budget_within, 60 * SECOND),
      .delay_first = or_default(spec->delay_first, SECOND / 20),
      .delay_most = spec->delay_most > DELAY_LONGEST ? DELAY_LONGEST : or_default(spec->delay_most, 10 * SECOND),
  };
  return 0;
}

// ---- The ladder

// The newest checkpoint whose number is at most so; 0: there is none.
static uint64_t newest_up_to(const root_checkpoints *there, uint64_t most) {
  for (uint32_t k = 0; k < there->count; k++)
    if (there->numbers[k] <= most) return there->numbers[k];
  return 0;
}

static void stand_on(root_ladder *ladder, muster_daemon_rung rung) {
  ladder->rung = rung;
  ladder->attempts = 0;
}

// Which checkpoints there are the daemon says, which may go astray: one that has a lower number for each of its lives shall not stay on
// that rung. Of those that were there when it came to it, each further one has a lower number: so there are no more steps than checkpoints.
static void descend(root_ladder *ladder, uint64_t next) {
  if (!next || ladder->steps == MUSTER_ARENA_CHECKPOINTS_MAX) {
    stand_on(ladder, MUSTER_DAEMON_ZEROED);
    return;
  }
  stand_on(ladder, MUSTER_DAEMON_CHECKPOINTS);
  ladder->checkpoint = next;
  ladder->steps++;
}

// To the next checkpoint, or where there is none to the next rung.
static void step(const root_policy *policy, root_ladder *ladder, const root_checkpoints *there) {
  if (ladder->rung == MUSTER_DAEMON_ZEROED || policy->state == MUSTER_DAEMON_ZERO) {
    stand_on(ladder, MUSTER_DAEMON_GIVEN_UP);
    return;
  }
  descend(ladder, newest_up_to(there, ladder->checkpoint ? ladder->checkpoint - 1 : UINT64_MAX));
}

void muster_root_ladder_reset(root_ladder *ladder) {
  stand_on(ladder, MUSTER_DAEMON_AS_DECLARED);
  ladder->checkpoint = 0;
  ladder->steps = 0;
  ladder->streak = 0;
}

void muster_root_ladder_try(const root_policy *policy, root_ladder *ladder, const root_checkpoints *there) {
  if (ladder->rung == MUSTER_DAEMON_AS_DECLARED && policy->state == MUSTER_DAEMON_CHECKPOINT)
    ladder->checkpoint = newest_up_to(there, UINT64_MAX);
  if (ladder->rung == MUSTER_DAEMON_CHECKPOINTS) {
    // What stands there by now: the one of the last attempt may have been written over by newer ones.
    uint64_t now = newest_up_to(there, ladder->checkpoint);
    if (now != ladder->checkpoint) descend(ladder, now);
  }
  ladder->attempts++;
}

void muster_root_ladder_untry(root_ladder *ladder) {
  if (ladder->attempts > 0) ladder->attempts--;
}

// ---- Budget and delay

// Whether that restart is one too many. If so the count begins anew, on the next rung.
static int overspent(const root_policy *policy, root_ladder *ladder, int64_t now) {
  if (!policy->budget) return 0;
  int64_t oldest = ladder->restarts[ladder->next];
  if (ladder->kept == policy->budget && now - oldest < policy->within) {
    ladder->kept = ladder->next = 0;
    return 1;
  }
  ladder->restarts[ladder->next] = now;
  ladder->next = (ladder->next + 1) % policy->budget;
  if (ladder->kept < policy->budget) ladder->kept++;
  return 0;
}

// splitmix64
static uint64_t draw(uint64_t *random) {
  uint64_t x = *random += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

// Up to `jitter` per cent more or less.
static int64_t jittered(int64_t delay, uint32_t jitter, uint64_t *random) {
  int64_t part = delay / 100 * jitter;
  if (part <= 0) return delay;
  return delay - part + (int64_t)(draw(random) % ((uint64_t)part * 2 + 1));
}

static int64_t delay_of(const root_policy *policy, root_ladder *ladder) {
  uint32_t row = ladder->streak;
  if (ladder->streak < DOUBLINGS_MOST) ladder->streak++;
  if (row == 0 || policy->delay_first == 0) return 0;
  int64_t delay = policy->delay_first;
  for (uint32_t k = 1; k < row && delay < policy->delay_most; k++) delay = delay > INT64_MAX / 2 ? INT64_MAX : delay * 2;
  return jittered(delay < policy->delay_most ? delay : policy->delay_most, policy->jitter, &ladder->random);
}

int64_t muster_root_ladder_ended(const root_policy *policy, root_ladder *ladder, const root_end *end,
                                 const root_checkpoints *there) {
  if (policy->restart == MUSTER_DAEMON_NEVER || (policy->restart == MUSTER_DAEMON_ON_FAILURE && !end->failed))
    return ROOT_FOR_GOOD;
  if (end->lived >= policy->stable) muster_root_ladder_reset(ladder);
  else if (!end->failed) muster_root_ladder_untry(ladder);
  if (overspent(policy, ladder, end->now) || (end->failed && ladder->attempts >= policy->tries)) step(policy, ladder, there);
  return ladder->rung == MUSTER_DAEMON_GIVEN_UP ? ROOT_FOR_GOOD : delay_of(policy, ladder);
}
