// Whether, when and with what a daemon is started again: pure code over values. Time and what checkpoints there are come
// in as arguments; nothing here asks the system for anything.
//
//   muster_root_ladder_try     before each attempt: counts it, and says which checkpoint it is to load
//   muster_root_ladder_untry   the attempt could not be made (fork failed): as if it had not been counted
//   muster_root_ladder_ended   after each end: where on the ladder the next one stands, and how long it is put off
//
// The ladder, rung by rung, `tries` attempts each:
//
//   policy          AS_DECLARED     CHECKPOINTS                          ZEROED   GIVEN_UP
//   ZERO            zeros           -                                    -        x
//   CHECKPOINT      the newest      each older than the one last tried   zeros    x
//   KEEP, DECIDE    the memory      the newest, then each older          zeros    x
//
// `checkpoint` is the number of the one that was tried last. Numbers only grow, so "older than that" never comes back to one that
// failed, though a daemon that fails late may save new ones meanwhile: those stem from one that is under suspicion, and are
// not looked at before it has been stable. A ladder that is not reset thus has at most tries * (2 + checkpoints) attempts.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ROOT_POLICY_H
#define MUSTER_INTERNAL_ROOT_POLICY_H

#include <stdint.h>

#include "muster/root.h"

// A spec's numbers, with its defaults in place; times in nanoseconds.
typedef struct root_policy {
  muster_daemon_policy state;
  muster_daemon_restart restart;
  uint32_t tries;
  uint32_t budget;  // 0: no limit
  uint32_t jitter;  // per cent
  int64_t stable, within, delay_first, delay_most;
} root_policy;

typedef struct root_ladder {
  muster_daemon_rung rung;
  uint32_t attempts;    // on this rung, counted before each
  uint32_t streak;      // restarts in a row, without a stable time in between
  uint32_t kept;        // of the restarts below
  uint32_t next;        // where the next one is noted
  uint32_t steps;       // from checkpoint to checkpoint, since the foot
  uint64_t checkpoint;  // that was tried last; 0: none
  uint64_t random;
  int64_t restarts[MUSTER_ROOT_BUDGET_MAX];  // when the last ones were
} root_ladder;

// The checkpoints that are there, from the newest to the oldest.
typedef struct root_checkpoints {
  uint32_t count;
  uint64_t numbers[MUSTER_ARENA_CHECKPOINTS_MAX];
} root_checkpoints;

// How a daemon ended, as far as that matters here.
typedef struct root_end {
  int failed;     // not by returning 0
  int64_t lived;  // nanoseconds, of those that count
  int64_t now;
} root_end;

// Never started again, though not given up: it ended as it was meant to.
#define ROOT_FOR_GOOD (-1)

// Takes over a spec's numbers. Returns 0, or EINVAL.
int muster_root_policy_of(const muster_daemon_spec *spec, root_policy *policy);

void muster_root_ladder_try(const root_policy *policy, root_ladder *ladder, const root_checkpoints *there);
void muster_root_ladder_untry(root_ladder *ladder);

// How long the next attempt is to be put off, or ROOT_FOR_GOOD, also when ladder->rung is MUSTER_DAEMON_GIVEN_UP.
int64_t muster_root_ladder_ended(const root_policy *policy, root_ladder *ladder, const root_end *end,
                                 const root_checkpoints *there);

// It has lived for its stable time.
void muster_root_ladder_reset(root_ladder *ladder);

#endif
