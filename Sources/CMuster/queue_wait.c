// Waiting for a job and for room (argument 6 in queue.h), and who wakes whom.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/queue.h"

#if defined(__has_feature)
#if __has_feature(realtime_sanitizer)
#include <sanitizer/rtsan_interface.h>
#define REALTIME_PAUSE() __rtsan_disable()
#define REALTIME_RESUME() __rtsan_enable()
#endif
#endif
#if !defined(REALTIME_PAUSE)
#define REALTIME_PAUSE() (void)0
#define REALTIME_RESUME() (void)0
#endif

// How often to look before sleeping, and how long a turn is, in pauses of the processor.
enum { SPINS = 200, PAUSES = 16 };

// How many jobs in a row make a stream; how long to stay away from it, in pauses, at first and at most.
enum { STREAM = 32, EASE_FIRST = 16, EASE_MOST = 512 };

// ---- Waking

// A system call, but not one that sleeps or allocates, and only where somebody waits.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING void muster_queue_ring(muster_queue *queue) {
  REALTIME_PAUSE();
  __atomic_fetch_add(&queue->state->bell, 1, __ATOMIC_RELEASE);
  muster_futex_wake_all(&queue->state->bell);
  REALTIME_RESUME();
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// Remembered after the bell: of two threads that put at once, neither relies on what the other has yet to do.
MUSTER_NONBLOCKING void muster_queue_answer(muster_queue *queue) {
  uint32_t calls = __atomic_load_n(&queue->state->calls, __ATOMIC_SEQ_CST);
  if (__builtin_expect(calls == __atomic_load_n(&queue->rung, __ATOMIC_RELAXED), 1)) return;
  muster_queue_ring(queue);
  __atomic_store_n(&queue->rung, calls, __ATOMIC_RELAXED);
}

// Those who wait for a job are told by the bell, those who wait for room by that of the pool, all of them.
static void tell_all(muster_queue *queue) {
  muster_queue_ring(queue);
  __atomic_fetch_add(&queue->pool->state->bell, 1, __ATOMIC_RELEASE);
  muster_futex_wake_all(&queue->pool->state->bell);
}

int muster_queue_finish(muster_queue *queue) {
  if (!muster_pool_may(queue->pool)) return EPERM;
  __atomic_store_n(&queue->state->finished, 1, __ATOMIC_SEQ_CST);
  tell_all(queue);
  return 0;
}

int muster_queue_reopen(muster_queue *queue) {
  if (!muster_pool_may(queue->pool)) return EPERM;
  __atomic_store_n(&queue->state->finished, 0, __ATOMIC_SEQ_CST);
  return 0;
}

// ---- Polls

static void put_first(muster_wait_set *set, const uint32_t *word, uint32_t expected) {
  if (set->count == MUSTER_WAIT_WORDS) set->count--;
  set->words[set->count++] = set->words[0];
  set->words[0] = (muster_wait_word){word, expected};
}

// The kernel may have woken this sleeper, and no other, for the death of a member that had jobs: it is here that it wakes the others, who
// settle it while this one has work.
static int found(muster_queue *queue) {
  (void)muster_group_note_ends(queue->pool->group);
  return 0;
}

// *roster: as which it watches from here on, where it gives EAGAIN.
static int poll_job(muster_queue *queue, uint32_t *roster, muster_wait_set *set) {
  uint32_t bell = 0;
  for (int turn = 0; turn < GROUP_TURNS; turn++) {
    *roster = muster_group_roster(queue->pool->group);
    bell = __atomic_load_n(&queue->state->bell, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&queue->state->calls, 1, __ATOMIC_SEQ_CST);
    int status = muster_queue_is_any(queue);
    if (status == EAGAIN && muster_queue_settle(queue)) status = muster_queue_is_any(queue);
    if (status == 0) return found(queue);
    if (status == EBUSY) continue;
    if (muster_queue_is_over(queue)) return ENODATA;
    status = muster_group_poll(queue->pool->group, *roster, set);
    if (status == 0) continue;
    if (status == EAGAIN) put_first(set, &queue->state->bell, bell);
    return status;
  }
  set->count = 0;
  muster_wait_set_add(set, &queue->state->bell, bell);
  muster_group_watch_alone(set);
  return EAGAIN;
}

// Who calls makes each putter wake once: not for what is there.
int muster_queue_poll(muster_queue *queue, muster_wait_set *set) {
  uint32_t roster;
  if (!muster_pool_may(queue->pool)) return EPERM;
  return muster_queue_is_any(queue) == 0 ? found(queue) : poll_job(queue, &roster, set);
}

// Finished or not is looked at after the call for room.
int muster_queue_poll_room(muster_queue *queue, muster_wait_set *set) {
  if (!muster_pool_may(queue->pool)) return EPERM;
  int status = muster_pool_poll_free(queue->pool, set);
  return (status == 0 || status == EAGAIN) && __atomic_load_n(&queue->state->finished, __ATOMIC_SEQ_CST) ? EPIPE : status;
}

// ---- Waits

static void pause_for(uint32_t pauses) {
  for (uint32_t i = 0; i < pauses; i++) muster_cpu_pause();
}

MUSTER_NONBLOCKING static uint32_t taken_since_it_waited(const muster_queue *queue) {
  return __atomic_load_n(&queue->takes, __ATOMIC_RELAXED) - __atomic_load_n(&queue->waited_at, __ATOMIC_RELAXED);
}

// Who takes jobs as fast as they are put comes to work on the very lines that the putter is about to store into, and both are slower than
// one of them alone. So in a stream of jobs a taker that has come close stays away until there are some again, a quarter of all at best.
// Where jobs come one by one, or take their time, there is no stream.
static void stay_away(muster_queue *queue) {
  uint32_t came = taken_since_it_waited(queue), jobs = queue->pool->blocks;
  __atomic_store_n(&queue->waited_at, __atomic_load_n(&queue->takes, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
  if (came < STREAM || !queue->pool->may_spin) return;
  uint32_t ease = __atomic_load_n(&queue->ease, __ATOMIC_RELAXED);
  if (came < jobs / 4) ease = ease < EASE_MOST / 2 ? 2 * ease + EASE_FIRST : EASE_MOST;
  else if (came > jobs / 2) ease /= 2;
  __atomic_store_n(&queue->ease, ease, __ATOMIC_RELAXED);
  pause_for(ease);
}

// Spinning pays when the next one is near.
static int spin_for_job(muster_queue *queue) {
  for (uint32_t turn = 0; queue->pool->may_spin && turn < SPINS; turn++) {
    if (muster_queue_is_any(queue) == 0) return 1;
    pause_for(PAUSES);
  }
  return 0;
}

static int spin_for_room(muster_queue *queue) {
  for (uint32_t turn = 0; queue->pool->may_spin && turn < SPINS; turn++) {
    pause_for(PAUSES);
    if (muster_pool_search(queue->pool)) return 1;
  }
  return 0;
}

// Who was served, or waits no more, must not be relied on to watch for the others.
static int end_wait(muster_queue *queue, uint32_t roster, int status) {
  muster_group_unwatch(queue->pool->group, roster);
  return status;
}

int muster_queue_take_wait(muster_queue *queue, muster_deadline deadline, muster_queue_job *job) {
  if (deadline > 0 && __atomic_load_n(&queue->is_close, __ATOMIC_RELAXED) && taken_since_it_waited(queue) >= STREAM)
    stay_away(queue);
  int status = muster_queue_take(queue, job);
  if (status != EAGAIN) return status;
  if (deadline <= 0) return ETIMEDOUT;
  stay_away(queue);
  if (spin_for_job(queue) && (status = muster_queue_take(queue, job)) != EAGAIN) return status;
  muster_wait_set set;
  uint32_t roster = 0;
  for (;;) {
    status = poll_job(queue, &roster, &set);
    if (status == 0) {
      status = muster_queue_take(queue, job);
      if (status != EAGAIN) return end_wait(queue, roster, status);
      if (!muster_deadline_passed(deadline)) continue;
      return end_wait(queue, roster, ETIMEDOUT);
    }
    if (status != EAGAIN) return end_wait(queue, roster, status);
    if (muster_deadline_passed(deadline)) return end_wait(queue, roster, ETIMEDOUT);
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return end_wait(queue, roster, status);
    if (!muster_pool_may(queue->pool)) return end_wait(queue, roster, EPERM);
  }
}

// Until a claim may be tried again: 0, or what it came to.
static int wait_for_room(muster_queue *queue, muster_deadline deadline) {
  if (deadline <= 0) return ETIMEDOUT;
  if (spin_for_room(queue)) return 0;
  muster_wait_set set;
  int status = muster_queue_poll_room(queue, &set);
  if (status == EAGAIN) {
    status = muster_deadline_passed(deadline) ? ETIMEDOUT : muster_wait_any(&set, deadline);
    if (status == ETIMEDOUT && !muster_deadline_passed(deadline)) status = 0;
  }
  // Where the roster is another by now, what it watched for is over.
  return end_wait(queue, muster_group_roster(queue->pool->group), status);
}

int muster_queue_claim_wait(muster_queue *queue, muster_deadline deadline, muster_queue_job *job) {
  for (;;) {
    int status = muster_queue_claim(queue, job);
    if (status == ENOSPC) status = wait_for_room(queue, deadline);
    else return status;
    if (status) return status;
  }
}

int muster_queue_put_wait(muster_queue *queue, const void *bytes, size_t size, uint32_t level, muster_deadline deadline) {
  for (;;) {
    int status = muster_queue_put(queue, bytes, size, level);
    if (status == ENOSPC) status = wait_for_room(queue, deadline);
    else return status;
    if (status) return status;
  }
}
