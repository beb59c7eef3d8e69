// What the tests of the log share: logs in memory that children share, and what is in the files of a drain.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_TEST_LOG_SUPPORT_H
#define MUSTER_TEST_LOG_SUPPORT_H

#include "muster/log_drain.h"
#include "support.h"

typedef struct log_scene {
  void *memory;
  size_t size;
} log_scene;

log_scene log_test_scene(uint32_t places, uint32_t bytes);
void log_test_end(const log_scene *scene);
muster_log *log_test_attach(const log_scene *scene);
muster_log *log_test_join(const log_scene *scene);

// A reader that holds nothing back.
muster_log_reader *log_test_reader(muster_log *log, muster_log_from from);

// The next record, which has to be there, and its message.
muster_log_record log_test_next(muster_log_reader *reader);
int log_test_is(muster_log_text text, const char *expected);

// A drain of JSON lines into files of that folder, named "app".
muster_log_drain *log_test_drain(muster_log *log, const char *folder, uint64_t rotate_bytes);
void log_test_drain_all(muster_log_drain *drain);

// Logs so many records, each with its number.
void log_test_write(muster_log *log, uint32_t count);

// What is in a folder: its path, until the next call, and the size of a file, UINT64_MAX where there is none.
const char *log_test_path(const char *folder, const char *leaf);
uint64_t log_test_size(const char *folder, const char *leaf);

// Reads all files of the drain, in their order: each line is whole, and of each place the numbers follow on each other, with
// those that are told as lost, from `next` on. Counts what was there.
typedef struct log_tally {
  uint64_t next[MUSTER_LOG_PLACES_MAX];
  uint64_t written, lost, files, bytes;
  const char *text;  // if not NULL, of which all messages are a beginning
} log_tally;
void log_test_tally(const char *folder, log_tally *tally);

// That all of each place was drained: next is the number of records that were committed there.
void log_test_all_drained(const muster_log *log, const log_tally *tally);

#endif
