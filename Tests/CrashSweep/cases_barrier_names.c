// The barrier by name: whoever comes first makes it, or makes it anew after a generation that is gone, and joins.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>

#include "muster/barrier.h"
#include "sweep.h"

enum { PARTIES = 3 };

static muster_barrier *mine;

// Under *await*, so that places of those who went can be taken again.
static int open_by_name(muster_barrier **barrier) {
  muster_barrier_options options = {.parties = PARTIES, .on_death = MUSTER_ON_DEATH_AWAIT};
  return muster_barrier_open(sweep_name("barrier"), &options, barrier);
}

static int open_operate(void) { return open_by_name(&mine); }

static void finish(void) {
  if (sweep->result == 0) SWEEP_STATUS(muster_barrier_close(mine), 0);
}

static int come_and_go(int number) {
  (void)number;
  muster_barrier *barrier;
  int status = open_by_name(&barrier);
  return status ? status : muster_barrier_close(barrier);
}

// Every place can be taken, not one more, and those in them meet.
static int meet(int number) {
  (void)number;
  muster_barrier *crew[PARTIES], *more;
  for (int i = 0; i < PARTIES; i++) SWEEP_STATUS(open_by_name(&crew[i]), 0);
  SWEEP_STATUS(open_by_name(&more), EOVERFLOW);
  for (int round = 0; round < 2; round++) {
    muster_barrier_result result;
    for (int i = 0; i < PARTIES; i++) {
      SWEEP_STATUS(muster_barrier_arrive(crew[i], &result), 0);
      SWEEP_EQUAL(result.index, i);
    }
    for (int i = 0; i < PARTIES; i++)
      SWEEP_STATUS(muster_barrier_wait_phase(crew[i], result.phase, sweep_deadline(), NULL), 0);
  }
  for (int i = 0; i < PARTIES; i++) SWEEP_STATUS(muster_barrier_close(crew[i]), 0);
  return 0;
}

// A generation that ends in the middle of a phase.
static int arrive_and_die(int number) {
  (void)number;
  muster_barrier *barrier;
  SWEEP_STATUS(open_by_name(&barrier), 0);
  SWEEP_STATUS(muster_barrier_arrive(barrier, NULL), 0);
  raise(SIGKILL);
  return 1;
}

static void nothing(void) {}
static void dead_generation(void) { sweep_reap_killed(sweep_peer(arrive_and_die, 0)); }

// Who comes while the operator makes things anew may have to wait for it, and is told EBUSY if that takes long.
static pid_t waits_for_it;

// Who only looks is held up by nobody, and never told that something whole is not.
static void look(void) {
  muster_barrier_options options = {.observe = 1, .flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK};
  muster_barrier *barrier;
  int status = muster_barrier_open(sweep_name("barrier"), &options, &barrier);
  SWEEP_CHECK(status == 0 || status == ENOENT);
  if (!status) SWEEP_STATUS(muster_barrier_close(barrier), 0);
}

static void open_meanwhile(void) {
  look();
  waits_for_it = sweep_peer(come_and_go, 0);
  if (!sweep_ends_soon(waits_for_it)) return;
  SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  sweep_newcomer(come_and_go, 0);
  waits_for_it = 0;
}

static void open_check(void) {
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  look();
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(meet, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("barrier"), 0), 0);
}

SWEEP_SUITE(
    barrier_names,
    {.name = "barrier.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "barrier.open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
