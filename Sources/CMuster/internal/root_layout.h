// The region of a root, version 1. Offsets count from the beginning of its file, so that pages are pages:
//
//   offset  what                                                     writable in
//   0       the region's header
//   256     root_head: constant after the root laid it out           the root
//   512     root_row of the root itself: root_words                  the root
//   1024    a root_slot of 512 bytes for each daemon                 the root
//   up to the next page; then for each daemon, in their order,
//           its arena (arena.h), whose state of MUSTER_ARENA_HUGE
//           bytes or more begins at a multiple of that               the daemon; of its transaction the log alone
//           a page: its root_desk                                    the daemon, its transaction
//   nothing, where a state had to begin further on
//
// A daemon's arena and desk lie side by side: they are the one range of the mapping that it may write. The desk lies behind the
// log, so that what a transaction may write is one range too, and what it may not is what lies before the state: no mapping has
// to be split when it is fenced off.
//
// A row tells what the root knows, some words that belong together, to readers who must not wait for a root that was
// stopped in the midst of it. There are two copies, each with a stamp. The root writes number n into copy n % 2, while
// `latest` still leads readers to the other:
//
//   write                                             read
//   ----------------------------------------------   ----------------------------------------------
//   w1  stamp of the copy = ROOT_WRITING   release    r1  n = latest                       acquire
//   w2  fence                              release    r2  the words of copy n % 2          relaxed
//   w3  the words                          relaxed    r3  fence                            acquire
//   w4  stamp = n                          release    r4  the stamp is n? else from r1     acquire
//   w5  latest = n                         release
//
// r1 acquires w5 of n, so r2 sees the words of n or of later ones in that copy. If one of n + 2 is among them, r3 and w2 make
// r4 see w1 of n + 2 or what follows it, and not n. w1 of n + 2 releases w5 of n + 1, and r4 acquires it: whoever fails
// at r4 finds `latest` moved on at r1; finding it the same, he looks at memory that no root wrote (EBADMSG). A root that stops, or dies, anywhere has
// not begun to write the copy that `latest` names: it stays whole.
//
//   field             written by     ordering          if its writer is dead
//   ----------------  -------------  ----------------  -------------------------------------------------------
//   head, slot.name   the root,      before the        constant
//   and sizes         laying out     region has a name
//   row               the root       as above          the last whole one stands; the region is not held any more
//   desk.transaction  the daemon     relaxed           of a daemon that runs no more, or has not told in desk.found yet: means
//                                                      nothing
//   desk.found        the daemon     release           of another start than the row's last: means nothing
//   desk.note         a transaction, relaxed, before   read by the daemon after it reaped the transaction. A transaction that
//                     and its owner  its end           was killed left 0, which its owner stored before it forked it, or the
//                                                      truth
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ROOT_LAYOUT_H
#define MUSTER_INTERNAL_ROOT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/root.h"

#define ROOT_MAGIC UINT64_C(0x00544f4f5247534d)  // "MSGROOT"

enum { ROOT_VERSION = 1, ROOT_HEAD_OFFSET = 256, ROOT_OWN_ROW_OFFSET = 512, ROOT_SLOTS_OFFSET = 1024, ROOT_SLOT_SIZE = 512,
       ROOT_WORDS = 24 };

// The stamp of a copy that is being written. Numbers don't get there: some hundred a second would take longer than there is.
#define ROOT_WRITING UINT64_MAX

typedef struct root_head {
  uint64_t magic;
  uint32_t version;
  uint32_t page;    // bytes of a page, to which the arenas are laid
  uint32_t count;   // daemons
  int32_t pid;      // the root's
  uint64_t size;    // of the file
  int64_t started;  // CLOCK_MONOTONIC
} root_head;

typedef struct root_row {
  uint64_t latest;
  uint64_t stamps[2];
  uint64_t words[2][ROOT_WORDS];
} root_row;

// What the root tells of itself, and of a daemon: the meaning of a row's words.
typedef struct root_words {
  uint64_t running, abandoned, stopping, starts, orphans, wakes;
} root_words;

typedef struct root_facts {
  uint64_t phase, pid, starts, failures;
  uint64_t rung, attempts, checkpoint;
  uint64_t how, value, died_at;
  uint64_t started_at, next_start;
  uint64_t user_ns, system_ns, most_kib, drained;
  uint64_t fork_error;
} root_facts;

_Static_assert(sizeof(root_words) <= ROOT_WORDS * sizeof(uint64_t), "fits into a row");
_Static_assert(sizeof(root_facts) <= ROOT_WORDS * sizeof(uint64_t), "fits into a row");

typedef struct root_slot {
  char name[MUSTER_ROOT_NAME_SIZE];
  uint64_t arena;       // its offset
  uint64_t arena_size;  // the desk lies behind it
  uint64_t state_size;
  int64_t heartbeat;
  root_row row;
} root_slot;

_Static_assert(sizeof(root_head) <= ROOT_OWN_ROW_OFFSET - ROOT_HEAD_OFFSET, "the head fits before the row");
_Static_assert(sizeof(root_row) <= ROOT_SLOTS_OFFSET - ROOT_OWN_ROW_OFFSET, "the row fits before the slots");
_Static_assert(sizeof(root_slot) <= ROOT_SLOT_SIZE, "as said above");

typedef struct root_desk {
  uint32_t transaction;  // the number of the process; 0: none runs
  uint32_t unused;
  uint64_t found;        // which start told last, and what it found in its state: root_found_word; 0: none has
  uint64_t note;         // how a transaction ended that came so far: root_note
} root_desk;

// One word, so that what one start found is never told of another.
static inline uint64_t root_found_word(uint64_t start, muster_daemon_policy found) { return start << 8 | (uint64_t)found; }

// kind << 32 | value.
enum { ROOT_NOTE_NONE = 0, ROOT_NOTE_ABORTED = 1, ROOT_NOTE_TOO_LARGE = 2, ROOT_NOTE_FAILED = 3, ROOT_NOTE_LATE = 4 };

#endif
