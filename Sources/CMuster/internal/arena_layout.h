// An arena in shared memory, version 1.
//
//   offset        what
//   0             arena_control, in one page: what is constant, the words that readers go by, the heads of the checkpoints
//   page          checkpoints + 1 slots (none where checkpoints is 0), each the state's size rounded up to pages
//   state_offset  the state, rounded up to pages, from MUSTER_ARENA_HUGE on to multiples of that
//   log_offset    (not with MUSTER_ARENA_NO_TRANSACTIONS) arena_log_head, in one page
//   then          the numbers of the pages in the log, 8 bytes each, rounded up to pages
//   then          the pages in the log, log_pages of them
//
// The system's page size is part of the layout: each part is to have a protection of its own.
//
//   field          written by                    ordering           if its writer is dead
//   -------------  ----------------------------  -----------------  ----------------------------------------------------
//   head           who lays it, `magic` last;    release            constant
//                  a root's daemons, the same
//                  again
//   sequence       the owner                     odd: relaxed and   odd: the state may be half changed. Readers give EAGAIN
//                                                a release fence    until a successor's redo, load, zero or change_end
//                                                even: release      even: the state is whole
//   beat, beats    the owner                     relaxed, release   how long ago it lived
//   newest         the owner, by each save       release            the checkpoints newest - K + 1 to newest are whole
//   aborted, late  the owner                     relaxed            one may be missing
//   committed      redo, from the log's head     relaxed            as the log's head says again, when redo is done again
//   slot, payload  the owner, by each save       relaxed, after     nothing, if `newest` doesn't name it: save newest + 1 was
//                                                a release fence    under way, and is the next again
//   the state      the owner, in a change        its own; redo,     as `sequence` says
//                                                load, zero, write:
//                                                relaxed
//   log.word       owner: RUNNING, ABORTED,      compare-and-swap   RUNNING of a dead transaction: its owner decides.
//                  IDLE; transaction: COMMITTED, acq+rel; IDLE by   RUNNING or ABORTED of a dead owner: idle, by its
//                  ABORTED                       a release          successor's redo. COMMITTED: to be redone
//   log.others     the transaction               relaxed, before    nothing, unless the word is COMMITTED with the same
//                                                the commit         number; then they are whole
//
// log.word: number << 8 | muster_arena_transaction. The number of the last that was begun is how many were begun.
//
// `committed` in the log's head is what the count of commits will be with this one. So redo stores a number that does not depend
// on how often redo was begun.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ARENA_LAYOUT_H
#define MUSTER_INTERNAL_ARENA_LAYOUT_H

#include "muster/arena.h"

#define ARENA_MAGIC UINT64_C(0x00414e455241534d)  // "MSARENA"
#define ARENA_SIZE_MAX (UINT64_C(1) << 46)

enum {
  ARENA_VERSION = 1,
  ARENA_LINE = 128,
  ARENA_PAGE_MIN = 4096,
  ARENA_SLOTS_MAX = MUSTER_ARENA_CHECKPOINTS_MAX + 1,
};

typedef struct arena_head {
  uint64_t magic;
  uint32_t version;
  uint32_t page;
  uint64_t size;
  uint64_t log_pages;  // 0: no log
  uint32_t checkpoints;
  uint32_t reserved;
  uint64_t unused[11];
} arena_head;

typedef struct arena_slot {
  uint64_t number;
  uint64_t time;
  uint64_t sequence;
  uint32_t checksum;  // CRC-32C of the bytes
  uint32_t seal;      // CRC-32C of the fields before, the checksum as 8 bytes
  uint64_t unused[4];
} arena_slot;

_Static_assert(sizeof(arena_slot) == 64, "heads of two slots share no 64 bytes");

typedef struct arena_control {
  arena_head head;
  uint64_t sequence, unused_1[15];
  uint64_t beat, beats, unused_2[14];
  uint64_t newest, unused_3[15];
  uint64_t committed, aborted, late, unused_4[13];
  arena_slot slots[ARENA_SLOTS_MAX];
} arena_control;

_Static_assert(sizeof(arena_head) == ARENA_LINE, "what changes begins on a line of its own");
_Static_assert(sizeof(arena_control) <= ARENA_PAGE_MIN, "the control takes one page");

typedef struct arena_log_head {
  uint64_t word, unused[15];
  uint64_t pages;
  uint64_t committed;
  uint64_t checksum;  // CRC-32C of each page's number and bytes, then of the transaction's number, `pages` and `committed`
} arena_log_head;

static inline uint64_t arena_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

#endif
