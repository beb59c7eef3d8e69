// Locks: who dies or stops at whatever instruction of locking, unlocking, repairing and waiting leaves nobody waiting, and
// nothing half changed that a lock gives with 0.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "muster/lock.h"
#include "muster/region.h"
#include "sweep.h"

// musl lets go of what tells the kernel of an unlock before it wakes: a death between the two is left to the sleepers' own look.
#if defined(__GLIBC__)
enum { RECHECKS = 0 };
#else
enum { RECHECKS = 1 };
#endif

enum { PLACES = 8, SLEEPERS = 2, MANY_SLEEPERS = 5 };

// What the locks guard: two words that are equal whenever nobody is at them. And what the processes tell each other.
typedef struct notes {
  uint64_t first, second;
  uint32_t held, ready, sleepers;
  int32_t pids[MANY_SLEEPERS], slept[MANY_SLEEPERS];
} notes;

static notes *note(void) { return (notes *)(void *)(sweep->arena + SWEEP_ARENA / 2); }

static muster_mutex *mine, *ours;
static muster_rwlock *my_lock, *our_lock;
static pid_t sleepers[MANY_SLEEPERS], partner;

static muster_mutex *attach(void) {
  muster_mutex *mutex;
  SWEEP_STATUS(muster_mutex_attach(sweep->arena, SWEEP_ARENA / 2, &mutex), 0);
  return mutex;
}

static muster_rwlock *attach_lock(void) {
  muster_rwlock *lock;
  SWEEP_STATUS(muster_rwlock_attach(sweep->arena, SWEEP_ARENA / 2, &lock), 0);
  return lock;
}

static void change(void) {
  __atomic_store_n(&note()->first, note()->first + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&note()->second, note()->second + 1, __ATOMIC_RELAXED);
}

static int repair(void *context) {
  (void)context;
  note()->second = note()->first;
  return 0;
}

static void check_whole(void) { SWEEP_EQUAL(note()->first, note()->second); }

// ---- The mutex

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

// The sleepers come once the operator holds it; then it goes on when they sleep.
static void await_holder(void) {
  while (!__atomic_load_n(&note()->held, __ATOMIC_ACQUIRE)) sweep_pause(50000);
}

static void await_sleepers(void) {
  __atomic_store_n(&note()->held, 1, __ATOMIC_RELEASE);
  for (uint32_t k = 0; k < note()->sleepers; k++) {
    while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) <= k) sweep_pause(50000);
    sweep_settle(note()->pids[k]);
  }
}

// One after the other, so that what the operator meets is the same each time.
static void come_in_turn(int number) {
  await_holder();
  while (__atomic_load_n(&note()->ready, __ATOMIC_ACQUIRE) < (uint32_t)number) sweep_pause(50000);
  if (number) sweep_settle(note()->pids[number - 1]);
}

static int late_sleeper(int number) {
  come_in_turn(number);
  return waits_for_it(number);
}

static void start_sleepers(int (*body)(int number), int count) {
  note()->sleepers = (uint32_t)count;
  for (int k = 0; k < count; k++) note()->pids[k] = sleepers[k] = sweep_peer(body, k);
}

static void sleepers_setup(void) {
  lay();
  start_sleepers(late_sleeper, SLEEPERS);
}

static void sleepers_prepare(void) {
  lock_prepare();
  await_sleepers();
}

static void reap_sleepers(int with_poison) {
  int deaths = 0;
  for (int k = 0; k < SLEEPERS; k++) {
    SWEEP_STATUS(sweep_reap(sleepers[k]), 0);
    int status = note()->slept[k];
    SWEEP_CHECK(status == 0 || status == EOWNERDEAD || (with_poison && status == ENOTRECOVERABLE));
    deaths += status == EOWNERDEAD;
  }
  SWEEP_CHECK(deaths <= 1);
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

static void nothing(void) {}

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

// ---- The read-write lock

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
     .rechecks = RECHECKS},
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
     .meanwhile = rw_open_meanwhile, .finish = rw_finish, .check = rw_open_check, .variant = 1},
    {.name = "lock.mutex-poll", .minimum = 40, .setup = wait_setup, .prepare = prepare, .operate = poll_operate,
     .meanwhile = nothing, .finish = finish, .check = wait_check},
    {.name = "lock.mutex-poll-free", .minimum = 20, .setup = wait_setup, .prepare = prepare,
     .operate = poll_free_operate, .meanwhile = nothing, .finish = finish, .check = wait_check});
