// The POSIX barrier: opening it. Waiting at a pthread_barrier_t is not swept, since a death there hangs it by design.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/posix_barrier.h"
#include "sweep.h"

static muster_posix_barrier *mine;
static pid_t waits_for_it;

static int open_by_name(muster_posix_barrier **barrier) {
  return muster_posix_barrier_open(sweep_name("posix"), &(muster_posix_barrier_options){.parties = 2}, barrier);
}

static int open_operate(void) { return open_by_name(&mine); }
static void finish(void) { muster_posix_barrier_close(mine); }
static void nothing(void) {}

static int waits(int number) {
  (void)number;
  int status = open_by_name(&mine);
  return status ? status : muster_posix_barrier_wait(mine, NULL);
}

// A waiter that was killed counts as arrived for ever: a renewal has to do away with it.
static void dead_generation(void) {
  pid_t peer = sweep_peer(waits, 0);
  muster_region_info info;
  while (muster_region_inspect(sweep_name("posix"), 0, &info)) sweep_pause(50000);
  sweep_settle(peer);
  kill(peer, SIGKILL);
  sweep_reap_killed(peer);
}

static int opens(int number) {
  (void)number;
  muster_posix_barrier *barrier;
  int status = open_by_name(&barrier);
  if (!status) muster_posix_barrier_close(barrier);
  return status;
}

static void open_meanwhile(void) {
  waits_for_it = sweep_peer(opens, 0);
  if (!sweep_ends_soon(waits_for_it)) return;
  SWEEP_STATUS(sweep_reap(waits_for_it), 0);
  waits_for_it = 0;
}

// Two newcomers meet, and meet again.
static int meets_twice(int number) {
  (void)number;
  muster_posix_barrier *barrier;
  SWEEP_STATUS(open_by_name(&barrier), 0);
  for (int round = 0; round < 2; round++) SWEEP_STATUS(muster_posix_barrier_wait(barrier, NULL), 0);
  muster_posix_barrier_close(barrier);
  return 0;
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (waits_for_it) {
    int status = sweep_reap(waits_for_it);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  pid_t one = sweep_peer(meets_twice, 0), two = sweep_peer(meets_twice, 0);
  SWEEP_STATUS(sweep_reap(one), 0);
  SWEEP_STATUS(sweep_reap(two), 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("posix"), 0), 0);
}

SWEEP_SUITE(
    posix,
    {.name = "posix-barrier.open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "posix-barrier.open-renews", .minimum = 200, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check});
