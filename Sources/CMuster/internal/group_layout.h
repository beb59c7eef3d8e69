// A group in shared memory, version 1.
//
// The head's first line is written by muster_group_init and constant from then on. The other fields:
//
//   field             written by                      ordering   if its writer is dead
//   ----------------  ------------------------------  ---------  ---------------------------------------------------
//   head.roster       joiner, leaver, noticer         add, acq+  a change that is not counted yet is counted by whoever
//                                                     release    notices the place (see place.noted)
//   head.slots        a sleeper, by cas               acq+rel    the word names a dead member: whoever looks clears it
//   place.lock        libc and the kernel             theirs     the kernel marks it: that is the death itself
//   place.state       who holds place.lock            release    the mark in the lock outweighs it: the place is dead
//   place.noted       joiner, leaver, noticer         cas        unlike `incarnation`: its end is not counted in the roster
//   place.others      the joiner, who holds the lock  relaxed    for showing only; state is stored after them
//
// What a place is, from its lock word w and state s:
//   w marked FUTEX_OWNER_DIED                           dead
//   w has an owner:  s LEFT (leaving, or joining anew)  left; else alive
//   w has none:      s JOINED                           dead (the mark was consumed by one who then let go)
//                    s LEFT                             left
//                    s FREE                             free
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_GROUP_LAYOUT_H
#define MUSTER_INTERNAL_GROUP_LAYOUT_H

#include "liveness.h"
#include "muster/group.h"

#define GROUP_MAGIC UINT64_C(0x0050554f5247534d)  // "MSGROUP"

enum {
  GROUP_VERSION = 1,
  GROUP_SHARD = 125,   // places that one sleeper watches: 128 words, less its own, the roster's and one to spare
  GROUP_SLOTS = 12,    // two watchers and two deputies for each of the at most 3 shards
};

enum { PLACE_FREE = 0, PLACE_JOINED = 1, PLACE_LEFT = 2 };

typedef struct group_place {
  liveness_lock lock;
  // In the line of the lock word, so that to look at a place is to touch one line.
  uint32_t state;
  uint32_t incarnation;  // counts joiners
  uint32_t noted;        // the incarnation whose end is counted in the roster
  uint32_t thread;
  int32_t pid;
  uint32_t reserved;
  uint64_t start;
  uint64_t unused[5];
} group_place;

_Static_assert(sizeof(group_place) == 128, "two cache lines a place");

typedef struct group_head {
  uint64_t magic;
  uint32_t version;
  uint32_t capacity;
  uint32_t abi;            // muster_liveness_abi of who made it
  uint32_t reserved;
  uint64_t pid_namespace;  // 0: unknown
  uint64_t unused[4];
  // second line
  uint32_t roster;
  uint32_t padding;
  uint64_t slots[GROUP_SLOTS];
  uint64_t unused_too[11];
} group_head;

_Static_assert(sizeof(group_head) == 256, "four cache lines");

#endif
