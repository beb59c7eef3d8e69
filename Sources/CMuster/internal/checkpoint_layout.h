// A checkpoint in shared memory, version 1.
//
//   offset  what
//   0       checkpoint_head: constant after muster_checkpoint_init, which stores `magic` last
//   128     checkpoint_state: the one word that says which slot holds the newest state, and which epoch it is
//   256     a group of `writers` places (group_layout.h): a liveness lock for each writer that may live at a time
//   then    `writers` seats of 64 bytes, rounded up to 128
//   then    history + 1 + writers slots, each a checkpoint_slot of 64 bytes and its payload, rounded up to 128 bytes. With
//           MUSTER_CHECKPOINT_PAGES the first begins 256 bytes (a region's header) before a multiple of 4096 and each is
//           rounded up to 4096, so that in a file no two lie on one page; and there is one more, so that the last durable
//           state has one also when it is none of the last history + 1
//
//   field           written by                  ordering          if its writer is dead
//   --------------  --------------------------  ----------------  ----------------------------------------------------
//   state.newest    the writer of the epoch in  compare-and-swap  the newest whole state, for ever, until somebody takes
//                   it, by each commit          acq+rel           over
//                   who takes over: epoch + 1   add, acq+rel      nobody writes; the one before is fenced all the same
//   seat.epoch      the place's member, after   release           which epoch the place's last member had; for showing
//                   it took over                                  only
//   seat.began      the same, when it knows     relaxed           the sequence that that epoch began after. One whose
//                   where it goes on                              `check` is wrong is torn; the other is older, and
//                                                                 true as well
//   slot.stamp      who claims or reclaims it   compare-and-swap  WRITING: claimed by the member whose number it bears.
//                                               acquire           Nobody touches the slot while that place's liveness
//                   its claimant, when whole    release           lock is held; when it is not, the next writer may claim
//                   a writer, on a refused one  compare-and-swap  it. EMPTY, WHOLE: claimed by nobody
//   slot.others     its claimant                relaxed, after    as the stamp says; a WHOLE one whose `seal` or
//   and payload                                 a release fence   `checksum` is wrong was torn by a power cut
//
// newest:  epoch << 24 | the last 16 bits of the sequence << 8 | slot, or 255 for the slot when nothing was ever committed. By
//          the sequence whoever finds the word and the slot as a power cut left them sees whether the one means the other.
// stamp:   count << 10 | member << 2 | what. The count goes up by one with each change that gives the slot to somebody
//          or takes its contents away, so that a stamp, once changed, never comes back: a compare-and-swap that was
//          prepared an hour ago fails if anything happened to that slot since.
//
// Which slots hold states. The slot that `newest` names holds one. Another is committed if it is WHOLE and lies on the chain
// from there: of the same epoch with a smaller sequence, or of an older epoch with a sequence of at most `base`, which is the
// sequence that its successor's epoch began after. What is WHOLE and not on the chain was made by a writer that was
// fenced off before its compare-and-swap of `newest`: it is no state, and never becomes one. After a power cut, when there may be no
// state of the epochs that fenced it, `seat.began` tells the same.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_CHECKPOINT_LAYOUT_H
#define MUSTER_INTERNAL_CHECKPOINT_LAYOUT_H

#include "muster/checkpoint.h"
#include "muster/group.h"

#define CHECKPOINT_MAGIC UINT64_C(0x0054504b4843534d)  // "MSCHKPT"

enum {
  CHECKPOINT_VERSION = 1,
  CHECKPOINT_LINE = 128,
  CHECKPOINT_PAGE = 4096,
  CHECKPOINT_NOWHERE = 255,  // `newest`: no slot
  CHECKPOINT_SLOTS = MUSTER_CHECKPOINT_HISTORY_MAX + 1 + MUSTER_CHECKPOINT_WRITERS_MAX + 1,
};

_Static_assert(CHECKPOINT_SLOTS < CHECKPOINT_NOWHERE, "a slot's number fits beside the epoch");

#define CHECKPOINT_EPOCH_MAX (UINT64_MAX >> 24)

typedef struct checkpoint_head {
  uint64_t magic;
  uint32_t version;
  uint32_t history;
  uint64_t capacity;
  uint32_t writers;
  uint32_t flags;
  uint64_t unused[12];
} checkpoint_head;

_Static_assert(sizeof(checkpoint_head) == CHECKPOINT_LINE, "what changes begins on a line of its own");

typedef struct checkpoint_state {
  uint64_t newest;
  uint64_t unused[15];
} checkpoint_state;

_Static_assert(sizeof(checkpoint_state) == CHECKPOINT_LINE, "the group begins on a line of its own");

// An epoch, and the sequence that it began after: no state of an epoch before it has a greater one.
typedef struct checkpoint_began {
  uint64_t epoch;
  uint64_t base;
  uint32_t check;  // CRC-32C of the 16 bytes before
  uint32_t reserved;
} checkpoint_began;

typedef struct checkpoint_seat {
  uint64_t epoch;
  uint64_t unused;
  checkpoint_began began[2];  // written in turn, so that one is whole if the other is torn
} checkpoint_seat;

_Static_assert(sizeof(checkpoint_seat) == 64, "each in one sector");

enum { SLOT_EMPTY = 0, SLOT_WRITING = 1, SLOT_WHOLE = 2 };

typedef struct checkpoint_slot {
  uint64_t stamp;
  // From here to `checksum` the seal is computed over.
  uint64_t sequence;
  uint64_t epoch;
  uint64_t base;      // the sequence that its epoch began after
  uint64_t time;      // nanoseconds since 1970
  uint64_t length;
  uint64_t restored;  // 0, or the sequence of the state whose contents these are again
  uint32_t checksum;  // CRC-32C of the payload
  uint32_t seal;      // CRC-32C of the 52 bytes before, so of all but the stamp
} checkpoint_slot;

enum { CHECKPOINT_SEALED = offsetof(checkpoint_slot, seal) - offsetof(checkpoint_slot, sequence) };

_Static_assert(sizeof(checkpoint_slot) == 64 && CHECKPOINT_SEALED == 52, "stamp and seal share a line, and a sector");

static inline uint64_t checkpoint_stamp_after(uint64_t stamp, uint32_t member, uint32_t what) {
  return ((stamp >> 10) + 1) << 10 | (uint64_t)(member & 0xff) << 2 | what;
}
static inline uint32_t checkpoint_stamp_what(uint64_t stamp) { return stamp & 3; }
static inline uint32_t checkpoint_stamp_member(uint64_t stamp) { return stamp >> 2 & 0xff; }

// Offsets in bytes from the head's beginning, all from a shape that was checked.
static inline size_t checkpoint_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }
static inline uint32_t checkpoint_slots(const muster_checkpoint_shape *shape) {
  return shape->history + 1 + shape->writers + (shape->flags & MUSTER_CHECKPOINT_PAGES ? 1 : 0);
}
static inline size_t checkpoint_group_offset(void) { return sizeof(checkpoint_head) + sizeof(checkpoint_state); }
static inline size_t checkpoint_seats_offset(const muster_checkpoint_shape *shape) {
  return checkpoint_group_offset() + checkpoint_up(muster_group_size(shape->writers), CHECKPOINT_LINE);
}
static inline size_t checkpoint_slots_offset(const muster_checkpoint_shape *shape) {
  size_t end = checkpoint_seats_offset(shape) + checkpoint_up(shape->writers * sizeof(checkpoint_seat), CHECKPOINT_LINE);
  if (!(shape->flags & MUSTER_CHECKPOINT_PAGES)) return end;
  return checkpoint_up(end + MUSTER_REGION_HEADER_SIZE, CHECKPOINT_PAGE) - MUSTER_REGION_HEADER_SIZE;
}
static inline size_t checkpoint_slot_size(const muster_checkpoint_shape *shape) {
  size_t unit = shape->flags & MUSTER_CHECKPOINT_PAGES ? CHECKPOINT_PAGE : CHECKPOINT_LINE;
  return checkpoint_up(sizeof(checkpoint_slot) + (size_t)shape->capacity, unit);
}

#endif
