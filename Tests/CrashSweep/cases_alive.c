// Alive: one owner at a time, and whoever comes next knows whether the last one ended cleanly or crashed.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/alive.h"
#include "sweep.h"

static const char *path(void) { return sweep_path("alive"); }

static muster_alive *mine, *ours;
static pid_t former;  // who crashed before

static int acquire_now(muster_alive_found *found, muster_alive **alive) {
  return muster_alive_acquire(path(), 0, MUSTER_DEADLINE_NOW, found, alive);
}

static muster_alive_found probe(void) {
  muster_alive_found found;
  SWEEP_STATUS(muster_alive_probe(path(), &found), 0);
  return found;
}

static void nothing(void) {}

// ---- Others.

static int comes_and_dies(int number) {
  (void)number;
  SWEEP_STATUS(acquire_now(NULL, &ours), 0);
  raise(SIGKILL);
  return 1;
}

static void crash_setup(void) {
  former = sweep_peer(comes_and_dies, 0);
  sweep_reap_killed(former);
  SWEEP_EQUAL(probe().kind, MUSTER_ALIVE_CRASH);
}

static void held_setup(void) { SWEEP_STATUS(acquire_now(NULL, &ours), 0); }

static int comes_and_ends(int number) {
  (void)number;
  int status = acquire_now(NULL, &ours);
  if (status) return status;
  SWEEP_STATUS(muster_alive_current(ours), 0);
  SWEEP_EQUAL(probe().pid, getpid());
  return muster_alive_release(ours);
}

// Whoever comes now gets it, is alone with it, and leaves nothing.
static void check_whole(void) {
  muster_alive *second;
  held_setup();
  muster_alive_found found = probe();
  SWEEP_EQUAL(found.kind, MUSTER_ALIVE_HELD);
  SWEEP_EQUAL(found.pid, getpid());
  SWEEP_STATUS(muster_alive_acquire(path(), 0, MUSTER_DEADLINE_NOW, NULL, &second), EBUSY);
  SWEEP_STATUS(muster_alive_release(ours), 0);
  SWEEP_EQUAL(probe().kind, MUSTER_ALIVE_NOTHING);
  sweep_newcomer(comes_and_ends, 0);
  SWEEP_EQUAL(probe().kind, MUSTER_ALIVE_NOTHING);
}

// While somebody is stopped on the way to it, or away from it: looking ends, and taking says yes or no.
static void others_try(void) {
  muster_alive_found found = probe();
  SWEEP_CHECK(found.pid == 0 || found.pid == former || found.pid == sweep->operator_pid);
  for (int turn = 0; turn < 2; turn++) {
    int status = sweep_reap(sweep_peer(comes_and_ends, 0));
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  // Now and then one that has taken it crashes, or keeps it.
  if (sweep->point % 4 == 1) {
    int file_is_free = sweep_reap(sweep_peer(comes_and_ends, 0)) == 0;
    if (file_is_free) sweep_reap_killed(sweep_peer(comes_and_dies, 0));
  }
  if (sweep->point % 4 == 3 && acquire_now(NULL, &ours)) ours = NULL;
}

// ---- Taking it.

static int acquire_operate(void) {
  muster_alive_found found;
  return acquire_now(&found, &mine);
}

static void finish(void) {
  if (mine) SWEEP_STATUS(muster_alive_release(mine), 0);
}

static void acquire_crash_check(muster_alive_kind before) {
  muster_alive_found found = probe();
  // A record that was being written says of no one who it was.
  int taken = found.kind == MUSTER_ALIVE_CRASH && found.pid != former;
  SWEEP_EQUAL(found.kind, taken ? MUSTER_ALIVE_CRASH : before);
  if (taken) SWEEP_CHECK(found.pid == 0 || found.pid == sweep->operator_pid);
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    SWEEP_EQUAL(found.pid, sweep->operator_pid);
  }
  sweep_found(taken ? SWEEP_AFTER : SWEEP_BEFORE);
}

static void acquire_stall_check(void) {
  SWEEP_CHECK(sweep->result == 0 || (sweep->result == EBUSY && ours));
  if (sweep->result == 0) {
    SWEEP_CHECK(!ours);
    muster_alive_found found = probe();
    SWEEP_EQUAL(found.kind, MUSTER_ALIVE_HELD);
    SWEEP_EQUAL(found.pid, sweep->operator_pid);
    SWEEP_EQUAL(sweep_reap(sweep_peer(comes_and_ends, 0)), EBUSY);
  }
  if (ours) SWEEP_STATUS(muster_alive_release(ours), 0);
  sweep_finish();
}

static void acquire_check_from(muster_alive_kind before) {
  if (sweep->injection == SWEEP_CRASH) acquire_crash_check(before);
  else acquire_stall_check();
  check_whole();
}

static void acquire_check(void) { acquire_check_from(MUSTER_ALIVE_NOTHING); }
static void acquire_after_crash_check(void) { acquire_check_from(MUSTER_ALIVE_CRASH); }

// It is held: the answer is no, and the holder notices nothing.
static void held_meanwhile(void) { SWEEP_EQUAL(sweep_reap(sweep_peer(comes_and_ends, 0)), EBUSY); }

static void held_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, EBUSY);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(muster_alive_current(ours), 0);
  SWEEP_EQUAL(probe().pid, getpid());
  SWEEP_STATUS(muster_alive_release(ours), 0);
  check_whole();
}

// ---- Letting it go.

static void prepare_held(void) { SWEEP_STATUS(acquire_now(NULL, &mine), 0); }
static int release_operate(void) { return muster_alive_release(mine); }

static int abandon_operate(void) {
  muster_alive_abandon(mine);
  return 0;
}

static void release_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_CRASH) {
    muster_alive_found found = probe();
    SWEEP_CHECK(found.kind == MUSTER_ALIVE_NOTHING ||
                (found.kind == MUSTER_ALIVE_CRASH && found.pid == sweep->operator_pid));
    sweep_found(found.kind == MUSTER_ALIVE_CRASH ? SWEEP_BEFORE : SWEEP_AFTER);
  } else {
    sweep_finish();
    if (ours) SWEEP_STATUS(muster_alive_current(ours), 0);
    if (ours) SWEEP_STATUS(muster_alive_release(ours), 0);
  }
  check_whole();
}

static void abandon_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    SWEEP_EQUAL(probe().kind, MUSTER_ALIVE_CRASH);
    SWEEP_EQUAL(probe().pid, sweep->operator_pid);
  } else {
    sweep_finish();
    if (ours) SWEEP_STATUS(muster_alive_current(ours), 0);
    if (ours) SWEEP_STATUS(muster_alive_release(ours), 0);
  }
  check_whole();
}

// ---- Looking.

static int probe_operate(void) {
  muster_alive_found found;
  int status = muster_alive_probe(path(), &found);
  return status ? status : -(int)found.kind;
}

static void probe_meanwhile(void) {
  if (ours) SWEEP_STATUS(muster_alive_release(ours), 0);
  ours = NULL;
  sweep_newcomer(comes_and_ends, 0);
  if (sweep->point % 2) sweep_reap_killed(sweep_peer(comes_and_dies, 0));
}

static void probe_check(void) {
  if (sweep->returned && sweep->injection == SWEEP_CRASH) {
    SWEEP_EQUAL(-sweep->result, ours ? MUSTER_ALIVE_HELD : former ? MUSTER_ALIVE_CRASH : MUSTER_ALIVE_NOTHING);
  } else if (sweep->returned) {
    SWEEP_CHECK(-sweep->result >= MUSTER_ALIVE_NOTHING && -sweep->result <= MUSTER_ALIVE_HELD);
    SWEEP_CHECK(-sweep->result != MUSTER_ALIVE_REBOOT);
    sweep_finish();
  }
  if (ours) SWEEP_STATUS(muster_alive_release(ours), 0);
  check_whole();
}

static int current_operate(void) { return muster_alive_current(mine); }

static void current_meanwhile(void) {
  if (sweep->point % 2) SWEEP_CHECK(unlink(path()) == 0);
  probe();
}

static void current_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0 || (sweep->injection == SWEEP_STALL && sweep->result == ESTALE));
  if (sweep->injection == SWEEP_STALL) {
    __atomic_store_n((uint32_t *)(void *)sweep->arena, 1, __ATOMIC_RELEASE);
    sweep_finish();
  }
  check_whole();
}

// Removed by hand meanwhile, perhaps: then a release has nothing to remove.
static void abandon_mine(void) { (void)muster_alive_release(mine); }

// ---- Waiting for life, and for death.

static int wait_operate(void) { return muster_alive_wait(path(), MUSTER_DEADLINE_NEVER, NULL); }

static int wait_death_operate(void) {
  muster_alive_found found;
  int status = muster_alive_wait_death(path(), MUSTER_DEADLINE_NEVER, &found);
  return status ? status : -(int)found.kind;
}

static pid_t partner;

// Stays until the operator has seen it, and the check has begun.
static int takes_it_late(int number) {
  (void)number;
  sweep_operator_asleep();
  SWEEP_STATUS(acquire_now(NULL, &ours), 0);
  sweep_operator_done();
  return muster_alive_release(ours);
}

static int dies_late(int number) {
  (void)number;
  SWEEP_STATUS(acquire_now(NULL, &ours), 0);
  __atomic_store_n((uint32_t *)(void *)sweep->arena, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  raise(SIGKILL);
  return 1;
}

static void life_setup(void) { partner = sweep_peer(takes_it_late, 0); }

static void death_setup(void) {
  partner = sweep_peer(dies_late, 0);
  while (!__atomic_load_n((uint32_t *)(void *)sweep->arena, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static void look(void) { probe(); }

static void life_meanwhile(void) {
  probe();
  // The partner has come and gone, perhaps before the operator looked: it needs another.
  SWEEP_STATUS(sweep_reap(partner), 0);
  SWEEP_STATUS(acquire_now(NULL, &ours), 0);
}

static void life_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) {
    sweep_finish();
    SWEEP_STATUS(muster_alive_release(ours), 0);
  } else {
    SWEEP_STATUS(sweep_reap(partner), 0);
  }
  check_whole();
}

static void death_check(void) {
  if (sweep->returned) SWEEP_EQUAL(-sweep->result, MUSTER_ALIVE_CRASH);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_reap_killed(partner);
  check_whole();
}

SWEEP_SUITE(
    alive,
    {.name = "alive.acquire", .minimum = 300, .setup = nothing, .operate = acquire_operate, .meanwhile = others_try,
     .finish = finish, .check = acquire_check},
    {.name = "alive.acquire-after-a-crash", .minimum = 300, .setup = crash_setup, .operate = acquire_operate,
     .meanwhile = others_try, .finish = finish, .check = acquire_after_crash_check},
    {.name = "alive.acquire-what-is-held", .minimum = 300, .setup = held_setup, .operate = acquire_operate,
     .meanwhile = held_meanwhile, .check = held_check},
    {.name = "alive.release", .minimum = 100, .setup = nothing, .prepare = prepare_held, .operate = release_operate,
     .meanwhile = others_try, .check = release_check},
    {.name = "alive.abandon", .minimum = 50, .setup = nothing, .prepare = prepare_held, .operate = abandon_operate,
     .meanwhile = others_try, .check = abandon_check},
    {.name = "alive.probe-nothing", .minimum = 50, .setup = nothing, .operate = probe_operate,
     .meanwhile = probe_meanwhile, .check = probe_check},
    {.name = "alive.probe-a-crash", .minimum = 200, .setup = crash_setup, .operate = probe_operate,
     .meanwhile = probe_meanwhile, .check = probe_check},
    {.name = "alive.probe-what-is-held", .minimum = 200, .setup = held_setup, .operate = probe_operate,
     .meanwhile = probe_meanwhile, .check = probe_check},
    {.name = "alive.current", .minimum = 30, .setup = nothing, .prepare = prepare_held, .operate = current_operate,
     .meanwhile = current_meanwhile, .finish = abandon_mine, .check = current_check},
    {.name = "alive.wait-for-life", .minimum = 300, .setup = life_setup, .operate = wait_operate,
     .meanwhile = life_meanwhile, .check = life_check},
    // The kernel lets go of the lock of one who dies before it tells of his end: the waiter sees one of them, or both at once.
    {.name = "alive.wait-for-death", .minimum = 300, .setup = death_setup, .operate = wait_death_operate,
     .meanwhile = look, .check = death_check, .race = 1});
