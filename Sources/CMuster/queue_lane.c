// Lanes: where a job is put, and which is the next to be taken (arguments 2 to 4 in queue.h).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/queue.h"

// How many positions lie between two that a handle tells the others of; how many takes ahead the processor is told what comes, in lines
// of so many bytes; with how many left a taker has come close to who puts.
enum { TELL = 16, AHEAD = 6, LINE = 64, CLOSE = 48 };

// How often who puts begins again at the next position, because another was quicker: each time that one has put. In memory that only
// rests, however it looks, the first swap does it.
enum { LOST_SWAPS = 1 << 20 };

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
  for (uint32_t turn = 0; turn < LOST_SWAPS; turn++) {
    if (__builtin_expect(find_room(queue, lane, &position, &seen), 0)) return EBADMSG;
    // The generation after the stamp: who sees it sees this stamp, or a later one.
    store(&head->stamp, queue_stamp(position, lane));
    __atomic_store_n(&head->generation, pool_generation(*word), __ATOMIC_RELEASE);
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

// A stamp counts where the generation says that it is of this episode: else it is what an earlier one left.
MUSTER_NONBLOCKING static inline int is_stamped(const muster_queue *queue, uint32_t index, uint64_t word) {
  return __atomic_load_n(&queue_head_of(queue, index)->generation, __ATOMIC_ACQUIRE) == pool_generation(word);
}

// Whether what a cell of this lap holds is queued for it.
MUSTER_NONBLOCKING static inline int is_queued_for(const muster_queue *queue, uint64_t cell, uint64_t stamp, queue_found *found) {
  found->index = queue_cell_index(cell);
  if (found->index >= queue->pool->blocks) return 0;
  found->word = muster_pool_word(queue->pool, found->index);
  return queue_is_queued(found->word) && is_stamped(queue, found->index, found->word) &&
         load(&queue_head_of(queue, found->index)->stamp) == stamp;
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

MUSTER_NONBLOCKING static inline int is_filled(uint64_t cell, uint64_t position, uint32_t shift) {
  return queue_cell_ahead(cell, queue_lap(position, shift)) >= 0;
}

// Whether what is queued ends soon. To look is to take the line from a putter who is storing into it: so it is done now and then.
MUSTER_NONBLOCKING static void look_ahead(muster_queue *queue, uint32_t lane, uint64_t position) {
  int is_close = !is_filled(load(queue_cell(queue, lane, position)), position, queue->shift);
  __atomic_store_n(&queue->is_close, is_close, __ATOMIC_RELAXED);
}

// Tells the processor what the take after some more will touch.
MUSTER_NONBLOCKING static inline void fetch_next(muster_queue *queue, uint32_t lane, uint64_t position) {
  uint32_t index = queue_cell_index(load(queue_cell(queue, lane, position)));
  if (index >= queue->pool->blocks) return;
  __builtin_prefetch(&queue->pool->words[index]);
  __builtin_prefetch(queue_head_of(queue, index));
  __builtin_prefetch(queue_bytes_of(queue, index));
  __builtin_prefetch(queue_bytes_of(queue, index) + LINE);
}

MUSTER_NONBLOCKING void muster_queue_took(muster_queue *queue, uint32_t lane, uint64_t position) {
  store(&queue->heads[lane], position + 1);
  if (!__atomic_load_n(&queue->is_close, __ATOMIC_RELAXED)) fetch_next(queue, lane, position + AHEAD);
  if (position % TELL != TELL - 1) return;
  tell(&queue->ends[lane].head, position + 1);
  look_ahead(queue, lane, position + CLOSE);
}

MUSTER_NONBLOCKING int muster_queue_is_put(const muster_queue *queue, uint32_t index, uint64_t word) {
  if (!is_stamped(queue, index, word)) return 0;
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
