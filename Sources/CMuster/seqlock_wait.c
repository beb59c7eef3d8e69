// Waiting for a change of a seqlock.
//
// A sleeper must not miss a write. It stores `waiting`, then loads `latest`, then sleeps at the value that it has seen;
// the writer clears `waiting`, stores `latest`, then loads `waiting`. The waiter's two and the writer's last two are
// sequentially consistent, so at least one sees the other's store: the writer wakes, or the waiter finds the new value;
// and a sleep at a value that is no longer there returns at once. Clearing comes before the store, so it can take back
// only what the same write wakes. Several waiters with different `seen` share the one word: it says "somebody", not
// "who".
//
// A writer that dies between any two of these leaves sleepers that watch its claim (group_watch.c); one that is stopped
// leaves them to the recheck after a second.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/seqlock.h"

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

// How soon one that nobody wakes looks again, at first and at last; and how often a poll begins again in one call when
// the claim keeps changing hands meanwhile.
enum { FIRST_SLICE = 1000000, LAST_SLICE = 8000000, TURNS = 64 };

static const uint32_t *low_half(const uint64_t *word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return (const uint32_t *)(const void *)word + 1;
#else
  return (const uint32_t *)(const void *)word;
#endif
}

// A system call, but not one that sleeps or allocates, and only where somebody waits.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING void muster_seqlock_wake(const muster_seqlock_writer *writer) {
  REALTIME_PAUSE();
  muster_futex_wake_all(low_half(writer->latest));
  REALTIME_RESUME();
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

// A sleep that nobody needs to end.
static void set_slice(const muster_seqlock *seqlock, uint64_t seen, int64_t slice, muster_wait_set *set) {
  set->count = 0;
  set->recheck = muster_deadline_after(slice);
  muster_wait_set_add(set, low_half(seqlock->reader.latest), (uint32_t)seen);
}

// The claim's words with `latest` before them, where a sleep at one word alone sleeps.
static void add_latest(const muster_seqlock *seqlock, uint64_t seen, muster_wait_set *set) {
  if (set->count == MUSTER_WAIT_WORDS) set->count--;
  set->words[set->count++] = set->words[0];
  set->words[0] = (muster_wait_word){low_half(seqlock->reader.latest), (uint32_t)seen};
}

static uint64_t newest(const muster_seqlock *seqlock) {
  return __atomic_load_n(seqlock->reader.latest, __ATOMIC_SEQ_CST);
}

// Whether there is something newer than `seen`. The kernel may have woken this sleeper, and no other, for the death of
// a writer that had not yet woken those who waited for this very write. It won't look at the claim again, so it is here
// that it wakes the others.
static int has_changed(muster_seqlock *seqlock, uint64_t seen, uint64_t *sequence) {
  if ((*sequence = newest(seqlock)) == seen) return 0;
  if (!seqlock->read_only) muster_group_note_ends(seqlock->group);
  return 1;
}

static int poll_change(muster_seqlock *seqlock, uint64_t seen, int64_t slice, uint64_t *sequence,
                       muster_wait_set *set) {
  if (muster_fork_inherited(&seqlock->guard)) return EPERM;
  for (int turn = 0; turn < TURNS; turn++) {
    if (has_changed(seqlock, seen, sequence)) return 0;
    if (!seqlock->read_only) __atomic_store_n(&seqlock->state->waiting, 1u, __ATOMIC_SEQ_CST);
    uint32_t roster = muster_group_roster(seqlock->group);
    int32_t pid;
    int life = muster_seqlock_life(seqlock, &pid);
    // After the look at the claim: a writer may have written last, then died.
    if (has_changed(seqlock, seen, sequence)) return 0;
    if (life && life != ENOENT && life != EOWNERDEAD) return life;
    // Before the return at a death: the kernel has woken one sleeper, and it is in this poll that it wakes the others.
    int status = seqlock->read_only ? 0 : muster_group_poll(seqlock->group, roster, set);
    if (life == EOWNERDEAD) return life;
    if (seqlock->read_only) break;
    if (status == EAGAIN) add_latest(seqlock, seen, set);
    if (status) return status;
  }
  set_slice(seqlock, seen, slice, set);
  return EAGAIN;
}

static int poll_writer(muster_seqlock *seqlock, int64_t slice, muster_wait_set *set) {
  if (muster_fork_inherited(&seqlock->guard)) return EPERM;
  for (int turn = 0; turn < TURNS; turn++) {
    uint32_t roster = muster_group_roster(seqlock->group);
    int32_t pid;
    int life = muster_seqlock_life(seqlock, &pid);
    if (life != ENOENT && life != EOWNERDEAD) return life;
    if (seqlock->read_only) break;
    int status = muster_group_poll(seqlock->group, roster, set);
    if (status) return status;
  }
  set_slice(seqlock, newest(seqlock), slice, set);
  return EAGAIN;
}

int muster_seqlock_poll(muster_seqlock *seqlock, uint64_t seen, uint64_t *sequence, muster_wait_set *set) {
  uint64_t unused;
  return poll_change(seqlock, seen, LAST_SLICE, sequence ? sequence : &unused, set);
}

int muster_seqlock_poll_writer(muster_seqlock *seqlock, muster_wait_set *set) {
  return poll_writer(seqlock, LAST_SLICE, set);
}

// One turn of a wait: whether to go on (0), and else what it came to.
static int sleep_at(const muster_wait_set *set, muster_deadline deadline, int64_t *slice) {
  if (muster_deadline_passed(deadline)) return ETIMEDOUT;
  if (*slice < LAST_SLICE) *slice *= 2;
  int status = muster_wait_any(set, deadline);
  return status == ETIMEDOUT ? 0 : status;
}

int muster_seqlock_wait(muster_seqlock *seqlock, uint64_t seen, muster_deadline deadline, uint64_t *sequence) {
  uint64_t unused;
  if (!sequence) sequence = &unused;
  *sequence = newest(seqlock);
  muster_wait_set set;
  for (int64_t slice = FIRST_SLICE;;) {
    int status = poll_change(seqlock, seen, slice, sequence, &set);
    if (status == EAGAIN) status = sleep_at(&set, deadline, &slice);
    else return status;
    if (status) return status;
  }
}

int muster_seqlock_wait_writer(muster_seqlock *seqlock, muster_deadline deadline) {
  muster_wait_set set;
  for (int64_t slice = FIRST_SLICE;;) {
    int status = poll_writer(seqlock, slice, &set);
    if (status == EAGAIN) status = sleep_at(&set, deadline, &slice);
    else return status;
    if (status) return status;
  }
}
