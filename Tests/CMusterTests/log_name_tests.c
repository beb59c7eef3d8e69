// Logs by name and in files: who opens with which size, what stays when nobody holds it, looking without writing, and
// writing without a system call.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log_support.h"

static muster_log *open_log(const char *name, uint32_t flags) {
  muster_log *log;
  int status = muster_log_open(name, &(muster_log_options){.flags = flags}, &log);
  CHECK_STATUS(status, 0);
  REQUIRE(!status);
  return log;
}

static void sizes(void) {
  const char *name = test_name("log");
  muster_log *log, *other;
  muster_mismatch mismatch = {0};
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.flags = MUSTER_REGION_ATTACH}, &log), ENOENT);
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.places = 3}, &log), EINVAL);
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.places = 3, .bytes = 5000}, &log), EINVAL);
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.level = (muster_log_level)9}, &log), EINVAL);
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.places = 3, .bytes = 8192, .level = MUSTER_LOG_ERROR}, &log), 0);
  muster_log_state state;
  // As it is, whoever asks for none.
  other = open_log(name, 0);
  CHECK_STATUS(muster_log_look(other, &state), 0);
  CHECK(state.places == 3 && state.bytes == 8192 && state.level == MUSTER_LOG_ERROR);
  CHECK_STATUS(muster_log_close(other), 0);
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.places = 4, .bytes = 8192, .mismatch = &mismatch}, &other), EPROTO);
  CHECK_EQUAL(mismatch.kind, MUSTER_MISMATCH_SIZE);
  CHECK_STATUS(muster_log_open(name, &(muster_log_options){.flags = MUSTER_REGION_CREATE}, &other), EEXIST);
  CHECK(muster_log_region(log) && !strcmp(muster_region_name(muster_log_region(log)), name));
  CHECK_STATUS(muster_log_close(log), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
  log = open_log(name, 0);
  CHECK_STATUS(muster_log_look(log, &state), 0);
  CHECK(state.places == MUSTER_LOG_PLACES && state.bytes == MUSTER_LOG_BYTES && state.level == MUSTER_LOG_TRACE);
  CHECK_STATUS(muster_log_close(log), 0);
  CHECK_STATUS(muster_region_remove(name, 0), 0);
}

typedef struct peer {
  const char *name;
  uint32_t flags;
} peer;

static void write_and_die(void *context) {
  peer *with = context;
  muster_log *log = open_log(with->name, with->flags);
  CHECK_STATUS(muster_log_join(log, NULL), 0);
  for (int k = 0; k < 10; k++) CHECK_STATUS(muster_log_printf(log, MUSTER_LOG_INFO, NULL, "%d", k), 0);
  kill(getpid(), SIGKILL);
}

// What the dead left is there when nobody holds the log, for one who only looks and for one who goes on.
static void outlives(peer with) {
  for (int turn = 0; turn < 3; turn++) test_join(test_fork(write_and_die, &with), SIGKILL);
  uint32_t look = with.flags | MUSTER_REGION_ATTACH | MUSTER_REGION_READ_ONLY | MUSTER_REGION_PEEK;
  muster_log *log = open_log(with.name, look);
  CHECK_STATUS(muster_log_join(log, NULL), EACCES);
  CHECK_STATUS(muster_log_set_level(log, MUSTER_LOG_INFO), EACCES);
  CHECK(!is_held(with.name, with.flags));
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  muster_log_record record;
  for (uint32_t k = 0; k < 30; k++) {
    record = log_test_next(reader);
    CHECK(record.place == k / 10 && record.number == k % 10 && record.message.size == 1);
  }
  CHECK_STATUS(muster_log_next(reader, &record), EAGAIN);
  muster_log *writer = open_log(with.name, with.flags);
  uint32_t place;
  CHECK_STATUS(muster_log_join(writer, &place), 0);
  CHECK_EQUAL(place, 3);
  CHECK_STATUS(muster_log_write(writer, MUSTER_LOG_INFO, "on", NULL), 0);
  CHECK(log_test_is(log_test_next(reader).message, "on"));
  muster_log_reader_close(reader);
  CHECK_STATUS(muster_log_close(log), 0);
  CHECK_STATUS(muster_log_close(writer), 0);
  CHECK_STATUS(muster_region_remove(with.name, with.flags), 0);
}

static void by_name(void) { outlives((peer){test_name("log"), 0}); }

static void in_a_file(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/log", test_folder());
  outlives((peer){path, MUSTER_REGION_FILE});
}

// A mapping that can't be written to is enough to read: whatever stores there dies.
static void from_read_only_memory(void) {
  log_scene scene = log_test_scene(2, 8192);
  muster_log *log = log_test_join(&scene);
  for (int k = 0; k < 500; k++) REQUIRE(!muster_log_printf(log, MUSTER_LOG_INFO, NULL, "%d", k));
  muster_log_position position = {.count = 2};
  CHECK_STATUS(muster_log_close(log), 0);
  REQUIRE(!mprotect(scene.memory, scene.size, PROT_READ));
  REQUIRE(!muster_log_attach_read_only(scene.memory, scene.size, &log));
  muster_log_reader *reader;
  muster_log_reader_options options = {.from = MUSTER_LOG_AT, .position = &position, .hold = -1};
  REQUIRE(!muster_log_reader_open(log, &options, &reader));
  uint64_t next = 0;
  muster_log_record record;
  while (!muster_log_next(reader, &record)) {
    CHECK_EQUAL(record.number, next);
    next += record.kind == MUSTER_LOG_LOST ? record.lost : 1;
  }
  CHECK_EQUAL(next, 500);
  CHECK_STATUS(muster_log_wait(reader, muster_deadline_after(100000)), ETIMEDOUT);
  muster_log_reader_close(reader);
  muster_log_state state;
  CHECK_STATUS(muster_log_look(log, &state), 0);
  muster_log_drain_state drained;
  CHECK_STATUS(muster_log_look_drain(log, &drained), 0);
  CHECK_STATUS(muster_log_close(log), 0);
  log_test_end(&scene);
}

// ---- No system call

static void read_the_clock(void *context) {
  struct timespec now;
  (void)context;
  die_at_any_call();
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_MONOTONIC, &now);
  syscall(SYS_exit_group, 0);
}

static void write_and_read_only(void *context) {
  muster_log *log = log_test_join(context);
  muster_log_reader *reader = log_test_reader(log, MUSTER_LOG_OLDEST);
  muster_log_pair pairs[] = {muster_log_int("n", 0), muster_log_string("text", "some text")};
  muster_log_fields fields = {.pairs = pairs, .pair_count = 2};
  muster_log_record record;
  uint64_t seen = 0;
  int wrong = muster_log_write(log, MUSTER_LOG_INFO, "first", &fields);
  die_at_any_call();
  // Many times round the ring, and overtaking the reader.
  for (int k = 0; k < 5000; k++) wrong |= muster_log_write(log, MUSTER_LOG_INFO, "on", &fields);
  while (!muster_log_next(reader, &record)) seen += record.kind == MUSTER_LOG_LOST ? record.lost : 1;
  syscall(SYS_exit_group, wrong || seen != 5001);
}

static void without_system_calls(void) {
  if (signal_of(read_the_clock, NULL)) test_skip("the clock takes a system call here");
  log_scene scene = log_test_scene(1, 8192);
  CHECK_EQUAL(signal_of(write_and_read_only, &scene), 0);
  log_test_end(&scene);
}

// Openers that race with one that removes: each gets a log, whole.
static void open_and_use(void *context) {
  const char *name = context;
  for (int k = 0; k < 100; k++) {
    muster_log *log = open_log(name, 0);
    CHECK_STATUS(muster_log_join(log, NULL), 0);
    CHECK_STATUS(muster_log_write(log, MUSTER_LOG_INFO, "x", NULL), 0);
    CHECK_STATUS(muster_log_close(log), 0);
    (void)!muster_region_remove(name, 0);
  }
}

static void openers_race(void) {
  const char *name = test_name("log");
  pid_t pids[3];
  for (int k = 0; k < 3; k++) pids[k] = test_fork(open_and_use, (void *)(uintptr_t)name);
  for (int k = 0; k < 3; k++) test_join(pids[k], 0);
  (void)!muster_region_remove(name, 0);
}

TEST_SUITE(log_name, {"sizes", sizes, 0}, {"by_name", by_name, 0}, {"in_a_file", in_a_file, 0},
           {"from_read_only_memory", from_read_only_memory, 0}, {"without_system_calls", without_system_calls, 0},
           {"openers_race", openers_race, 0});
