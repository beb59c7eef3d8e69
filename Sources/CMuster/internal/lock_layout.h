// Locks in shared memory, version 1.
//
// A mutex is lock_head and lock_core. A read-write lock of N places is lock_head, rwlock_shared (whose core is the writers'
// mutex), a group of N places (group_layout.h) and N slots. The head is constant after init, which stores `magic` last.
//
//   field            written by                    ordering       if its writer is dead
//   ---------------  ----------------------------  -------------  ---------------------------------------------------------
//   core.lock        libc, or robust.h in its      theirs         the kernel marks it: that is the death itself
//                    stead, and the kernel
//   core.who         the holder: its own once      release,       believed only while it names the thread in the lock word,
//                    `since` is there; 0 before    relaxed 0      or, in a word that is marked, names anybody: so a death
//                    it unlocks                                   between locking and noting tells of nobody, not of another
//   core.since       the holder                    relaxed        part of the note
//   core.flags       UNREPAIRED: who finds a       seq_cst, by    stands until a holder says that it has repaired, so that
//                    death, before it makes the    read-modify-   any number of deaths in a repair are told to the next;
//                    lock consistent               write          POISONED likewise until a reset
//                    ASLEEP: who is about to       seq_cst        wakes that nobody needs, at the most seven
//                    sleep in libc's lock
//                    POLLERS: who is about to      seq_cst        the same, two
//                    sleep at the word otherwise;
//                    who finds a death
//   core.died        who finds a death             relaxed        for showing only
//   gate             who holds the core's lock;    seq_cst        WRITING, BROKEN: the data may be half changed; DRAINING:
//                    POISONED to BROKEN: anybody                  they are whole; OPEN: they are whole, whatever was left to do
//   slot.state       its member; WAITS to READS    seq_cst, cas   a dead member's slot counts as EMPTY; who joins in the
//                    also who opens the gate                      place empties it while it has the place's lock
//   slot.since       its member                    relaxed        for showing only
//   slots            see group_watch.c
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_LOCK_LAYOUT_H
#define MUSTER_INTERNAL_LOCK_LAYOUT_H

#include "group_layout.h"
#include "muster/lock.h"

#define MUTEX_MAGIC UINT64_C(0x0058455455534d4d)   // "MMSUTEX"
#define RWLOCK_MAGIC UINT64_C(0x004b434f4c57524d)  // "MRWLOCK"

enum { LOCK_VERSION = 1, LOCK_LINE = 128 };

enum {
  LOCK_UNREPAIRED = 1,
  LOCK_POISONED = 2,
  LOCK_POLLERS = 2 << 2,  // so many more unlocks wake all
  LOCK_POLLERS_ONE = 1 << 2,
  LOCK_POLLERS_ANY = 3 << 2,
  LOCK_ASLEEP = 7 << 8,  // so many more unlocks wake one sleeper, then one wakes all
  LOCK_ASLEEP_ONE = 1 << 8,
};

typedef struct lock_head {
  uint64_t magic;
  uint32_t version;
  uint32_t abi;            // muster_liveness_abi of who made it
  uint64_t pid_namespace;  // 0: unknown
  uint32_t capacity;       // read-write lock: places; mutex: 1
  uint32_t reserved;
  uint64_t unused[12];
} lock_head;

typedef struct lock_core {
  union {
    pthread_mutex_t mutex;
    unsigned char space[48];
  } lock;
  // The holder's note, in the line that it has to write anyway.
  uint64_t who;   // the thread in the low half, the pid in the high
  int64_t since;
  // A line that is read by all and seldom written.
  uint32_t flags;
  int32_t died;
  uint64_t unused[7];
} lock_core;

_Static_assert(sizeof(lock_head) == LOCK_LINE && sizeof(lock_core) == LOCK_LINE, "whole lines");
_Static_assert(sizeof(pthread_mutex_t) <= 48, "libc's mutex leaves room for the note");

// The gate: its state, and above it a number that grows each time that it opens.
enum { GATE_OPEN = 0, GATE_DRAINING = 1, GATE_WRITING = 2, GATE_BROKEN = 3, GATE_POISONED = 4, GATE_STATES = 7, GATE_NEXT = 8 };

typedef struct rwlock_shared {
  lock_core core;
  uint32_t gate;
  uint32_t reserved;
  uint64_t unused[15];
  uint64_t slots[GROUP_SLOTS];
  uint64_t unused_too[4];
} rwlock_shared;

_Static_assert(sizeof(rwlock_shared) == 3 * LOCK_LINE, "whole lines");

enum { SLOT_EMPTY = 0, SLOT_READS = 1, SLOT_WAITS = 2 };

typedef struct rwlock_slot {
  uint32_t state;
  uint32_t reserved;
  int64_t since;
  uint64_t unused[14];
} rwlock_slot;

_Static_assert(sizeof(rwlock_slot) == LOCK_LINE, "readers never share a line");

static inline size_t rwlock_group_size(uint32_t capacity) {
  return (muster_group_size(capacity) + LOCK_LINE - 1) / LOCK_LINE * LOCK_LINE;
}

#endif
