// What is known of a queue, and of the jobs in it.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "internal/queue.h"

// How often a copy begins again when the job changes hands meanwhile.
enum { COPIES = 64 };

static muster_queue_use use_of(uint64_t word) {
  switch (pool_tag_of(word)) {
    case QUEUE_FILLING: return MUSTER_QUEUE_PUTTING;
    case QUEUE_QUEUED:
    case QUEUE_AGAIN: return MUSTER_QUEUE_QUEUED;
    case QUEUE_TAKEN: return MUSTER_QUEUE_TAKEN;
    case QUEUE_RETURNING:
    case QUEUE_RETRYING: return MUSTER_QUEUE_RETURNING;
    case QUEUE_ASIDE: return MUSTER_QUEUE_ASIDE;
    default: return 0;
  }
}

// While the word is QUEUED the putter may still be looking for a cell.
static muster_queue_use use_in(const muster_queue *queue, uint32_t index, uint64_t word) {
  muster_queue_use use = use_of(word);
  if (use != MUSTER_QUEUE_QUEUED || muster_queue_is_put(queue, index, word)) return use;
  return pool_tag_of(word) == QUEUE_AGAIN ? MUSTER_QUEUE_RETURNING : MUSTER_QUEUE_PUTTING;
}

static uint32_t owner_in(const muster_queue *queue, uint64_t word) {
  uint32_t place = pool_place_of(word);
  return place < queue->pool->members ? place : UINT32_MAX;
}

// ---- The whole

static void count_job(const muster_queue *queue, uint32_t index, muster_queue_state *state) {
  uint64_t word = muster_pool_word(queue->pool, index);
  uint32_t level = queue_level_of(queue, queue_head_of(queue, index));
  muster_queue_use use = use_in(queue, index, word);
  switch (use) {
    case MUSTER_QUEUE_PUTTING: state->putting++; break;
    case MUSTER_QUEUE_QUEUED: state->queued++, state->queued_at[level]++; return;
    case MUSTER_QUEUE_TAKEN: state->taken++, state->taken_at[level]++; break;
    case MUSTER_QUEUE_RETURNING: state->returning++; break;
    case MUSTER_QUEUE_ASIDE: state->aside++, state->aside_at[level]++; return;
    default: state->free += (uint32_t)pool_is_free(word); return;
  }
  uint32_t owner = owner_in(queue, word);
  state->ended += (uint32_t)(owner != UINT32_MAX && pool_has_ended(word, muster_pool_ended(queue->pool, owner)));
}

int muster_queue_look(const muster_queue *queue, muster_queue_state *state) {
  const muster_pool *pool = queue->pool;
  *state = (muster_queue_state){.job_size = queue->job_size,
                                .jobs = pool->blocks,
                                .levels = queue->levels,
                                .members = pool->members,
                                .attempts = queue->attempts};
  if (muster_fork_inherited(&pool->guard)) return EPERM;
  state->finished = __atomic_load_n(&queue->state->finished, __ATOMIC_SEQ_CST) != 0;
  state->waits = __atomic_load_n(&queue->state->calls, __ATOMIC_RELAXED);
  for (uint32_t k = 0; k < pool->members; k++) state->living += muster_group_life(pool->group, k) == MUSTER_MEMBER_ALIVE;
  for (uint32_t k = 0; k < pool->blocks; k++) count_job(queue, k, state);
  for (uint32_t level = 0; level < queue->levels; level++) {
    state->put += muster_queue_filled(queue, queue_lane_of(level, 0));
    state->returned += muster_queue_filled(queue, queue_lane_of(level, 1));
  }
  return 0;
}

// ---- One after the other

// The bytes may be written meanwhile, by who gets the block next: then the word tells, and the copy is dropped.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
__attribute__((no_sanitize("thread")))
#endif
#elif defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize_thread))
#endif
static void copy_bytes(unsigned char *to, const volatile unsigned char *from, size_t size) {
  for (size_t k = 0; k < size; k++) to[k] = from[k];
}

static void describe_owner(const muster_queue *queue, uint64_t word, muster_queue_entry *entry) {
  entry->member = owner_in(queue, word);
  // That of a job that is queued is of no interest: it has put it.
  if (entry->use == MUSTER_QUEUE_QUEUED || entry->use == MUSTER_QUEUE_ASIDE) entry->member = UINT32_MAX;
  if (entry->member == UINT32_MAX) return;
  entry->alive = muster_pool_lives(queue->pool, word);
  muster_member seen;
  if (!muster_group_member(queue->pool->group, entry->member, &seen)) entry->pid = seen.pid;
}

static void describe_job(const muster_queue *queue, uint32_t index, uint64_t word, muster_queue_entry *entry) {
  const queue_job_head *head = queue_head_of(queue, index);
  *entry = (muster_queue_entry){.id = muster_pool_name(index, word), .use = use_in(queue, index, word)};
  uint32_t size = __atomic_load_n(&head->size, __ATOMIC_RELAXED);
  if (entry->use != MUSTER_QUEUE_PUTTING) entry->size = size <= queue->job_size ? size : queue->job_size;
  if (entry->use != MUSTER_QUEUE_PUTTING) entry->level = queue_level_of(queue, head);
  entry->attempts = __atomic_load_n(&head->attempts, __ATOMIC_RELAXED);
  entry->put_at = __atomic_load_n(&head->put_at, __ATOMIC_RELAXED);
  entry->returned = pool_tag_of(word) == QUEUE_AGAIN;
  if (entry->use == MUSTER_QUEUE_QUEUED) entry->position = __atomic_load_n(&head->stamp, __ATOMIC_RELAXED) >> QUEUE_LANE_BITS;
  describe_owner(queue, word, entry);
}

// Whether the job is of those uses, as it was between two looks at its word that gave the same.
static int read_job(const muster_queue *queue, uint32_t index, uint32_t uses, muster_queue_entry *entry, void *buffer, size_t capacity) {
  for (int turn = 0; turn < COPIES; turn++) {
    uint64_t word = muster_pool_word(queue->pool, index);
    if (!use_of(word)) return 0;
    describe_job(queue, index, word, entry);
    if (!(entry->use & uses)) return 0;
    if (buffer) copy_bytes(buffer, queue_bytes_of(queue, index), entry->size < capacity ? entry->size : capacity);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (muster_pool_word(queue->pool, index) == word) return 1;
  }
  return 0;
}

int muster_queue_next(const muster_queue *queue, uint32_t uses, uint32_t *cursor, muster_queue_entry *entry, void *buffer,
                      size_t capacity) {
  if (muster_fork_inherited(&queue->pool->guard)) return EPERM;
  for (uint32_t k = *cursor; k < queue->pool->blocks; k++) {
    if (!read_job(queue, k, uses, entry, buffer, capacity)) continue;
    *cursor = k + 1;
    return 0;
  }
  *entry = (muster_queue_entry){0};
  *cursor = queue->pool->blocks;
  return ENOENT;
}

MUSTER_NONBLOCKING uint32_t muster_queue_job_size(const muster_queue *queue) { return queue->job_size; }
MUSTER_NONBLOCKING uint32_t muster_queue_member(const muster_queue *queue) { return muster_pool_member(queue->pool); }
muster_group *muster_queue_group(const muster_queue *queue) { return queue->pool->group; }
muster_region *muster_queue_region(const muster_queue *queue) { return queue->region; }
