// The log: records in shared memory that outlive their writer.
//
//   A process that logs                                       Who looks (log_read.h), who keeps (log_drain.h)
//   -------------------------------------------------------   --------------------------------------------------
//   muster_log_open("app", &(muster_log_options){0}, &log);   muster_log_open("app", &read_only, &log);
//   muster_log_join(log, NULL);                               muster_log_reader_open(log, &options, &reader);
//   muster_log_pair pairs[] = {muster_log_int("port", 80)};   while (!muster_log_wait(reader, deadline))
//   muster_log_fields with = {.pairs = pairs,                   while (!muster_log_next(reader, &record))
//                             .pair_count = 1};                   show(&record);
//   muster_log_write(log, MUSTER_LOG_INFO, "listens", &with);
//   muster_log_close(log);                                    muster_log_drain_open(log, &where, &drain, NULL);
//
// A log has places, each with a ring (ring.h, latest mode). A process that joins takes a place and writes into that ring
// alone: no line is written by two processes, no system call is made and nothing is allocated. A record is built where it
// stays. What was written last before a SIGKILL is there as soon as it was committed; it stays until somebody joins in that
// place and comes round in it. A joiner takes a place that was never used, else, of the places that nobody is in, the one
// whose last record is oldest, and goes on behind the records there.
//
// When a ring is full its oldest records are overwritten. How many were, before a reader or the drain came to them, is told
// exactly, as a record of its own.
//
// Levels below the log's threshold cost a load and a comparison. The threshold lies in the shared memory: any process that
// may write to it can change it for all at run time.
//
// Threads of the joined process share its place by a lock that is private to the process: no system call but where two
// threads meet. muster_log_write and muster_log_put are async-signal-safe: a handler that interrupts its own thread within
// a write gets EDEADLK, and its record is dropped; it must not leave the write for good (longjmp). muster_log_printf is not
// (vsnprintf). A forked child gets EPERM before it touches anything: it attaches or opens anew, and joins.
//
// Why it is right. One ring has one writer, by a liveness lock that the kernel lets go of at its death (group.h); threads of
// that process exclude each other. So all that ring.h says of one writer holds: a committed record is whole, one that was
// not committed is never seen, a successor goes on behind the last. The threshold is one word that is complete with each
// store. `touched`, by which joiners choose, is a hint: a wrong one makes them choose another free place. Nothing else is
// shared between writers. Readers store nothing, so they can neither hold up a writer nor each other, may be as many as
// like, and may be without write permission; the writer never wakes them, they look again after 1 to 32 ms. The drain has
// two copies of its state, written in turn, and puts what it is about to write into the shared memory first: log_drain.h.
//
// The thread that joins should live as long as the process logs: at its end the place counts as one of the dead, and
// writing gives EOWNERDEAD until some thread joins anew.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_LOG_H
#define MUSTER_LOG_H

#include <string.h>

#include "region.h"
#include "ring.h"
#include "status.h"

MUSTER_BEGIN_DECLS

#define MUSTER_LOG_PLACES_MAX 128
#define MUSTER_LOG_PLACES 32                     // where none are given
#define MUSTER_LOG_BYTES (UINT32_C(1) << 16)     // of each place's ring, where none are given
#define MUSTER_LOG_RECORD_MAX (UINT32_C(1) << 14)  // bytes of a record, or a quarter of the ring: what is larger is cut
#define MUSTER_LOG_TAGS_MAX 32                   // of one record
#define MUSTER_LOG_PAIRS_MAX 64

// The kind of its regions.
#define MUSTER_LOG_KIND MUSTER_KIND('L', 'O', 'G', 'S')

// The alignment of a log that is laid into memory by its user.
#define MUSTER_LOG_ALIGNMENT 128

typedef struct muster_log muster_log;

// Those of swift-log, and one that nothing reaches.
typedef enum MUSTER_OPEN_ENUM muster_log_level {
  MUSTER_LOG_TRACE = 0,
  MUSTER_LOG_DEBUG = 1,
  MUSTER_LOG_INFO = 2,
  MUSTER_LOG_NOTICE = 3,
  MUSTER_LOG_WARNING = 4,
  MUSTER_LOG_ERROR = 5,
  MUSTER_LOG_CRITICAL = 6,
  MUSTER_LOG_OFF = 7,  // as a threshold: nothing is logged
} muster_log_level;

// Text that need not end with a 0. `bytes` NULL: none.
typedef struct muster_log_text {
  const char *MUSTER_NULLABLE bytes;
  uint32_t size;
  uint32_t reserved;
} muster_log_text;

typedef enum MUSTER_OPEN_ENUM muster_log_type {
  MUSTER_LOG_STRING = 1,
  MUSTER_LOG_INT = 2,     // bits: an int64_t
  MUSTER_LOG_UINT = 3,    // bits: a uint64_t
  MUSTER_LOG_DOUBLE = 4,  // bits: those of a double
  MUSTER_LOG_BOOL = 5,    // bits: 0 or 1
} muster_log_type;

// A key with its value.
typedef struct muster_log_pair {
  const char *MUSTER_NULLABLE key;   // of at most 255 bytes
  const char *MUSTER_NULLABLE text;  // of a string
  uint64_t bits;                     // of the others
  uint32_t key_size;
  uint32_t text_size;
  muster_log_type type;
  uint32_t reserved;
} muster_log_pair;

// What goes with a message. All of it may be left out.
typedef struct muster_log_fields {
  const muster_log_pair *MUSTER_NULLABLE pairs;
  const muster_log_text *MUSTER_NULLABLE tags;  // of at most 255 bytes each
  const uint8_t *MUSTER_NULLABLE correlation;   // 16 bytes of a UUID
  muster_log_text label;                        // which part of the program: at most 255 bytes
  muster_log_text file;                         // where in the source: of a longer name the last 255 bytes
  muster_log_text function;                     // at most 255 bytes
  uint32_t line;                                // told where `file` is
  uint32_t pair_count;
  uint32_t tag_count;
  uint32_t reserved;
} muster_log_fields;

typedef struct muster_log_options {
  uint32_t places;           // 1 to 128; places and bytes both 0: as it is, or MUSTER_LOG_PLACES and MUSTER_LOG_BYTES
  uint32_t bytes;            // of each place's ring: a power of two from 4 KiB
  uint32_t flags;            // muster_region_flags; 0 is MUSTER_REGION_OPEN
  uint32_t permissions;      // `mode` of a region
  muster_log_level level;    // the threshold of a log that is created
  uint32_t reserved;
  muster_deadline deadline;  // as of a region
  muster_mismatch *MUSTER_NULLABLE mismatch;  // filled in at EPROTO
} muster_log_options;

typedef struct muster_log_state {
  uint32_t places;
  uint32_t bytes;
  uint32_t writers;       // processes that have joined and live
  uint32_t used;          // places that anybody ever joined in
  muster_log_level level;
  uint32_t largest;       // bytes of the largest record
} muster_log_state;

typedef struct muster_log_place_state {
  int32_t pid;         // of who is there, or was last; 0: nobody yet, or one who is just joining
  int32_t life;        // 0 alive, EOWNERDEAD, ENOENT: nobody, or one who left
  uint64_t records;    // committed in this place, by all who ever were there
  int64_t joined;      // nanoseconds since 1970; 0: nobody yet
  int64_t touched;     // of the last record, or of joining
} muster_log_place_state;

// In place: the bytes that a log takes (0 for numbers that can't be), and how to lay one into memory that no one uses as
// a log. Returns 0, EINVAL (places, bytes, alignment, size), ENOTSUP (no robust mutexes here).
size_t muster_log_size(uint32_t places, uint32_t bytes);
int muster_log_init(void *MUSTER_NONNULL memory, size_t size, uint32_t places, uint32_t bytes,
                    muster_log_level level) MUSTER_MUST_CHECK;

// In place: after a restart of the machine, or of all processes, before any attaches with write permission to memory that
// was kept in a file: fresh locks, the records as they were. A ring that a power failure left broken is laid anew, empty.
// Opening by name does this. Returns 0, EINVAL, EBADMSG, ENOTSUP.
int muster_log_renew(void *MUSTER_NONNULL memory, size_t size) MUSTER_MUST_CHECK;

// In place: a handle for the log at `memory`, which must stay mapped until close, and writable for the first form. The
// second stores nothing there, ever: it can read and look. Returns 0, EINVAL, ENOMEM, EBADMSG, EPROTO (version).
int muster_log_attach(void *MUSTER_NONNULL memory, size_t size,
                      muster_log *MUSTER_NULLABLE *MUSTER_NONNULL log) MUSTER_MUST_CHECK;
int muster_log_attach_read_only(const void *MUSTER_NONNULL memory, size_t size,
                                muster_log *MUSTER_NULLABLE *MUSTER_NONNULL log) MUSTER_MUST_CHECK;

// By name, or in a file: creates or attaches, as the flags say. Returns 0, EINVAL (places, bytes, level), ENOTSUP, and what
// muster_region_open returns; EAGAIN: with no size given, it was made and removed again each of many times.
int muster_log_open(const char *MUSTER_NONNULL name, const muster_log_options *MUSTER_NONNULL options,
                    muster_log *MUSTER_NULLABLE *MUSTER_NONNULL log) MUSTER_MUST_CHECK;

// Leaves, if joined, and lets go of the handle. Readers and drains that were opened from it are closed before. Returns 0, or
// EBUSY: joined on another thread that lives, or a reader or drain is open; nothing is done then. In a forked child it lets
// go of the child's copy alone.
int muster_log_close(muster_log *MUSTER_NULLABLE log);

// The region of a log that was opened by name; NULL for one attached in place. It belongs to the handle.
muster_region *MUSTER_NULLABLE muster_log_region(const muster_log *MUSTER_NONNULL log);

// Takes a place, for the process, on the calling thread. *place, if not NULL, is which. Not while other threads write by
// this handle. Returns 0, or
//   EALREADY   this handle has joined
//   EOVERFLOW  living processes are in all places
//   EPROTO     made with another libc or in another pid namespace
//   EACCES     a read-only handle
//   EPERM      a handle inherited over fork
//   EBADMSG    of all places that nobody is in the rings are corrupt
//   ENOLCK     this thread holds as many claims and memberships as it may (group.h)
//   ENOMEM
int muster_log_join(muster_log *MUSTER_NONNULL log, uint32_t *MUSTER_NULLABLE place) MUSTER_MUST_CHECK;

// Gives the place up; its records stay. No thread writes by this handle meanwhile. Returns 0, EINVAL (not joined, or the
// thread that joined has ended), EBUSY (joined on another thread, which lives), EPERM.
int muster_log_leave(muster_log *MUSTER_NONNULL log);

// Writes a record, with the time of day of the moment. Any thread of the process that joined. What is too large is cut, at a
// character's beginning, and marked so: first strings and pairs that don't fit, then the message, which keeps half of the
// room at least. Returns 0, also when the level is below the threshold; or
//   EINVAL      not joined; a level above CRITICAL; a type that is none
//   EOWNERDEAD  the thread that joined has ended; join anew
//   EDEADLK     from a signal handler that interrupted a write by this thread: dropped
//   EPERM       a handle inherited over fork
//   EBADMSG     the place's memory is corrupt
//   ENOMEM      (the first use by a process)
int muster_log_put(muster_log *MUSTER_NONNULL log, muster_log_level level, const char *MUSTER_NULLABLE message,
                   size_t size, const muster_log_fields *MUSTER_NULLABLE fields);

// The same with a format, as printf's; of the text the first 4 KiB. With a level below the threshold nothing is formatted.
// Returns as muster_log_put, and EINVAL for a format that fails.
int muster_log_printf(muster_log *MUSTER_NONNULL log, muster_log_level level,
                      const muster_log_fields *MUSTER_NULLABLE fields, const char *MUSTER_NONNULL format, ...)
    __attribute__((format(printf, 4, 5)));

// Whether a record of that level would be written: to save what it takes to make one.
int muster_log_enabled(const muster_log *MUSTER_NONNULL log, muster_log_level level) MUSTER_NONBLOCKING;

// The threshold, for all processes. Returns 0, EINVAL (no level), EACCES (a read-only handle), EPERM.
int muster_log_set_level(muster_log *MUSTER_NONNULL log, muster_log_level level);
muster_log_level muster_log_get_level(const muster_log *MUSTER_NONNULL log) MUSTER_NONBLOCKING;

// "info" and so on; "level?" for one that is none. Static storage. And back, also of upper case: 0, EINVAL.
const char *MUSTER_NONNULL muster_log_level_name(muster_log_level level);
int muster_log_level_of(const char *MUSTER_NONNULL name, muster_log_level *MUSTER_NONNULL level);

// What is known, from any handle. Returns 0, EPERM. And of one place: 0, EINVAL (no such place), EPERM, EBADMSG, ENOMEM,
// EAGAIN (overtaken each time).
int muster_log_look(const muster_log *MUSTER_NONNULL log, muster_log_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;
int muster_log_look_place(const muster_log *MUSTER_NONNULL log, uint32_t place,
                          muster_log_place_state *MUSTER_NONNULL state) MUSTER_MUST_CHECK;

// ---- Texts and pairs from what C has

static inline muster_log_text muster_log_text_of(const char *MUSTER_NULLABLE text) {
  muster_log_text made = {text, text ? (uint32_t)strlen(text) : 0, 0};
  return made;
}

static inline muster_log_pair muster_log_typed(const char *MUSTER_NONNULL key, muster_log_type type, uint64_t bits) {
  muster_log_pair pair = {key, NULL, bits, (uint32_t)strlen(key), 0, type, 0};
  return pair;
}

static inline muster_log_pair muster_log_string(const char *MUSTER_NONNULL key, const char *MUSTER_NULLABLE value) {
  muster_log_pair pair = muster_log_typed(key, MUSTER_LOG_STRING, 0);
  pair.text = value;
  pair.text_size = value ? (uint32_t)strlen(value) : 0;
  return pair;
}

static inline muster_log_pair muster_log_int(const char *MUSTER_NONNULL key, int64_t value) {
  return muster_log_typed(key, MUSTER_LOG_INT, (uint64_t)value);
}

static inline muster_log_pair muster_log_uint(const char *MUSTER_NONNULL key, uint64_t value) {
  return muster_log_typed(key, MUSTER_LOG_UINT, value);
}

static inline muster_log_pair muster_log_double(const char *MUSTER_NONNULL key, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return muster_log_typed(key, MUSTER_LOG_DOUBLE, bits);
}

static inline muster_log_pair muster_log_bool(const char *MUSTER_NONNULL key, int value) {
  return muster_log_typed(key, MUSTER_LOG_BOOL, value != 0);
}

// Of a string that ends with a 0. Returns as muster_log_put.
static inline int muster_log_write(muster_log *MUSTER_NONNULL log, muster_log_level level,
                                   const char *MUSTER_NONNULL message,
                                   const muster_log_fields *MUSTER_NULLABLE fields) {
  return muster_log_put(log, level, message, strlen(message), fields);
}

// ---- A record that is put together step by step, in memory of the caller's. What it points to has to stay until the
// commit. Pairs and tags beyond the most are left out, and the record is marked as cut.

typedef struct muster_log_entry {
  muster_log_fields fields;
  muster_log_text message;
  muster_log_level level;
  uint32_t reserved;
  muster_log_pair pairs[MUSTER_LOG_PAIRS_MAX];
  muster_log_text tags[MUSTER_LOG_TAGS_MAX];
} muster_log_entry;

static inline void muster_log_begin(muster_log_entry *MUSTER_NONNULL entry, muster_log_level level,
                                    const char *MUSTER_NONNULL message) {
  memset(&entry->fields, 0, sizeof entry->fields);
  entry->message = muster_log_text_of(message);
  entry->level = level;
  entry->reserved = 0;
}

static inline void muster_log_add(muster_log_entry *MUSTER_NONNULL entry, muster_log_pair pair) {
  if (entry->fields.pair_count < MUSTER_LOG_PAIRS_MAX) entry->pairs[entry->fields.pair_count] = pair;
  entry->fields.pair_count++;
}

static inline void muster_log_add_tag(muster_log_entry *MUSTER_NONNULL entry, const char *MUSTER_NONNULL tag) {
  if (entry->fields.tag_count < MUSTER_LOG_TAGS_MAX) entry->tags[entry->fields.tag_count] = muster_log_text_of(tag);
  entry->fields.tag_count++;
}

// Returns as muster_log_put. The entry can be added to and committed again.
static inline int muster_log_commit(muster_log *MUSTER_NONNULL log, muster_log_entry *MUSTER_NONNULL entry) {
  entry->fields.pairs = entry->pairs;
  entry->fields.tags = entry->tags;
  return muster_log_put(log, entry->level, entry->message.bytes, entry->message.size, &entry->fields);
}

MUSTER_END_DECLS

#endif
