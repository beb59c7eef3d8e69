// Putting: claims, and how they come into a lane.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <time.h>

#include "internal/queue.h"

// No system call, where the vDSO is there.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING static int64_t coarse_now(void) {
  struct timespec now;
  if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now)) return 0;
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

MUSTER_NONBLOCKING static inline int is_finished(const muster_queue *queue) {
  return __atomic_load_n(&queue->state->finished, __ATOMIC_SEQ_CST) != 0;
}

// What a claim that came to nothing leaves. To others it may have been the last that could still come.
MUSTER_NONBLOCKING static void let_go(muster_queue *queue, uint32_t index, uint64_t word) {
  (void)muster_pool_release(queue->pool, index, word);
  queue_answer_if_finished(queue);
}

// The block first, then the look at whether the queue is finished (argument 7 in queue.h).
MUSTER_NONBLOCKING static inline int claim(muster_queue *queue, uint32_t tag, uint32_t *index, uint64_t *word) {
  if (__builtin_expect(!muster_pool_may(queue->pool), 0)) return EPERM;
  int status = muster_pool_claim(queue->pool, tag, index, word);
  if (__builtin_expect(status, 0)) return is_finished(queue) ? EPIPE : status;
  if (__builtin_expect(!is_finished(queue), 1)) return 0;
  let_go(queue, *index, *word);
  return EPIPE;
}

MUSTER_NONBLOCKING static inline int commit(muster_queue *queue, uint32_t index, uint64_t word, size_t size, uint32_t level) {
  queue_job_head *head = queue_head_of(queue, index);
  __atomic_store_n(&head->size, (uint32_t)size, __ATOMIC_RELAXED);
  __atomic_store_n(&head->attempts, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&head->next, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&head->put_at, queue->times ? coarse_now() : 0, __ATOMIC_RELAXED);
  int status = muster_queue_enqueue(queue, queue_lane_of(level, 0), index, &word, QUEUE_QUEUED);
  if (__builtin_expect(status == 0, 1)) return muster_queue_answer(queue), 0;
  // EPERM: who settles has freed it already.
  if (status == EBADMSG) let_go(queue, index, word);
  return status;
}

MUSTER_NONBLOCKING int muster_queue_put(muster_queue *queue, const void *bytes, size_t size, uint32_t level) {
  if (__builtin_expect(size > queue->job_size, 0)) return EMSGSIZE;
  if (__builtin_expect(level >= queue->levels, 0)) return EINVAL;
  uint32_t index;
  uint64_t word;
  // QUEUED from the beginning: it is not yet, since what is in the block has another generation.
  int status = claim(queue, QUEUE_QUEUED, &index, &word);
  if (__builtin_expect(status, 0)) return status;
  if (size) memcpy(queue_bytes_of(queue, index), bytes, size);
  return commit(queue, index, word, size, level);
}

MUSTER_NONBLOCKING int muster_queue_claim(muster_queue *queue, muster_queue_job *job) {
  uint32_t index;
  uint64_t word;
  *job = (muster_queue_job){0};
  int status = claim(queue, QUEUE_FILLING, &index, &word);
  if (status) return status;
  job->id = muster_pool_name(index, word);
  job->bytes = queue_bytes_of(queue, index);
  job->size = queue->job_size;
  return 0;
}

// The block of a claim of this member: 0, EPERM, EINVAL, ESTALE, EBUSY.
MUSTER_NONBLOCKING static int find_claim(const muster_queue *queue, uint64_t id, uint32_t *index, uint64_t *word) {
  if (!muster_pool_may(queue->pool)) return EPERM;
  *index = muster_pool_index(id);
  if (*index >= queue->pool->blocks) return EINVAL;
  *word = muster_pool_word(queue->pool, *index);
  if (pool_generation(*word) != pool_generation(id) || pool_is_free(*word)) return ESTALE;
  return pool_owner_of(*word) == muster_pool_me(queue->pool) && pool_tag_of(*word) == QUEUE_FILLING ? 0 : EBUSY;
}

MUSTER_NONBLOCKING int muster_queue_commit(muster_queue *queue, uint64_t id, size_t size, uint32_t level) {
  uint32_t index;
  uint64_t word;
  int status = find_claim(queue, id, &index, &word);
  if (status) return status;
  if (size > queue->job_size) return EMSGSIZE;
  if (level >= queue->levels) return EINVAL;
  // First of all, as a put has it from the beginning: who is not the one to commit it, since another thread is, writes nothing.
  uint64_t queued = (word & ~(uint64_t)POOL_TAG_MOST) | QUEUE_QUEUED;
  if (muster_pool_swap(queue->pool, index, &word, queued)) return commit(queue, index, queued, size, level);
  return pool_generation(word) == pool_generation(id) ? EBUSY : ESTALE;
}

MUSTER_NONBLOCKING int muster_queue_cancel(muster_queue *queue, uint64_t id) {
  uint32_t index;
  uint64_t word;
  int status = find_claim(queue, id, &index, &word);
  if (!status) let_go(queue, index, word);
  return status;
}
