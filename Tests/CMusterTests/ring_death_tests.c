// Writers and readers that die, stop, sleep, fork.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../Sources/CMuster/internal/ring_layout.h"
#include "ring_support.h"
#include "support.h"
#include "test.h"

enum { BYTES = 16384, MOST = 200 };

typedef struct scene {
  ring_scene ring;
  uint64_t records;      // of a writer: how many; 0: without end
  uint64_t *gate, *seen; // shared words
} scene;

static scene make_scene(muster_ring_mode mode) {
  uint64_t *words = shared_memory(4096);
  return (scene){.ring = ring_test_scene(BYTES, mode), .gate = words, .seen = words + 64};
}

// Goes on where the last one was, as all writers here do: record n is the same whoever writes it.
static void write_on(void *context) {
  const scene *at = context;
  muster_ring *ring = ring_test_attach(&at->ring);
  muster_ring_predecessor found;
  REQUIRE(!muster_ring_start_writing(ring, &found));
  uint64_t n = found.end.number;
  for (uint64_t done = 0; !at->records || done < at->records; done++, n++)
    REQUIRE(!ring_test_write(ring, n, MOST, MUSTER_DEADLINE_NEVER));
  __atomic_store_n(at->gate, n, __ATOMIC_RELEASE);
  for (;;) pause();
}

// Reads all, through deaths of writers, until record `records` has been seen.
static void read_all(void *context) {
  const scene *at = context;
  muster_ring *ring = ring_test_reader(&at->ring, MUSTER_RING_OLDEST);
  __atomic_add_fetch(at->gate + 1, 1, __ATOMIC_ACQ_REL);
  muster_ring_place begin;
  REQUIRE(!muster_ring_position(ring, &begin));
  uint64_t next = begin.number;
  while (next < at->records) {
    muster_ring_record record;
    int status = muster_ring_next(ring, &record);
    if (status == EAGAIN) {
      status = muster_ring_wait(ring, soon());
      if (status == EOWNERDEAD) status = muster_ring_wait_writer(ring, soon());
      REQUIRE(!status);
      continue;
    }
    REQUIRE(!status && record.number == next + record.lost && (record.lost == 0 || at->ring.mode == MUSTER_RING_LATEST));
    int right = ring_test_is_record(record.bytes, record.size, record.number, MOST);
    status = muster_ring_release(ring);
    if (status == ESTALE) continue;
    REQUIRE(!status && right);
    next = record.number + 1;
    __atomic_store_n(at->seen, next, __ATOMIC_RELEASE);
  }
  CHECK_STATUS(muster_ring_close(ring), 0);
}

static void kill_at_random(muster_ring_mode mode) {
  uint64_t random = test_seed();
  scene at = make_scene(mode), reading = at;
  reading.records = (mode == MUSTER_RING_LATEST ? UINT64_C(1000000) : UINT64_C(100000)) / test_slower();
  pid_t readers[2] = {test_fork(read_all, &reading), test_fork(read_all, &reading)};
  while (__atomic_load_n(at.gate + 1, __ATOMIC_ACQUIRE) < 2) test_pause(100000);
  int rounds = 0;
  uint64_t last = 0;
  for (; rounds < 8 || __atomic_load_n(at.seen, __ATOMIC_ACQUIRE) < reading.records; rounds++) {
    pid_t writer = test_fork(write_on, &at);
    test_pause((int64_t)(test_random(&random) % 10000000));
    if (rounds % 4 == 0) stop_process(writer);
    kill_process(writer);
    muster_ring *ring = ring_test_attach(&at.ring);
    muster_ring_predecessor found;
    REQUIRE(!muster_ring_start_writing(ring, &found));
    REQUIRE(found.end.number >= last);
    last = found.end.number;
    // Some records more by this one, who stops in order.
    for (int i = 0; i < 5; i++) REQUIRE(!ring_test_write(ring, last++, MOST, soon()));
    CHECK_STATUS(muster_ring_close(ring), 0);
  }
  pid_t writer = test_fork(write_on, &at);
  for (int k = 0; k < 2; k++) test_join(readers[k], 0);
  kill_process(writer);
  ring_test_end(&at.ring);
}

static void lossless_writers_killed(void) { kill_at_random(MUSTER_RING_LOSSLESS); }
static void latest_writers_killed(void) { kill_at_random(MUSTER_RING_LATEST); }

// Readers are killed and stopped at random: the writer goes on after each death, and others miss nothing.
static void readers_killed(void) {
  uint64_t random = test_seed();
  scene at = make_scene(MUSTER_RING_LOSSLESS), reading = at;
  reading.records = UINT64_MAX;
  pid_t writer = test_fork(write_on, &at);
  for (int round = 0; round < 40; round++) {
    uint64_t before = __atomic_load_n(at.gate + 1, __ATOMIC_ACQUIRE);
    pid_t reader = test_fork(read_all, &reading);
    while (__atomic_load_n(at.gate + 1, __ATOMIC_ACQUIRE) == before) test_pause(20000);
    test_pause((int64_t)(test_random(&random) % 3000000));
    stop_process(reader);
    kill_process(reader);
    muster_ring *ring = ring_test_reader(&at.ring, MUSTER_RING_NEWEST);
    for (int i = 0; i < 100; i++) {
      muster_ring_record record;
      int status;
      while ((status = muster_ring_next(ring, &record)) == EAGAIN) REQUIRE(!muster_ring_wait(ring, soon()));
      REQUIRE(!status && ring_test_is_record(record.bytes, record.size, record.number, MOST));
      REQUIRE(!muster_ring_release(ring));
    }
    REQUIRE(!muster_ring_close(ring));
  }
  kill_process(writer);
  ring_test_end(&at.ring);
}

static void hold_and_wait(void *context) {
  const scene *at = context;
  muster_ring *ring = ring_test_reader(&at->ring, MUSTER_RING_OLDEST);
  __atomic_store_n(at->gate + 1, 1, __ATOMIC_RELEASE);
  for (;;) pause();
  (void)ring;
}

// A stopped reader counts as living; killed, it is let go at once, also by a writer that sleeps.
static void stopped_reader_holds_the_writer(void) {
  scene at = make_scene(MUSTER_RING_LOSSLESS);
  pid_t reader = test_fork(hold_and_wait, &at);
  while (!__atomic_load_n(at.gate + 1, __ATOMIC_ACQUIRE)) test_pause(20000);
  muster_ring *ring = ring_test_writer(&at.ring);
  uint64_t n = 0;
  while (!ring_test_write(ring, n, MOST, MUSTER_DEADLINE_NOW)) n++;
  stop_process(reader);
  CHECK_STATUS(ring_test_write(ring, n, MOST, muster_deadline_after(5000000)), ETIMEDOUT);
  CHECK_STATUS(muster_ring_close(ring), 0);
  scene writing = at;
  writing.records = 1000;
  pid_t writer = test_fork(write_on, &writing);
  CHECK(test_asleep(writer));
  kill_process(reader);
  while (__atomic_load_n(at.gate, __ATOMIC_ACQUIRE) < n + 1000) test_pause(100000);
  kill_process(writer);
  ring_test_end(&at.ring);
}

static void sleep_until(void *context) {
  const scene *at = context;
  muster_ring *ring = ring_test_reader(&at->ring, MUSTER_RING_NEWEST);
  CHECK_STATUS(muster_ring_wait(ring, MUSTER_DEADLINE_NEVER), at->records ? EOWNERDEAD : 0);
  CHECK_STATUS(muster_ring_close(ring), 0);
}

static void sleep_read_only(void *context) {
  const scene *at = context;
  muster_ring *ring;
  REQUIRE(!muster_ring_attach_read_only(at->ring.memory, at->ring.size, &ring));
  REQUIRE(!muster_ring_start_reading(ring, MUSTER_RING_NEWEST, NULL));
  CHECK_STATUS(muster_ring_wait(ring, MUSTER_DEADLINE_NEVER), at->records ? EOWNERDEAD : 0);
  CHECK_STATUS(muster_ring_close(ring), 0);
}

// Sleepers are woken by a record, and by the writer's death.
static void sleepers(void) {
  for (int dies = 0; dies < 2; dies++) {
    scene at = make_scene(MUSTER_RING_LATEST), writing = at;
    writing.records = 3;
    at.records = (uint64_t)dies;
    pid_t writer = 0, sleeping[6];
    muster_ring *ring = NULL;
    if (dies) {
      writer = test_fork(write_on, &writing);
      while (!__atomic_load_n(at.gate, __ATOMIC_ACQUIRE)) test_pause(20000);
    } else {
      ring = ring_test_writer(&at.ring);
    }
    for (int k = 0; k < 6; k++) sleeping[k] = test_fork(k < 5 ? sleep_until : sleep_read_only, &at);
    for (int k = 0; k < 6; k++) CHECK(test_asleep(sleeping[k]));
    if (dies) kill_process(writer);
    else REQUIRE(!ring_test_write(ring, 0, MOST, 0));
    for (int k = 0; k < 6; k++) test_join(sleeping[k], 0);
    if (ring) CHECK_STATUS(muster_ring_close(ring), 0);
    ring_test_end(&at.ring);
  }
}

static void second_writer_is_refused(void) {
  scene at = make_scene(MUSTER_RING_LOSSLESS), writing = at;
  writing.records = 3;
  muster_ring *ring = ring_test_attach(&at.ring), *reader = ring_test_reader(&at.ring, MUSTER_RING_OLDEST);
  pid_t writer = test_fork(write_on, &writing);
  while (!__atomic_load_n(at.gate, __ATOMIC_ACQUIRE)) test_pause(20000);
  muster_ring_predecessor found;
  CHECK_STATUS(muster_ring_start_writing(ring, &found), EBUSY);
  CHECK_EQUAL(found.pid, writer);
  kill_process(writer);
  CHECK_STATUS(muster_ring_wait(reader, soon()), 0);
  for (uint64_t n = 0; n < 3; n++) ring_test_expect(reader, n, MOST);
  CHECK_STATUS(muster_ring_wait(reader, soon()), EOWNERDEAD);
  CHECK_STATUS(muster_ring_wait_writer(reader, muster_deadline_after(2000000)), ETIMEDOUT);
  CHECK_STATUS(muster_ring_start_writing(ring, &found), 0);
  CHECK(found.died && found.pid == writer && found.end.number == 3);
  CHECK_STATUS(muster_ring_wait_writer(reader, soon()), 0);
  REQUIRE(!ring_test_write(ring, 3, MOST, 0));
  CHECK_STATUS(muster_ring_wait(reader, soon()), 0);
  ring_test_expect(reader, 3, MOST);
  CHECK_STATUS(muster_ring_close(ring), 0);
  CHECK_STATUS(muster_ring_wait(reader, muster_deadline_after(2000000)), ETIMEDOUT);
  CHECK_STATUS(muster_ring_close(reader), 0);
  ring_test_end(&at.ring);
}

// A writer that dies before it is noted, after one that had died before: it is the last one that is told.
static void dead_before_it_was_noted(void) {
  scene at = make_scene(MUSTER_RING_LOSSLESS), writing = at;
  writing.records = 1;
  pid_t writer = test_fork(write_on, &writing);
  while (!__atomic_load_n(at.gate, __ATOMIC_ACQUIRE)) test_pause(20000);
  kill_process(writer);
  ring_state *state = (ring_state *)(void *)((unsigned char *)at.ring.memory + ring_state_offset());
  __atomic_store_n(&state->owner, 1u, __ATOMIC_RELEASE);
  muster_ring *ring = ring_test_attach(&at.ring);
  muster_ring_state seen;
  CHECK_STATUS(muster_ring_look(ring, &seen), 0);
  CHECK_STATUS(seen.writer, EOWNERDEAD);
  CHECK_EQUAL(seen.writer_pid, writer);
  CHECK_STATUS(muster_ring_close(ring), 0);
  ring_test_end(&at.ring);
}

typedef struct pair {
  muster_ring *writer, *reader;
} pair;

static void use_inherited(void *context) {
  pair *both = context;
  muster_ring_record record;
  void *place;
  muster_ring_state state;
  muster_wait_set set;
  CHECK_STATUS(muster_ring_claim(both->writer, 8, 0, &place), EPERM);
  CHECK_STATUS(muster_ring_commit(both->writer), EPERM);
  CHECK_STATUS(muster_ring_stop_writing(both->writer), EPERM);
  CHECK_STATUS(muster_ring_next(both->reader, &record), EPERM);
  CHECK_STATUS(muster_ring_release(both->reader), EPERM);
  CHECK_STATUS(muster_ring_poll(both->reader, &set), EPERM);
  CHECK_STATUS(muster_ring_wait_writer(both->reader, 0), EPERM);
  CHECK_STATUS(muster_ring_look(both->reader, &state), EPERM);
  CHECK_STATUS(muster_ring_seek(both->reader, MUSTER_RING_OLDEST, NULL), EPERM);
  CHECK_STATUS(muster_ring_start_reading(both->reader, MUSTER_RING_OLDEST, NULL), EPERM);
  CHECK_STATUS(muster_ring_close(both->writer), 0);
  CHECK_STATUS(muster_ring_close(both->reader), 0);
}

static void forked_child(void) {
  ring_scene at = ring_test_scene(BYTES, MUSTER_RING_LOSSLESS);
  pair both = {ring_test_writer(&at), ring_test_reader(&at, MUSTER_RING_OLDEST)};
  REQUIRE(!ring_test_write(both.writer, 0, MOST, 0));
  test_join(test_fork(use_inherited, &both), 0);
  REQUIRE(!ring_test_write(both.writer, 1, MOST, 0));
  ring_test_expect(both.reader, 0, MOST);
  ring_test_expect(both.reader, 1, MOST);
  CHECK_STATUS(muster_ring_close(both.writer), 0);
  CHECK_STATUS(muster_ring_close(both.reader), 0);
  ring_test_end(&at);
}

// The same streams where membarrier(2) is refused: fences, and sleepers that look again.
static void without_membarrier(void) {
  refuse_call(SYS_membarrier, EPERM);
  scene at = make_scene(MUSTER_RING_LOSSLESS), reading = at;
  reading.records = 20000;
  pid_t reader = test_fork(read_all, &reading);
  pid_t writer = test_fork(write_on, &at);
  test_join(reader, 0);
  kill_process(writer);
  ring_test_end(&at.ring);
}

static void *start_and_end(void *context) {
  pair *both = context;
  REQUIRE(!muster_ring_start_writing(both->writer, NULL));
  REQUIRE(!muster_ring_start_reading(both->reader, MUSTER_RING_OLDEST, NULL));
  return NULL;
}

static void *close_elsewhere(void *context) {
  pair *both = context;
  CHECK_STATUS(muster_ring_close(both->writer), EBUSY);
  CHECK_STATUS(muster_ring_close(both->reader), EBUSY);
  return NULL;
}

// A role belongs to the thread that took it.
static void threads_that_end(void) {
  ring_scene at = ring_test_scene(BYTES, MUSTER_RING_LOSSLESS);
  pair both = {ring_test_attach(&at), ring_test_attach(&at)};
  pthread_t thread;
  REQUIRE(!pthread_create(&thread, NULL, start_and_end, &both) && !pthread_join(thread, NULL));
  CHECK_STATUS(muster_ring_stop_writing(both.writer), EINVAL);
  CHECK_STATUS(muster_ring_start_writing(both.writer, NULL), 0);
  // The reader's place is dead: it holds nothing up.
  for (uint64_t n = 0; n < 1000; n++) REQUIRE(!ring_test_write(both.writer, n, MOST, 0));
  CHECK_STATUS(muster_ring_start_reading(both.reader, MUSTER_RING_NEWEST, NULL), 0);
  REQUIRE(!pthread_create(&thread, NULL, close_elsewhere, &both) && !pthread_join(thread, NULL));
  CHECK_STATUS(muster_ring_close(both.writer), 0);
  CHECK_STATUS(muster_ring_close(both.reader), 0);
  ring_test_end(&at);
}

TEST_SUITE(ring_death, {"lossless_writers_killed", lossless_writers_killed, 120},
           {"latest_writers_killed", latest_writers_killed, 120}, {"readers_killed", readers_killed, 60},
           {"stopped_reader_holds_the_writer", stopped_reader_holds_the_writer, 0}, {"sleepers", sleepers, 0},
           {"second_writer_is_refused", second_writer_is_refused, 0}, {"forked_child", forked_child, 0},
           {"dead_before_it_was_noted", dead_before_it_was_noted, 0},
           {"without_membarrier", without_membarrier, 60}, {"threads_that_end", threads_that_end, 0});
