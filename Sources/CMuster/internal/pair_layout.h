// The region of a process pair, version 1. Offsets count from the payload:
//
//   offset  what                                          written by
//   0       pair_head                                     whoever lays it out; constant from then on
//   128     pair_marks                                    the living primary
//   256     the heartbeat's cell, 128 bytes               whoever the heartbeat says (heartbeat.h)
//   384     the primary's seqlock                         its claimant: the primary
//   ...     the backup's seqlock                          its claimant: the backup
//   ...     the checkpoint: entries                       its writer: the primary
//
// Each part begins at a multiple of 128; they follow from the head alone (pair_parts).
//
//   field            ordering                 if its writer is dead
//   ---------------  -----------------------  ----------------------------------------------------------------------
//   marks.tried      release                  the step that it was at, or had finished: counted against that step
//   marks.committed  release, after the       the newest entry's step, or the one before it: who must know loads the entry
//                    commit
//   marks.emitted    release, after the       all outputs up to here are out; the next one is in doubt if it was committed
//                    output is out
//   the seqlocks     seqlock.h                what was said last, whole
//   the checkpoint   checkpoint.h             the newest committed entry, whole
//
// A successor reads the marks after it has seen the writer gone, through the kernel, which orders more than any fence. Who looks
// from outside gets each mark as it was at some moment.
//
// An entry: pair_entry_head, the state, the output, one after the other. Its lengths are checked against the entry's own length,
// which the checkpoint's seal vouches for.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_PAIR_LAYOUT_H
#define MUSTER_INTERNAL_PAIR_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/heartbeat.h"
#include "muster/pair.h"

#define PAIR_MAGIC UINT64_C(0x005249415047534d)  // "MSGPAIR"

// The seat lies beyond the bytes that a region locks itself.
enum { PAIR_VERSION = 1, PAIR_LINE = 128, PAIR_SEAT_BYTE = 16 };

typedef struct pair_head {
  uint64_t magic;
  uint32_t version;
  uint32_t history;
  uint64_t state;
  uint64_t output;
  uint32_t in_a_file;
  uint32_t reserved[23];
} pair_head;

typedef struct pair_marks {
  uint64_t tried;
  uint64_t committed;
  uint64_t emitted;
  uint64_t reserved[13];
} pair_marks;

typedef struct pair_entry_head {
  uint64_t step;
  uint64_t position;
  uint64_t state_length;
  uint64_t output_length;
  uint32_t kind;
  uint32_t reserved[3];
} pair_entry_head;

_Static_assert(sizeof(pair_head) == PAIR_LINE, "");
_Static_assert(sizeof(pair_marks) == PAIR_LINE, "");
_Static_assert(MUSTER_PAIR_CELL_SIZE == PAIR_LINE, "");
_Static_assert(sizeof(pair_entry_head) % 16 == 0, "the state that follows is aligned as the buffer is");
_Static_assert(sizeof(muster_heartbeat_cell) <= MUSTER_PAIR_CELL_SIZE, "");
_Static_assert(sizeof(muster_heartbeat_contact) == sizeof((muster_pair_backup){0}.contact), "");
_Static_assert(sizeof(muster_pair_primary) % 8 == 0 && sizeof(muster_pair_backup) % 8 == 0, "");

enum {
  PAIR_PRIMARY_WORDS = sizeof(muster_pair_primary) / sizeof(uint64_t),
  PAIR_BACKUP_WORDS = sizeof(muster_pair_backup) / sizeof(uint64_t),
};

#endif
