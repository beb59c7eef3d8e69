// Whether the harness finds what it is there to find: objects that are known to be wrong, each in one way, and one
// that is right.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sweep.h"

// Two words that belong together, 7 and 7 before, 8 and 8 after.
typedef struct pair {
  volatile uint64_t one, two;
} pair;

static pair *torn(void) { return (pair *)(void *)sweep->arena; }

static void torn_setup(void) { torn()->one = torn()->two = 7; }

static int torn_operate(void) {
  torn()->one = 8;
  torn()->two = 8;
  return 0;
}

static void torn_look(void) {
  SWEEP_EQUAL(torn()->one, torn()->two);
  sweep_found(torn()->one == 8 ? SWEEP_AFTER : SWEEP_BEFORE);
}

// The same done right: two copies, and one word that says which is meant.
typedef struct copies {
  uint32_t which;
  pair copy[2];
} copies;

static copies *whole(void) { return (copies *)(void *)sweep->arena; }

static void whole_setup(void) { whole()->copy[0].one = whole()->copy[0].two = 7; }

static int whole_operate(void) {
  whole()->copy[1].one = 8;
  whole()->copy[1].two = 8;
  __atomic_store_n(&whole()->which, 1u, __ATOMIC_RELEASE);
  return 0;
}

static void whole_look(void) {
  const pair *read = &whole()->copy[__atomic_load_n(&whole()->which, __ATOMIC_ACQUIRE)];
  SWEEP_EQUAL(read->one, read->two);
  sweep_found(read->one == 8 ? SWEEP_AFTER : SWEEP_BEFORE);
}

// A lock that knows nothing of its owner: whoever dies with it keeps it.
static uint32_t *first_word(void) { return (uint32_t *)(void *)sweep->arena; }

static void nothing(void) {}

static int lock_operate(void) {
  uint32_t free = 0;
  while (!__atomic_compare_exchange_n(first_word(), &free, 1u, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
    free = 0;
    sched_yield();
  }
  __atomic_store_n(first_word(), 0u, __ATOMIC_RELEASE);
  return 0;
}

static int newcomer_locks(int number) {
  lock_operate();
  return number;
}

static void lock_check(void) { sweep_newcomer(newcomer_locks, 0); }
static void lock_check_directly(void) { (void)lock_operate(); }

// A draft with a name: who dies before renaming it leaves it behind.
static int draft_operate(void) {
  int file = open(sweep_path("draft"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0) return errno;
  close(file);
  return rename(sweep_path("draft"), sweep_path("whole")) ? errno : 0;
}

static void draft_check(void) { (void)unlink(sweep_path("whole")); }

// A shared memory object without an owner that could remove it.
static int object_operate(void) {
  char path[256];
  snprintf(path, sizeof path, "/dev/shm/%s", sweep_name("object"));
  int file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (file < 0) return errno;
  close(file);
  return unlink(path) ? errno : 0;
}

// An operation whose path is a matter of chance.
static int chance_operate(void) {
  uint64_t bits = 0;
  volatile uint32_t odd = 0;
  if (syscall(SYS_getrandom, &bits, sizeof bits, 0) < 0) return errno;
  for (int i = 0; i < 64; i++)
    if (bits >> i & 1) odd = odd + 1;
  return 0;
}

// A counter that is read, then written: others' additions between the two are lost.
static int count_operate(void) {
  uint32_t now = __atomic_load_n(first_word(), __ATOMIC_RELAXED);
  __atomic_store_n(first_word(), now + 1, __ATOMIC_RELAXED);
  return 0;
}

static int add_operate(void) {
  __atomic_fetch_add(first_word(), 1u, __ATOMIC_RELAXED);
  return 0;
}

static void count_meanwhile(void) { __atomic_fetch_add(first_word(), 10u, __ATOMIC_RELAXED); }

static void count_check(void) {
  uint32_t foreign = sweep->injection == SWEEP_STALL ? 10 : 0, now = *first_word();
  SWEEP_CHECK(now == foreign || now == foreign + 1);
  if (sweep->returned) SWEEP_EQUAL(now, foreign + 1);
  sweep_found(now == foreign ? SWEEP_BEFORE : SWEEP_AFTER);
}

static int crash_operate(void) {
  raise(SIGSEGV);
  return 0;
}

static int sleep_operate(void) {
  pause();
  return 0;
}

// An operator that falls asleep, and a peer that acts only then.
static pid_t waker;

static int wake(int number) {
  if (sweep_operator_asleep()) SWEEP_EQUAL(*first_word(), 0);
  __atomic_store_n(first_word(), 1u, __ATOMIC_RELEASE);
  syscall(SYS_futex, first_word(), FUTEX_WAKE, 1, NULL, NULL, 0);
  return number;
}

static void woken_setup(void) { waker = sweep_peer(wake, 5); }

static int woken_operate(void) {
  while (!__atomic_load_n(first_word(), __ATOMIC_ACQUIRE))
    syscall(SYS_futex, first_word(), FUTEX_WAIT, 0, NULL, NULL, 0);
  return 42;
}

static void woken_check(void) {
  SWEEP_EQUAL(sweep_reap(waker), 5);
  if (sweep->returned) SWEEP_EQUAL(sweep->result, 42);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
}

SWEEP_SUITE(
    self,
    {.name = "self.right-pair", .minimum = 6, .setup = whole_setup, .operate = whole_operate, .meanwhile = whole_look,
     .check = whole_look},
    {.name = "self.right-counter", .minimum = 3, .setup = nothing, .operate = add_operate, .meanwhile = count_meanwhile,
     .check = count_check},
    {.name = "self.right-sleeper", .minimum = 20, .setup = woken_setup, .operate = woken_operate, .meanwhile = nothing,
     .check = woken_check},
    {.name = "self.torn-pair", .minimum = 6, .setup = torn_setup, .operate = torn_operate, .meanwhile = torn_look,
     .check = torn_look, .expect = SWEEP_WRONG},
    {.name = "self.lost-addition", .minimum = 4, .setup = nothing, .operate = count_operate,
     .meanwhile = count_meanwhile, .check = count_check, .injections = SWEEP_STALL, .expect = SWEEP_WRONG},
    {.name = "self.kept-lock", .minimum = 6, .setup = nothing, .operate = lock_operate, .meanwhile = lock_check,
     .check = lock_check, .seconds = 1, .expect = SWEEP_HANGS},
    {.name = "self.kept-lock-directly", .minimum = 6, .setup = nothing, .operate = lock_operate,
     .meanwhile = lock_check_directly, .check = lock_check_directly, .seconds = 1, .expect = SWEEP_HANGS},
    {.name = "self.left-draft", .minimum = 20, .setup = nothing, .operate = draft_operate, .check = draft_check,
     .expect = SWEEP_LEFT},
    {.name = "self.left-object", .minimum = 20, .setup = nothing, .operate = object_operate, .check = nothing,
     .expect = SWEEP_LEFT},
    {.name = "self.operation-of-chance", .minimum = 1, .setup = nothing, .operate = chance_operate, .check = nothing,
     .expect = SWEEP_UNSTEADY},
    {.name = "self.operation-that-crashes", .minimum = 1, .setup = nothing, .operate = crash_operate, .check = nothing,
     .expect = SWEEP_DIES},
    {.name = "self.operation-that-hangs", .minimum = 1, .setup = nothing, .operate = sleep_operate, .check = nothing,
     .seconds = 1, .expect = SWEEP_HANGS},
    {.name = "self.too-few-points", .minimum = 1 << 19, .setup = nothing, .operate = add_operate, .check = nothing,
     .expect = SWEEP_TOO_FEW},
    {.name = "self.no-points", .minimum = 0, .setup = nothing, .operate = add_operate, .check = nothing,
     .injections = SWEEP_STALL, .expect = SWEEP_TOO_FEW});
