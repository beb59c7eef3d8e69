// A ring in shared memory, version 1.
//
//   offset  what
//   0       ring_head: constant after muster_ring_init, which stores `magic` last
//   128     a group of one place, the writer's (group_layout.h)
//   512     a group of 64 places, the readers'
//   8960    ring_state: six lines of 128 bytes
//   9728    64 marks of 16 bytes: of the chunks (64ths of the ring) number k, k + 64, ...
//   10752   64 positions, one of each reader's place, each in a line of its own
//   18944   the records
//
// A position counts bytes from the beginning of all; its record lies at position % bytes. A record is a header and a
// payload, rounded up to 8 bytes; it never goes round the end. Header, 64 bits:
//
//   bits 0..29    the payload's size; of a filler, all that lies behind its header up to the end
//   bit  30       a record
//   bit  31       a filler: the rest up to the end of the memory is no record
//   bits 32..63   the stamp: lap (position / bytes), mixed with the offset
//   all 0         nothing is committed here yet
//
// Invariants. E is the end: the position behind the last record that was committed.
//   I1  The header at E is 0; the headers from any mark's position up to E form a chain without a gap.
//   I2  All that the writer stores lies below `reserve`, and below the position of each lossless reader that lives and
//       has one, plus bytes.
//   I3  A mark that is whole (its position read twice, the same) is a place on the chain; `tail` is one of them, and at
//       most 48 chunks and a record behind E.
//
//   field          written by                  ordering          if its writer is dead
//   -------------  --------------------------  ----------------  ---------------------------------------------------
//   reserve        the writer                  seq_cst, or       the successor finds E by the chain, not by this
//                                              before a release
//                                              fence
//   tail           the writer                  release, after    the newest mark
//                                              its mark
//   owner          the writer its pid, at      release           not 0 without a living writer: it ended without stopping
//                  stop 0
//   calls          who is about to sleep for   seq_cst add       one needless wake
//                  a record
//   bell           the writer                  release add       sleepers watch its lock; the successor rings at its
//                                                                first commit in any case
//   needs          a writer who is about to    before room_calls none needs it
//                  sleep: the position that
//                  all readers must reach
//   room_calls     the same                    seq_cst add       one needless wake
//   room_bell      a reader                    release add       the writer watches the readers' locks
//   mark.position  the writer: none, then,     relaxed, release  none: that mark is passed over; its chunk is marked anew
//                  after number, the position                    when the ring comes round
//   mark.number    the writer                  release           as above
//   positions      the reader of that place    seq_cst when it   of a dead reader: ignored. Who takes the place stores
//                                              comes, release    none before it counts as a member
//   header         the writer                  release           0: not committed. Behind E: whatever a dead writer
//                                                                claimed, never read, since the chain ends at E
//   payload        the writer                  plain, or relaxed as its header says
//                                              (latest, write)
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_RING_LAYOUT_H
#define MUSTER_INTERNAL_RING_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/group.h"
#include "muster/ring.h"

#define RING_MAGIC UINT64_C(0x00474e495247534d)  // "MSGRING"

enum { RING_VERSION = 1, RING_LINE = 128, RING_MARKS = 64, RING_MARKS_SHIFT = 6 };

// No position: a reader's that holds nothing, a mark's that is being written.
#define RING_NONE UINT64_MAX

// No position of a mark lies here or beyond, so that sums with it don't wrap around: a writer that began at one would
// find room where there is none. At 10 GB a second it takes 29 years to get here.
#define RING_POSITIONS_END (UINT64_C(1) << 63)

typedef struct ring_head {
  uint64_t magic;
  uint32_t version;
  uint32_t mode;
  uint32_t bytes;
  uint32_t reserved;
  uint64_t unused[13];
} ring_head;

_Static_assert(sizeof(ring_head) == RING_LINE, "the groups begin on a line of their own");

typedef struct ring_mark {
  uint64_t position;
  uint64_t number;
} ring_mark;

// Each line has one side that writes it often, or a side that must not be disturbed by the others.
typedef struct ring_state {
  _Alignas(RING_LINE) uint64_t reserve;
  uint64_t tail;
  uint32_t owner;
  _Alignas(RING_LINE) uint32_t calls;
  _Alignas(RING_LINE) uint32_t bell;
  _Alignas(RING_LINE) uint32_t room_calls;
  uint64_t needs;
  _Alignas(RING_LINE) uint32_t room_bell;
  _Alignas(RING_LINE) uint64_t unused;
  _Alignas(RING_LINE) ring_mark marks[RING_MARKS];
} ring_state;

typedef struct ring_slot {
  _Alignas(RING_LINE) uint64_t position;
} ring_slot;

_Static_assert(sizeof(ring_state) == 6 * RING_LINE + RING_MARKS * sizeof(ring_mark), "as said above");
_Static_assert(sizeof(ring_slot) == RING_LINE, "a line for each reader");

// Offsets in bytes from the head's beginning.
static inline size_t ring_up(size_t bytes) { return (bytes + RING_LINE - 1) / RING_LINE * RING_LINE; }
static inline size_t ring_writers_size(void) { return ring_up(muster_group_size(1)); }
static inline size_t ring_readers_size(void) { return ring_up(muster_group_size(MUSTER_RING_READERS_MAX)); }
static inline size_t ring_readers_offset(void) { return sizeof(ring_head) + ring_writers_size(); }
static inline size_t ring_state_offset(void) { return ring_readers_offset() + ring_readers_size(); }
static inline size_t ring_slots_offset(void) { return ring_state_offset() + sizeof(ring_state); }
static inline size_t ring_data_offset(void) {
  return ring_slots_offset() + MUSTER_RING_READERS_MAX * sizeof(ring_slot);
}

#endif
