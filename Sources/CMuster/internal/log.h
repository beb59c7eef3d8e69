// What the sources of the log share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LOG_H
#define MUSTER_INTERNAL_LOG_H

#include "fork.h"
#include "log_layout.h"
#include "muster/log_read.h"
#include "ring.h"

struct muster_log {
  // What each write looks at.
  uint32_t *level;
  fork_guard guard;
  muster_ring_writer *writer;  // NULL: has not joined
  muster_ring *ring;           // its own, while it has joined
  log_seat *seat;
  uint32_t lock;               // the thread that writes, and whether others wait (log_write.c); 0: nobody
  uint32_t pid;
  uint32_t largest;            // bytes of a record

  void *memory;
  uint32_t places, bytes;      // checked at attach; never read again
  int read_only;
  uint32_t users;              // readers and drains that use this handle
  muster_region *region;       // opened by name, else NULL
};

static inline void *log_part(const muster_log *log, size_t offset) {
  return (void *)((uintptr_t)log->memory + offset);
}
static inline log_seat *log_seat_at(const muster_log *log, uint32_t place) {
  return (log_seat *)log_part(log, log_seats_offset(log->places)) + place;
}

// A handle for the ring of a place; read-only, or to write.
int muster_log_ring(const muster_log *log, uint32_t place, int read_only, muster_ring **ring);

int64_t muster_log_clock(void);  // nanoseconds since 1970

// Looks for the size of `text` up to which it ends with a whole character, `most` at most.
uint32_t muster_log_cut(const char *text, uint32_t size, uint32_t most);

// ---- log_record.c

// A record that was taken apart: `record` points to these, and into the bytes.
typedef struct log_decoded {
  muster_log_record record;
  muster_log_text tags[MUSTER_LOG_TAGS_MAX];
  muster_log_pair pairs[MUSTER_LOG_PAIRS_MAX];
} log_decoded;

// 0, or EBADMSG: these bytes are no record. All but place and number is filled in.
int muster_log_decode(const unsigned char *bytes, uint32_t size, log_decoded *decoded);

// The time, and the process, that bytes which may be a record say; 0 where they are too few.
int64_t muster_log_time_of(const unsigned char *bytes, uint32_t size);
int32_t muster_log_pid_of(const unsigned char *bytes, uint32_t size);

// What a filter asks for, with copies of all that it points to.
typedef struct log_filter {
  muster_log_filter asked;
  muster_log_text tags[MUSTER_LOG_TAGS_MAX];
  muster_log_text label;
  uint8_t correlation[16];
  char *texts;
} log_filter;

int muster_log_filter_copy(const muster_log_filter *asked, log_filter *filter);  // 0, EINVAL, ENOMEM
void muster_log_filter_drop(log_filter *filter);
int muster_log_filter_takes(const log_filter *filter, const muster_log_record *record);

// ---- log_read.c

// As muster_log_next; `all`: whatever is there by now is given, nothing is held back.
int muster_log_advance(muster_log_reader *reader, int all, muster_log_record *record);

// How many records it has passed by now, also those that the filter left out: changes when its position does.
uint64_t muster_log_passed(const muster_log_reader *reader);

#endif
