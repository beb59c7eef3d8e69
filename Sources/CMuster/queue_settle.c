// Jobs that come back: of those who died, of those who failed, of those set aside (argument 5 in queue.h).
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/queue.h"

MUSTER_NONBLOCKING static int set_aside(muster_queue *queue, uint32_t index, uint64_t word) {
  int done = muster_pool_swap(queue->pool, index, &word, queue_nobodys(word, QUEUE_ASIDE));
  queue_answer_if_finished(queue);
  return done ? 0 : EPERM;
}

// Where the lane is corrupt, it is set aside: somebody may still see to it.
MUSTER_NONBLOCKING static int queue_again(muster_queue *queue, uint32_t index, uint64_t word) {
  uint32_t lane = queue_lane_of(queue_level_of(queue, queue_head_of(queue, index)), 1);
  int status = muster_queue_enqueue(queue, lane, index, &word, QUEUE_AGAIN);
  if (status == EBADMSG) return set_aside(queue, index, word);
  if (status == 0) muster_queue_answer(queue);
  return status;
}

// Each step reads what it does not write, and its end is the swap of the word: so it can be done over by the next, should this one die.
MUSTER_NONBLOCKING int muster_queue_return(muster_queue *queue, uint32_t index, uint64_t word) {
  queue_job_head *head = queue_head_of(queue, index);
  if (pool_tag_of(word) == QUEUE_TAKEN) {
    uint32_t attempts = __atomic_load_n(&head->attempts, __ATOMIC_RELAXED);
    __atomic_store_n(&head->next, attempts < UINT32_MAX ? attempts + 1 : attempts, __ATOMIC_RELAXED);
    uint64_t returning = pool_word_of(pool_generation(word) + 1, pool_owner_of(word), QUEUE_RETURNING);
    if (!muster_pool_swap(queue->pool, index, &word, returning)) return EPERM;
    word = returning;
  }
  uint32_t next = __atomic_load_n(&head->next, __ATOMIC_RELAXED);
  __atomic_store_n(&head->attempts, next, __ATOMIC_RELAXED);
  return queue->attempts && next >= queue->attempts ? set_aside(queue, index, word) : queue_again(queue, index, word);
}

// ---- Of members that have ended

// Makes a job of one who has ended this member's, and goes on with it.
MUSTER_NONBLOCKING static int take_over(muster_queue *queue, uint32_t index, uint64_t word, uint32_t tag) {
  if (!muster_pool_may(queue->pool)) return EAGAIN;
  uint64_t mine = pool_word_of(pool_generation(word) + 1, muster_pool_me(queue->pool), tag);
  if (muster_pool_swap(queue->pool, index, &word, mine)) (void)muster_queue_return(queue, index, mine);
  return 0;
}

MUSTER_NONBLOCKING static int become_nobodys(muster_queue *queue, uint32_t index, uint64_t word, uint32_t tag) {
  (void)muster_pool_swap(queue->pool, index, &word, queue_nobodys(word, tag));
  return 0;
}

// Every swap that fails here, failed because another settled it, or took it.
MUSTER_NONBLOCKING int muster_queue_settle_block(muster_pool *pool, uint32_t index, uint64_t word, void *context) {
  muster_queue *queue = context;
  switch (pool_tag_of(word)) {
    case QUEUE_TAKEN: return take_over(queue, index, word, QUEUE_TAKEN);
    case QUEUE_RETURNING: return take_over(queue, index, word, QUEUE_RETURNING);
    case QUEUE_AGAIN:
      if (muster_queue_is_put(queue, index, word)) return become_nobodys(queue, index, word, QUEUE_AGAIN);
      return take_over(queue, index, word, QUEUE_RETURNING);
    case QUEUE_QUEUED:
      if (muster_queue_is_put(queue, index, word)) return become_nobodys(queue, index, word, QUEUE_QUEUED);
      break;
    case QUEUE_ASIDE:
    case QUEUE_RETRYING: return become_nobodys(queue, index, word, QUEUE_ASIDE);
    default: break;
  }
  (void)muster_pool_release(pool, index, word);
  return 0;
}

// Something may be queued, or all may be over.
MUSTER_NONBLOCKING int muster_queue_settle(muster_queue *queue) {
  if (!muster_pool_settle(queue->pool)) return 0;
  muster_queue_answer(queue);
  return 1;
}

int muster_queue_reclaim(muster_queue *queue, uint32_t *count) {
  uint32_t unused;
  if (!count) count = &unused;
  *count = 0;
  if (!muster_pool_may(queue->pool)) return EPERM;
  int status = muster_pool_reclaim(queue->pool, count);
  muster_queue_answer(queue);
  return status;
}

// What the word of a job is to be when all members have ended and none can be asked.
uint64_t muster_queue_keep(uint32_t index, uint64_t word, uint64_t freed, void *context) {
  const muster_queue *queue = context;
  switch (pool_tag_of(word)) {
    case QUEUE_TAKEN: return queue_nobodys(word, QUEUE_TAKEN);
    case QUEUE_RETURNING: return queue_nobodys(word, QUEUE_RETURNING);
    case QUEUE_AGAIN: return queue_nobodys(word, muster_queue_is_put(queue, index, word) ? QUEUE_AGAIN : QUEUE_RETURNING);
    case QUEUE_QUEUED: return muster_queue_is_put(queue, index, word) ? queue_nobodys(word, QUEUE_QUEUED) : freed;
    case QUEUE_ASIDE:
    case QUEUE_RETRYING: return queue_nobodys(word, QUEUE_ASIDE);
    default: return freed;
  }
}

// ---- Set aside

// A job that is set aside, under that id: 0, EPERM, EINVAL, ESTALE, EBUSY.
static int find_aside(const muster_queue *queue, uint64_t id, uint32_t *index, uint64_t *word) {
  if (!muster_pool_may(queue->pool)) return EPERM;
  *index = muster_pool_index(id);
  if (*index >= queue->pool->blocks) return EINVAL;
  *word = muster_pool_word(queue->pool, *index);
  if (pool_generation(*word) != pool_generation(id) || pool_is_free(*word)) return ESTALE;
  return pool_tag_of(*word) == QUEUE_ASIDE ? 0 : EBUSY;
}

int muster_queue_retry(muster_queue *queue, uint64_t id) {
  uint32_t index;
  uint64_t word;
  int status = find_aside(queue, id, &index, &word);
  if (status) return status;
  uint64_t mine = pool_word_of(pool_generation(word), muster_pool_me(queue->pool), QUEUE_RETRYING);
  if (!muster_pool_swap(queue->pool, index, &word, mine)) return ESTALE;
  // As of a claim: first it is one that may come, then the look.
  if (__atomic_load_n(&queue->state->finished, __ATOMIC_SEQ_CST)) {
    (void)set_aside(queue, index, mine);
    return EPIPE;
  }
  __atomic_store_n(&queue_head_of(queue, index)->next, 0, __ATOMIC_RELAXED);
  uint64_t returning = pool_word_of(pool_generation(mine) + 1, muster_pool_me(queue->pool), QUEUE_RETURNING);
  if (!muster_pool_swap(queue->pool, index, &mine, returning)) return EPERM;
  return muster_queue_return(queue, index, returning);
}

int muster_queue_drop(muster_queue *queue, uint64_t id) {
  uint32_t index;
  uint64_t word;
  int status = find_aside(queue, id, &index, &word);
  if (status) return status;
  return muster_pool_release(queue->pool, index, word) ? 0 : ESTALE;
}
