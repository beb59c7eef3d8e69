// Writers that die or stop, successors, forks, and files that outlive their processes.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/seqlock.h"
#include "seqlock_support.h"
#include "test.h"

enum { WORDS = 24 };

typedef struct scene {
  void *memory;
  uint32_t words;
  uint64_t writes;  // 0: without end
} scene;

static muster_seqlock *attach(const scene *at) {
  muster_seqlock *counters;
  REQUIRE(!muster_seqlock_attach(at->memory, muster_seqlock_size(at->words), &counters));
  return counters;
}

// Claims and writes values; then, when there is an end to it, sleeps with the claim.
static void write_values(void *context) {
  const scene *at = context;
  muster_seqlock *counters = attach(at);
  muster_seqlock_claimant found;
  REQUIRE(!muster_seqlock_claim(counters, &found));
  uint64_t words[WORDS];
  for (uint64_t done = 0; !at->writes || done < at->writes; done++) {
    seqlock_test_value(words, at->words, ++found.sequence);
    REQUIRE(!muster_seqlock_write(counters, words, at->words));
  }
  for (;;) pause();
}

static uint64_t check_whole(muster_seqlock *counters, uint32_t count) {
  uint64_t words[WORDS], sequence;
  REQUIRE(!muster_seqlock_read(counters, words, count, &sequence));
  REQUIRE(seqlock_test_is_value(words, count, sequence));
  return sequence;
}

static void await_claim(muster_seqlock *counters) {
  REQUIRE(!muster_seqlock_wait_writer(counters, muster_deadline_after(INT64_C(10000000000))));
}

static void second_writer_is_refused(void) {
  scene at = {.memory = seqlock_test_memory(WORDS, NULL), .words = WORDS, .writes = 3};
  muster_seqlock *counters = attach(&at), *mine = attach(&at);
  pid_t writer = test_fork(write_values, &at);
  uint64_t seen = 0;
  while (seen < 3) REQUIRE(!muster_seqlock_wait(counters, seen, MUSTER_DEADLINE_NEVER, &seen));
  muster_seqlock_claimant found = {0, 0, 9};
  CHECK_STATUS(muster_seqlock_claim(counters, &found), EBUSY);
  CHECK(found.pid == writer && !found.died && found.sequence == 3);
  CHECK_STATUS(muster_seqlock_write(counters, &seen, 1), EPERM);
  int32_t pid = 0;
  CHECK_STATUS(muster_seqlock_writer_pid(counters, &pid), 0);
  CHECK_EQUAL(pid, writer);
  kill(writer, SIGKILL);
  test_join(writer, SIGKILL);
  CHECK_STATUS(muster_seqlock_writer_pid(counters, &pid), EOWNERDEAD);
  CHECK_EQUAL(pid, writer);
  CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
  CHECK(found.pid == writer && found.died == 1 && found.sequence == 3);
  // A second handle of the same thread is a second writer too.
  CHECK_STATUS(muster_seqlock_claim(mine, &found), EBUSY);
  CHECK_EQUAL(found.pid, getpid());
  CHECK_STATUS(muster_seqlock_release(counters), 0);
  CHECK_STATUS(muster_seqlock_writer_pid(counters, &pid), ENOENT);
  CHECK_STATUS(muster_seqlock_claim(mine, &found), 0);
  CHECK(!found.died && !found.pid);
  CHECK_STATUS(muster_seqlock_close(mine), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(at.memory, muster_seqlock_size(WORDS));
}

// Wherever the writer is killed, the newest value is whole, and the successor goes on from it.
static void killed_at_random_points(void) {
  uint64_t random = test_seed();
  scene at = {.memory = seqlock_test_memory(WORDS, NULL), .words = WORDS};
  muster_seqlock *counters = attach(&at), *reader;
  REQUIRE(!muster_seqlock_attach_read_only(at.memory, muster_seqlock_size(WORDS), &reader));
  uint64_t last = 0;
  for (int round = 0; round < 300; round++) {
    pid_t writer = test_fork(write_values, &at);
    await_claim(counters);
    REQUIRE(!muster_seqlock_wait(counters, last, MUSTER_DEADLINE_NEVER, NULL));
    test_pause((int64_t)(test_random(&random) % 200000));
    kill(writer, SIGKILL);
    check_whole(reader, WORDS);
    test_join(writer, SIGKILL);
    uint64_t found = check_whole(reader, WORDS);
    REQUIRE(found > last);
    // Every other time the next child is the successor, else this process.
    if (round % 2) {
      muster_seqlock_claimant claimant;
      REQUIRE(!muster_seqlock_claim(counters, &claimant));
      REQUIRE(claimant.died && claimant.pid == writer && claimant.sequence == found);
      uint64_t words[WORDS];
      for (int i = 0; i < 3; i++) {
        seqlock_test_value(words, WORDS, ++found);
        REQUIRE(!muster_seqlock_write(counters, words, WORDS));
        REQUIRE(check_whole(reader, WORDS) == found);
      }
      REQUIRE(!muster_seqlock_release(counters));
    }
    last = found;
  }
  CHECK_STATUS(muster_seqlock_close(reader), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(at.memory, muster_seqlock_size(WORDS));
}

// A writer that is stopped, wherever, holds no reader up, and stays the writer.
static void stopped_at_random_points(void) {
  uint64_t random = test_seed();
  scene at = {.memory = seqlock_test_memory(WORDS, NULL), .words = WORDS};
  muster_seqlock *counters = attach(&at);
  pid_t writer = test_fork(write_values, &at);
  await_claim(counters);
  for (int round = 0; round < 300; round++) {
    int status;
    kill(writer, SIGSTOP);
    REQUIRE(waitpid(writer, &status, WUNTRACED) == writer && WIFSTOPPED(status));
    uint64_t first = check_whole(counters, WORDS);
    for (int i = 0; i < 20; i++) REQUIRE(check_whole(counters, WORDS) == first);
    REQUIRE(muster_seqlock_claim(counters, NULL) == EBUSY);
    kill(writer, SIGCONT);
    REQUIRE(!muster_seqlock_wait(counters, first, MUSTER_DEADLINE_NEVER, NULL));
    test_pause((int64_t)(test_random(&random) % 100000));
  }
  kill(writer, SIGKILL);
  test_join(writer, SIGKILL);
  check_whole(counters, WORDS);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(at.memory, muster_seqlock_size(WORDS));
}

// A death after each of the stores of a write, one by one: this test makes the shared memory as such a writer would
// have left it.
static void every_half_written_state(void) {
  scene at = {.memory = seqlock_test_memory(3, NULL), .words = 3};
  size_t size = muster_seqlock_size(3);
  static unsigned char saved[8192];
  REQUIRE(size <= sizeof saved);
  muster_seqlock *first = attach(&at);
  REQUIRE(!muster_seqlock_claim(first, NULL));
  uint64_t words[3];
  for (uint64_t n = 1; n <= 4; n++) {
    seqlock_test_value(words, 3, n);
    REQUIRE(!muster_seqlock_write(first, words, 3));
  }
  REQUIRE(!muster_seqlock_close(first));
  memcpy(saved, at.memory, size);
  for (int stores = 0; stores <= 5; stores++) {
    memcpy(at.memory, saved, size);
    muster_seqlock *counters = attach(&at);
    const muster_seqlock_reader *reader = muster_seqlock_reader_of(counters);
    uint64_t *stamp = (uint64_t *)(uintptr_t)reader->latest + MUSTER_SEQLOCK_COPIES + reader->stride;
    if (stores > 0) stamp[0] = ~UINT64_C(5);
    for (int w = 0; w < 3; w++)
      if (stores > 1 + w) stamp[1 + w] = 0xdead;
    if (stores > 4) stamp[0] = 5;
    CHECK_EQUAL(check_whole(counters, 3), 4);
    muster_seqlock_claimant found;
    CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
    CHECK_EQUAL(found.sequence, 4);
    // The first write of a successor is of one word: it must not rely on what the copy holds.
    CHECK_STATUS(muster_seqlock_set(counters, 0, 50), 0);
    uint64_t after[3], sequence;
    CHECK_STATUS(muster_seqlock_read(counters, after, 3, &sequence), 0);
    CHECK(sequence == 5 && after[0] == 50 && after[1] == words[1] && after[2] == words[2]);
    CHECK_STATUS(muster_seqlock_add(counters, 1, 1), 0);
    CHECK_STATUS(muster_seqlock_read(counters, after, 3, &sequence), 0);
    CHECK(sequence == 6 && after[0] == 50 && after[1] == words[1] + 1 && after[2] == words[2]);
    CHECK_STATUS(muster_seqlock_close(counters), 0);
  }
  munmap(at.memory, size);
}

static void wait_for_death(void *context) {
  const scene *at = context;
  muster_seqlock *counters = attach(at);
  uint64_t sequence = 0;
  CHECK_STATUS(muster_seqlock_wait(counters, at->writes, MUSTER_DEADLINE_NEVER, &sequence), EOWNERDEAD);
  CHECK_EQUAL(sequence, at->writes);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
}

static void wait_for_death_read_only(void *context) {
  const scene *at = context;
  muster_seqlock *counters;
  REQUIRE(!muster_seqlock_attach_read_only(at->memory, muster_seqlock_size(at->words), &counters));
  CHECK_STATUS(muster_seqlock_wait(counters, at->writes, MUSTER_DEADLINE_NEVER, NULL), EOWNERDEAD);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
}

static void waits_end_at_death(void) {
  scene at = {.memory = seqlock_test_memory(2, NULL), .words = 2, .writes = 2};
  muster_seqlock *counters = attach(&at);
  pid_t writer = test_fork(write_values, &at), waiters[6];
  uint64_t seen = 0;
  while (seen < 2) REQUIRE(!muster_seqlock_wait(counters, seen, MUSTER_DEADLINE_NEVER, &seen));
  for (int w = 0; w < 6; w++) waiters[w] = test_fork(w < 5 ? wait_for_death : wait_for_death_read_only, &at);
  for (int w = 0; w < 6; w++) CHECK(test_asleep(waiters[w]));
  kill(writer, SIGKILL);
  for (int w = 0; w < 6; w++) test_join(waiters[w], 0);
  test_join(writer, SIGKILL);
  // What it wrote last comes before the news of its death.
  CHECK_STATUS(muster_seqlock_wait(counters, 1, MUSTER_DEADLINE_NEVER, &seen), 0);
  CHECK_STATUS(muster_seqlock_wait(counters, 2, MUSTER_DEADLINE_NEVER, &seen), EOWNERDEAD);
  muster_wait_set set;
  CHECK_STATUS(muster_seqlock_poll(counters, 2, &seen, &set), EOWNERDEAD);
  CHECK_STATUS(muster_seqlock_wait_writer(counters, muster_deadline_after(2000000)), ETIMEDOUT);
  writer = test_fork(write_values, &at);
  await_claim(counters);
  while (seen < 4) CHECK_STATUS(muster_seqlock_wait(counters, seen, MUSTER_DEADLINE_NEVER, &seen), 0);
  kill(writer, SIGKILL);
  test_join(writer, SIGKILL);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(at.memory, muster_seqlock_size(2));
}

// Waiters sleep on while writers are killed one after another: whoever follows wakes them, also when the predecessor
// died between taking their notice back and its write.
static void follow_successors(void *context) {
  const scene *at = context;
  muster_seqlock *counters = attach(at);
  for (uint64_t seen = 0; seen < at->writes;) {
    int status = muster_seqlock_wait(counters, seen, MUSTER_DEADLINE_NEVER, &seen);
    if (status == EOWNERDEAD) status = muster_seqlock_wait_writer(counters, MUSTER_DEADLINE_NEVER);
    REQUIRE(status == 0);
  }
  CHECK_STATUS(muster_seqlock_close(counters), 0);
}

static void waiters_outlive_writers(void) {
  uint64_t random = test_seed();
  scene at = {.memory = seqlock_test_memory(2, NULL), .words = 2};
  scene followed = at;
  muster_seqlock *counters = attach(&at);
  followed.writes = UINT64_MAX >> 1;
  pid_t followers[3];
  for (int f = 0; f < 3; f++) followers[f] = test_fork(follow_successors, &followed);
  for (int round = 0; round < 60; round++) {
    pid_t writer = test_fork(write_values, &at);
    await_claim(counters);
    test_pause((int64_t)(test_random(&random) % 2000000));
    kill(writer, SIGKILL);
    test_join(writer, SIGKILL);
  }
  // One last value, far enough on that they all end.
  muster_seqlock_claimant found;
  REQUIRE(!muster_seqlock_claim(counters, &found));
  muster_seqlock_writer *writer = muster_seqlock_writer_of(counters);
  writer->sequence = followed.writes;
  CHECK_STATUS(muster_seqlock_commit(writer), 0);
  for (int f = 0; f < 3; f++) test_join(followers[f], 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  munmap(at.memory, muster_seqlock_size(2));
}

static void use_inherited(void *context) {
  muster_seqlock *counters = context;
  uint64_t words[2] = {5, 6}, sequence;
  CHECK_STATUS(muster_seqlock_write(counters, words, 2), EPERM);
  CHECK_STATUS(muster_seqlock_add(counters, 0, 1), EPERM);
  CHECK_STATUS(muster_seqlock_commit(muster_seqlock_writer_of(counters)), EPERM);
  CHECK_STATUS(muster_seqlock_claim(counters, NULL), EPERM);
  CHECK_STATUS(muster_seqlock_release(counters), EPERM);
  CHECK_STATUS(muster_seqlock_wait(counters, 1, 0, NULL), EPERM);
  CHECK_STATUS(muster_seqlock_wait_writer(counters, 0), EPERM);
  CHECK_STATUS(muster_seqlock_read(counters, words, 2, &sequence), 0);
  CHECK(words[0] == 1 && words[1] == 2 && sequence == 1);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
}

static void fork_takes_no_claim(void) {
  const char *name = test_name("fork");
  muster_seqlock *counters, *other;
  REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.words = 2}, &counters));
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  REQUIRE(!muster_seqlock_write(counters, (uint64_t[]){1, 2}, 2));
  test_join(test_fork(use_inherited, counters), 0);
  CHECK_STATUS(muster_seqlock_add(counters, 0, 1), 0);
  REQUIRE(!muster_seqlock_open(name, &(muster_seqlock_options){.words = 2}, &other));
  CHECK_STATUS(muster_seqlock_claim(other, NULL), EBUSY);
  CHECK_STATUS(muster_seqlock_close(other), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

typedef struct on_thread {
  muster_seqlock *counters;
  int status;
} on_thread;

static void *claim_and_end(void *context) {
  on_thread *run = context;
  run->status = muster_seqlock_claim(run->counters, NULL);
  if (!run->status) run->status = muster_seqlock_add(run->counters, 0, 1);
  return NULL;
}

static void *close_elsewhere(void *context) {
  on_thread *run = context;
  CHECK_STATUS(muster_seqlock_release(run->counters), EBUSY);
  CHECK_STATUS(muster_seqlock_add(run->counters, 0, 1), 0);
  run->status = muster_seqlock_close(run->counters);
  return NULL;
}

static void thread_end_is_death(void) {
  muster_seqlock *counters, *other;
  void *memory = seqlock_test_memory(1, &counters);
  REQUIRE(!muster_seqlock_attach(memory, muster_seqlock_size(1), &other));
  on_thread run = {.counters = counters};
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, claim_and_end, &run));
  pthread_join(thread, NULL);
  CHECK_STATUS(run.status, 0);
  // The kernel may be a moment later than the join.
  CHECK_STATUS(muster_seqlock_wait(other, 1, MUSTER_DEADLINE_NEVER, NULL), EOWNERDEAD);
  CHECK_STATUS(muster_seqlock_release(counters), EINVAL);
  muster_seqlock_claimant found;
  CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
  CHECK(found.died == 1 && found.pid == getpid() && found.sequence == 1);
  REQUIRE(!pthread_create(&thread, NULL, close_elsewhere, &run));
  pthread_join(thread, NULL);
  CHECK_STATUS(run.status, EBUSY);
  CHECK_EQUAL(muster_seqlock_sequence(other), 2);
  CHECK_STATUS(muster_seqlock_release(counters), 0);
  // Claimed anew by the same handle after its thread ended, without a release between.
  REQUIRE(!pthread_create(&thread, NULL, claim_and_end, &run));
  pthread_join(thread, NULL);
  CHECK_STATUS(muster_seqlock_wait(other, 3, MUSTER_DEADLINE_NEVER, NULL), EOWNERDEAD);
  CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
  CHECK(found.died == 1 && found.sequence == 3);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  CHECK_STATUS(muster_seqlock_close(other), 0);
  munmap(memory, muster_seqlock_size(1));
}

static void write_file_and_hold(void *context) {
  muster_seqlock *counters;
  muster_seqlock_options options = {.words = 3, .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  REQUIRE(!muster_seqlock_open(context, &options, &counters));
  REQUIRE(!muster_seqlock_claim(counters, NULL));
  REQUIRE(!muster_seqlock_write(counters, (uint64_t[]){10, 20, 30}, 3));
  REQUIRE(!muster_region_sync(muster_seqlock_region(counters)));
  raise(SIGKILL);
}

static void change_latest(const char *path, uint64_t by) {
  muster_region *region;
  muster_region_options options = {.flags = MUSTER_REGION_ATTACH | MUSTER_REGION_FILE};
  REQUIRE(!muster_region_open(path, &options, &region));
  muster_seqlock *counters;
  REQUIRE(!muster_seqlock_attach(muster_region_payload(region), muster_region_size(region), &counters));
  *(uint64_t *)(uintptr_t)muster_seqlock_reader_of(counters)->latest += by;
  REQUIRE(!muster_seqlock_close(counters));
  muster_region_close(region);
}

// A file keeps the last whole value; when nobody holds it, it gets a fresh claim.
static void files_keep_values(void) {
  char path[300];
  snprintf(path, sizeof path, "%s/counters", test_folder());
  test_join(test_fork(write_file_and_hold, path), SIGKILL);
  muster_seqlock_options options = {.words = 3, .flags = MUSTER_REGION_OPEN | MUSTER_REGION_FILE};
  muster_seqlock *counters;
  uint64_t words[3], sequence;
  muster_seqlock_options look = {.flags = MUSTER_REGION_READ_ONLY | MUSTER_REGION_FILE};
  REQUIRE(!muster_seqlock_open(path, &look, &counters));
  CHECK_STATUS(muster_seqlock_read(counters, words, 3, &sequence), 0);
  CHECK(sequence == 1 && words[2] == 30);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  REQUIRE(!muster_seqlock_open(path, &options, &counters));
  int32_t pid;
  CHECK_STATUS(muster_seqlock_writer_pid(counters, &pid), EOWNERDEAD);
  muster_seqlock_claimant found;
  CHECK_STATUS(muster_seqlock_claim(counters, &found), 0);
  CHECK(found.died && found.pid == pid && found.sequence == 1);
  CHECK_STATUS(muster_seqlock_add(counters, 0, 1), 0);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  // After a restart of the machine `latest` and the copies may be of different moments: one that is whole is taken, or
  // none.
  change_latest(path, 1);
  REQUIRE(!muster_seqlock_open(path, &options, &counters));
  CHECK_STATUS(muster_seqlock_read(counters, words, 3, &sequence), 0);
  CHECK(sequence == 2 && words[0] == 11 && words[2] == 30);
  CHECK_STATUS(muster_seqlock_close(counters), 0);
  change_latest(path, 8);
  CHECK_STATUS(muster_seqlock_open(path, &options, &counters), EBADMSG);
  CHECK_STATUS(muster_region_remove(path, MUSTER_REGION_FILE), 0);
}

TEST_SUITE(seqlock_death, {"second_writer_is_refused", second_writer_is_refused, 0},
           {"killed_at_random_points", killed_at_random_points, 60},
           {"stopped_at_random_points", stopped_at_random_points, 60},
           {"every_half_written_state", every_half_written_state, 0}, {"waits_end_at_death", waits_end_at_death, 0},
           {"waiters_outlive_writers", waiters_outlive_writers, 60}, {"fork_takes_no_claim", fork_takes_no_claim, 0},
           {"thread_end_is_death", thread_end_is_death, 0}, {"files_keep_values", files_keep_values, 0});
