// A queue in shared memory, version 1.
//
//   what                                                    bytes
//   queue_head: constant after init, which stores `magic`   128
//   last
//   queue_state                                             384
//   a lane's ends, for each lane                            256 a lane
//   cells of each lane                                      8 a cell, rounded up to 128
//   a queue_job_head for each block                         32 a block, rounded up to 128
//   a pool (pool_layout.h), whose blocks are the jobs
//
// Lane 2 l is of the jobs of level l that came back, lane 2 l + 1 of the new ones: they are served in the order of their numbers. A lane
// has as many cells as there are jobs, rounded up to a power of two, and at least 64.
//
// Cell, 64 bits: bits 0..24 the block's index + 1, bits 25..63 the lap + 1 of the position that it was filled for; all 0 at first.
// Position n lies in cell n mod cells in lap n / cells. The stamp of a job is position * 32 + lane. What is said of a job lies beside those of others, not before its
// bytes: whatever one writes has to come from whoever had it last, and so it is fewer lines.
//
//   tag        owner         means                                         if its owner is dead, who settles makes it
//   ---------  ------------  --------------------------------------------  ---------------------------------------------
//   FILLING    a member      claimed, being written in place               free
//   QUEUED     putter, or    new, and queued where `stamp` says, if `gen-  nobody's, if it is in that cell; else free, as
//              nobody        eration` is the word's and it is in that      it never was put
//                            cell; else it is being put
//   AGAIN      the same      came back, and queued where `stamp` says      nobody's, if it is in that cell; else RETURNING
//   TAKEN      a member      it is working on it                           his own, and returns it as failed
//   RETURNING  a member      `next` attempts, to be queued or set aside    his own, and goes on
//   ASIDE      nobody        set aside
//   RETRYING   a member      was set aside, is to be queued anew           ASIDE
//
//   field     written by                            ordering          if its writer is dead
//   --------  ------------------------------------  ----------------  ---------------------------------------------
//   word      as above; QUEUED and AGAIN to TAKEN:  seq_cst cas       as above
//             anyone
//   cell      who puts                              seq_cst cas       it was put, or not
//   stamp     who has the block, before the cell    relaxed           the cell tells whether it came to be put. The
//                                                                     level is known by it until the block is free
//   gen-      the same, after the first stamp: that  release           other than the word's: `stamp` is of an earlier
//   eration   of the word                                             episode
//   next      who has the block, TAKEN              relaxed           written again by who settles, from `attempts`
//   attempts  who has the block, RETURNING: next    relaxed           written again by who settles, from `next`
//   size,     who has the block, before it is put   relaxed           free, or of a job that was put
//   put_at
//   head,     who took or put a 16th, or came far   relaxed cas,      a number that is smaller than it could be
//   tail                                            growing
//   used      who puts into a lane for the first    seq_cst or        a lane is looked at needlessly
//             time, before the cell
//   finished  who finishes or reopens               seq_cst           sleepers may not have been told: they watch its lock
//   calls     who is about to sleep for a job       seq_cst add       needless wakes, one by each who puts
//   bell      who puts and finds a new call         release add       sleepers watch its lock
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_QUEUE_LAYOUT_H
#define MUSTER_INTERNAL_QUEUE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/queue.h"
#include "pool_layout.h"

#define QUEUE_MAGIC UINT64_C(0x00554555514d534d)  // "MSMQUEU"

enum {
  QUEUE_VERSION = 1,
  QUEUE_LINE = 128,
  QUEUE_LANES = 2 * MUSTER_QUEUE_LEVELS_MAX,
  QUEUE_LANE_BITS = 5,
  QUEUE_CELLS_LEAST_SHIFT = 6,
};

typedef enum queue_tag {
  QUEUE_FILLING = POOL_TAG_MODULE,
  QUEUE_QUEUED,
  QUEUE_AGAIN,
  QUEUE_TAKEN,
  QUEUE_RETURNING,
  QUEUE_ASIDE,
  QUEUE_RETRYING,
} queue_tag;

typedef struct queue_head {
  uint64_t magic;
  uint32_t version;
  uint32_t job_size;
  uint32_t jobs;
  uint32_t levels;
  uint32_t members;
  uint32_t attempts;
  uint32_t times;
  uint32_t reserved;
  uint64_t unused[11];
} queue_head;

_Static_assert(sizeof(queue_head) == QUEUE_LINE, "the state begins on a line of its own");

typedef struct queue_state {
  _Alignas(QUEUE_LINE) uint32_t used;  // lanes, as bits
  uint32_t finished;
  _Alignas(QUEUE_LINE) uint32_t calls;
  _Alignas(QUEUE_LINE) uint32_t bell;
} queue_state;

_Static_assert(sizeof(queue_state) == 3 * QUEUE_LINE, "as said above");

// Lower bounds of where what is queued begins and ends.
typedef struct queue_ends {
  _Alignas(QUEUE_LINE) uint64_t head;
  _Alignas(QUEUE_LINE) uint64_t tail;
} queue_ends;

_Static_assert(sizeof(queue_ends) == 2 * QUEUE_LINE, "a line for who takes, one for who puts");

typedef struct queue_job_head {
  uint64_t stamp;
  int64_t put_at;
  uint32_t size;
  uint32_t generation;
  uint32_t attempts;
  uint32_t next;
} queue_job_head;

_Static_assert(sizeof(queue_job_head) == 32, "two in a line");

// ---- Cells and stamps

enum { CELL_INDEX_BITS = 25, CELL_LAP_BITS = 64 - CELL_INDEX_BITS };
#define CELL_LAPS (UINT64_C(1) << CELL_LAP_BITS)

static inline uint64_t queue_cell_of(uint64_t lap, uint32_t index) { return lap << CELL_INDEX_BITS | (index + 1); }

// At least `jobs` where the cell holds none.
static inline uint32_t queue_cell_index(uint64_t cell) { return ((uint32_t)cell & ((1u << CELL_INDEX_BITS) - 1)) - 1; }

// By how many laps a cell is ahead of `lap`; as many as half of them are behind.
static inline int64_t queue_cell_ahead(uint64_t cell, uint64_t lap) {
  uint64_t by = ((cell >> CELL_INDEX_BITS) - lap) & (CELL_LAPS - 1);
  return by < CELL_LAPS / 2 ? (int64_t)by : (int64_t)by - (int64_t)CELL_LAPS;
}

// The lap, as a cell that is filled for that position has it.
static inline uint64_t queue_lap(uint64_t position, uint32_t shift) { return ((position >> shift) + 1) & (CELL_LAPS - 1); }

static inline uint64_t queue_stamp(uint64_t position, uint32_t lane) { return position << QUEUE_LANE_BITS | lane; }

// ---- Offsets in bytes from the head's beginning, all from numbers that were checked

static inline uint32_t queue_shift(uint32_t jobs) {
  uint32_t shift = QUEUE_CELLS_LEAST_SHIFT;
  while (UINT32_C(1) << shift < jobs) shift++;
  return shift;
}
static inline size_t queue_up(size_t bytes) { return (bytes + QUEUE_LINE - 1) / QUEUE_LINE * QUEUE_LINE; }
static inline uint32_t queue_block_size(uint32_t job_size) { return job_size < MUSTER_POOL_BLOCK_SIZE_MIN ? MUSTER_POOL_BLOCK_SIZE_MIN : job_size; }
static inline size_t queue_ends_offset(void) { return sizeof(queue_head) + sizeof(queue_state); }
static inline size_t queue_cells_offset(uint32_t levels) { return queue_ends_offset() + 2 * levels * sizeof(queue_ends); }
static inline size_t queue_cells_size(uint32_t jobs, uint32_t levels) {
  return queue_up(((size_t)2 * levels << queue_shift(jobs)) * sizeof(uint64_t));
}
static inline size_t queue_heads_offset(uint32_t jobs, uint32_t levels) {
  return queue_cells_offset(levels) + queue_cells_size(jobs, levels);
}
static inline size_t queue_pool_offset(uint32_t jobs, uint32_t levels) {
  return queue_heads_offset(jobs, levels) + queue_up(jobs * sizeof(queue_job_head));
}

#endif
