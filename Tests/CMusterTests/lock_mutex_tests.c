// The robust mutex: what one process sees, deaths, poison, polls, names, forks, hostile bytes.
// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>

#include "lock_support.h"

#include "../../Sources/CMuster/internal/lock_layout.h"

static muster_lock_holder told(const muster_mutex *mutex) {
  muster_lock_holder holder;
  CHECK_STATUS(muster_mutex_holder(mutex, &holder), 0);
  return holder;
}

static void locks_and_unlocks(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  CHECK_STATUS(muster_mutex_unlock(mutex), EPERM);
  CHECK_STATUS(muster_mutex_repaired(mutex), EPERM);
  for (int i = 0; i < 100; i++) {
    CHECK_STATUS(muster_mutex_lock(mutex, MUSTER_DEADLINE_NOW), 0);
    CHECK_STATUS(muster_mutex_lock(mutex, MUSTER_DEADLINE_NEVER), EDEADLK);
    CHECK_STATUS(muster_mutex_try(mutex), EBUSY);
    muster_wait_set set;
    CHECK_STATUS(muster_mutex_poll(mutex, &set), EDEADLK);
    CHECK_STATUS(muster_mutex_close(mutex), EBUSY);
    muster_lock_holder holder = told(mutex);
    CHECK(holder.state == MUSTER_LOCK_HELD && holder.pid == getpid() && holder.thread == (uint32_t)gettid());
    CHECK(holder.since <= muster_clock_now() && holder.since > muster_clock_now() - INT64_C(3000000000));
    CHECK_STATUS(muster_mutex_repaired(mutex), 0);
    CHECK_STATUS(muster_mutex_unlock(mutex), 0);
    CHECK(told(mutex).state == MUSTER_LOCK_FREE && told(mutex).pid == 0);
  }
  CHECK_STATUS(muster_mutex_reset(mutex), 0);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
  CHECK_STATUS(muster_mutex_close(NULL), 0);
}

static void what_is_refused(void) {
  scene *at = shared_memory(sizeof *at);
  muster_mutex *mutex;
  CHECK_STATUS(muster_mutex_init(at->memory, muster_mutex_size() - 1), EINVAL);
  CHECK_STATUS(muster_mutex_init(at->memory + 8, sizeof at->memory - 8), EINVAL);
  CHECK_STATUS(muster_mutex_attach(at->memory, sizeof at->memory, &mutex), EBADMSG);
  REQUIRE(!muster_mutex_init(at->memory, sizeof at->memory));
  CHECK_STATUS(muster_mutex_attach(at->memory, 100, &mutex), EBADMSG);
  CHECK_STATUS(muster_mutex_attach(at->memory, muster_mutex_size() - 1, &mutex), EBADMSG);
  lock_head *head = (lock_head *)(void *)at->memory;
  head->abi++;
  CHECK_STATUS(muster_mutex_attach(at->memory, sizeof at->memory, &mutex), EPROTO);
  head->abi--, head->version++;
  CHECK_STATUS(muster_mutex_attach(at->memory, sizeof at->memory, &mutex), EPROTO);
}

static void *other_thread(void *context) {
  muster_mutex *mutex = context;
  CHECK_STATUS(muster_mutex_unlock(mutex), EPERM);
  CHECK_STATUS(muster_mutex_try(mutex), EBUSY);
  CHECK_STATUS(muster_mutex_unlock(mutex), EPERM);
  CHECK_STATUS(muster_mutex_repaired(mutex), EPERM);
  CHECK_STATUS(muster_mutex_lock(mutex, muster_deadline_after(1000000)), ETIMEDOUT);
  CHECK_STATUS(muster_mutex_lock(mutex, MUSTER_DEADLINE_NOW), ETIMEDOUT);
  return NULL;
}

static void *ends_holding(void *context) {
  CHECK_STATUS(muster_mutex_lock(context, soon()), 0);
  return NULL;
}

static void belongs_to_its_thread(void) {
  muster_mutex *mutex = mutex_of(mutex_scene());
  pthread_t thread;
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), 0);
  REQUIRE(!pthread_create(&thread, NULL, other_thread, mutex) && !pthread_join(thread, NULL));
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  REQUIRE(!pthread_create(&thread, NULL, ends_holding, mutex) && !pthread_join(thread, NULL));
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), EOWNERDEAD);
  CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void holds_for_ever(void *context) {
  scene *at = context;
  int status = muster_mutex_lock(mutex_of(at), soon());
  CHECK(status == 0 || status == EOWNERDEAD);
  gate_open(&at->gate[0], 1);
  for (;;) pause();
}

static pid_t dies_holding(scene *at) {
  at->gate[0] = 0;
  pid_t pid = test_fork(holds_for_ever, at);
  gate_wait(&at->gate[0], 1);
  kill_process(pid);
  return pid;
}

// However many die before somebody says it is repaired, the next one is told.
static void deaths_are_told_until_repaired(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  for (int deaths = 0; deaths < 4; deaths++) {
    pid_t pid = dies_holding(at);
    muster_lock_holder holder = told(mutex);
    CHECK(holder.state == MUSTER_LOCK_DEAD && holder.pid == pid && holder.since > 0);
    CHECK(holder.condition == (deaths ? MUSTER_LOCK_UNREPAIRED : MUSTER_LOCK_WHOLE));
  }
  CHECK_STATUS(muster_mutex_try(mutex), EOWNERDEAD);
  CHECK(told(mutex).condition == MUSTER_LOCK_UNREPAIRED && told(mutex).died > 0 && told(mutex).pid == getpid());
  CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK(told(mutex).condition == MUSTER_LOCK_WHOLE);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void waits_for_poison(void *context) {
  scene *at = context;
  muster_mutex *mutex = mutex_of(at);
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), ENOTRECOVERABLE);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void unlocked_unrepaired_is_poisoned(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  dies_holding(at);
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), EOWNERDEAD);
  pid_t waiters[5];
  for (int k = 0; k < 5; k++) waiters[k] = test_fork(waits_for_poison, at);
  for (int k = 0; k < 5; k++) CHECK(test_asleep(waiters[k]));
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  for (int k = 0; k < 5; k++) test_join(waiters[k], 0);
  muster_wait_set set;
  CHECK_STATUS(muster_mutex_try(mutex), ENOTRECOVERABLE);
  CHECK_STATUS(muster_mutex_lock(mutex, MUSTER_DEADLINE_NEVER), ENOTRECOVERABLE);
  CHECK_STATUS(muster_mutex_poll(mutex, &set), ENOTRECOVERABLE);
  CHECK_STATUS(muster_mutex_poll_free(mutex, &set), 0);
  CHECK(told(mutex).condition == MUSTER_LOCK_POISONED && told(mutex).state == MUSTER_LOCK_FREE);
  CHECK_STATUS(muster_mutex_reset(mutex), 0);
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), EOWNERDEAD);
  CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static int repairs(void *context) {
  ++*(int *)context;
  return 0;
}

static int can_not(void *context) {
  (void)context;
  return ENOSPC;
}

static void repairs_by_callback(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  int calls = 0;
  CHECK_STATUS(muster_mutex_lock_repairing(mutex, repairs, &calls, soon()), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_EQUAL(calls, 0);
  dies_holding(at);
  CHECK_STATUS(muster_mutex_lock_repairing(mutex, repairs, &calls, soon()), 0);
  CHECK_EQUAL(calls, 1);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  dies_holding(at);
  CHECK_STATUS(muster_mutex_lock_repairing(mutex, can_not, NULL, soon()), ENOSPC);
  CHECK_STATUS(muster_mutex_lock_repairing(mutex, repairs, &calls, soon()), ENOTRECOVERABLE);
  CHECK_STATUS(muster_mutex_reset(mutex), 0);
  CHECK_STATUS(muster_mutex_lock_repairing(mutex, repairs, &calls, soon()), 0);
  CHECK_EQUAL(calls, 2);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void waits_for_a_death(void *context) {
  scene *at = context;
  muster_mutex *mutex = mutex_of(at);
  int status = muster_mutex_lock(mutex, soon());
  CHECK(status == 0 || status == EOWNERDEAD);
  if (status) __atomic_fetch_add(&at->gate[1], 1, __ATOMIC_RELAXED), CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

// All who sleep get the lock one after another; the first is told of the death.
static void sleepers_learn_of_a_death(void) {
  scene *at = mutex_scene();
  for (int round = 0; round < 20; round++) {
    at->gate[0] = at->gate[1] = 0;
    pid_t holder = test_fork(holds_for_ever, at), sleepers[6];
    gate_wait(&at->gate[0], 1);
    for (int k = 0; k < 6; k++) sleepers[k] = test_fork(waits_for_a_death, at);
    for (int k = 0; k < 6; k++) CHECK(test_asleep(sleepers[k]));
    kill_process(holder);
    for (int k = 0; k < 6; k++) test_join(sleepers[k], 0);
    CHECK_EQUAL(at->gate[1], 1);
  }
}

// A sleeper that was woken and is killed on the way loses no wake for the others.
static void woken_sleepers_die(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  uint64_t random = test_seed();
  for (int round = 0; round < 60; round++) {
    REQUIRE(!muster_mutex_lock(mutex, soon()));
    pid_t sleepers[3];
    for (int k = 0; k < 3; k++) {
      sleepers[k] = test_fork(waits_for_a_death, at);
      CHECK(test_asleep(sleepers[k]));
    }
    CHECK_STATUS(muster_mutex_unlock(mutex), 0);
    test_pause((int64_t)(test_random(&random) % 60000));
    // One who takes the lock in between, and the death of whom the unlock woke.
    int status = muster_mutex_try(mutex);
    int before = kill(sleepers[0], SIGKILL);
    CHECK_EQUAL(before, 0);
    if (status == 0 || status == EOWNERDEAD) {
      if (status) CHECK_STATUS(muster_mutex_repaired(mutex), 0);
      CHECK_STATUS(muster_mutex_unlock(mutex), 0);
    }
    int ended;
    REQUIRE(waitpid(sleepers[0], &ended, 0) == sleepers[0]);
    for (int k = 1; k < 3; k++) test_join(sleepers[k], 0);
    status = muster_mutex_lock(mutex, soon());
    REQUIRE(status == 0 || status == EOWNERDEAD);
    if (status) CHECK_STATUS(muster_mutex_repaired(mutex), 0);
    CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  }
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static int polls(muster_mutex *mutex) {
  muster_wait_set set;
  muster_deadline end = soon();
  for (int status;;) {
    status = muster_mutex_poll(mutex, &set);
    if (status != EAGAIN || muster_deadline_passed(end)) return status;
    CHECK(set.count == 1 && set.recheck > 0);
    (void)!muster_wait_any(&set, end);
  }
}

static void poller(void *context) {
  scene *at = context;
  muster_mutex *mutex = mutex_of(at);
  int status = polls(mutex);
  CHECK(status == 0 || status == EOWNERDEAD);
  if (status) CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

// Those who poll, those who block, one that was woken and does not come, and deaths.
static void pollers_and_sleepers(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  for (int round = 0; round < 20; round++) {
    at->gate[0] = at->gate[1] = 0;
    pid_t holder = test_fork(holds_for_ever, at), pids[6];
    gate_wait(&at->gate[0], 1);
    muster_wait_set set;
    CHECK_STATUS(muster_mutex_poll(mutex, &set), EAGAIN);
    for (int k = 0; k < 6; k++) pids[k] = test_fork(k % 2 ? poller : waits_for_a_death, at);
    for (int k = 0; k < 6; k++) CHECK(test_asleep(pids[k]));
    if (round % 2) stop_process(pids[1]);
    kill_process(holder);
    for (int k = 0; k < 6; k++)
      if (k != 1) test_join(pids[k], 0);
    if (round % 2) kill(pids[1], SIGCONT);
    test_join(pids[1], 0);
  }
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

// Waits in another's stead, then locks as that one would.
static void waits_until_free(void *context) {
  scene *at = context;
  muster_mutex *mutex = mutex_of(at);
  muster_wait_set set;
  muster_deadline end = soon();
  int status = EBUSY;
  while (status == EBUSY) {
    while ((status = muster_mutex_poll_free(mutex, &set)) == EAGAIN && !muster_deadline_passed(end))
      (void)!muster_wait_any(&set, end);
    CHECK_STATUS(status, 0);
    status = status ? status : muster_mutex_try(mutex);
  }
  CHECK(status == 0 || status == EOWNERDEAD);
  if (status) CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void waits_without_locking(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  muster_wait_set set;
  CHECK_STATUS(muster_mutex_poll_free(mutex, &set), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), EPERM);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  CHECK_STATUS(muster_mutex_poll_free(mutex, &set), EAGAIN);
  CHECK(set.count == 1 && set.recheck > 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_poll_free(mutex, &set), 0);
  for (int round = 0; round < 20; round++) {
    at->gate[0] = 0;
    pid_t holder = test_fork(holds_for_ever, at), pids[4];
    gate_wait(&at->gate[0], 1);
    for (int k = 0; k < 4; k++) pids[k] = test_fork(waits_until_free, at);
    for (int k = 0; k < 4; k++) CHECK(test_asleep(pids[k]));
    kill_process(holder);
    for (int k = 0; k < 4; k++) test_join(pids[k], 0);
  }
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void uses_inherited(void *context) {
  muster_mutex *mutex = context;
  muster_wait_set set;
  muster_lock_holder holder;
  CHECK_STATUS(muster_mutex_lock(mutex, 0), EPERM);
  CHECK_STATUS(muster_mutex_try(mutex), EPERM);
  CHECK_STATUS(muster_mutex_unlock(mutex), EPERM);
  CHECK_STATUS(muster_mutex_repaired(mutex), EPERM);
  CHECK_STATUS(muster_mutex_reset(mutex), EPERM);
  CHECK_STATUS(muster_mutex_poll(mutex, &set), EPERM);
  CHECK_STATUS(muster_mutex_poll_free(mutex, &set), EPERM);
  CHECK_STATUS(muster_mutex_holder(mutex, &holder), EPERM);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void fork_inherits_nothing(void) {
  scene *at = mutex_scene();
  muster_mutex *mutex = mutex_of(at);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  test_join(test_fork(uses_inherited, mutex), 0);
  pid_t waits = test_fork(waits_for_a_death, at);
  CHECK(test_asleep(waits));
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  test_join(waits, 0);
  CHECK_EQUAL(at->gate[1], 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static muster_mutex *named(const char *name, uint32_t flags) {
  muster_mutex *mutex;
  REQUIRE(!muster_mutex_open(name, &(muster_mutex_options){.flags = flags}, &mutex));
  return mutex;
}

static void dies_by_name(void *context) {
  CHECK_STATUS(muster_mutex_try(named(context, MUSTER_REGION_ATTACH)), 0);
  raise(SIGKILL);
}

// What a dead generation left unrepaired, or poisoned, is told to the next.
static void by_name(void) {
  const char *name = test_name("mutex");
  unsigned descriptors = count_descriptors();
  muster_mutex *mutex = named(name, 0), *second = named(name, 0), *looks;
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  looks = named(name, MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY);
  CHECK(told(looks).state == MUSTER_LOCK_HELD && told(looks).pid == getpid());
  CHECK_STATUS(muster_mutex_try(looks), EACCES);
  CHECK_STATUS(muster_mutex_unlock(looks), EACCES);
  CHECK_STATUS(muster_mutex_reset(looks), EACCES);
  CHECK_STATUS(muster_mutex_close(looks), 0);
  CHECK_STATUS(muster_mutex_lock(second, soon()), EDEADLK);
  // The same thread, but another mapping.
  CHECK_STATUS(muster_mutex_unlock(second), EPERM);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_lock(second, soon()), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
  CHECK_STATUS(muster_mutex_close(second), EBUSY);
  mutex = named(name, 0);
  CHECK_STATUS(muster_mutex_unlock(second), 0);
  CHECK(muster_mutex_region(mutex) != NULL);
  CHECK_STATUS(muster_mutex_close(second), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
  test_join(test_fork(dies_by_name, (void *)(uintptr_t)name), SIGKILL);
  mutex = named(name, 0);
  CHECK(told(mutex).condition == MUSTER_LOCK_UNREPAIRED);
  CHECK_STATUS(muster_mutex_try(mutex), EOWNERDEAD);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
  mutex = named(name, 0);
  CHECK_STATUS(muster_mutex_try(mutex), ENOTRECOVERABLE);
  CHECK_STATUS(muster_mutex_reset(mutex), 0);
  CHECK_STATUS(muster_mutex_try(mutex), EOWNERDEAD);
  CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  muster_rwlock *other;
  muster_mismatch mismatch = {0};
  CHECK_STATUS(muster_rwlock_open(name, &(muster_rwlock_options){.capacity = 2, .mismatch = &mismatch}, &other), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_LAYOUT);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
  CHECK_EQUAL(count_descriptors(), descriptors);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

enum { LOCKS_OF_A_THREAD = 1024 };

static void no_more_than_the_kernel_releases(void) {
  unsigned char *memory = shared_memory((LOCKS_OF_A_THREAD + 1) * muster_mutex_size());
  static muster_mutex *all[LOCKS_OF_A_THREAD + 1];
  for (int k = 0; k <= LOCKS_OF_A_THREAD; k++) {
    unsigned char *one = memory + (size_t)k * muster_mutex_size();
    REQUIRE(!muster_mutex_init(one, muster_mutex_size()));
    REQUIRE(!muster_mutex_attach(one, muster_mutex_size(), &all[k]));
    int status = muster_mutex_try(all[k]);
    CHECK_STATUS(status, k < LOCKS_OF_A_THREAD ? 0 : ENOLCK);
  }
  for (int k = 0; k < LOCKS_OF_A_THREAD; k++) REQUIRE(!muster_mutex_unlock(all[k]));
  CHECK_STATUS(muster_mutex_try(all[LOCKS_OF_A_THREAD]), 0);
  CHECK_STATUS(muster_mutex_unlock(all[LOCKS_OF_A_THREAD]), 0);
  for (int k = 0; k <= LOCKS_OF_A_THREAD; k++) CHECK_STATUS(muster_mutex_close(all[k]), 0);
}

// Each byte outside libc's mutex set to a few other values: an error or an answer, and no crash.
static void hostile_bytes(void) {
  scene *at = mutex_scene();
  static const unsigned char masks[] = {0x01, 0x80, 0xff, 0x7e};
  for (size_t k = 0; k < muster_mutex_size(); k++) {
    if (k >= LOCK_LINE && k < LOCK_LINE + 48) continue;
    for (size_t m = 0; m < sizeof masks; m++) {
      at->memory[k] ^= masks[m];
      muster_mutex *mutex;
      int status = muster_mutex_attach(at->memory, sizeof at->memory, &mutex);
      CHECK(status == 0 || status == EBADMSG || status == EPROTO);
      if (!status) {
        muster_lock_holder holder;
        CHECK_STATUS(muster_mutex_holder(mutex, &holder), 0);
        status = muster_mutex_lock(mutex, muster_deadline_after(1000000));
        CHECK(status == 0 || status == EOWNERDEAD || status == ENOTRECOVERABLE);
        if (status != ENOTRECOVERABLE) CHECK_STATUS(muster_mutex_unlock(mutex), 0);
        CHECK_STATUS(muster_mutex_close(mutex), 0);
      }
      REQUIRE(!muster_mutex_init(at->memory, sizeof at->memory));
    }
  }
}

// Unlocked, as far as the file tells, which may be of another moment than the data.
static void restarts_are_told(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/mutex", test_folder());
  muster_mutex *mutex = named(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
  for (int restarts = 0; restarts < 2; restarts++) {
    if (restarts) pretend_restart(path);
    mutex = named(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE);
    CHECK_STATUS(muster_mutex_try(mutex), restarts ? EOWNERDEAD : 0);
    CHECK_STATUS(muster_mutex_repaired(mutex), 0);
    CHECK_STATUS(muster_mutex_unlock(mutex), 0);
    CHECK_STATUS(muster_mutex_close(mutex), 0);
  }
  mutex = named(path, MUSTER_REGION_OPEN | MUSTER_REGION_FILE);
  CHECK_STATUS(muster_mutex_try(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

// ---- One list of robust mutexes for a thread's locks of both kinds

enum { OURS = 3, THEIRS = 3, ROUNDS_OF_BOTH = 60 };

typedef struct both {
  scene *ours[OURS];
  pthread_mutex_t *theirs;
  uint32_t seed, kept;  // which of the OURS + THEIRS the child dies holding
} both;

static int lock_either(both *of, muster_mutex **handles, int which) {
  return which < OURS ? muster_mutex_lock(handles[which], soon()) : pthread_mutex_lock(&of->theirs[which - OURS]);
}

static int unlock_either(both *of, muster_mutex **handles, int which) {
  return which < OURS ? muster_mutex_unlock(handles[which]) : pthread_mutex_unlock(&of->theirs[which - OURS]);
}

static void shuffle(int *order, uint32_t *seed) {
  for (int i = 0; i < OURS + THEIRS; i++) order[i] = i;
  for (int i = OURS + THEIRS - 1; i > 0; i--) {
    *seed = *seed * 1664525 + 1013904223;
    int other = (int)((*seed >> 16) % (uint32_t)(i + 1)), kept = order[i];
    order[i] = order[other], order[other] = kept;
  }
}

// Locks all in one order, lets go of some in another, takes some of these again, and dies.
static void locks_both_and_dies(void *context) {
  both *of = context;
  muster_mutex *handles[OURS];
  for (int i = 0; i < OURS; i++) handles[i] = mutex_of(of->ours[i]);
  int order[OURS + THEIRS];
  uint32_t seed = of->seed;
  for (int turn = 0; turn < 20; turn++) {
    shuffle(order, &seed);
    for (int i = 0; i < OURS + THEIRS; i++) CHECK_STATUS(lock_either(of, handles, order[i]), 0);
    shuffle(order, &seed);
    for (int i = 0; i < OURS + THEIRS; i++) CHECK_STATUS(unlock_either(of, handles, order[i]), 0);
  }
  shuffle(order, &seed);
  for (int i = 0; i < OURS + THEIRS; i++) CHECK_STATUS(lock_either(of, handles, order[i]), 0);
  shuffle(order, &seed);
  for (int i = 0; i < (int)(seed % (OURS + THEIRS)); i++) CHECK_STATUS(unlock_either(of, handles, order[i]), 0);
  of->kept = 0;
  for (int i = (int)(seed % (OURS + THEIRS)); i < OURS + THEIRS; i++) of->kept |= 1u << order[i];
  gate_open(&of->ours[0]->gate[0], 1);
  for (;;) pause();
}

static void check_theirs(pthread_mutex_t *mutex, int died) {
  CHECK_STATUS(pthread_mutex_lock(mutex), died ? EOWNERDEAD : 0);
  if (died) CHECK_STATUS(pthread_mutex_consistent(mutex), 0);
  CHECK_STATUS(pthread_mutex_unlock(mutex), 0);
}

static void check_ours(muster_mutex *mutex, int died) {
  CHECK_STATUS(muster_mutex_lock(mutex, soon()), died ? EOWNERDEAD : 0);
  if (died) CHECK_STATUS(muster_mutex_repaired(mutex), 0);
  CHECK_STATUS(muster_mutex_unlock(mutex), 0);
}

// Each that the dead one held is told, and none that it had let go of: the list was whole.
static void among_libcs_own(void) {
  both *of = shared_memory(sizeof *of);
  of->theirs = shared_memory(THEIRS * sizeof *of->theirs);
  pthread_mutexattr_t attributes;
  REQUIRE(!pthread_mutexattr_init(&attributes) && !pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) &&
          !pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  for (int i = 0; i < THEIRS; i++) REQUIRE(!pthread_mutex_init(&of->theirs[i], &attributes));
  muster_mutex *handles[OURS];
  for (int i = 0; i < OURS; i++) of->ours[i] = mutex_scene(), handles[i] = mutex_of(of->ours[i]);
  for (uint32_t round = 0; round < ROUNDS_OF_BOTH; round++) {
    of->seed = round, of->ours[0]->gate[0] = 0;
    pid_t pid = test_fork(locks_both_and_dies, of);
    gate_wait(&of->ours[0]->gate[0], 1);
    kill_process(pid);
    for (int i = 0; i < OURS; i++) check_ours(handles[i], of->kept >> i & 1);
    for (int i = 0; i < THEIRS; i++) check_theirs(&of->theirs[i], of->kept >> (OURS + i) & 1);
  }
  for (int i = 0; i < OURS; i++) CHECK_STATUS(muster_mutex_close(handles[i]), 0);
}

// Where the kernel is not to be asked for the list, libc's own functions do all.
static void where_the_list_is_not_told(void) {
  refuse_call(SYS_get_robust_list, EPERM);
  pthread_mutexattr_t attributes;
  REQUIRE(!pthread_mutexattr_init(&attributes));
  if (pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST)) test_skip("this libc asks for it, too");
  among_libcs_own();
  deaths_are_told_until_repaired();
}

TEST_SUITE(lock_mutex, {"locks_and_unlocks", locks_and_unlocks, 0}, {"what_is_refused", what_is_refused, 0},
           {"belongs_to_its_thread", belongs_to_its_thread, 0},
           {"deaths_are_told_until_repaired", deaths_are_told_until_repaired, 0},
           {"unlocked_unrepaired_is_poisoned", unlocked_unrepaired_is_poisoned, 0},
           {"repairs_by_callback", repairs_by_callback, 0},
           {"sleepers_learn_of_a_death", sleepers_learn_of_a_death, 60}, {"woken_sleepers_die", woken_sleepers_die, 120},
           {"pollers_and_sleepers", pollers_and_sleepers, 60},
           {"waits_without_locking", waits_without_locking, 60}, {"fork_inherits_nothing", fork_inherits_nothing, 0},
           {"by_name", by_name, 0}, {"restarts_are_told", restarts_are_told, 0},
           {"no_more_than_the_kernel_releases", no_more_than_the_kernel_releases, 0},
           {"among_libcs_own", among_libcs_own, 60}, {"where_the_list_is_not_told", where_the_list_is_not_told, 60},
           {"hostile_bytes", hostile_bytes, 60});
