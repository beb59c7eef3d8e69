// What the sources of the ring share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_RING_H
#define MUSTER_INTERNAL_RING_H

#include "fork.h"
#include "muster/group.h"
#include "muster/ring.h"
#include "ring_layout.h"

// Other than any number that a process gives itself: those are odd, or 0 in a child that has none yet.
#define RING_IDLE UINT64_C(2)

typedef enum ring_role { RING_LOOKS, RING_WRITES, RING_READS } ring_role;

struct muster_ring {
  muster_ring_writer writer;
  muster_ring_reader reader;
  ring_state *state;
  ring_slot *slots;
  unsigned char *data;
  muster_group *writers;  // of one place
  muster_group *readers;
  muster_region *region;  // opened by name, else NULL
  fork_guard guard;
  uint32_t bytes, shift, mode;  // checked at attach; never read again
  int read_only;
  ring_role role;
  int expedited;      // membarrier(2) makes others' stores and loads as good as fenced
  uint32_t member;    // reading with permission to write: the place among the readers
  int may_spin;       // there is more than one processor
  int may_yield;
  uint32_t yields_skipped;  // after the last that took long
  uint32_t yields_to_skip;  // of those, how many are left
  uint32_t spins;     // turns to spin before sleeping, as they have paid so far
  uint32_t ease;      // pauses before the first look of a wait
  uint32_t waits;     // waits that found one record since the wait before
  uint64_t waited_at; // the number at the last wait
  uint64_t hard;      // writing: nothing at or beyond this is stored
  uint64_t marked;    // writing: the chunk that was marked last
};

static inline uint32_t ring_largest(const muster_ring *ring) { return ring->bytes / 4; }
static inline uint64_t ring_chunk(const muster_ring *ring, uint64_t position) {
  return position >> (ring->shift - RING_MARKS_SHIFT);
}
static inline uint64_t ring_chunk_start(const muster_ring *ring, uint64_t chunk) {
  return chunk << (ring->shift - RING_MARKS_SHIFT);
}
static inline uint64_t ring_header_at(const muster_ring *ring, uint64_t position) {
  uint64_t offset = position & (ring->bytes - 1);
  return __atomic_load_n(muster_ring_header(ring->data, offset), __ATOMIC_ACQUIRE);
}

// ---- ring_place.c

// One step along the chain: 0 with *place behind the record or filler there and its header in *word; EAGAIN: nothing is
// committed there; EBADMSG: what is there is no header of this position.
int muster_ring_step(const muster_ring *ring, muster_ring_place *place, uint64_t *word) MUSTER_NONBLOCKING;

// How a lossless reader holds the writer back while it looks for its place: it publishes each position that it is about
// to look from, but never one behind `most`, which it may have to come back to.
typedef struct ring_hold {
  uint64_t *published;
  uint64_t most;
} ring_hold;

// What a place means for a reader: 0 with *place where it begins, which is held (`hold` NULL: by nothing); ESTALE:
// MUSTER_RING_AT is gone; EINVAL, EBADMSG. EAGAIN: overtaken each time.
int muster_ring_find(const muster_ring *ring, muster_ring_from from, muster_ring_place *place, const ring_hold *hold);

// The first mark that is whole, at `least` or later. 0, or EAGAIN: none.
int muster_ring_mark_from(const muster_ring *ring, uint64_t least, muster_ring_place *place) MUSTER_NONBLOCKING;

// The end, by the newest mark. Nobody writes meanwhile.
int muster_ring_recover(const muster_ring *ring, muster_ring_place *end);

// Whether all from `position` on is still there.
int muster_ring_is_there(const muster_ring *ring, uint64_t position) MUSTER_NONBLOCKING;

// ---- ring_wait.c

// How soon one that nobody can wake looks again, at first and at last.
enum { RING_FIRST_SLICE = 1000000, RING_SLICE = 8000000 };

// Puts a word first into a set, where a sleep at one word alone sleeps; and a recheck that comes sooner.
void muster_ring_put_first(muster_wait_set *set, const uint32_t *word, uint32_t expected);
void muster_ring_recheck_by(muster_wait_set *set, muster_deadline recheck);

// ---- ring_write.c

// Makes the writer's view that of one who goes on at `end`.
void muster_ring_ready_writer(muster_ring *ring, muster_ring_place end);

// ---- ring_fence.c

// Registers this process for the barriers of others: 0, or that it can't be done here.
int muster_ring_fence_join(void);

// Between a store and a load of this thread, and of each running thread of the processes that have joined.
int muster_ring_fence_all(void);

#endif
