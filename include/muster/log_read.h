// Reading a log: the records of all its places as one stream in the order of time.
//
//   muster_log_reader *reader;
//   muster_log_reader_open(log, &(muster_log_reader_options){.from = MUSTER_LOG_OLDEST}, &reader);
//   muster_log_record record;
//   while (!(status = muster_log_wait(reader, deadline)))
//     while (!muster_log_next(reader, &record)) use(&record);
//   muster_log_reader_close(reader);
//
// Order. A writer reads the clock, builds its record and commits it: what is committed first need not be the earliest. So a
// record is held back until it is `hold` old (5 ms); then nothing earlier comes from another place any more, unless its
// writer was held up for longer than that between its clock and its commit. Such a record comes late; it is never left
// out. Where the clock was set, or a record says a time that is still to come, it is held back for `hold` from when it was
// first seen. Records of one place always come in the order in which they were written.
//
// A record is copied out of its ring before it is looked at: what next gives is whole, and stays until the next call by this
// reader. Records that were overwritten before the reader came to them are told by a record of the kind
// MUSTER_LOG_LOST before the next one of that place: exactly as many as were lost. Bytes that are no record of a
// log are told as MUSTER_LOG_UNREADABLE; a place whose ring is corrupt as MUSTER_LOG_CORRUPT, once, and nothing more is
// read there. The others go on.
//
// A reader stores nothing in the log. Nobody wakes it: it looks again after 1 ms, then less often, at most each 32 ms. Its
// copies are its own, so a reader may go on in another thread; by one reader one thread at a time reads.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_LOG_READ_H
#define MUSTER_LOG_READ_H

#include "log.h"
#include "wait.h"

MUSTER_BEGIN_DECLS

typedef struct muster_log_reader muster_log_reader;

typedef enum MUSTER_OPEN_ENUM muster_log_from {
  MUSTER_LOG_OLDEST = 0,  // all that is still there, as MUSTER_RING_OLDEST of each ring
  MUSTER_LOG_NEWEST = 1,  // what comes from now on
  MUSTER_LOG_AT = 2,      // at a position that was kept
} muster_log_from;

// Where a reader is, in each place. Valid for any process, as long as the log exists.
typedef struct muster_log_position {
  uint32_t count;  // places of the log
  uint32_t reserved;
  muster_ring_place places[MUSTER_LOG_PLACES_MAX];
} muster_log_position;

// Which records next gives. What is 0 or NULL asks for nothing. Kinds other than MUSTER_LOG_WRITTEN come whatever is asked
// for, but for those of another pid.
typedef struct muster_log_filter {
  muster_log_level least;
  int32_t pid;
  int64_t from;                                  // nanoseconds since 1970: not before
  int64_t until;                                 // before
  const muster_log_text *MUSTER_NULLABLE tags;   // each of them
  const uint8_t *MUSTER_NULLABLE correlation;    // 16 bytes
  const muster_log_text *MUSTER_NULLABLE label;  // the very same
  uint32_t tag_count;                            // at most MUSTER_LOG_TAGS_MAX
  uint32_t reserved;
} muster_log_filter;

typedef struct muster_log_reader_options {
  muster_log_from from;
  uint32_t reserved;
  int64_t hold;                                            // nanoseconds; 0: 5 ms; negative: nothing is held back
  const muster_log_position *MUSTER_NULLABLE position;     // of MUSTER_LOG_AT
  muster_log_filter filter;                                // what it points to is copied
} muster_log_reader_options;

typedef enum MUSTER_OPEN_ENUM muster_log_kind {
  MUSTER_LOG_WRITTEN = 0,
  MUSTER_LOG_LOST = 1,        // `lost` records of this place were overwritten
  MUSTER_LOG_UNREADABLE = 2,  // what a writer left here is no record
  MUSTER_LOG_CORRUPT = 3,     // the place's ring is corrupt
} muster_log_kind;

// A record, in memory of the reader's. Of kinds other than WRITTEN the time is about when, the level WARNING (of CORRUPT
// ERROR), and `message` says it in words.
typedef struct muster_log_record {
  muster_log_kind kind;
  muster_log_level level;
  int64_t time;      // nanoseconds since 1970
  int32_t pid;       // LOST: of who wrote what follows; CORRUPT: of who was last in the place
  uint32_t thread;
  uint32_t place;
  uint32_t cut;      // 1: something was too large, and cut or left out
  uint64_t number;   // how many were written in this place before it
  uint64_t lost;
  muster_log_text message;
  muster_log_text label;
  muster_log_text file;
  muster_log_text function;
  uint32_t line;
  uint32_t has_correlation;
  uint8_t correlation[16];
  uint32_t tag_count;
  uint32_t pair_count;
  const muster_log_text *MUSTER_NULLABLE tags;
  const muster_log_pair *MUSTER_NULLABLE pairs;
} muster_log_record;

// Returns 0, EINVAL (`from`, or `position` is of another number of places, too many tags), ENOMEM, EPERM (inherited over
// fork), EAGAIN (a writer was ahead of each of many attempts). What was overwritten since `position` is told as lost; a place
// whose position is of no record (a ring that was laid anew) is read from the oldest.
int muster_log_reader_open(muster_log *MUSTER_NONNULL log, const muster_log_reader_options *MUSTER_NONNULL options,
                           muster_log_reader *MUSTER_NULLABLE *MUSTER_NONNULL reader) MUSTER_MUST_CHECK;

// NULL is nothing to do.
void muster_log_reader_close(muster_log_reader *MUSTER_NULLABLE reader);

// The next record. Never waits. Returns 0, EAGAIN (none by now), EPERM.
int muster_log_next(muster_log_reader *MUSTER_NONNULL reader,
                    muster_log_record *MUSTER_NONNULL record) MUSTER_MUST_CHECK;

// Waits until next would give one. Returns 0, ETIMEDOUT, EPERM. The same without sleeping: EAGAIN with the time at
// which to look again (set->recheck; the word never changes).
int muster_log_wait(muster_log_reader *MUSTER_NONNULL reader, muster_deadline deadline) MUSTER_MUST_CHECK;
int muster_log_poll(muster_log_reader *MUSTER_NONNULL reader, muster_wait_set *MUSTER_NONNULL set) MUSTER_MUST_CHECK;

// Behind the last record that next gave or passed over.
void muster_log_reader_position(const muster_log_reader *MUSTER_NONNULL reader,
                                muster_log_position *MUSTER_NONNULL position);

// ---- As text

typedef enum MUSTER_OPTION_SET muster_log_format {
  MUSTER_LOG_FORMAT_TEXT = 0,    // one line: time, level, pid/thread, label, message, pairs, tags, correlation id
  MUSTER_LOG_FORMAT_JSON = 1,    // one JSON object in a line (docs/log.md names its members)
  MUSTER_LOG_FORMAT_COLOUR = 2,  // text: the level by colours of a terminal
  MUSTER_LOG_FORMAT_LOCAL = 4,   // times in the local time zone instead of UTC
} muster_log_format;

// The most bytes that a record takes in either form.
#define MUSTER_LOG_FORMATTED_MAX (UINT32_C(1) << 17)

// Writes a record as a line that ends with a newline, and no 0 behind it. Control characters and what is no UTF-8 are
// written so that they do nothing to a terminal. Returns the bytes that it takes; more than `capacity`: nothing that can be
// used was written.
size_t muster_log_format_record(const muster_log_record *MUSTER_NONNULL record, uint32_t format,
                                char *MUSTER_NULLABLE buffer, size_t capacity);

MUSTER_END_DECLS

#endif
