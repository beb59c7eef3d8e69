// What the sources of the queue share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_QUEUE_H
#define MUSTER_INTERNAL_QUEUE_H

#include "muster/queue.h"
#include "pool.h"
#include "queue_layout.h"

struct muster_queue {
  muster_pool *pool;
  queue_state *state;
  queue_ends *ends;
  uint64_t *cells;     // lane k's begin at k << shift
  queue_job_head *heads_of;  // the blocks
  uint32_t job_size;   // these are checked at attach; never read again
  uint32_t levels;
  uint32_t attempts;
  uint32_t times;
  uint32_t shift;
  uint32_t rung;       // the calls that this handle has answered
  uint32_t takes;      // so many were asked for
  uint32_t waited_at;  // as many when it waited last
  uint32_t ease;       // how long it stayed away then, in pauses of the processor
  int is_close;        // the last that was taken was one of the last that were there
  // Lower bounds of the lanes' ends, as this handle knows them. Any thread may store any of them.
  uint64_t heads[QUEUE_LANES];
  uint64_t tails[QUEUE_LANES];
  muster_region *region;  // opened by name, else NULL
};

static inline queue_job_head *queue_head_of(const muster_queue *queue, uint32_t index) {
  return &queue->heads_of[index];
}
static inline unsigned char *queue_bytes_of(const muster_queue *queue, uint32_t index) {
  return muster_pool_bytes(queue->pool, index);
}
static inline uint64_t *queue_cell(const muster_queue *queue, uint32_t lane, uint64_t position) {
  uint64_t mask = (UINT64_C(1) << queue->shift) - 1;
  return &queue->cells[((uint64_t)lane << queue->shift) + (position & mask)];
}
static inline uint32_t queue_lane_of(uint32_t level, int again) { return 2 * level + !again; }

static inline int queue_is_queued(uint64_t word) {
  uint32_t tag = pool_tag_of(word);
  return tag == QUEUE_QUEUED || tag == QUEUE_AGAIN;
}

// Of nobody's, with that tag.
static inline uint64_t queue_nobodys(uint64_t word, uint32_t tag) {
  return pool_word_of(pool_generation(word), pool_owner_bits(POOL_NOBODY, 0), tag);
}

// The level of a job, by its head, which may be anything.
static inline uint32_t queue_level_of(const muster_queue *queue, const queue_job_head *head) {
  uint32_t level = ((uint32_t)__atomic_load_n(&head->stamp, __ATOMIC_RELAXED) & (QUEUE_LANES - 1)) / 2;
  return level < queue->levels ? level : queue->levels - 1;
}

// ---- queue_lane.c

// Queues block `index`, whose word is `*word`, its owner's, not queued yet, and is `tag` of the same owner then. Returns 0; EPERM: the word
// is no longer that; EBADMSG: the lane is corrupt; *word is what it is.
int muster_queue_enqueue(muster_queue *queue, uint32_t lane, uint32_t index, uint64_t *word, uint32_t tag) MUSTER_NONBLOCKING;

// The first job of a lane that is queued, and its word as seen. Returns 0; EAGAIN: there was none; EBUSY: gave up.
typedef struct queue_found {
  uint64_t word;
  uint64_t position;
  uint32_t index;
} queue_found;
int muster_queue_find(muster_queue *queue, uint32_t lane, queue_found *found) MUSTER_NONBLOCKING;

// It was taken.
void muster_queue_took(muster_queue *queue, uint32_t lane, uint64_t position) MUSTER_NONBLOCKING;

// Whether a block whose word is this, QUEUED or AGAIN, is in the cell of its position.
int muster_queue_is_put(const muster_queue *queue, uint32_t index, uint64_t word) MUSTER_NONBLOCKING;

// How many positions of a lane have been filled.
uint64_t muster_queue_filled(const muster_queue *queue, uint32_t lane) MUSTER_NONBLOCKING;

// ---- queue_take.c

// Whether anything is queued: 0, EAGAIN, EBUSY (gave up).
int muster_queue_is_any(muster_queue *queue) MUSTER_NONBLOCKING;

// Whether the queue is finished, and no job is left that could be taken.
int muster_queue_is_over(const muster_queue *queue) MUSTER_NONBLOCKING;

// ---- queue_settle.c

// Goes on with a job that is TAKEN or RETURNING, of whoever the word says, until it is queued again or set aside. Returns 0; EPERM: the word
// is no longer that.
int muster_queue_return(muster_queue *queue, uint32_t index, uint64_t word) MUSTER_NONBLOCKING;

// The pool's reclaimer, and its keeper; `context` is the queue.
int muster_queue_settle_block(muster_pool *pool, uint32_t index, uint64_t word, void *context) MUSTER_NONBLOCKING;
uint64_t muster_queue_keep(uint32_t index, uint64_t word, uint64_t freed, void *context);

// What is left by members that have ended, if anything: whether it went over the jobs.
int muster_queue_settle(muster_queue *queue) MUSTER_NONBLOCKING;

// ---- queue_mend.c

// For who renews, alone with the queue: makes the lanes whole, before what is queued is told from what is not; then has no job hide behind
// a gap, when all words are nobody's.
void muster_queue_mend_cells(muster_queue *queue);
void muster_queue_mend_gaps(muster_queue *queue);

// ---- queue_wait.c

// Wakes those who wait for a job, if any has called since this handle answered last; or in any case.
void muster_queue_answer(muster_queue *queue) MUSTER_NONBLOCKING;
void muster_queue_ring(muster_queue *queue) MUSTER_NONBLOCKING;

// After something that may have been the last of a finished queue.
static inline void queue_answer_if_finished(muster_queue *queue) {
  if (__builtin_expect(__atomic_load_n(&queue->state->finished, __ATOMIC_SEQ_CST) != 0, 0)) muster_queue_answer(queue);
}

#endif
