// Taking, and what becomes of what was taken.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/queue.h"

// How many takes for one look at whether a member has ended; how often one begins again where others are quicker.
enum { LOOK_EACH = 16, CROSSINGS = 1024 };

MUSTER_NONBLOCKING static inline uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }

MUSTER_NONBLOCKING static inline uint32_t used_lanes(const muster_queue *queue) {
  uint32_t lanes = 2 * queue->levels;
  uint32_t all = lanes < 32 ? (UINT32_C(1) << lanes) - 1 : UINT32_MAX;
  return __atomic_load_n(&queue->state->used, __ATOMIC_SEQ_CST) & all;
}

// One place after the other: who is busy all the time finds out too.
MUSTER_NONBLOCKING static void look_for_deaths(muster_queue *queue) {
  uint32_t takes = load(&queue->takes) + 1;
  __atomic_store_n(&queue->takes, takes, __ATOMIC_RELAXED);
  if (takes % LOOK_EACH) return;
  if (muster_pool_is_unsettled(queue->pool, takes / LOOK_EACH % queue->pool->members)) (void)muster_queue_settle(queue);
}

MUSTER_NONBLOCKING static inline int hand_over(muster_queue *queue, uint32_t index, uint64_t word, muster_queue_job *job) {
  const queue_job_head *head = queue_head_of(queue, index);
  uint32_t size = load(&head->size);
  if (__builtin_expect(size > queue->job_size, 0)) {
    (void)muster_pool_swap(queue->pool, index, &word, queue_nobodys(word, QUEUE_ASIDE));
    queue_answer_if_finished(queue);
    return EBADMSG;
  }
  job->id = muster_pool_name(index, word);
  job->bytes = queue_bytes_of(queue, index);
  job->size = size;
  job->level = queue_level_of(queue, head);
  job->attempts = load(&head->attempts);
  job->reserved = 0;
  return 0;
}

// The first of a lane: 0, EAGAIN, EBADMSG, EBUSY (gave up).
MUSTER_NONBLOCKING static int take_from(muster_queue *queue, uint32_t lane, muster_queue_job *job) {
  queue_found found;
  for (int turn = 0; turn < CROSSINGS; turn++) {
    int status = muster_queue_find(queue, lane, &found);
    if (status) return status;
    uint64_t mine = pool_word_of(pool_generation(found.word), muster_pool_me(queue->pool), QUEUE_TAKEN);
    if (__builtin_expect(!muster_pool_swap(queue->pool, found.index, &found.word, mine), 0)) continue;
    muster_queue_took(queue, lane, found.position);
    return hand_over(queue, found.index, mine, job);
  }
  return EBUSY;
}

MUSTER_NONBLOCKING static int take_first(muster_queue *queue, muster_queue_job *job) {
  int status = EAGAIN;
  for (uint32_t lanes = used_lanes(queue); lanes; lanes &= lanes - 1) {
    int found = take_from(queue, (uint32_t)__builtin_ctz(lanes), job);
    if (found == 0 || found == EBADMSG) return found;
    if (found == EBUSY) status = EBUSY;
  }
  return status;
}

MUSTER_NONBLOCKING int muster_queue_is_any(muster_queue *queue) {
  int status = EAGAIN;
  queue_found found;
  for (uint32_t lanes = used_lanes(queue); lanes; lanes &= lanes - 1) {
    int seen = muster_queue_find(queue, (uint32_t)__builtin_ctz(lanes), &found);
    if (seen == 0) return 0;
    if (seen == EBUSY) status = EBUSY;
  }
  return status;
}

MUSTER_NONBLOCKING int muster_queue_is_over(const muster_queue *queue) {
  if (!__atomic_load_n(&queue->state->finished, __ATOMIC_SEQ_CST)) return 0;
  for (uint32_t k = 0; k < queue->pool->blocks; k++) {
    uint64_t word = muster_pool_word(queue->pool, k);
    uint32_t tag = pool_tag_of(word);
    if (tag >= QUEUE_FILLING && tag <= QUEUE_RETRYING && tag != QUEUE_ASIDE) return 0;
  }
  return 1;
}

// Nothing was found. Somebody may have died with what is to come back.
MUSTER_NONBLOCKING static int take_at_last(muster_queue *queue, muster_queue_job *job, int status) {
  if (muster_queue_settle(queue)) status = take_first(queue, job);
  if (status == EBUSY || status == EAGAIN) {
    *job = (muster_queue_job){0};
    status = muster_queue_is_over(queue) ? ENODATA : EAGAIN;
  }
  return status;
}

MUSTER_NONBLOCKING int muster_queue_take(muster_queue *queue, muster_queue_job *job) {
  *job = (muster_queue_job){0};
  if (__builtin_expect(!muster_pool_may(queue->pool), 0)) return EPERM;
  look_for_deaths(queue);
  int status = take_first(queue, job);
  return __builtin_expect(status == EAGAIN || status == EBUSY, 0) ? take_at_last(queue, job, status) : status;
}

// The block of what this member has taken: 0, EPERM, EINVAL, ESTALE, EBUSY.
MUSTER_NONBLOCKING static inline int find_taken(const muster_queue *queue, uint64_t id, uint32_t *index, uint64_t *word) {
  if (__builtin_expect(!muster_pool_may(queue->pool), 0)) return EPERM;
  *index = muster_pool_index(id);
  if (__builtin_expect(*index >= queue->pool->blocks, 0)) return EINVAL;
  *word = muster_pool_word(queue->pool, *index);
  if (__builtin_expect(*word == pool_word_of(pool_generation(id), muster_pool_me(queue->pool), QUEUE_TAKEN), 1)) return 0;
  return pool_generation(*word) != pool_generation(id) || pool_is_free(*word) ? ESTALE : EBUSY;
}

MUSTER_NONBLOCKING int muster_queue_done(muster_queue *queue, uint64_t id) {
  uint32_t index;
  uint64_t word;
  int status = find_taken(queue, id, &index, &word);
  if (__builtin_expect(status, 0)) return status;
  if (__builtin_expect(!muster_pool_release(queue->pool, index, word), 0)) return ESTALE;
  queue_answer_if_finished(queue);
  return 0;
}

MUSTER_NONBLOCKING int muster_queue_put_back(muster_queue *queue, uint64_t id, muster_queue_outcome outcome) {
  uint32_t index;
  uint64_t word;
  int status = find_taken(queue, id, &index, &word);
  if (status) return status;
  if (outcome == MUSTER_QUEUE_FAILED) return muster_queue_return(queue, index, word) ? ESTALE : 0;
  if (outcome == MUSTER_QUEUE_HOPELESS) {
    if (!muster_pool_swap(queue->pool, index, &word, queue_nobodys(word, QUEUE_ASIDE))) return ESTALE;
    queue_answer_if_finished(queue);
    return 0;
  }
  if (outcome != MUSTER_QUEUE_UNTRIED) return EINVAL;
  queue_job_head *head = queue_head_of(queue, index);
  __atomic_store_n(&head->next, load(&head->attempts), __ATOMIC_RELAXED);
  uint64_t returning = pool_word_of(pool_generation(word) + 1, pool_owner_of(word), QUEUE_RETURNING);
  if (!muster_pool_swap(queue->pool, index, &word, returning)) return ESTALE;
  return muster_queue_return(queue, index, returning) ? ESTALE : 0;
}
