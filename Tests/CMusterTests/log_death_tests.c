// Writers that die, leave, fork, lose a thread or are interrupted; and all of it at random, with the drain killed as well.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_support.h"

enum { BYTES = 1 << 14, WRITERS = 4, THREADS = 4 };

typedef struct scene {
  log_scene log;
  uint32_t *gate;
  const char *folder;
  muster_log *handle;
  muster_log_reader *reader;
  muster_log_drain *drain;
  uint64_t *counts;
} scene;

static void say_and_stay(void *context) {
  scene *with = context;
  muster_log *log = log_test_join(&with->log);
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "last words", NULL), 0);
  gate_open(with->gate, *with->gate + 1);
  for (;;) pause();
}

static muster_log_place_state look_at(const muster_log *log, uint32_t place) {
  muster_log_place_state state;
  CHECK_STATUS(muster_log_look_place(log, place, &state), 0);
  return state;
}

// What a killed process wrote last is there; joiners take its place last of those that are free, and go on behind it.
static void last_words(void) {
  scene with = {.log = log_test_scene(3, BYTES), .gate = shared_memory(4)};
  pid_t pids[2];
  for (uint32_t k = 0; k < 2; k++) {
    pids[k] = test_fork(say_and_stay, &with);
    gate_wait(with.gate, k + 1);
  }
  muster_log *log = log_test_attach(&with.log);
  CHECK(look_at(log, 0).life == 0 && look_at(log, 0).pid == pids[0] && look_at(log, 2).life == ENOENT);
  kill_process(pids[1]);
  kill_process(pids[0]);
  CHECK(look_at(log, 0).life == EOWNERDEAD && look_at(log, 1).pid == pids[1]);
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  for (uint32_t k = 0; k < 2; k++) {
    muster_log_record record = log_test_next(reader);
    CHECK(record.pid == pids[k] && record.place == k && log_test_is(record.message, "last words"));
  }
  // The place that nobody ever used, then the one whose last record is oldest, whoever died first.
  muster_log *joined[3];
  for (uint32_t k = 0; k < 3; k++) {
    static const uint32_t order[] = {2, 0, 1};
    uint32_t place;
    joined[k] = log_test_attach(&with.log);
    CHECK_STATUS(muster_log_join(joined[k], &place), 0);
    CHECK_EQUAL(place, order[k]);
    CHECK_STATUS(muster_log_write(joined[k], MUSTER_LOG_INFO, "new", NULL), 0);
    muster_log_record record = log_test_next(reader);
    CHECK(record.place == order[k] && record.number == (order[k] != 2) && !record.lost);
  }
  CHECK_STATUS(muster_log_join(log, NULL), EOVERFLOW);
  muster_log_state state;
  CHECK_STATUS(muster_log_look(log, &state), 0);
  CHECK(state.writers == 3 && state.used == 3);
  CHECK_STATUS(muster_log_leave(joined[1]), 0);
  CHECK_STATUS(muster_log_write(joined[1], MUSTER_LOG_INFO, "x", NULL), EINVAL);
  CHECK_EQUAL(look_at(log, 0).life, ENOENT);
  CHECK_STATUS(muster_log_join(log, NULL), 0);
  CHECK_EQUAL(look_at(log, 0).pid, getpid());
  muster_log_reader_close(reader);
  for (uint32_t k = 0; k < 3; k++) CHECK_STATUS(muster_log_close(joined[k]), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

// ---- Fork

static void in_child(void *context) {
  scene *with = context;
  muster_log *log = with->handle;
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "x", NULL), EPERM);
  CHECK_STATUS(muster_log_printf(log, MUSTER_LOG_INFO, NULL, "x"), EPERM);
  CHECK_STATUS(muster_log_join(log, NULL), EPERM);
  CHECK_STATUS(muster_log_leave(log), EPERM);
  CHECK_STATUS(muster_log_set_level(log, MUSTER_LOG_INFO), EPERM);
  muster_log_state state;
  CHECK_STATUS(muster_log_look(log, &state), EPERM);
  muster_log_drain_state drained;
  CHECK_STATUS(muster_log_look_drain(log, &drained), EPERM);
  muster_log_reader *reader;
  CHECK_STATUS(muster_log_reader_open(log, &(muster_log_reader_options){0}, &reader), EPERM);
  muster_log_record record;
  CHECK_STATUS(muster_log_next(with->reader, &record), EPERM);
  CHECK_STATUS(muster_log_wait(with->reader, MUSTER_DEADLINE_NOW), EPERM);
  CHECK_STATUS(muster_log_drain_step(with->drain, 0, NULL), EPERM);
  CHECK_STATUS(muster_log_drain_wait(with->drain, MUSTER_DEADLINE_NOW), EPERM);
  CHECK_STATUS(muster_log_drain_open(log, &(muster_log_drain_options){.descriptor = 1}, &with->drain, NULL), EPERM);
  muster_log_reader_close(with->reader);
  CHECK_STATUS(muster_log_close(log), 0);
  log = log_test_join(&with->log);
  CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "child", NULL), 0);
  CHECK_STATUS(muster_log_close(log), 0);
}

static void *lock_and_fork(void *context) {
  scene *with = context;
  while (!__atomic_load_n(with->gate, __ATOMIC_ACQUIRE)) (void)!muster_log_write(with->handle, MUSTER_LOG_DEBUG, "busy", NULL);
  return NULL;
}

// Also while another thread writes: the child never comes to the lock that that thread holds.
static void forked(void) {
  scene with = {.log = log_test_scene(2, BYTES), .gate = shared_memory(4)};
  with.handle = log_test_join(&with.log);
  with.reader = log_test_reader(with.handle, MUSTER_LOG_OLDEST);
  with.drain = log_test_drain(with.handle, test_folder(), 0);
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, lock_and_fork, &with));
  for (int k = 0; k < 20; k++) test_join(test_fork(in_child, &with), 0);
  __atomic_store_n(with.gate, 1, __ATOMIC_RELEASE);
  pthread_join(thread, NULL);
  CHECK_STATUS(muster_log_write(with.handle, MUSTER_LOG_INFO, "parent", NULL), 0);
  // The child's copies have let go of nothing of the parent's.
  log_test_drain_all(with.drain);
  CHECK_STATUS(muster_log_drain_close(with.drain), 0);
  muster_log_reader_close(with.reader);
  CHECK_EQUAL(look_at(with.handle, 1).records, 20);
  CHECK_STATUS(muster_log_close(with.handle), 0);
  log_test_end(&with.log);
}

// ---- Threads

static void *join_on_thread(void *context) {
  scene *with = context;
  CHECK_STATUS(muster_log_join(with->handle, NULL), 0);
  CHECK_STATUS(muster_log_write(with->handle, MUSTER_LOG_INFO, "first", NULL), 0);
  return NULL;
}

static void thread_that_joined_ends(void) {
  scene with = {.log = log_test_scene(1, BYTES)};
  with.handle = log_test_attach(&with.log);
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, join_on_thread, &with));
  pthread_join(thread, NULL);
  CHECK_STATUS(muster_log_write(with.handle, MUSTER_LOG_INFO, "x", NULL), EOWNERDEAD);
  // Another process may have taken the place by now: nothing of what is done here disturbs it.
  muster_log *other = log_test_join(&with.log);
  CHECK_STATUS(muster_log_write(with.handle, MUSTER_LOG_INFO, "x", NULL), EOWNERDEAD);
  CHECK_STATUS(muster_log_write(other, MUSTER_LOG_INFO, "second", NULL), 0);
  CHECK_STATUS(muster_log_join(with.handle, NULL), EOVERFLOW);
  CHECK_STATUS(muster_log_write(with.handle, MUSTER_LOG_INFO, "x", NULL), EINVAL);
  CHECK_STATUS(muster_log_close(other), 0);
  CHECK_STATUS(muster_log_join(with.handle, NULL), 0);
  CHECK_STATUS(muster_log_write(with.handle, MUSTER_LOG_INFO, "third", NULL), 0);
  muster_log_reader *reader = log_test_reader(with.handle, MUSTER_LOG_OLDEST);
  CHECK(log_test_is(log_test_next(reader).message, "first"));
  CHECK(log_test_is(log_test_next(reader).message, "second"));
  CHECK(log_test_is(log_test_next(reader).message, "third"));
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(with.handle), 0);
  log_test_end(&with.log);
}

enum { EACH = 3000 };

static void *write_numbers(void *context) {
  scene *with = context;
  muster_log_pair pair = muster_log_int("n", 0);
  for (int k = 0; k < EACH; k++) {
    pair.bits = (uint64_t)k;
    REQUIRE(!muster_log_write(with->handle, MUSTER_LOG_INFO, "thread", &(muster_log_fields){.pairs = &pair, .pair_count = 1}));
  }
  return NULL;
}

// Threads share the place: each record whole, those of a thread in order, none missing.
static void many_threads(void) {
  scene with = {.log = log_test_scene(1, 1 << 20)};
  with.handle = log_test_join(&with.log);
  pthread_t threads[THREADS];
  for (int k = 0; k < THREADS; k++) REQUIRE(!pthread_create(&threads[k], NULL, write_numbers, &with));
  for (int k = 0; k < THREADS; k++) pthread_join(threads[k], NULL);
  muster_log_reader *reader = log_test_reader(with.handle, MUSTER_LOG_OLDEST);
  uint32_t ids[THREADS] = {0};
  uint64_t next[THREADS] = {0};
  int64_t before = 0;
  for (uint64_t number = 0; number < THREADS * EACH; number++) {
    muster_log_record record = log_test_next(reader);
    REQUIRE(record.kind == MUSTER_LOG_WRITTEN && record.number == number && record.pair_count == 1);
    CHECK(record.time >= before);
    before = record.time;
    int k = 0;
    while (k < THREADS - 1 && ids[k] && ids[k] != record.thread) k++;
    ids[k] = record.thread;
    CHECK_EQUAL(record.pairs[0].bits, next[k]++);
  }
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(with.handle), 0);
  log_test_end(&with.log);
}

// ---- Signal handlers

static muster_log *handled;
static uint64_t refused, accepted, wrong;

static void log_in_handler(int signal) {
  (void)signal;
  int saved = errno, status = muster_log_write(handled, MUSTER_LOG_WARNING, "in handler", NULL);
  __atomic_fetch_add(&refused, status == EDEADLK, __ATOMIC_RELAXED);
  accepted += status == 0;
  wrong += status && status != EDEADLK;
  errno = saved;
}

static void *interrupt(void *context) {
  for (pthread_t thread = *(pthread_t *)context; !__atomic_load_n(&refused, __ATOMIC_RELAXED);) {
    pthread_kill(thread, SIGUSR1);
    test_pause(20000);
  }
  return NULL;
}

// A handler that comes in the midst of a write is refused, at other times it logs; and no record is harmed.
static void signals(void) {
  log_scene memory = log_test_scene(1, 1 << 16);
  handled = log_test_join(&memory);
  signal(SIGUSR1, log_in_handler);
  pthread_t self = pthread_self(), thread;
  REQUIRE(!pthread_create(&thread, NULL, interrupt, &self));
  muster_log_reader *reader = log_test_reader(handled, MUSTER_LOG_OLDEST);
  uint64_t wrote = 0, next = 0;
  for (muster_deadline end = soon(); !__atomic_load_n(&refused, __ATOMIC_RELAXED) && !muster_deadline_passed(end);)
    for (int k = 0; k < 50; k++, wrote++) REQUIRE(!muster_log_write(handled, MUSTER_LOG_INFO, "outside", NULL));
  pthread_join(thread, NULL);
  CHECK(__atomic_load_n(&refused, __ATOMIC_RELAXED) > 0 && !wrong);
  CHECK_EQUAL(look_at(handled, 0).records, wrote + accepted);
  muster_log_record record;
  while (!muster_log_next(reader, &record)) {
    CHECK_EQUAL(record.number, next);
    next += record.kind == MUSTER_LOG_LOST ? record.lost : 1;
    CHECK(record.kind == MUSTER_LOG_LOST || log_test_is(record.message, "outside") || log_test_is(record.message, "in handler"));
  }
  CHECK_EQUAL(next, wrote + accepted);
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(handled), 0);
  log_test_end(&memory);
}

// ---- At random

static const char text[] = "some text that is longer or shorter, as it comes, up to here";

static void write_on(void *context) {
  scene *with = context;
  muster_log *log = log_test_join(&with->log);
  uint64_t seed = (uint64_t)getpid();
  for (;;) {
    muster_log_pair pair = muster_log_uint("n", seed);
    REQUIRE(!muster_log_put(log, MUSTER_LOG_INFO, text, test_random(&seed) % sizeof text,
                            &(muster_log_fields){.pairs = &pair, .pair_count = 1}));
    if (test_random(&seed) % 64 == 0) test_pause((int64_t)(test_random(&seed) % 300000));
  }
}

static void drain_on(void *context) {
  scene *with = context;
  muster_log *log = log_test_attach(&with->log);
  muster_log_drain_options options = {.folder = with->folder, .name = "app", .format = MUSTER_LOG_FORMAT_JSON,
                                      .rotate_bytes = 60000, .hold = 500000};
  muster_log_drain *drain;
  REQUIRE(!muster_log_drain_open(log, &options, &drain, NULL));
  for (;;) CHECK_STATUS(muster_log_drain_run(drain, muster_deadline_after(3000000)), ETIMEDOUT);
}

// Writers and the drain are killed at random: in the files each record is once, or told to be lost.
static void killed_at_random(uint32_t bytes, int rounds) {
  scene with = {.log = log_test_scene(WRITERS + 1, bytes), .folder = test_folder()};
  uint64_t seed = test_seed();
  pid_t writers[WRITERS], drain = test_fork(drain_on, &with);
  for (int k = 0; k < WRITERS; k++) writers[k] = test_fork(write_on, &with);
  for (int round = 0; round < rounds; round++) {
    test_pause((int64_t)(test_random(&seed) % 3000000));
    uint64_t which = test_random(&seed) % (2 * WRITERS);
    if (which < WRITERS) {
      kill_process(writers[which]);
      writers[which] = test_fork(write_on, &with);
    } else {
      kill_process(drain);
      drain = test_fork(drain_on, &with);
    }
  }
  for (int k = 0; k < WRITERS; k++) kill_process(writers[k]);
  kill_process(drain);
  muster_log *log = log_test_attach(&with.log);
  muster_log_drain *last = log_test_drain(log, with.folder, 60000);
  log_test_drain_all(last);
  muster_log_drain_state state;
  CHECK_STATUS(muster_log_look_drain(log, &state), 0);
  CHECK_STATUS(muster_log_drain_close(last), 0);
  log_tally tally = {.text = text};
  log_test_tally(with.folder, &tally);
  log_test_all_drained(log, &tally);
  CHECK_EQUAL(state.records, tally.written);
  CHECK_EQUAL(state.lost, tally.lost);
  CHECK(tally.written > 100);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&with.log);
}

static void killed_with_room(void) { killed_at_random(1 << 20, 50); }
static void killed_and_overrun(void) { killed_at_random(1 << 12, 50); }

TEST_SUITE(log_death, {"last_words", last_words, 0}, {"forked", forked, 0}, {"thread_that_joined_ends", thread_that_joined_ends, 0},
           {"many_threads", many_threads, 0}, {"signals", signals, 0}, {"killed_with_room", killed_with_room, 60},
           {"killed_and_overrun", killed_and_overrun, 60});
