// The log: records are whole or not there, places come back, and what was drained is in the files once, whatever became of
// who wrote or drained.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/log_drain.h"
#include "sweep.h"

enum { PLACES = 3, BYTES = 4096, BEGUN = 3 };

// Beside the log, what the processes of a case tell each other.
typedef struct notes {
  muster_log_record record;
  char message[64];
  uint64_t records;
} notes;

static notes *note(void) { return (notes *)(void *)sweep->arena; }

static muster_log *ours, *mine;
static muster_log_reader *reader, *my_reader;
static muster_log_drain *drain;
static uint64_t written;  // by the survivor

static muster_log *open_log(void) {
  muster_log *log;
  SWEEP_STATUS(muster_log_open(sweep_name("log"), &(muster_log_options){.places = PLACES, .bytes = BYTES}, &log), 0);
  return log;
}

static const char *folder(void) {
  const char *path = sweep_path("logs");
  (void)mkdir(path, 0700);
  return path;
}

static void say(muster_log *log, uint64_t number) {
  muster_log_pair pairs[] = {muster_log_uint("n", number), muster_log_string("text", "some text")};
  char message[32];
  snprintf(message, sizeof message, "record %llu", (unsigned long long)number);
  SWEEP_STATUS(muster_log_write(log, MUSTER_LOG_INFO, message, &(muster_log_fields){.pairs = pairs, .pair_count = 2}), 0);
}

static void say_some(int count) {
  for (int k = 0; k < count; k++) say(ours, written++);
}

static muster_log_reader *read_from(muster_log *log, muster_log_from from) {
  muster_log_reader *made;
  SWEEP_STATUS(muster_log_reader_open(log, &(muster_log_reader_options){.from = from, .hold = -1}, &made), 0);
  return made;
}

// ---- The world before: some records of the survivor's, which stays joined.

static void lay(void) {
  ours = open_log();
  SWEEP_STATUS(muster_log_join(ours, NULL), 0);
  say_some(BEGUN);
  reader = read_from(ours, MUSTER_LOG_NEWEST);
}

static void prepare(void) { mine = open_log(); }

static void joined_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_log_join(mine, NULL), 0);
}

static void finish(void) { SWEEP_STATUS(muster_log_close(mine), 0); }

static int joins_and_writes(int number) {
  muster_log *log = open_log();
  int status = muster_log_join(log, NULL);
  if (status) return status;
  say(log, (uint64_t)number);
  return muster_log_close(log);
}

static int joins_all_places(int number) {
  muster_log *logs[PLACES - 1];
  for (int k = 0; k < PLACES - 1; k++) {
    logs[k] = open_log();
    int status = muster_log_join(logs[k], NULL);
    if (status) return status;
    for (int n = 0; n < 30; n++) say(logs[k], (uint64_t)(number + n));
  }
  for (int k = 0; k < PLACES - 1; k++) SWEEP_STATUS(muster_log_close(logs[k]), 0);
  return 0;
}

static void end_of_world(void) {
  muster_log_reader_close(reader);
  sweep_newcomer(joins_all_places, 100);
  SWEEP_STATUS(muster_log_close(ours), 0);
  SWEEP_STATUS(muster_region_remove(sweep_name("log"), 0), 0);
}

// What is said by others: their records are whole. Returns how many came from the operator.
static uint32_t count_operators(void) {
  muster_log_record record;
  uint32_t count = 0;
  int status;
  while (!(status = muster_log_next(reader, &record))) {
    SWEEP_EQUAL(record.kind, MUSTER_LOG_WRITTEN);
    SWEEP_EQUAL(record.pair_count, 2);
    char expected[32];
    int size = snprintf(expected, sizeof expected, "record %llu", (unsigned long long)record.pairs[0].bits);
    SWEEP_CHECK((int)record.message.size == size && !memcmp(record.message.bytes, expected, record.message.size));
    SWEEP_CHECK(record.pairs[1].text_size == 9 && !memcmp(record.pairs[1].text, "some text", 9));
    count += record.pid == sweep->operator_pid;
  }
  SWEEP_STATUS(status, EAGAIN);
  return count;
}

// ---- Writing

static int write_operate(void) { return say(mine, 7), 0; }

static void write_meanwhile(void) {
  say_some(3);
  SWEEP_CHECK(count_operators() <= 1);
  sweep_newcomer(joins_and_writes, 50);
}

static uint32_t seen_before;

static void stalled_write_meanwhile(void) {
  say_some(3);
  seen_before = count_operators();
  sweep_newcomer(joins_and_writes, 50);
}

static void write_check(void) {
  uint32_t count = seen_before + count_operators();
  if (sweep->returned) SWEEP_EQUAL(count, 1);
  SWEEP_CHECK(count <= 1);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  else sweep_found(count ? SWEEP_AFTER : SWEEP_BEFORE);
  end_of_world();
}

// ---- Places

static int join_operate(void) { return muster_log_join(mine, NULL); }
static int leave_operate(void) { return muster_log_leave(mine); }
static int close_operate(void) { return muster_log_close(mine); }

static void place_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  SWEEP_EQUAL(count_operators(), 0);
  end_of_world();
}

// ---- Reading, while the ring goes round

static void reading_prepare(void) {
  prepare();
  my_reader = read_from(mine, MUSTER_LOG_OLDEST);
}

static int read_operate(void) {
  int status = muster_log_next(my_reader, &note()->record);
  if (!status) memcpy(note()->message, note()->record.message.bytes, note()->record.message.size % sizeof note()->message);
  return status;
}

static void read_meanwhile(void) { say_some(100); }

static void read_check(void) {
  if (sweep->returned) {
    SWEEP_STATUS(sweep->result, 0);
    const muster_log_record *record = &note()->record;
    if (record->kind == MUSTER_LOG_LOST) SWEEP_CHECK(record->lost > 0 && record->number == 0);
    else SWEEP_CHECK(record->kind == MUSTER_LOG_WRITTEN && !strncmp(note()->message, "record ", 7));
  }
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  end_of_world();
}

static void reading_finish(void) {
  muster_log_reader_close(my_reader);
  finish();
}

// ---- Draining

static muster_log_drain *open_drain(muster_log *log) {
  muster_log_drain *made;
  muster_log_drain_options options = {.folder = folder(), .name = "app", .rotate_bytes = 600, .keep_files = 50};
  SWEEP_STATUS(muster_log_drain_open(log, &options, &made, NULL), 0);
  return made;
}

static void drain_all(muster_log_drain *with) {
  int status;
  while (!(status = muster_log_drain_step(with, MUSTER_LOG_DRAIN_ALL, NULL))) {
  }
  SWEEP_STATUS(status, EAGAIN);
}

// All files, in their order: each record of the survivor's once.
static void check_files(uint64_t records) {
  uint64_t next = 0;
  char path[256], line[512];
  for (int number = 1; number < 50; number++) {
    snprintf(path, sizeof path, "%s/app-%06d.log", folder(), number);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    while (fgets(line, sizeof line, file)) {
      const char *at = strstr(line, "record ");
      SWEEP_CHECK(at && line[strlen(line) - 1] == '\n');
      SWEEP_EQUAL(strtoull(at + 7, NULL, 10), next);
      next++;
    }
    fclose(file);
    unlink(path);
  }
  SWEEP_EQUAL(next, records);
  snprintf(path, sizeof path, "%s/app.log", folder());
  unlink(path);
  // A link that was made aside and not yet given its name is the only thing that a death may leave until the next file is
  // begun.
  snprintf(path, sizeof path, "%s/.app.log.new", folder());
  unlink(path);
  SWEEP_CHECK(rmdir(folder()) == 0);
}

// One file is there, full; what comes next begins another.
static void drained_setup(void) {
  lay();
  muster_log_drain *before = open_drain(ours);
  say_some(6);
  drain_all(before);
  SWEEP_STATUS(muster_log_drain_close(before), 0);
  say_some(2);
}

static void drain_prepare(void) {
  prepare();
  drain = open_drain(mine);
}

static int step_operate(void) { return muster_log_drain_step(drain, MUSTER_LOG_DRAIN_ALL, NULL); }

static int open_drain_operate(void) { return drain = open_drain(mine), 0; }

static int open_and_step_operate(void) {
  drain = open_drain(mine);
  return step_operate();
}

static void drain_meanwhile(void) {
  say_some(3);
  muster_log_drain_state state;
  SWEEP_STATUS(muster_log_look_drain(ours, &state), 0);
  SWEEP_CHECK(state.records <= written);
  muster_log_drain *other = NULL;
  int32_t pid;
  int status = muster_log_drain_open(ours, &(muster_log_drain_options){.folder = folder(), .name = "app"}, &other, &pid);
  // Before it is the drain another may be, and then it is not.
  if (!status) SWEEP_STATUS(muster_log_drain_close(other), 0);
  else SWEEP_STATUS(status, EBUSY);
}

static void drain_finish(void) {
  SWEEP_STATUS(muster_log_drain_close(drain), 0);
  finish();
}

static void drain_check(void) {
  if (sweep->returned) SWEEP_STATUS(sweep->result, 0);
  if (sweep->injection == SWEEP_STALL) sweep_finish();
  muster_log_drain *next = open_drain(ours);
  drain_all(next);
  say_some(5);
  drain_all(next);
  muster_log_drain_state state;
  SWEEP_STATUS(muster_log_look_drain(ours, &state), 0);
  SWEEP_EQUAL(state.records, written);
  SWEEP_STATUS(muster_log_drain_close(next), 0);
  check_files(written);
  end_of_world();
}

// A drain that died in the midst of its batch, with a part of it in the file.
static int dies_writing(int number) {
  (void)number;
  muster_log *log = open_log();
  muster_log_drain *half = open_drain(log);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit limit = {100, 100};
  SWEEP_CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
  SWEEP_STATUS(muster_log_drain_step(half, MUSTER_LOG_DRAIN_ALL, NULL), EFBIG);
  raise(SIGKILL);
  return 1;
}

static void staged_setup(void) {
  lay();
  sweep_reap_killed(sweep_peer(dies_writing, 0));
}

static int close_drain_operate(void) { return muster_log_drain_close(drain); }

#define DRAINING(NAME, SETUP, PREPARE, OPERATE, FINISH)                                                                \
  {.name = NAME, .minimum = 100, .setup = SETUP, .prepare = PREPARE, .operate = OPERATE,                               \
   .meanwhile = drain_meanwhile, .finish = FINISH, .check = drain_check}
#define PLACE(NAME, PREPARE, OPERATE, FINISH)                                                                          \
  {.name = NAME, .minimum = 40, .setup = lay, .prepare = PREPARE, .operate = OPERATE, .meanwhile = write_meanwhile,    \
   .finish = FINISH, .check = place_check}

SWEEP_SUITE(log,
            {.name = "log.write", .minimum = 100, .setup = lay, .prepare = joined_prepare, .operate = write_operate,
             .meanwhile = stalled_write_meanwhile, .finish = finish, .check = write_check},
            PLACE("log.join", prepare, join_operate, finish), PLACE("log.leave", joined_prepare, leave_operate, finish),
            PLACE("log.close-a-writer", joined_prepare, close_operate, NULL),
            {.name = "log.read", .minimum = 100, .setup = lay, .prepare = reading_prepare, .operate = read_operate,
             .meanwhile = read_meanwhile, .finish = reading_finish, .check = read_check},
            DRAINING("log.drain-makes-a-file", drained_setup, drain_prepare, step_operate, drain_finish),
            DRAINING("log.drain-opens", drained_setup, prepare, open_drain_operate, drain_finish),
            DRAINING("log.drain-after-a-death", staged_setup, prepare, open_and_step_operate, drain_finish),
            DRAINING("log.drain-closes", drained_setup, drain_prepare, close_drain_operate, finish));
