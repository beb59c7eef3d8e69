// Locks under random kills and stops: what they guard is never seen half changed with a lock that says 0.
// SPDX-License-Identifier: Apache-2.0
#include "lock_support.h"

enum { WORKERS = 5, KILLS = 120 };

// Two words that differ only while somebody is at it.
static void change(scene *at) {
  __atomic_store_n(&at->guarded[0], at->guarded[0] + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&at->guarded[1], at->guarded[1] + 1, __ATOMIC_RELAXED);
}

static int repair(void *context) {
  scene *at = context;
  at->guarded[1] = at->guarded[0];
  return 0;
}

static void mutex_worker(void *context) {
  scene *at = context;
  muster_mutex *mutex = mutex_of(at);
  while (!__atomic_load_n(&at->gate[3], __ATOMIC_RELAXED)) {
    REQUIRE(!muster_mutex_lock_repairing(mutex, repair, at, soon()));
    REQUIRE(at->guarded[0] == at->guarded[1]);
    change(at);
    REQUIRE(!muster_mutex_unlock(mutex));
  }
  CHECK_STATUS(muster_mutex_close(mutex), 0);
}

static void rwlock_worker(void *context) {
  scene *at = context;
  muster_rwlock *lock = rwlock_of(at);
  for (uint32_t turn = 0; !__atomic_load_n(&at->gate[3], __ATOMIC_RELAXED); turn++) {
    int status = turn % 4 ? muster_rwlock_read(lock, soon()) : EOWNERDEAD;
    if (status == EOWNERDEAD) {
      REQUIRE(!muster_rwlock_write_repairing(lock, repair, at, soon()));
      REQUIRE(at->guarded[0] == at->guarded[1]);
      change(at);
    } else {
      REQUIRE(!status);
      REQUIRE(at->guarded[0] == at->guarded[1]);
    }
    REQUIRE(!muster_rwlock_unlock(lock));
  }
  CHECK_STATUS(muster_rwlock_close(lock), 0);
}

static void stress(scene *at, void (*work)(void *)) {
  uint64_t random = test_seed();
  pid_t workers[WORKERS];
  for (int k = 0; k < WORKERS; k++) workers[k] = test_fork(work, at);
  for (int kills = 0; kills < KILLS; kills++) {
    int k = (int)(test_random(&random) % WORKERS);
    test_pause((int64_t)(test_random(&random) % 2000000));
    if (test_random(&random) % 3 == 0) {
      stop_process(workers[k]);
      test_pause((int64_t)(test_random(&random) % 3000000));
      kill(workers[k], SIGCONT);
      continue;
    }
    kill_process(workers[k]);
    workers[k] = test_fork(work, at);
  }
  uint64_t before = __atomic_load_n(&at->guarded[0], __ATOMIC_RELAXED);
  for (muster_deadline end = soon(); __atomic_load_n(&at->guarded[0], __ATOMIC_RELAXED) < before + 1000;)
    REQUIRE(!muster_deadline_passed(end));
  __atomic_store_n(&at->gate[3], 1, __ATOMIC_RELAXED);
  for (int k = 0; k < WORKERS; k++) test_join(workers[k], 0);
  CHECK_EQUAL(at->guarded[0], at->guarded[1]);
}

static void mutex_under_kills(void) { stress(mutex_scene(), mutex_worker); }
static void rwlock_under_kills(void) { stress(rwlock_scene(16), rwlock_worker); }

static void *thread_worker(void *context) {
  mutex_worker(context);
  return NULL;
}

static void *thread_reader(void *context) {
  rwlock_worker(context);
  return NULL;
}

static void threads_at(scene *at, void *(*work)(void *)) {
  pthread_t threads[4];
  for (int k = 0; k < 4; k++) REQUIRE(!pthread_create(&threads[k], NULL, work, at));
  for (muster_deadline end = soon(); __atomic_load_n(&at->guarded[0], __ATOMIC_RELAXED) < 5000;) {
    REQUIRE(!muster_deadline_passed(end));
    test_pause(100000);
  }
  __atomic_store_n(&at->gate[3], 1, __ATOMIC_RELAXED);
  for (int k = 0; k < 4; k++) pthread_join(threads[k], NULL);
}

static void threads_of_one_process(void) {
  threads_at(mutex_scene(), thread_worker);
  threads_at(rwlock_scene(8), thread_reader);
}

TEST_SUITE(lock_stress, {"mutex_under_kills", mutex_under_kills, 120}, {"rwlock_under_kills", rwlock_under_kills, 120},
           {"threads_of_one_process", threads_of_one_process, 120});
