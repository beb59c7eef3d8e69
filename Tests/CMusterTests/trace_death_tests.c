// Threads that record and are killed, stopped, forked; readers beside them; the watch.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "trace_support.h"

typedef struct scene {
  trace_scene trace;
  uint32_t *gate;  // counts those who record
} scene;

static scene make_scene(uint32_t recorders, uint32_t events) {
  return (scene){trace_test_scene(recorders, events, 4), shared_memory(4096)};
}

static void come_in(uint32_t *gate) {
  __atomic_add_fetch(gate, 1, __ATOMIC_ACQ_REL);
  muster_wake_all(gate);
}

static void record_on(void *context) {
  const scene *at = context;
  muster_trace *trace = trace_test_attach(&at->trace);
  muster_trace_recorder *mine = trace_test_join(trace, NULL);
  REQUIRE(!trace_test_record(mine));
  come_in(at->gate);
  for (;;) REQUIRE(!trace_test_record(mine));
}

// Of each recorder that died or lives: a stretch without a gap, but for what is overwritten while it lives.
static void check_recorder(const muster_trace *trace, uint32_t index) {
  muster_trace_cursor *cursor;
  REQUIRE(!muster_trace_read(trace, index, &cursor));
  muster_trace_recorder_info info;
  REQUIRE(!muster_trace_cursor_recorder(cursor, index, &info));
  muster_trace_event event;
  uint64_t next = info.oldest;
  while (!muster_trace_next(cursor, &event)) {
    REQUIRE(trace_test_is_whole(&event));
    REQUIRE(event.number == next + event.lost);
    next = event.number + 1;
    // What the last one died at has taken the place of the oldest.
    if (info.life == MUSTER_TRACE_DIED) REQUIRE(event.lost <= (event.number <= info.oldest + 1 ? 1u : 0u));
  }
  if (info.life == MUSTER_TRACE_DIED) REQUIRE(next == info.end && info.end > info.first);
  muster_trace_cursor_close(cursor);
}

static void killed_at_random(void) {
  uint64_t random = test_seed();
  scene at = make_scene(3, 16);
  muster_trace *looking = trace_test_look_at(&at.trace);
  for (uint32_t round = 0; round < 120; round++) {
    uint32_t before = __atomic_load_n(at.gate, __ATOMIC_ACQUIRE);
    pid_t writer = test_fork(record_on, &at);
    gate_pass(at.gate, before + 1);
    for (uint64_t turns = test_random(&random) % 40; turns; turns--)
      for (uint32_t k = 0; k < 3; k++) check_recorder(looking, k);
    if (round % 3 == 0) {
      stop_process(writer);
      for (uint32_t k = 0; k < 3; k++) check_recorder(looking, k);
    }
    kill_process(writer);
    muster_trace_state state;
    CHECK_STATUS(muster_trace_look(looking, &state), 0);
    CHECK_EQUAL(state.alive, 0);
    CHECK_EQUAL(state.died, round < 2 ? round + 1 : 3);
    for (uint32_t k = 0; k < 3; k++) check_recorder(looking, k);
  }
  trace_test_close(looking);
  trace_test_end(&at.trace);
}

// A recorder so small that its writer goes round within each look: nothing that is told is of two events.
static void read_while_it_goes_round(void) {
  scene at = make_scene(2, 16);
  muster_trace *looking = trace_test_look_at(&at.trace);
  pid_t writers[2] = {test_fork(record_on, &at), test_fork(record_on, &at)};
  gate_pass(at.gate, 2);
  uint64_t told = 0;
  for (int64_t end = test_now() + 300000000; test_now() < end;) told += trace_test_read_whole(looking, MUSTER_TRACE_ALL);
  CHECK(told > 100);
  for (int k = 0; k < 2; k++) kill_process(writers[k]);
  trace_test_close(looking);
  trace_test_end(&at.trace);
}

// Threads come and go, so that sessions change under the readers.
static void visit_again_and_again(void *context) {
  const scene *at = context;
  muster_trace *trace = trace_test_attach(&at->trace);
  come_in(at->gate);
  for (;;) {
    muster_trace_recorder *mine;
    int status = muster_trace_join(trace, NULL, &mine);
    REQUIRE(status == 0 || status == EOVERFLOW);
    for (int k = 0; mine && k < 20; k++) REQUIRE(!trace_test_record(mine));
    REQUIRE(!muster_trace_leave(mine));
  }
}

static void sessions_that_change(void) {
  uint64_t random = test_seed();
  scene at = make_scene(2, 16);
  muster_trace *looking = trace_test_look_at(&at.trace);
  for (uint32_t round = 0; round < 10; round++) {
    pid_t writers[3];
    for (int k = 0; k < 3; k++) writers[k] = test_fork(visit_again_and_again, &at);
    gate_pass(at.gate, 3 * (round + 1));
    for (uint64_t turns = 20 + test_random(&random) % 200; turns; turns--) {
      (void)trace_test_read_whole(looking, MUSTER_TRACE_ALL);
      muster_trace_recorder_info info;
      REQUIRE(!muster_trace_look_recorder(looking, (uint32_t)(turns % 2), &info));
      REQUIRE(info.end - info.first <= 20 && (info.life == MUSTER_TRACE_UNUSED || info.pid > 0));
    }
    for (int k = 0; k < 3; k++) kill_process(writers[k]);
  }
  muster_trace *trace = trace_test_attach(&at.trace);
  muster_trace_recorder *both[2] = {trace_test_join(trace, NULL), trace_test_join(trace, NULL)};
  for (int k = 0; k < 2; k++) trace_test_leave(both[k]);
  trace_test_close(trace);
  trace_test_close(looking);
  trace_test_end(&at.trace);
}

// ---- Names added by many, some of whom die in it

static void add_names(void *context) {
  const scene *at = context;
  muster_trace *trace = trace_test_attach(&at->trace);
  char text[8] = "name-0";
  for (unsigned k = 0;; k++) {
    uint16_t name;
    text[5] = (char)('a' + k % 20);
    int status = muster_trace_name(trace, text, &name);
    REQUIRE(status == 0 || status == EOVERFLOW);
    if (k == 0) come_in(at->gate);
  }
}

static void names_from_many(void) {
  uint64_t random = test_seed();
  for (int round = 0; round < 8; round++) {
    scene at = {trace_test_scene(1, 16, 128), shared_memory(4096)};
    muster_trace *trace = trace_test_attach(&at.trace);
    pid_t writers[4];
    for (int k = 0; k < 4; k++) writers[k] = test_fork(add_names, &at);
    gate_pass(at.gate, 1);
    test_pause((int64_t)(test_random(&random) % 200000));
    for (int k = 0; k < 4; k++) kill_process(writers[k]);
    char text[8] = "name-0", found[MUSTER_TRACE_NAME_SIZE];
    for (char c = 'a'; c < 'a' + 20; c++) {
      uint16_t name;
      text[5] = c;
      CHECK_STATUS(muster_trace_name(trace, text, &name), 0);
      CHECK_STATUS(muster_trace_name_text(trace, name, found), 0);
      CHECK(!strcmp(found, text));
    }
    muster_trace_state state;
    CHECK_STATUS(muster_trace_look(trace, &state), 0);
    CHECK(state.names >= 20 && state.names <= 4 * 20 + 20);
    trace_test_close(trace);
    munmap(at.gate, 4096);
    trace_test_end(&at.trace);
  }
}

// ---- fork and exec

typedef struct inheritance {
  muster_trace *trace;
  muster_trace_recorder *recorder;
} inheritance;

static void use_what_was_inherited(void *context) {
  inheritance *at = context;
  muster_trace_recorder *none;
  CHECK_STATUS(trace_test_record(at->recorder), EPERM);
  CHECK_STATUS(muster_trace_record(at->recorder, MUSTER_TRACE_INSTANT, 0, 0), EPERM);
  CHECK_STATUS(muster_trace_join(at->trace, NULL, &none), EPERM);
  CHECK_STATUS(muster_trace_watch(at->trace, MUSTER_DEADLINE_NOW, NULL), EPERM);
  CHECK_EQUAL(trace_test_read_whole(at->trace, MUSTER_TRACE_ALL), 1);
  trace_test_leave(at->recorder);
  trace_test_close(at->trace);
}

static void forked(void) {
  scene at = make_scene(2, 16);
  inheritance mine = {.trace = trace_test_attach(&at.trace)};
  mine.recorder = trace_test_join(mine.trace, NULL);
  CHECK_STATUS(trace_test_record(mine.recorder), 0);
  test_join(test_fork(use_what_was_inherited, &mine), 0);
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_look_recorder(mine.trace, 0, &info), 0);
  CHECK_EQUAL(info.life, MUSTER_TRACE_ALIVE);
  CHECK_STATUS(trace_test_record(mine.recorder), 0);
  trace_test_leave(mine.recorder);
  trace_test_close(mine.trace);
  trace_test_end(&at.trace);
}

static void become_another_program(void *context) {
  const scene *at = context;
  muster_trace *trace = trace_test_attach(&at->trace);
  REQUIRE(!trace_test_record(trace_test_join(trace, NULL)));
  execl("/bin/sh", "sh", "-c", "kill -STOP $$", (char *)NULL);
}

static void exec_is_an_end(void) {
  scene at = make_scene(1, 16);
  pid_t child = test_fork(become_another_program, &at);
  int status;
  REQUIRE(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
  muster_trace *looking = trace_test_look_at(&at.trace);
  muster_trace_recorder_info info;
  CHECK_STATUS(muster_trace_look_recorder(looking, 0, &info), 0);
  CHECK(info.life == MUSTER_TRACE_DIED && info.pid == child);
  kill_process(child);
  trace_test_close(looking);
  trace_test_end(&at.trace);
}

// ---- The watch

static void watch_for(const scene *at, int expected) {
  muster_trace *trace = trace_test_attach(&at->trace);
  uint32_t died;
  come_in(at->gate + 1);
  CHECK_STATUS(muster_trace_watch(trace, soon(), &died), expected);
  CHECK_EQUAL(died, expected == EOWNERDEAD ? 1 : MUSTER_TRACE_ALL);
  trace_test_close(trace);
}

static void watch_and_freeze(void *context) { watch_for(context, EOWNERDEAD); }
static void watch_till_frozen(void *context) { watch_for(context, ECANCELED); }

static void freezes_at_a_death(void) {
  scene at = make_scene(3, 64);
  muster_trace *trace = trace_test_attach(&at.trace), *looking = trace_test_look_at(&at.trace);
  pid_t before = test_fork(record_on, &at);
  gate_pass(at.gate, 1);
  kill_process(before);
  CHECK_STATUS(muster_trace_watch(looking, MUSTER_DEADLINE_NOW, NULL), EACCES);
  // Since this handle was made, before it watched: told once.
  uint32_t died;
  CHECK_STATUS(muster_trace_watch(trace, MUSTER_DEADLINE_NOW, &died), EOWNERDEAD);
  CHECK_EQUAL(died, 0);
  CHECK_STATUS(muster_trace_watch(trace, MUSTER_DEADLINE_NOW, &died), ECANCELED);
  CHECK_EQUAL(died, MUSTER_TRACE_ALL);
  CHECK_STATUS(muster_trace_thaw(trace), 0);
  CHECK_STATUS(muster_trace_watch(trace, muster_deadline_after(3000000), NULL), ETIMEDOUT);
  pid_t victim = test_fork(record_on, &at);
  gate_pass(at.gate, 2);
  pid_t other = test_fork(record_on, &at);
  gate_pass(at.gate, 3);
  // The last one ends in ECANCELED: frozen by this process.
  pid_t watcher = test_fork(watch_and_freeze, &at);
  gate_pass(at.gate + 1, 1);
  CHECK(test_asleep(watcher));
  stop_process(other);  // its own record must not be held to be over
  kill_process(victim);
  test_join(watcher, 0);
  muster_trace_state state;
  CHECK_STATUS(muster_trace_look(looking, &state), 0);
  CHECK(state.frozen && state.frozen_by == watcher && state.died == 2 && state.alive == 1);
  kill_process(other);
  CHECK_STATUS(muster_trace_thaw(trace), 0);
  watcher = test_fork(watch_till_frozen, &at);
  gate_pass(at.gate + 1, 2);
  CHECK(test_asleep(watcher));
  CHECK_STATUS(muster_trace_freeze(trace), 0);
  test_join(watcher, 0);
  CHECK_STATUS(muster_trace_watch(trace, soon(), NULL), ECANCELED);
  trace_test_close(trace);
  trace_test_close(looking);
  trace_test_end(&at.trace);
}

// ---- Threads

typedef struct crew {
  muster_trace *trace;
  uint32_t *stop;
} crew;

static void *work_in_a_crew(void *context) {
  const crew *at = context;
  muster_trace_recorder *mine = trace_test_join(at->trace, "crew");
  while (!__atomic_load_n(at->stop, __ATOMIC_ACQUIRE)) {
    int status = trace_test_record(mine);
    REQUIRE(status == 0 || status == ECANCELED);
  }
  trace_test_leave(mine);
  return NULL;
}

enum { CREW = 4 };

static void note_ends(const muster_trace *trace, uint64_t ends[CREW]) {
  for (uint32_t k = 0; k < CREW; k++) {
    muster_trace_recorder_info info;
    REQUIRE(!muster_trace_look_recorder(trace, k, &info));
    ends[k] = info.end;
  }
}

// Threads record while one reads, freezes and thaws, all by one handle.
static void threads(void) {
  uint32_t stop = 0;
  trace_scene room = trace_test_scene(CREW, 64, 4);
  crew at = {trace_test_attach(&room), &stop};
  pthread_t all[CREW];
  for (int k = 0; k < CREW; k++) REQUIRE(!pthread_create(&all[k], NULL, work_in_a_crew, &at));
  muster_trace_state state;
  do REQUIRE(!muster_trace_look(at.trace, &state));
  while (state.alive < CREW);
  uint64_t ends[CREW] = {0};
  // Till all have gone round once.
  while (ends[0] < 64 || ends[1] < 64 || ends[2] < 64 || ends[3] < 64) note_ends(at.trace, ends);
  for (int turn = 0; turn < 50; turn++) {
    (void)trace_test_read_whole(at.trace, MUSTER_TRACE_ALL);
    CHECK_STATUS(muster_trace_freeze(at.trace), 0);
    uint64_t frozen[CREW], later[CREW];
    note_ends(at.trace, frozen);
    uint64_t told = trace_test_read_whole(at.trace, MUSTER_TRACE_ALL);
    note_ends(at.trace, later);
    // Each may have been in the midst of one event, for which the oldest went.
    CHECK(told <= CREW * 64 && told >= CREW * 63);
    for (int k = 0; k < CREW; k++) CHECK(later[k] <= frozen[k] + 1);
    CHECK_STATUS(muster_trace_thaw(at.trace), 0);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  for (int k = 0; k < CREW; k++) REQUIRE(!pthread_join(all[k], NULL));
  trace_test_close(at.trace);
  trace_test_end(&room);
}

TEST_SUITE(trace_death, {"killed_at_random", killed_at_random, 0}, {"read_while_it_goes_round", read_while_it_goes_round, 0},
           {"sessions_that_change", sessions_that_change, 0}, {"names_from_many", names_from_many, 0}, {"forked", forked, 0},
           {"exec_is_an_end", exec_is_an_end, 0}, {"freezes_at_a_death", freezes_at_a_death, 0}, {"threads", threads, 0});
