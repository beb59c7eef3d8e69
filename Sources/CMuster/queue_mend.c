// Lanes made whole that no death alone can leave behind: a file has pages of different moments when the machine has stopped. By one who
// is alone with the queue; what is done over by the next, should this one die, comes to the same.
// SPDX-License-Identifier: Apache-2.0
#include "internal/queue.h"

static uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static void store(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }

// The first position whose cell was not filled for a later one, where all before `end` were filled.
static uint64_t first_before(const muster_queue *queue, uint64_t end) {
  uint64_t cells = UINT64_C(1) << queue->shift;
  return end > cells ? end - cells : 0;
}

// The lap that the cell of a position has where all before `end` were filled.
static uint64_t lap_before(const muster_queue *queue, uint64_t position, uint64_t end) {
  return position < end ? queue_lap(position, queue->shift) : 0;
}

static int is_whole(const muster_queue *queue, uint32_t lane, uint64_t end) {
  uint64_t first = first_before(queue, end), cells = UINT64_C(1) << queue->shift;
  for (uint64_t position = first; position < first + cells; position++)
    if (load(queue_cell(queue, lane, position)) >> CELL_INDEX_BITS != lap_before(queue, position, end)) return 0;
  return 1;
}

// The end of what was filled, as the cells have it. Laps of the latter half are none that a queue comes to.
static uint64_t end_of_cells(const muster_queue *queue, uint32_t lane) {
  uint64_t end = 0;
  for (uint64_t k = 0; k < UINT64_C(1) << queue->shift; k++) {
    uint64_t lap = load(queue_cell(queue, lane, k)) >> CELL_INDEX_BITS;
    if (lap == 0 || lap >= CELL_LAPS / 2) continue;
    uint64_t after = ((lap - 1) << queue->shift) + k + 1;
    if (after > end) end = after;
  }
  return end;
}

// Where a cell is of an earlier lap than it has to be, it is spent.
static void fill_up(const muster_queue *queue, uint32_t lane, uint64_t end) {
  uint64_t first = first_before(queue, end), cells = UINT64_C(1) << queue->shift;
  for (uint64_t position = first; position < first + cells; position++) {
    uint64_t *cell = queue_cell(queue, lane, position), lap = lap_before(queue, position, end);
    if (load(cell) >> CELL_INDEX_BITS != lap) store(cell, queue_cell_of(lap, UINT32_MAX));
  }
}

// Whether anything was ever put there.
static int mend_lane(muster_queue *queue, uint32_t lane) {
  uint64_t end = muster_queue_filled(queue, lane);
  if (!is_whole(queue, lane, end)) {
    end = end_of_cells(queue, lane);
    fill_up(queue, lane, end);
  }
  uint64_t first = first_before(queue, end);
  store(&queue->ends[lane].head, first);
  store(&queue->ends[lane].tail, end);
  store(&queue->heads[lane], first);
  store(&queue->tails[lane], end);
  return end != 0;
}

// All of them: what says which are in use may be of an earlier moment than the lanes.
void muster_queue_mend_cells(muster_queue *queue) {
  uint32_t used = 0;
  for (uint32_t lane = 0; lane < 2 * queue->levels; lane++) used |= (uint32_t)mend_lane(queue, lane) << lane;
  __atomic_store_n(&queue->state->used, used, __ATOMIC_SEQ_CST);
}

// ---- Gaps

// Whether the cell of a position has a job that is queued there, and whether that job says so of this position.
static int is_queued_at(const muster_queue *queue, uint32_t lane, uint64_t position, uint32_t *index, uint64_t *word, int *says_so) {
  const uint64_t *cell = queue_cell(queue, lane, position);
  *index = queue_cell_index(load(cell));
  if (*index >= queue->pool->blocks) return 0;
  *word = muster_pool_word(queue->pool, *index);
  if (!queue_is_queued(*word) || !muster_queue_is_put(queue, *index, *word)) return 0;
  uint64_t stamp = load(&queue_head_of(queue, *index)->stamp);
  *says_so = stamp == queue_stamp(position, lane);
  return queue_cell(queue, (uint32_t)stamp & (QUEUE_LANES - 1), stamp >> QUEUE_LANE_BITS) == cell;
}

// Whether something is queued before a position that is spent, or could not be found.
static int has_gap(const muster_queue *queue, uint32_t lane, uint64_t first, uint64_t end) {
  int is_any = 0, says_so = 0;
  for (uint64_t position = first; position < end; position++) {
    uint32_t index = 0;
    uint64_t word = 0;
    int is_queued = is_queued_at(queue, lane, position, &index, &word, &says_so);
    if (is_queued ? !says_so : is_any) return 1;
    is_any |= is_queued;
  }
  return 0;
}

// All that is queued in a lane, put again in its order, among those that came back. No attempt is counted. Who puts there overwrites a
// cell that was passed already: the nth is put n behind the end, and none has been passed before n were.
static void put_again(muster_queue *queue, uint32_t lane, uint64_t first, uint64_t end) {
  for (uint64_t position = first; position < end; position++) {
    uint32_t index = 0;
    uint64_t word = 0;
    int says_so = 0;
    if (!is_queued_at(queue, lane, position, &index, &word, &says_so)) continue;
    queue_job_head *head = queue_head_of(queue, index);
    __atomic_store_n(&head->next, __atomic_load_n(&head->attempts, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    uint64_t returning = pool_word_of(pool_generation(word) + 1, pool_owner_bits(POOL_NOBODY, 0), QUEUE_RETURNING);
    if (muster_pool_swap(queue->pool, index, &word, returning)) (void)muster_queue_return(queue, index, returning);
  }
}

void muster_queue_mend_gaps(muster_queue *queue) {
  for (uint32_t lanes = __atomic_load_n(&queue->state->used, __ATOMIC_RELAXED); lanes; lanes &= lanes - 1) {
    uint32_t lane = (uint32_t)__builtin_ctz(lanes);
    uint64_t end = load(&queue->tails[lane]), first = first_before(queue, end);
    if (has_gap(queue, lane, first, end)) put_again(queue, lane, first, end);
  }
}
