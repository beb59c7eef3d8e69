// A log in shared memory, version 1. P places of rings with B bytes.
//
//   offset  what
//   0       log_head: constant after muster_log_init, which stores `magic` last
//   128     log_state: the threshold, in a line that all writers read
//   256     a group of one place, the drain's (group_layout.h)
//   640     log_drain_owner: who it is
//   768     two log_marks with P positions each, each rounded up to 128
//   ...     LOG_STAGE bytes: the lines that are being written
//   ...     P log_seats of 128 bytes
//   ...     P rings (ring_layout.h)
//
//   field          written by                ordering              if its writer is dead
//   -------------  ------------------------  --------------------  ----------------------------------------------
//   state.level    anybody                   relaxed, one word     as it stands
//   owner.pid      the drain its pid, at     release               not 0 without a living drain: it died
//                  close 0
//   marks[k]       the drain, in turn: the   relaxed, then         the check does not fit: the other mark is the
//                  older one                 `check` with release  newest; nothing was done that only this one knows
//   stage          the drain, while no mark  relaxed               not named by a mark: as if it were not there;
//                  says that bytes are       before the mark       named: its successor writes it
//                  staged
//   seat.pid       the joiner, when its      relaxed, before       of who was there last
//   seat.joined    ring is its own           `touched`
//   seat.touched   the place's writer: when  relaxed               a hint by which joiners choose; ahead of the last
//                  it joined, and of each                          record if it died before the commit
//                  record
//
// A record, in a ring, all numbers in the machine's order: four words of 64 bits, from the lowest bit
//
//   word 0  time, nanoseconds since 1970
//   word 1  pid (32), thread (32)
//   word 2  version, 1 (8), level (8), flags LOG_CUT, LOG_CORRELATED (16), size of the message (32)
//   word 3  tags (8), pairs (8), sizes of the label (8), the file's name (8) and the function's name (8), 0 (24)
//
// then, without gaps:
//
//   correlation id (16, if flagged); line (u32, if the file's name has a size); message; label; file; function;
//   each tag: u8 size, bytes; each pair: u8 type, u8 size of the key, u16 size of the value, key, value. The value of a
//   string is its bytes, of everything else 8 bytes. Together they are exactly the ring's record.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LOG_LAYOUT_H
#define MUSTER_INTERNAL_LOG_LAYOUT_H

#include "muster/group.h"
#include "muster/log.h"

#define LOG_MAGIC UINT64_C(0x0000474f4c47534d)  // "MSGLOG"

enum {
  LOG_VERSION = 1,
  LOG_RECORD_VERSION = 1,
  LOG_LINE = 128,
  LOG_STAGE = 1 << 18,
  LOG_RECORD_HEAD = 32,
  LOG_NUMBER = 8,  // bytes of a value that is no string
};

enum { LOG_CUT = 1, LOG_CORRELATED = 2 };

typedef struct log_head {
  uint64_t magic;
  uint32_t version;
  uint32_t places;
  uint32_t bytes;
  uint32_t reserved;
  uint64_t unused[13];
} log_head;

typedef struct log_state {
  uint32_t level;
  uint32_t unused[31];
} log_state;

typedef struct log_drain_owner {
  uint32_t pid;
  uint32_t unused[31];
} log_drain_owner;

typedef struct log_seat {
  _Alignas(LOG_LINE) int64_t touched;
  int64_t joined;
  uint32_t pid;
} log_seat;

// How far the log was drained, and to where.
typedef struct log_mark {
  uint32_t check;        // of all that follows, the positions included
  uint32_t count;        // positions
  uint64_t sequence;     // from 1
  uint64_t target;       // of which folder and name the file is; 0: a descriptor
  uint64_t file;         // its number; 0: none so far
  uint64_t device;
  uint64_t inode;
  uint64_t length;       // without what is staged
  int64_t began;         // when the file was begun: seconds since 1970
  uint64_t records;      // with what is staged
  uint64_t lost;
  uint32_t staged;       // bytes that are to be written behind `length`
  uint32_t stage_check;
  uint32_t format;       // of what is staged
  uint32_t descriptor;   // 1: what is staged is not for the file
  uint32_t file_format;
  uint32_t tail;         // the last bytes before `length`, and their checksum: by which the file is known
  uint32_t tail_check;
  uint32_t reserved;
  uint64_t unused[2];
} log_mark;

_Static_assert(sizeof(log_head) == LOG_LINE && sizeof(log_state) == LOG_LINE && sizeof(log_seat) == LOG_LINE, "lines");
_Static_assert(sizeof(log_drain_owner) == LOG_LINE && sizeof(log_mark) == LOG_LINE, "lines");

static inline size_t log_up(size_t bytes) { return (bytes + LOG_LINE - 1) / LOG_LINE * LOG_LINE; }
static inline size_t log_drains_offset(void) { return sizeof(log_head) + sizeof(log_state); }
static inline size_t log_drains_size(void) { return log_up(muster_group_size(1)); }
static inline size_t log_owner_offset(void) { return log_drains_offset() + log_drains_size(); }
static inline size_t log_marks_offset(void) { return log_owner_offset() + sizeof(log_drain_owner); }
static inline size_t log_mark_size(uint32_t places) { return log_up(sizeof(log_mark) + places * sizeof(muster_ring_place)); }
static inline size_t log_stage_offset(uint32_t places) { return log_marks_offset() + 2 * log_mark_size(places); }
static inline size_t log_seats_offset(uint32_t places) { return log_stage_offset(places) + LOG_STAGE; }
static inline size_t log_rings_offset(uint32_t places) { return log_seats_offset(places) + places * sizeof(log_seat); }

#endif
