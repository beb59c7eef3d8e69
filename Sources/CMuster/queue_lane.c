// Lanes: where a job is put, and which is the next to be taken (arguments 2 to 4 in queue.h).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/queue.h"

// How many positions lie between two that a handle tells the others of; how many takes ahead the processor is told what comes.
#ifndef QTAHEAD
#define QTAHEAD 6
#endif
enum { TELL = 16, AHEAD = QTAHEAD };

MUSTER_NONBLOCKING static inline uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
MUSTER_NONBLOCKING static inline void store(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }

MUSTER_NONBLOCKING static inline uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

// Of several at once one tells, and none tells less than was told.
MUSTER_NONBLOCKING static inline void tell(uint64_t *end, uint64_t position) {
  uint64_t seen = load(end);
  if (seen < position) (void)__atomic_compare_exchange_n(end, &seen, position, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

// Every step goes past a position that another has filled or taken. Who is still not there after that many is in a queue that turns
// faster than he does, or is led around by what somebody scribbled.
MUSTER_NONBLOCKING static inline uint64_t most_steps(const muster_queue *queue) { return (UINT64_C(2) << queue->shift) + 64; }

MUSTER_NONBLOCKING static void note_use(muster_queue *queue, uint32_t lane) {
  uint32_t bit = UINT32_C(1) << lane;
  if (!(__atomic_load_n(&queue->state->used, __ATOMIC_SEQ_CST) & bit)) __atomic_fetch_or(&queue->state->used, bit, __ATOMIC_SEQ_CST);
}

MUSTER_NONBLOCKING static inline void put_at(muster_queue *queue, uint32_t lane, uint64_t position) {
  store(&queue->tails[lane], position + 1);
#ifndef NO_H
  queue_fetch_to_write(queue_cell(queue, lane, position + 8));
#endif
  if (position % TELL == TELL - 1) tell(&queue->ends[lane].tail, position + 1);
}

// A position of which the cell is of the lap before: 0, or EBADMSG. *seen is the cell.
MUSTER_NONBLOCKING static inline int find_room(muster_queue *queue, uint32_t lane, uint64_t *position, uint64_t *seen) {
  for (uint64_t step = 0; step < most_steps(queue); step++) {
    *seen = __atomic_load_n(queue_cell(queue, lane, *position), __ATOMIC_SEQ_CST);
    int64_t ahead = queue_cell_ahead(*seen, queue_lap(*position, queue->shift) - 1);
    if (__builtin_expect(ahead == 0, 1)) return 0;
    if (ahead < 0) return EBADMSG;
    // Filled, as are all positions before the one that this cell was filled for last.
    *position = later(*position + ((uint64_t)(ahead - 1) << queue->shift) + 1, load(&queue->ends[lane].tail));
  }
  return EBADMSG;
}

MUSTER_NONBLOCKING int muster_queue_enqueue(muster_queue *queue, uint32_t lane, uint32_t index, uint64_t *word, uint32_t tag) {
  queue_job_head *head = queue_head_of(queue, index);
  uint64_t position = load(&queue->tails[lane]), seen;
  note_use(queue, lane);
  for (uint64_t turn = 0; turn < most_steps(queue); turn++) {
    if (__builtin_expect(find_room(queue, lane, &position, &seen), 0)) return EBADMSG;
    store(&head->stamp, queue_stamp(position, lane));
    if (pool_tag_of(*word) != tag) {
      uint64_t queued = (*word & ~(uint64_t)POOL_TAG_MOST) | tag;
      if (!muster_pool_swap(queue->pool, index, word, queued)) return EPERM;
      *word = queued;
    }
    uint64_t filled = queue_cell_of(queue_lap(position, queue->shift), index);
    if (__builtin_expect(__atomic_compare_exchange_n(queue_cell(queue, lane, position), &seen, filled, 0, __ATOMIC_SEQ_CST,
                                                     __ATOMIC_SEQ_CST), 1))
      return put_at(queue, lane, position), 0;
  }
  return EBADMSG;
}

// Whether what a cell of this lap holds is queued for it. The word before the stamp: the stamp that was written before the word, or a
// later one, which is not this position.
MUSTER_NONBLOCKING static inline int is_queued_for(const muster_queue *queue, uint64_t cell, uint64_t stamp, queue_found *found) {
  found->index = queue_cell_index(cell);
  if (found->index >= queue->pool->blocks) return 0;
  found->word = muster_pool_word(queue->pool, found->index);
  return queue_is_queued(found->word) && load(&queue_head_of(queue, found->index)->stamp) == stamp;
}

MUSTER_NONBLOCKING int muster_queue_find(muster_queue *queue, uint32_t lane, queue_found *found) {
  uint64_t position = load(&queue->heads[lane]);
  int status = EBUSY;
  for (uint64_t step = 0; step < most_steps(queue); step++) {
    uint64_t cell = __atomic_load_n(queue_cell(queue, lane, position), __ATOMIC_SEQ_CST);
    int64_t ahead = queue_cell_ahead(cell, queue_lap(position, queue->shift));
    if (ahead < 0) {
      status = EAGAIN;
      break;
    }
    if (__builtin_expect(ahead == 0, 1) && is_queued_for(queue, cell, queue_stamp(position, lane), found)) {
      found->position = position;
      status = 0;
      break;
    }
    // Spent; and where it is of a later lap, so is all that lies a lap or more before that.
    uint64_t laps = ahead > 0 ? (uint64_t)(ahead - 1) : 0;
    position = later(position + (laps << queue->shift) + 1, load(&queue->ends[lane].head));
  }
  store(&queue->heads[lane], position);
  return status;
}

// Tells the processor what the take after some more will touch. Where that is not there yet, the taker is close behind who puts.
MUSTER_NONBLOCKING static inline void fetch_next(muster_queue *queue, uint32_t lane, uint64_t position) {
  uint64_t cell = load(queue_cell(queue, lane, position));
  int is_close = queue_cell_ahead(cell, queue_lap(position, queue->shift)) < 0;
  if (__atomic_load_n(&queue->is_close, __ATOMIC_RELAXED) != is_close) __atomic_store_n(&queue->is_close, is_close, __ATOMIC_RELAXED);
  uint32_t index = queue_cell_index(cell);
  if (is_close || index >= queue->pool->blocks) return;
  queue_fetch_to_write(&queue->pool->words[index]);
  const unsigned char *at = muster_pool_bytes(queue->pool, index);
  queue_fetch(at);
  queue_fetch(at + QUEUE_FETCH);
#ifndef NO_G
  queue_fetch(queue_cell(queue, lane, position + 16));
#endif
}

MUSTER_NONBLOCKING void muster_queue_took(muster_queue *queue, uint32_t lane, uint64_t position) {
  fetch_next(queue, lane, position + AHEAD);
  store(&queue->heads[lane], position + 1);
  if (position % TELL == TELL - 1) tell(&queue->ends[lane].head, position + 1);
}

MUSTER_NONBLOCKING int muster_queue_is_put(const muster_queue *queue, uint32_t index) {
  uint64_t stamp = load(&queue_head_of(queue, index)->stamp);
  uint32_t lane = (uint32_t)stamp & (QUEUE_LANES - 1);
  if (lane >= 2 * queue->levels) return 0;
  uint64_t position = stamp >> QUEUE_LANE_BITS;
  uint64_t cell = __atomic_load_n(queue_cell(queue, lane, position), __ATOMIC_SEQ_CST);
  return cell == queue_cell_of(queue_lap(position, queue->shift), index);
}

MUSTER_NONBLOCKING uint64_t muster_queue_filled(const muster_queue *queue, uint32_t lane) {
  uint64_t position = load(&queue->ends[lane].tail);
  for (uint64_t step = 0; step < most_steps(queue); step++) {
    uint64_t cell = __atomic_load_n(queue_cell(queue, lane, position), __ATOMIC_SEQ_CST);
    int64_t ahead = queue_cell_ahead(cell, queue_lap(position, queue->shift));
    if (ahead < 0) break;
    position += ((uint64_t)ahead << queue->shift) + 1;
  }
  return position;
}
