// The kill word, and who sets it at a death. Watchers sleep at it, beside what tells of deaths.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <unistd.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/trace.h"

int muster_trace_is_frozen(const muster_trace *trace, int32_t *pid, int64_t *at) {
  uint64_t word = __atomic_load_n(&trace->control->frozen, __ATOMIC_ACQUIRE);
  if (pid) *pid = (int32_t)(word & ((UINT64_C(1) << TRACE_PID_BITS) - 1));
  if (at) *at = (int64_t)(word >> TRACE_PID_BITS << TRACE_TIME_CUT & INT64_MAX);
  return word != 0;
}

// The half of the word that is other than 0 whenever the word is: it holds the pid.
static uint32_t *bell(muster_trace *trace) {
  uint32_t *halves = (uint32_t *)(void *)&trace->control->frozen;
  return halves + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

int muster_trace_freeze(muster_trace *trace) {
  if (trace->read_only) return EACCES;
  uint64_t none = 0, who = (uint64_t)getpid() & ((UINT64_C(1) << TRACE_PID_BITS) - 1);
  // Up to the next that can be said: nobody who sees the word records after it.
  uint64_t word = (((uint64_t)muster_clock_now() >> TRACE_TIME_CUT) + 1) << TRACE_PID_BITS | who;
  if (!__atomic_compare_exchange_n(&trace->control->frozen, &none, word, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return EALREADY;
  muster_futex_wake_all(bell(trace));
  return 0;
}

int muster_trace_thaw(muster_trace *trace) {
  if (trace->read_only) return EACCES;
  return __atomic_exchange_n(&trace->control->frozen, UINT64_C(0), __ATOMIC_ACQ_REL) ? 0 : EALREADY;
}

// ---- The watch

uint32_t muster_trace_next_death(muster_trace *trace) {
  for (uint32_t k = 0; k < trace->shape.recorders; k++) {
    trace_seen seen;
    muster_trace_see(trace, k, &seen);
    if (seen.life != MUSTER_TRACE_DIED || trace->known_deaths[k] == seen.number) continue;
    trace->known_deaths[k] = seen.number;
    return k;
  }
  return MUSTER_TRACE_ALL;
}

// What there is to tell by now: EOWNERDEAD, ECANCELED, or EAGAIN: nothing.
static int look(muster_trace *trace, uint32_t *died) {
  uint32_t found = muster_trace_next_death(trace);
  if (died) *died = found;
  if (found != MUSTER_TRACE_ALL) return muster_trace_freeze(trace) ? ECANCELED : EOWNERDEAD;
  return muster_trace_is_frozen(trace, NULL, NULL) ? ECANCELED : EAGAIN;
}

int muster_trace_poll_watch(muster_trace *trace, uint32_t *died, muster_wait_set *set) {
  enum { TURNS = 64 };
  if (died) *died = MUSTER_TRACE_ALL;
  if (muster_fork_inherited(&trace->guard)) return EPERM;
  if (trace->read_only) return EACCES;
  for (int turn = 0; turn < TURNS; turn++) {
    uint32_t roster = muster_group_roster(trace->group);
    int status = look(trace, died);
    if (status != EAGAIN) return status;
    // Somebody joined, left or died since.
    status = muster_group_poll(trace->group, roster, set);
    if (!status) continue;
    if (status == EAGAIN && set->count < MUSTER_WAIT_WORDS) muster_wait_set_add(set, bell(trace), 0);
    return status;
  }
  // They come and go all the time: whoever sleeps now looks again at once.
  set->count = 0;
  set->recheck = 1;
  muster_wait_set_add(set, bell(trace), 1);
  return EAGAIN;
}

// Others may rely on the watch that this thread kept while it slept; a wait that is over gives it up.
static int end_watch(muster_trace *trace, int status) {
  int over = muster_group_wait(trace->group, muster_group_roster(trace->group), MUSTER_DEADLINE_NOW);
  (void)over;
  return status;
}

int muster_trace_watch(muster_trace *trace, muster_deadline deadline, uint32_t *died) {
  muster_wait_set set;
  for (int slept = 0;; slept = 1) {
    int status = muster_trace_poll_watch(trace, died, &set);
    if (status == EAGAIN && muster_deadline_passed(deadline)) status = ETIMEDOUT;
    if (status != EAGAIN) return slept ? end_watch(trace, status) : status;
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return end_watch(trace, status);
  }
}
