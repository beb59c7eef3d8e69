// The read-write lock: who dies or stops at whatever instruction of joining, reading, writing, waiting and leaving leaves nobody
// waiting, no reader counted, and nothing half changed that it gives with 0.
// SPDX-License-Identifier: Apache-2.0
#include "lock_world.h"

static muster_rwlock *my_lock, *our_lock;

static muster_rwlock *attach_lock(void) {
  muster_rwlock *lock;
  SWEEP_STATUS(muster_rwlock_attach(sweep->arena, SWEEP_ARENA / 2, &lock), 0);
  return lock;
}

static void lay_lock(void) { SWEEP_STATUS(muster_rwlock_init(sweep->arena, SWEEP_ARENA / 2, PLACES), 0); }

static void lock_setup(void) {
  lay_lock();
  our_lock = attach_lock();
}

static void rw_prepare(void) { my_lock = attach_lock(); }

static void read_prepare(void) {
  rw_prepare();
  SWEEP_STATUS(muster_rwlock_try_read(my_lock), 0);
}

static void write_prepare(void) {
  rw_prepare();
  SWEEP_STATUS(muster_rwlock_try_write(my_lock), 0);
}

static int uses_lock(int number) {
  (void)number;
  muster_rwlock *lock;
  int status = muster_rwlock_attach(sweep->arena, SWEEP_ARENA / 2, &lock);
  if (status) return status;
  status = muster_rwlock_read(lock, sweep_deadline());
  if (!status) {
    check_whole();
    SWEEP_STATUS(muster_rwlock_unlock(lock), 0);
  } else if (status != EOWNERDEAD) {
    return status;
  }
  status = muster_rwlock_write_repairing(lock, repair, NULL, sweep_deadline());
  if (status) return status;
  check_whole();
  change();
  SWEEP_STATUS(muster_rwlock_unlock(lock), 0);
  return muster_rwlock_close(lock);
}

static void check_lock(void) {
  sweep_newcomer(uses_lock, 0);
  SWEEP_STATUS(muster_rwlock_read(our_lock, sweep_deadline()), 0);
  check_whole();
  SWEEP_STATUS(muster_rwlock_unlock(our_lock), 0);
  SWEEP_STATUS(muster_rwlock_write(our_lock, sweep_deadline()), 0);
  change();
  SWEEP_STATUS(muster_rwlock_unlock(our_lock), 0);
  for (int k = 0; k < PLACES; k++) sweep_newcomer(uses_lock, 0);
}

static int attach_operate(void) { return muster_rwlock_attach(sweep->arena, SWEEP_ARENA / 2, &my_lock); }
static int rw_close_operate(void) { return muster_rwlock_close(my_lock); }
static int read_operate(void) { return muster_rwlock_read(my_lock, MUSTER_DEADLINE_NEVER); }
static int write_operate(void) {
  int status = muster_rwlock_write(my_lock, MUSTER_DEADLINE_NEVER);
  return status == EOWNERDEAD ? muster_rwlock_repaired(my_lock) : status;
}
static int rw_unlock_operate(void) { return muster_rwlock_unlock(my_lock); }
static int rw_change_operate(void) {
  int status = muster_rwlock_write_repairing(my_lock, repair, NULL, MUSTER_DEADLINE_NEVER);
  if (status) return status;
  change();
  return muster_rwlock_unlock(my_lock);
}
// Refused; or, after a stall, taken, since the holder has unlocked by then.
static int refused(int status) { return status == EBUSY ? 0 : status; }
static int timeout_operate(void) { return refused(muster_rwlock_try_write(my_lock)); }
static int read_timeout_operate(void) { return refused(muster_rwlock_try_read(my_lock)); }

static void rw_meanwhile(void) {
  muster_lock_holder writer;
  muster_member_set readers;
  SWEEP_STATUS(muster_rwlock_holders(our_lock, &writer, &readers), 0);
  int status = muster_rwlock_try_read(our_lock);
  SWEEP_CHECK(status == 0 || status == EBUSY || status == EOWNERDEAD);
  if (status == 0) check_whole(), SWEEP_STATUS(muster_rwlock_unlock(our_lock), 0);
  status = muster_rwlock_try_write(our_lock);
  SWEEP_CHECK(status == 0 || status == EBUSY || status == EOWNERDEAD);
  if (status == EOWNERDEAD) SWEEP_STATUS(repair(NULL), 0), SWEEP_STATUS(muster_rwlock_repaired(our_lock), 0);
  if (status == EBUSY) return;
  check_whole();
  change();
  SWEEP_STATUS(muster_rwlock_unlock(our_lock), 0);
}

static void rw_finish(void) {
  (void)muster_rwlock_unlock(my_lock);
  SWEEP_STATUS(muster_rwlock_close(my_lock), 0);
}

static void rw_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  check_lock();
}

// Two places, of which a dead reader had the one: who joins there is no reader, whether he goes on or not.
static int dies_reading(int number) {
  (void)number;
  SWEEP_STATUS(muster_rwlock_try_read(attach_lock()), 0);
  raise(SIGKILL);
  return 1;
}

static void dead_reader_setup(void) {
  SWEEP_STATUS(muster_rwlock_init(sweep->arena, SWEEP_ARENA / 2, 2), 0);
  our_lock = attach_lock();
  sweep_reap_killed(sweep_peer(dies_reading, 0));
}

static void write_meanwhile(void) {
  SWEEP_STATUS(muster_rwlock_try_write(our_lock), 0);
  change();
  SWEEP_STATUS(muster_rwlock_unlock(our_lock), 0);
}

// A writer's death at each instruction of unlocking a whole change: whole, or told.
static void rw_unlock_check(void) {
  if (sweep->injection == SWEEP_CRASH) {
    int status = muster_rwlock_read(our_lock, sweep_deadline());
    SWEEP_CHECK(status == 0 || status == EOWNERDEAD);
    sweep_found(status ? SWEEP_BEFORE : SWEEP_AFTER);
    if (!status) SWEEP_STATUS(muster_rwlock_unlock(our_lock), 0);
  }
  rw_check();
}

// ---- Others sleep: readers while the operator writes, a writer while it reads.

static int sleeps_at_lock(int number, int writes) {
  come_in_turn(number);
  muster_rwlock *lock = attach_lock();
  __atomic_fetch_add(&note()->ready, 1, __ATOMIC_RELEASE);
  int status = writes ? muster_rwlock_write_repairing(lock, repair, NULL, sweep_deadline())
                      : muster_rwlock_read(lock, sweep_deadline());
  if (status == EOWNERDEAD && !writes) return muster_rwlock_close(lock);
  SWEEP_STATUS(status, 0);
  check_whole();
  SWEEP_STATUS(muster_rwlock_unlock(lock), 0);
  return muster_rwlock_close(lock);
}

static int reads_late(int number) { return sleeps_at_lock(number, 0); }
static int writes_late(int number) { return sleeps_at_lock(number, 1); }

static void readers_sleep_setup(void) {
  lock_setup();
  start_sleepers(reads_late, sweep->variant ? MANY_SLEEPERS : SLEEPERS);
}

static void writers_sleep_setup(void) {
  lock_setup();
  start_sleepers(writes_late, SLEEPERS);
}

static void write_among_sleepers(void) {
  write_prepare();
  await_sleepers();
}

static void read_among_sleepers(void) {
  read_prepare();
  await_sleepers();
}

static void rw_sleepers_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  for (uint32_t k = 0; k < note()->sleepers; k++) SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
  check_lock();
}

static void look(void) {
  muster_lock_holder writer;
  muster_member_set readers;
  SWEEP_STATUS(muster_rwlock_holders(our_lock, &writer, &readers), 0);
}

// ---- The operator sleeps: for a reader, or for a writer, that unlocks or dies.

enum { READER = 0, READER_DIES = 1, WRITER = 2, WRITER_DIES = 3 };

static int holds_lock_then(int what) {
  muster_rwlock *lock = attach_lock();
  SWEEP_STATUS(what >= WRITER ? muster_rwlock_try_write(lock) : muster_rwlock_try_read(lock), 0);
  __atomic_store_n(&note()->ready, 1, __ATOMIC_RELEASE);
  sweep_operator_asleep();
  if (what & 1) raise(SIGKILL);
  SWEEP_STATUS(muster_rwlock_unlock(lock), 0);
  sweep_operator_done();
  return muster_rwlock_close(lock);
}

static void rw_wait_setup(void) {
  lock_setup();
  partner = sweep_peer(holds_lock_then, (int)sweep->variant);
  while (!__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static void rw_wait_check(void) {
  if (sweep->returned) SWEEP_CHECK(sweep->result == 0 || (sweep->variant == WRITER_DIES && sweep->result == EOWNERDEAD));
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (sweep->variant & 1) sweep_reap_killed(partner);
  else SWEEP_STATUS(sweep_reap(partner), 0);
  check_lock();
}

static int lock_by_name(muster_rwlock **lock) {
  return muster_rwlock_open(sweep_name("rwlock"), &(muster_rwlock_options){.capacity = PLACES}, lock);
}
static int rw_open_operate(void) { return lock_by_name(&my_lock); }

static int rw_uses_by_name(int dies) {
  muster_rwlock *lock;
  int status = lock_by_name(&lock);
  if (status) return status;
  status = muster_rwlock_write(lock, sweep_deadline());
  if (status == EOWNERDEAD) status = muster_rwlock_repaired(lock);
  if (status) return status;
  if (dies) raise(SIGKILL);
  SWEEP_STATUS(muster_rwlock_unlock(lock), 0);
  return muster_rwlock_close(lock);
}

static void rw_dead_generation(void) { sweep_reap_killed(sweep_peer(rw_uses_by_name, 1)); }

static void rw_open_meanwhile(void) {
  partner = sweep_peer(rw_uses_by_name, 0);
  if (!sweep_ends_soon(partner)) return;
  SWEEP_STATUS(sweep_reap(partner), 0);
  partner = 0;
}

static void rw_open_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (partner) {
    int status = sweep_reap(partner);
    SWEEP_CHECK(status == 0 || status == EBUSY);
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  if (sweep->variant && sweep->injection == SWEEP_CRASH) {
    // That the generation before died at work is still told.
    muster_rwlock *lock;
    SWEEP_STATUS(lock_by_name(&lock), 0);
    SWEEP_STATUS(muster_rwlock_try_read(lock), EOWNERDEAD);
    SWEEP_STATUS(muster_rwlock_close(lock), 0);
  }
  sweep_newcomer(rw_uses_by_name, 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("rwlock"), 0), 0);
}

SWEEP_SUITE(
    rwlock,
    {.name = "lock.rwlock-attach", .minimum = 200, .setup = lock_setup, .operate = attach_operate,
     .meanwhile = rw_meanwhile, .finish = rw_finish, .check = rw_check},
    {.name = "lock.rwlock-attach-after-a-dead-reader", .minimum = 200, .setup = dead_reader_setup,
     .operate = attach_operate, .meanwhile = write_meanwhile, .finish = rw_finish, .check = rw_check},
    {.name = "lock.rwlock-close", .minimum = 40, .setup = lock_setup, .prepare = rw_prepare, .operate = rw_close_operate,
     .meanwhile = rw_meanwhile, .check = rw_check},
    {.name = "lock.rwlock-read", .minimum = 15, .setup = lock_setup, .prepare = rw_prepare, .operate = read_operate,
     .meanwhile = rw_meanwhile, .finish = rw_finish, .check = rw_check},
    {.name = "lock.rwlock-read-unlock", .minimum = 10, .setup = lock_setup, .prepare = read_prepare,
     .operate = rw_unlock_operate, .meanwhile = rw_meanwhile, .finish = rw_finish, .check = rw_check},
    {.name = "lock.rwlock-read-unlock-to-writers", .minimum = 10, .setup = writers_sleep_setup,
     .prepare = read_among_sleepers, .operate = rw_unlock_operate, .meanwhile = look, .finish = rw_finish,
     .check = rw_sleepers_check},
    {.name = "lock.rwlock-write", .minimum = 60, .setup = lock_setup, .prepare = rw_prepare, .operate = write_operate,
     .meanwhile = rw_meanwhile, .finish = rw_finish, .check = rw_check},
    {.name = "lock.rwlock-change", .minimum = 100, .setup = lock_setup, .prepare = rw_prepare,
     .operate = rw_change_operate, .meanwhile = rw_meanwhile, .finish = rw_finish, .check = rw_check},
    {.name = "lock.rwlock-write-unlock", .minimum = 40, .setup = lock_setup, .prepare = write_prepare,
     .operate = rw_unlock_operate, .meanwhile = rw_meanwhile, .finish = rw_finish, .check = rw_unlock_check},
    {.name = "lock.rwlock-write-unlock-to-readers", .minimum = 40, .setup = readers_sleep_setup,
     .prepare = write_among_sleepers, .operate = rw_unlock_operate, .meanwhile = look, .finish = rw_finish,
     .check = rw_sleepers_check},
    {.name = "lock.rwlock-write-unlock-to-many-readers", .minimum = 40, .setup = readers_sleep_setup,
     .prepare = write_among_sleepers, .operate = rw_unlock_operate, .meanwhile = look, .finish = rw_finish,
     .check = rw_sleepers_check, .variant = 1},
    {.name = "lock.rwlock-try-write-refused", .minimum = 100, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = timeout_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = READER},
    {.name = "lock.rwlock-try-read-refused", .minimum = 60, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = read_timeout_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = WRITER},
    {.name = "lock.rwlock-write-waits-for-a-reader", .minimum = 100, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = write_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = READER},
    {.name = "lock.rwlock-write-waits-for-a-dying-reader", .minimum = 100, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = write_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = READER_DIES},
    {.name = "lock.rwlock-read-waits-for-a-writer", .minimum = 100, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = read_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = WRITER},
    {.name = "lock.rwlock-read-waits-for-a-dying-writer", .minimum = 100, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = read_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = WRITER_DIES},
    {.name = "lock.rwlock-write-waits-for-a-dying-writer", .minimum = 60, .setup = rw_wait_setup, .prepare = rw_prepare,
     .operate = write_operate, .meanwhile = look, .finish = rw_finish, .check = rw_wait_check, .variant = WRITER_DIES},
    {.name = "lock.rwlock-open-creates", .minimum = 300, .setup = nothing, .operate = rw_open_operate,
     .meanwhile = rw_open_meanwhile, .finish = rw_finish, .check = rw_open_check},
    {.name = "lock.rwlock-open-renews", .minimum = 300, .setup = rw_dead_generation, .operate = rw_open_operate,
     .meanwhile = rw_open_meanwhile, .finish = rw_finish, .check = rw_open_check, .variant = 1});
