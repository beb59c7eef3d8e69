// Who sleeps, and who wakes him.
//
// A sleeper must not miss a record. It reads `bell`, adds to `calls`, orders that before what follows (membarrier(2)),
// looks at the header, and sleeps at `bell` as it was. The writer stores the header, looks at `calls`, and where that is
// another number than at the last time it changes `bell` and wakes. Either the writer sees the call, then `bell` is
// changed after it was read, and the sleep returns or is ended; or it looked before the call was made, then the header
// was stored before, and the sleeper's look finds it. Only the caller adds, only the writer remembers what it has
// answered: nobody takes a notice back, so one who stops between two steps can't take that of a third with him.
//
// The writer's wait for room is the same with `room_calls` and `room_bell`. Each reader answers a call once, when it has
// come to the position that is needed.
//
// Whoever sleeps also watches those whom he waits for (group_watch.c): a death ends the sleep. One who is stopped
// between the look and the wake leaves them to the recheck after a second.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sched.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/ring.h"

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

// How often a poll begins again in one call when the writer's place keeps changing hands meanwhile; how often a wait
// looks before it sleeps, at most and at least; how long a turn is, in pauses of the processor; and what a sleep costs
// all in all, so that one which was shorter would better have been spun.
enum { TURNS = 64, SPINS_MOST = 1000, SPINS_LEAST = 16, PAUSES = 1, EASE_MOST = 64, EASE_FIRST = 8, EASE_TRY = 64, SHORT = 60000 };

// A yield that takes longer than that gave a time slice away; how many waits do without one after it, at most.
enum { YIELD_LONG = 200000, YIELDS_SKIPPED_MOST = 1024 };

// A system call, but not one that sleeps or allocates, and only where somebody waits.
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wfunction-effects"
#endif
MUSTER_NONBLOCKING static void ring_bell(uint32_t *bell) {
  REALTIME_PAUSE();
  __atomic_fetch_add(bell, 1, __ATOMIC_RELEASE);
  muster_futex_wake_all(bell);
  REALTIME_RESUME();
}
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

MUSTER_NONBLOCKING void muster_ring_wake_readers(muster_ring_writer *writer, uint32_t calls) {
  // Orders the look at `calls` before the bell.
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  writer->rung = calls;
  ring_bell(&writer->ring->state->bell);
}

MUSTER_NONBLOCKING void muster_ring_wake_writer(muster_ring_reader *reader, uint32_t calls) {
  ring_state *state = reader->ring->state;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if (reader->position < __atomic_load_n(&state->needs, __ATOMIC_RELAXED)) return;
  reader->rung = calls;
  ring_bell(&state->room_bell);
}

void muster_ring_put_first(muster_wait_set *set, const uint32_t *word, uint32_t expected) {
  if (set->count == MUSTER_WAIT_WORDS) set->count--;
  set->words[set->count++] = set->words[0];
  set->words[0] = (muster_wait_word){word, expected};
}

void muster_ring_recheck_by(muster_wait_set *set, muster_deadline recheck) {
  if (recheck < set->recheck) set->recheck = recheck;
}

// ---- Polls

static void set_slice(muster_ring *ring, int64_t slice, muster_wait_set *set) {
  set->count = 0;
  set->recheck = muster_deadline_after(slice);
  muster_wait_set_add(set, &ring->state->bell, __atomic_load_n(&ring->state->bell, __ATOMIC_ACQUIRE));
}

// Whether next would give something else than EAGAIN, or, in latest mode, would find that it was overtaken.
static int is_there_more(const muster_ring *ring) {
  const muster_ring_reader *reader = &ring->reader;
  return ring_header_at(ring, reader->position) != 0 ||
         (reader->latest && !muster_ring_holds(reader, reader->position));
}

// Something is there. The kernel may have woken this sleeper, and no other, for the death of a writer that had not yet
// woken those who waited for this very record: so it is here that it wakes the others.
static int found(muster_ring *ring) {
  if (!ring->read_only) muster_group_note_ends(ring->writers);
  return 0;
}

static int poll_next(muster_ring *ring, int64_t slice, muster_wait_set *set) {
  if (__atomic_load_n(ring->reader.process, __ATOMIC_RELAXED) != ring->reader.token) return EPERM;
  for (int turn = 0; turn < TURNS; turn++) {
    if (is_there_more(ring)) return found(ring);
    uint32_t bell = __atomic_load_n(&ring->state->bell, __ATOMIC_ACQUIRE);
    if (!ring->read_only) {
      __atomic_fetch_add(&ring->state->calls, 1, __ATOMIC_SEQ_CST);
      ring->expedited = muster_ring_fence_all() == 0;
    }
    uint32_t roster = muster_group_roster(ring->writers);
    int32_t pid;
    int life = muster_group_holder(ring->writers, &ring->state->owner, &pid);
    // After the look at the writer: it may have committed last, then died.
    if (is_there_more(ring)) return found(ring);
    // Before the return at a death: the kernel has woken one sleeper, and it is in this poll that it wakes the others.
    int status = ring->read_only ? 0 : muster_group_poll(ring->writers, roster, set);
    if (life == EOWNERDEAD) return life;
    if (ring->read_only) break;
    if (status == 0) continue;
    if (status != EAGAIN) return status;
    muster_ring_put_first(set, &ring->state->bell, bell);
    if (!ring->expedited) muster_ring_recheck_by(set, muster_deadline_after(slice));
    return EAGAIN;
  }
  set_slice(ring, slice, set);
  return EAGAIN;
}

static int poll_writer(muster_ring *ring, int64_t slice, muster_wait_set *set) {
  if (muster_fork_inherited(&ring->guard)) return EPERM;
  for (int turn = 0; turn < TURNS; turn++) {
    uint32_t roster = muster_group_roster(ring->writers);
    int32_t pid;
    int life = muster_group_holder(ring->writers, &ring->state->owner, &pid);
    if (life != ENOENT && life != EOWNERDEAD) return life;
    if (ring->read_only) break;
    int status = muster_group_poll(ring->writers, roster, set);
    if (status) return status;
  }
  set_slice(ring, slice, set);
  return EAGAIN;
}

int muster_ring_poll(muster_ring *ring, muster_wait_set *set) { return poll_next(ring, RING_SLICE, set); }

int muster_ring_poll_writer(muster_ring *ring, muster_wait_set *set) { return poll_writer(ring, RING_SLICE, set); }

// ---- Waits

static void pause_for(uint32_t pauses) {
  for (uint32_t i = 0; i < pauses; i++) muster_cpu_pause();
}

// How long to stay away before the first look. Each look takes the line of the header from a writer that is about to
// store there. From a writer that writes without pause more than one record comes in between two waits: then the next
// look comes later, so that it gets ahead by some. Where it is one each time, as for a question and its answer, it
// comes at once, but for a try now and then.
static uint32_t stay_away(muster_ring *ring) {
  uint64_t came = ring->reader.number - ring->waited_at;
  ring->waited_at = ring->reader.number;
  if (came > 1) ring->ease = ring->ease < EASE_MOST / 2 ? 2 * ring->ease + 1 : EASE_MOST;
  else ring->ease = ++ring->waits % EASE_TRY ? ring->ease / 2 : EASE_FIRST;
  return ring->ease;
}

// Spinning pays when the next record is near.
static int spin(muster_ring *ring) {
  if (!ring->may_spin) return 0;
  pause_for(stay_away(ring));
  for (uint32_t turn = 0; turn < ring->spins; turn++) {
    if (is_there_more(ring)) return 1;
    pause_for(PAUSES);
  }
  return 0;
}

// Lets the writer run where the two share a processor: that is quicker than to sleep and to be woken. But where a third
// program wants that processor too, a yield gives it a whole time slice, while who sleeps is put before it when woken. Whoever
// met that sleeps at once for some waits, for twice as many each time.
static int yield(muster_ring *ring) {
  if (!ring->may_yield) return 0;
  if (ring->yields_to_skip) return ring->yields_to_skip--, 0;
  muster_deadline begun = muster_clock_now();
  sched_yield();
  if (muster_clock_now() - begun > YIELD_LONG) {
    ring->yields_skipped = ring->yields_skipped < YIELDS_SKIPPED_MOST / 2 ? 2 * ring->yields_skipped + 1 : YIELDS_SKIPPED_MOST;
    ring->yields_to_skip = ring->yields_skipped;
  } else if (ring->yields_skipped) {
    ring->yields_skipped--;
  }
  return is_there_more(ring);
}

// After a sleep: a short one makes more turns, a long one fewer.
static void learn(muster_ring *ring, muster_deadline begun) {
  if (muster_clock_now() - begun < SHORT) ring->spins = ring->spins < SPINS_MOST / 2 ? 2 * ring->spins : SPINS_MOST;
  else if (ring->spins > SPINS_LEAST) ring->spins /= 2;
}

// One turn of a wait: whether to go on (0), and else what it came to.
static int sleep_at(const muster_wait_set *set, muster_deadline deadline, int64_t *slice) {
  if (muster_deadline_passed(deadline)) return ETIMEDOUT;
  if (*slice < RING_SLICE) *slice *= 2;
  int status = muster_wait_any(set, deadline);
  return status == ETIMEDOUT ? 0 : status;
}

int muster_ring_wait(muster_ring *ring, muster_deadline deadline) {
  if (__atomic_load_n(ring->reader.process, __ATOMIC_RELAXED) != ring->reader.token) return EPERM;
  if (is_there_more(ring) || (deadline > 0 && (spin(ring) || yield(ring)))) return 0;
  muster_wait_set set;
  muster_deadline begun = 0;
  for (int64_t slice = RING_FIRST_SLICE;;) {
    int status = poll_next(ring, slice, &set);
    if (status != EAGAIN) {
      if (begun) learn(ring, begun);
      return status;
    }
    if (!begun) begun = muster_clock_now();
    status = sleep_at(&set, deadline, &slice);
    if (status) return status;
  }
}

int muster_ring_wait_writer(muster_ring *ring, muster_deadline deadline) {
  muster_wait_set set;
  for (int64_t slice = RING_FIRST_SLICE;;) {
    int status = poll_writer(ring, slice, &set);
    if (status != EAGAIN) return status;
    status = sleep_at(&set, deadline, &slice);
    if (status) return status;
  }
}
