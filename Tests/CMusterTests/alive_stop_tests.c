// Waits for an Alive file that another thread ends.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "muster/alive.h"
#include "support.h"

typedef struct wait {
  char path[300];
  muster_alive_stop *stop;
  uint32_t thread;
  int kind, status;
} wait;

static void *wait_for_it(void *context) {
  wait *run = context;
  muster_alive *alive = NULL;
  muster_alive_stop_heed(run->stop);
  __atomic_store_n(&run->thread, (uint32_t)gettid(), __ATOMIC_RELEASE);
  switch (run->kind) {
    case 0: run->status = muster_alive_wait(run->path, MUSTER_DEADLINE_NEVER, NULL); break;
    case 1: run->status = muster_alive_wait_death(run->path, MUSTER_DEADLINE_NEVER, NULL); break;
    default: run->status = muster_alive_acquire(run->path, 0, MUSTER_DEADLINE_NEVER, NULL, &alive);
  }
  // Of this thread alone, and only as long as it heeds it.
  muster_alive_stop_heed(NULL);
  CHECK_STATUS(muster_alive_release(alive), 0);
  return NULL;
}

static void start(wait *run, pthread_t *thread) {
  run->thread = 0;
  REQUIRE(!muster_alive_stop_make(&run->stop));
  REQUIRE(!pthread_create(thread, NULL, wait_for_it, run));
  while (!__atomic_load_n(&run->thread, __ATOMIC_ACQUIRE)) test_pause(10000);
  CHECK(test_asleep((pid_t)run->thread));
}

static void join(wait *run, pthread_t thread, int status) {
  pthread_join(thread, NULL);
  CHECK_STATUS(run->status, status);
  muster_alive_stop_free(run->stop);
}

// Each kind of wait, of an owner that lives and of a file that is not there.
static void waits_end_when_stopped(void) {
  wait run;
  snprintf(run.path, sizeof run.path, "%s/alive", test_folder());
  for (run.kind = 0; run.kind < 3; run.kind++) {
    muster_alive *alive = NULL;
    pthread_t thread;
    if (run.kind) REQUIRE(!muster_alive_acquire(run.path, 0, MUSTER_DEADLINE_NOW, NULL, &alive));
    unsigned before = count_descriptors();
    start(&run, &thread);
    muster_alive_stop_set(run.stop);
    join(&run, thread, ECANCELED);
    // But for the inotify instance that is kept for the next wait.
    CHECK(count_descriptors() <= before + 1);
    CHECK_STATUS(muster_alive_release(alive), 0);
  }
}

// What has happened comes before the stop.
static void what_has_happened_counts(void) {
  wait run = {.kind = 2};
  pthread_t thread;
  snprintf(run.path, sizeof run.path, "%s/alive", test_folder());
  REQUIRE(!muster_alive_stop_make(&run.stop));
  muster_alive_stop_set(run.stop);
  REQUIRE(!pthread_create(&thread, NULL, wait_for_it, &run));
  join(&run, thread, 0);
}

TEST_SUITE(alive_stop, {"waits_end_when_stopped", waits_end_when_stopped, 0},
           {"what_has_happened_counts", what_has_happened_counts, 0});
