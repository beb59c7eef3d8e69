// The robust mutex: who dies or stops at whatever instruction of locking, unlocking, repairing and waiting leaves nobody
// waiting, and nothing half changed that it gives with 0.
// SPDX-License-Identifier: Apache-2.0
#include "lock_world.h"

static muster_mutex *mine, *ours;

static muster_mutex *attach(void) {
  muster_mutex *mutex;
  SWEEP_STATUS(muster_mutex_attach(sweep->arena, SWEEP_ARENA / 2, &mutex), 0);
  return mutex;
}

static void lay(void) {
  SWEEP_STATUS(muster_mutex_init(sweep->arena, SWEEP_ARENA / 2), 0);
  ours = attach();
}

static void prepare(void) { mine = attach(); }

static void lock_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_mutex_try(mine), 0);
}

static int uses_it(int number) {
  (void)number;
  muster_mutex *mutex = attach();
  int status = muster_mutex_lock_repairing(mutex, repair, NULL, sweep_deadline());
  if (status) return status;
  check_whole();
  change();
  SWEEP_STATUS(muster_mutex_unlock(mutex), 0);
  return muster_mutex_close(mutex);
}

// Whoever comes uses it whole; what it was in is told and over.
static void check_mutex(void) {
  sweep_newcomer(uses_it, 0);
  SWEEP_STATUS(muster_mutex_lock(ours, sweep_deadline()), 0);
  check_whole();
  SWEEP_STATUS(muster_mutex_unlock(ours), 0);
  sweep_newcomer(uses_it, 0);
}

static int lock_operate(void) {
  int status = muster_mutex_lock(mine, MUSTER_DEADLINE_NEVER);
  return status == EOWNERDEAD ? 0 : status;
}
static int try_operate(void) { return muster_mutex_try(mine); }
static int unlock_operate(void) { return muster_mutex_unlock(mine); }
static int repaired_operate(void) { return muster_mutex_repaired(mine); }
static int reset_operate(void) { return muster_mutex_reset(mine); }
static int change_operate(void) {
  change();
  return 0;
}
static int repairing_operate(void) {
  int status = muster_mutex_lock_repairing(mine, repair, NULL, MUSTER_DEADLINE_NEVER);
  if (status) return status;
  change();
  return muster_mutex_unlock(mine);
}

// Others take it meanwhile if it is free; else they are told that it is held.
static void try_meanwhile(void) {
  int status = muster_mutex_try(ours);
  SWEEP_CHECK(status == 0 || status == EBUSY || status == EOWNERDEAD || status == ENOTRECOVERABLE);
  muster_lock_holder holder;
  SWEEP_STATUS(muster_mutex_holder(ours, &holder), 0);
  if (status == EOWNERDEAD) SWEEP_STATUS(repair(NULL), 0), SWEEP_STATUS(muster_mutex_repaired(ours), 0);
  if (status && status != EOWNERDEAD) return;
  SWEEP_EQUAL(holder.pid, getpid());
  check_whole();
  change();
  SWEEP_STATUS(muster_mutex_unlock(ours), 0);
}

static void let_go(void) {
  if (muster_mutex_unlock(mine) == 0) return;
}

static void finish(void) {
  let_go();
  SWEEP_STATUS(muster_mutex_close(mine), 0);
}

static void taken_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0 || sweep->result == EBUSY || sweep->result == EOWNERDEAD);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (sweep->variant) {
    // Tried by one that got it unrepaired and let go of it: poisoned.
    SWEEP_STATUS(muster_mutex_reset(ours), 0);
  }
  check_mutex();
}

// Sleepers wait for whoever has it; all get it, told of a death or not.
static int waits_for_it(int number) {
  muster_mutex *mutex = attach();
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  int status = muster_mutex_lock(mutex, sweep_deadline());
  note()->slept[number] = status;
  if (status && status != EOWNERDEAD) return 0;
  if (status) SWEEP_STATUS(repair(NULL), 0), SWEEP_STATUS(muster_mutex_repaired(mutex), 0);
  check_whole();
  change();
  SWEEP_STATUS(muster_mutex_unlock(mutex), 0);
  return 0;
}

static int late_sleeper(int number) {
  come_in_turn(number);
  return waits_for_it(number);
}

static void sleepers_setup(void) {
  lay();
  start_sleepers(late_sleeper, SLEEPERS);
}

static void sleepers_prepare(void) {
  lock_prepare();
  await_sleepers();
}

static void sleepers_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  reap_sleepers(0);
  check_mutex();
}

static void ask_meanwhile(void) {
  muster_lock_holder holder;
  SWEEP_STATUS(muster_mutex_holder(ours, &holder), 0);
}

// ---- A death before

static int dies_with_it(int number) {
  (void)number;
  SWEEP_STATUS(muster_mutex_try(attach()), 0);
  note()->first++;
  raise(SIGKILL);
  return 1;
}

static void dead_setup(void) {
  lay();
  sweep_reap_killed(sweep_peer(dies_with_it, 0));
}

static void unrepaired_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_mutex_try(mine), EOWNERDEAD);
}

static void whole_prepare(void) {
  unrepaired_prepare();
  SWEEP_STATUS(repair(NULL), 0);
}

static void dead_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_STATUS(muster_mutex_reset(ours), 0);
  check_mutex();
}

// Whoever dies before saying so leaves it unrepaired, or poisoned, and never whole.
static void poison_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  int status = muster_mutex_lock(ours, sweep_deadline());
  SWEEP_CHECK(status == EOWNERDEAD || status == ENOTRECOVERABLE);
  if (sweep->injection == SWEEP_CRASH) sweep_found(status == EOWNERDEAD ? SWEEP_BEFORE : SWEEP_AFTER);
  if (status == ENOTRECOVERABLE) {
    SWEEP_STATUS(muster_mutex_reset(ours), 0);
    SWEEP_STATUS(muster_mutex_lock(ours, sweep_deadline()), EOWNERDEAD);
  }
  SWEEP_STATUS(repair(NULL), 0);
  SWEEP_STATUS(muster_mutex_repaired(ours), 0);
  SWEEP_STATUS(muster_mutex_unlock(ours), 0);
  check_mutex();
}

static void poisoned_setup(void) {
  dead_setup();
  SWEEP_STATUS(muster_mutex_try(ours), EOWNERDEAD);
  SWEEP_STATUS(muster_mutex_unlock(ours), 0);
}

static void reset_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  int status = muster_mutex_try(ours);
  SWEEP_CHECK(status == EOWNERDEAD || status == ENOTRECOVERABLE);
  if (sweep->injection == SWEEP_CRASH) sweep_found(status == EOWNERDEAD ? SWEEP_AFTER : SWEEP_BEFORE);
  if (status == EOWNERDEAD) SWEEP_STATUS(muster_mutex_unlock(ours), 0);
  SWEEP_STATUS(muster_mutex_reset(ours), 0);
  check_mutex();
}

// One that finds it poisoned while another takes the poison off: he gets it, or is refused, and takes nothing back.
static int poisoned_operate(void) { return muster_mutex_lock(mine, MUSTER_DEADLINE_NEVER); }
static void reset_meanwhile(void) { SWEEP_STATUS(muster_mutex_reset(ours), 0); }

static void poisoned_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == ENOTRECOVERABLE || sweep->result == EOWNERDEAD);
  if (sweep->injection == SWEEP_STALL) {
    sweep_finish();
    int status = muster_mutex_try(ours);
    if (sweep->result == ENOTRECOVERABLE) SWEEP_STATUS(status, EOWNERDEAD);
    if (status == EOWNERDEAD) SWEEP_STATUS(muster_mutex_unlock(ours), 0);
  }
  SWEEP_STATUS(muster_mutex_reset(ours), 0);
  check_mutex();
}

// ---- Waiting: the operator sleeps beside another, until the holder unlocks or dies.

static int holds_then(int dies) {
  muster_mutex *mutex = attach();
  SWEEP_STATUS(muster_mutex_try(mutex), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(muster_mutex_unlock(mutex), 0);
  return muster_mutex_close(mutex);
}

static void wait_setup(void) {
  lay();
  partner = sweep_peer(holds_then, (int)sweep->variant);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
  sleepers[0] = sweep_peer(waits_for_it, 0);
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < 2) sweep_pause(50000);
  sweep_settle(sleepers[0]);
}

static int poll_operate(void) {
  muster_wait_set set;
  int status = muster_mutex_poll(mine, &set);
  return status == EAGAIN || status == EOWNERDEAD ? 0 : status;
}

static int poll_free_operate(void) {
  muster_wait_set set;
  int status = muster_mutex_poll_free(mine, &set);
  return status == EAGAIN ? 0 : status;
}

static void wait_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (sweep->variant) sweep_reap_killed(partner);
  else SWEEP_STATUS(sweep_reap(partner), 0);
  SWEEP_STATUS(sweep_reap(sleepers[0]), 0);
  int status = note()->slept[0];
  SWEEP_CHECK(status == 0 || status == EOWNERDEAD || status == ENOTRECOVERABLE);
  SWEEP_STATUS(muster_mutex_reset(ours), 0);
  check_mutex();
}

// ---- By name

static int open_by_name(muster_mutex **mutex) {
  return muster_mutex_open(sweep_name("mutex"), &(muster_mutex_options){0}, mutex);
}
static int open_operate(void) { return open_by_name(&mine); }

static int uses_by_name(int dies) {
  muster_mutex *mutex;
  int status = open_by_name(&mutex);
  if (status) return status;
  status = muster_mutex_lock(mutex, sweep_deadline());
  if (status == EOWNERDEAD) status = muster_mutex_repaired(mutex);
  if (status) return status;
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(muster_mutex_unlock(mutex), 0);
  return muster_mutex_close(mutex);
}

static void dead_generation(void) { sweep_reap_killed(sweep_peer(uses_by_name, 1)); }

static void open_meanwhile(void) {
  partner = sweep_peer(uses_by_name, 0);
  if (!sweep_ends_soon(partner)) return;
  SWEEP_STATUS(sweep_reap(partner), 0);
  partner = 0;
}

static void open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (partner) {
    int status = sweep_reap(partner);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  sweep_newcomer(uses_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("mutex"), 0), 0);
}

// A dead generation's death is told, wherever the first that renewed it died.
static void renew_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (partner) {
    int status = sweep_reap(partner);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) {
    sweep_finish();
  } else {
    muster_mutex *mutex;
    SWEEP_STATUS(open_by_name(&mutex), 0);
    SWEEP_STATUS(muster_mutex_try(mutex), EOWNERDEAD);
    SWEEP_STATUS(muster_mutex_repaired(mutex), 0);
    SWEEP_STATUS(muster_mutex_unlock(mutex), 0);
    SWEEP_STATUS(muster_mutex_close(mutex), 0);
  }
  sweep_newcomer(uses_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("mutex"), 0), 0);
}

SWEEP_SUITE(
    lock,
    {.name = "lock.mutex-lock", .minimum = 40, .setup = lay, .prepare = prepare, .operate = lock_operate,
     .meanwhile = try_meanwhile, .finish = finish, .check = taken_check},
    {.name = "lock.mutex-try", .minimum = 40, .setup = lay, .prepare = prepare, .operate = try_operate,
     .meanwhile = try_meanwhile, .finish = finish, .check = taken_check},
    {.name = "lock.mutex-lock-after-a-death", .minimum = 40, .setup = dead_setup, .prepare = prepare,
     .operate = lock_operate, .meanwhile = try_meanwhile, .finish = finish, .check = taken_check, .variant = 1},
    {.name = "lock.mutex-repairing", .minimum = 80, .setup = dead_setup, .prepare = prepare, .operate = repairing_operate,
     .meanwhile = try_meanwhile, .finish = finish, .check = taken_check},
    {.name = "lock.mutex-repaired", .minimum = 5, .setup = dead_setup, .prepare = whole_prepare,
     .operate = repaired_operate, .meanwhile = ask_meanwhile, .finish = finish, .check = dead_check},
    {.name = "lock.mutex-poison", .minimum = 40, .setup = dead_setup, .prepare = unrepaired_prepare,
     .operate = unlock_operate, .meanwhile = ask_meanwhile, .finish = finish, .check = poison_check},
    {.name = "lock.mutex-reset", .minimum = 8, .setup = poisoned_setup, .prepare = prepare, .operate = reset_operate,
     .meanwhile = ask_meanwhile, .finish = finish, .check = reset_check},
    {.name = "lock.mutex-lock-poisoned", .minimum = 40, .setup = poisoned_setup, .prepare = prepare,
     .operate = poisoned_operate, .meanwhile = reset_meanwhile, .finish = finish, .check = poisoned_check},
    {.name = "lock.mutex-unlock", .minimum = 40, .setup = lay, .prepare = lock_prepare, .operate = unlock_operate,
     .meanwhile = try_meanwhile, .finish = finish, .check = taken_check},
    {.name = "lock.mutex-unlock-to-sleepers", .minimum = 40, .setup = sleepers_setup, .prepare = sleepers_prepare,
     .operate = unlock_operate, .meanwhile = ask_meanwhile, .finish = finish, .check = sleepers_check,
     .rechecks = SWEEP_UNLOCK_RECHECKS},
    {.name = "lock.mutex-change-among-sleepers", .minimum = 6, .setup = sleepers_setup, .prepare = sleepers_prepare,
     .operate = change_operate, .meanwhile = ask_meanwhile, .finish = finish, .check = sleepers_check},
    {.name = "lock.mutex-wait", .minimum = 60, .setup = wait_setup, .prepare = prepare, .operate = lock_operate,
     .meanwhile = nothing, .finish = finish, .check = wait_check},
    {.name = "lock.mutex-wait-for-a-death", .minimum = 60, .setup = wait_setup, .prepare = prepare,
     .operate = lock_operate, .meanwhile = nothing, .finish = finish, .check = wait_check, .variant = 1},
    {.name = "lock.mutex-open-creates", .minimum = 300, .setup = nothing, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = open_check},
    {.name = "lock.mutex-open-renews", .minimum = 300, .setup = dead_generation, .operate = open_operate,
     .meanwhile = open_meanwhile, .finish = finish, .check = renew_check},
    {.name = "lock.mutex-poll", .minimum = 40, .setup = wait_setup, .prepare = prepare, .operate = poll_operate,
     .meanwhile = nothing, .finish = finish, .check = wait_check},
    {.name = "lock.mutex-poll-free", .minimum = 20, .setup = wait_setup, .prepare = prepare,
     .operate = poll_free_operate, .meanwhile = nothing, .finish = finish, .check = wait_check});
