// Writing: room, marks, the end of the memory, and a copy.
//
// What the writer may store is bounded by `hard`. To move it on it stores `reserve` and then, in lossless mode, looks at
// all readers once more: a newcomer stores its position and then looks at `reserve`. Both sides' pairs are sequentially
// consistent, so at least one gives way (argument 2 in ring.h). In latest mode a release fence after `reserve` is all.
//
// A mark is made before room is reserved for what follows it, so that the newest mark is never overwritten, also when
// the writer dies between the two.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "internal/futex.h"
#include "internal/group.h"
#include "internal/ring.h"

// How often to look for room before sleeping; from which turn on just enough is taken for enough; how long an idle turn
// is, in pauses of the processor; and what is a good deal of room.
enum { SPINS = 300, PATIENT = 250, PAUSES = 16, AMPLE = 1 << 17 };

void muster_ring_ready_writer(muster_ring *ring, muster_ring_place end) {
  muster_ring_writer *writer = &ring->writer;
  writer->position = writer->limit = writer->start = end.position;
  writer->number = end.number;
  writer->first = 0;
  writer->claimed = 0;
  // A predecessor may have died before it woke anybody.
  writer->rung = __atomic_load_n(&ring->state->calls, __ATOMIC_SEQ_CST) - 1;
  ring->hard = end.position;
  ring->marked = ring_chunk(ring, __atomic_load_n(&ring->state->tail, __ATOMIC_RELAXED));
}

// ---- Room

// The slowest reader that is to be waited for; RING_NONE: nobody. A dead one counts no more.
static uint64_t slowest(const muster_ring *ring, uint64_t enough) {
  uint64_t least = RING_NONE;
  for (uint32_t k = 0; k < MUSTER_RING_READERS_MAX; k++) {
    uint64_t position = __atomic_load_n(&ring->slots[k].position, __ATOMIC_ACQUIRE);
    if (position >= least) continue;
    // The look at the lock is needed only of one that stands in the way.
    if (position < enough && muster_group_life(ring->readers, k) != MUSTER_MEMBER_ALIVE) continue;
    least = position;
  }
  return least;
}

// The position that was overwritten when `position` is reached.
static uint64_t back(const muster_ring *ring, uint64_t position) {
  return position > ring->bytes ? position - ring->bytes : 0;
}

static uint64_t less(uint64_t a, uint64_t b) { return a < b ? a : b; }

// Where the writer may go without looking again: a chunk further in latest mode, where looking costs nothing and what is
// reserved is lost for readers; else a quarter of the ring.
static uint64_t goal_of(const muster_ring *ring, uint64_t want) {
  const muster_ring_writer *writer = &ring->writer;
  uint64_t begun = writer->first ? writer->start : writer->position;
  uint64_t ahead = ring->mode == MUSTER_RING_LATEST ? 0 : ring->bytes / 4;
  uint64_t goal = ring_chunk_start(ring, ring_chunk(ring, want + ahead - 1) + 1);
  return less(goal, begun + ring->bytes / 8 * 7);
}

static void raise_reserve(muster_ring *ring, uint64_t to) {
  if (__atomic_load_n(&ring->state->reserve, __ATOMIC_RELAXED) < to)
    __atomic_store_n(&ring->state->reserve, to, __ATOMIC_SEQ_CST);
}

// Moves `hard` to `want` at least, if that can be had without waiting; `ample`: only if a good deal more can be had.
static int gain(muster_ring *ring, uint64_t want, int ample) {
  uint64_t goal = goal_of(ring, want);
  if (ring->mode == MUSTER_RING_LATEST) {
    raise_reserve(ring, goal);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ring->hard = goal;
    return 0;
  }
  uint64_t least = slowest(ring, back(ring, goal)), hard = least == RING_NONE ? goal : less(goal, least + ring->bytes);
  if (hard < want || (ample && hard < less(goal, want + less(ring->bytes / 16, AMPLE)))) return EAGAIN;
  raise_reserve(ring, hard);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  least = slowest(ring, back(ring, hard));
  if (least != RING_NONE && least + ring->bytes < hard) return EAGAIN;
  ring->hard = hard;
  return 0;
}

// Looks for room, and else says at which words to sleep. The kernel wakes the writer for each reader that dies.
static int poll_room(muster_ring *ring, uint64_t want, muster_wait_set *set) {
  ring_state *state = ring->state;
  for (int turn = 0; turn < GROUP_TURNS; turn++) {
    if (!gain(ring, want, 0)) return 0;
    uint32_t roster = muster_group_roster(ring->readers);
    uint32_t bell = __atomic_load_n(&state->room_bell, __ATOMIC_ACQUIRE);
    __atomic_store_n(&state->needs, back(ring, want), __ATOMIC_RELAXED);
    __atomic_fetch_add(&state->room_calls, 1, __ATOMIC_SEQ_CST);
    ring->expedited = muster_ring_fence_all() == 0;
    if (!gain(ring, want, 0)) return 0;
    int status = muster_group_poll(ring->readers, roster, set);
    if (status && status != EAGAIN) return status;
    if (status == 0) continue;
    muster_ring_put_first(set, &state->room_bell, bell);
    if (!ring->expedited) muster_ring_recheck_by(set, muster_deadline_after(RING_SLICE));
    return EAGAIN;
  }
  set->count = 0;
  set->recheck = muster_deadline_after(RING_SLICE);
  muster_wait_set_add(set, &state->room_bell, __atomic_load_n(&state->room_bell, __ATOMIC_ACQUIRE));
  return EAGAIN;
}

// Waits for room, as long as there is none.
static int await_room(muster_ring *ring, uint64_t want, muster_deadline deadline) {
  if (!gain(ring, want, 0)) return 0;
  if (deadline <= 0) return ETIMEDOUT;
  uint32_t spins = ring->may_spin ? SPINS : 0;
  for (uint32_t turn = 0; turn < spins; turn++) {
    for (int i = 0; i < PAUSES; i++) muster_cpu_pause();
    if (!gain(ring, want, turn < PATIENT)) return 0;
  }
  muster_wait_set set;
  for (;;) {
    int status = poll_room(ring, want, &set);
    if (status != EAGAIN) return status;
    if (muster_deadline_passed(deadline)) return ETIMEDOUT;
    status = muster_wait_any(&set, deadline);
    if (status && status != ETIMEDOUT) return status;
  }
}

// ---- Claims that are not just a step of the position

static void store_mark(muster_ring *ring, uint64_t position, uint64_t number) {
  uint64_t chunk = ring_chunk(ring, position);
  ring_mark *mark = &ring->state->marks[chunk % RING_MARKS];
  __atomic_store_n(&mark->position, RING_NONE, __ATOMIC_RELAXED);
  __atomic_store_n(&mark->number, number, __ATOMIC_RELEASE);
  __atomic_store_n(&mark->position, position, __ATOMIC_RELEASE);
  __atomic_store_n(&ring->state->tail, position, __ATOMIC_RELEASE);
  ring->marked = chunk;
}

// Before room is reserved behind what is committed. Within a batch nothing is: what begins there is no place yet.
static void mark_the_end(muster_ring *ring) {
  const muster_ring_writer *writer = &ring->writer;
  if (!writer->first && ring_chunk(ring, writer->position) != ring->marked)
    store_mark(ring, writer->position, writer->number);
}

// What a claim takes: a filler where the record doesn't fit before the end, the record, and the header behind it.
typedef struct claim_plan {
  uint64_t filler, extent, want;
} claim_plan;

static int plan_claim(const muster_ring *ring, uint32_t size, claim_plan *plan) {
  const muster_ring_writer *writer = &ring->writer;
  if (size > ring_largest(ring)) return EINVAL;
  uint64_t rest = ring->bytes - (writer->position & writer->mask);
  plan->extent = muster_ring_extent(size);
  plan->filler = plan->extent > rest ? rest : 0;
  plan->want = writer->position + plan->filler + plan->extent + 8;
  if (writer->first && plan->want > writer->start + ring->bytes / 4 * 3) return EOVERFLOW;
  return 0;
}

// Claims up to here need not come back: the end of the chunk, so that the first that begins in the next one is marked.
static uint64_t limit_of(const muster_ring *ring, uint64_t record, uint64_t want) {
  uint64_t end = ring_chunk_start(ring, ring_chunk(ring, record) + 1);
  if (ring_chunk(ring, record) != ring->marked || want > end) return want;
  return less(end, ring->hard);
}

static int may_write(const muster_ring_writer *writer) {
  return __atomic_load_n(writer->process, __ATOMIC_RELAXED) == writer->token;
}

int muster_ring_claim_more(muster_ring_writer *writer, uint32_t size, muster_deadline deadline, void **place) {
  if (!may_write(writer)) return EPERM;
  muster_ring *ring = writer->ring;
  claim_plan plan;
  int status = plan_claim(ring, size, &plan);
  if (status) return status;
  mark_the_end(ring);
  if (plan.want > ring->hard) status = await_room(ring, plan.want, deadline);
  if (status) return status;
  if (plan.filler) muster_ring_lay(writer, MUSTER_RING_FILLER | (plan.filler - 8), plan.filler);
  writer->limit = limit_of(ring, writer->position, plan.want);
  *place = muster_ring_lay(writer, MUSTER_RING_RECORD | size, plan.extent);
  writer->claimed++;
  return 0;
}

int muster_ring_poll_room(muster_ring *ring, uint32_t size, muster_wait_set *set) {
  if (!may_write(&ring->writer)) return EPERM;
  claim_plan plan;
  int status = plan_claim(ring, size, &plan);
  if (status) return status;
  if (plan.want <= ring->hard) return 0;
  mark_the_end(ring);
  return poll_room(ring, plan.want, set);
}

// ---- The fast paths, out of line

muster_ring_writer *muster_ring_writer_of(muster_ring *ring) { return &ring->writer; }

int muster_ring_claim(muster_ring *ring, uint32_t size, muster_deadline deadline, void **place) {
  return muster_ring_writer_claim(&ring->writer, size, deadline, place);
}

MUSTER_NONBLOCKING int muster_ring_commit(muster_ring *ring) { return muster_ring_writer_commit(&ring->writer); }

// The limit may lie on the other side of the end of the memory, where what comes now would not go by a filler.
MUSTER_NONBLOCKING int muster_ring_cancel(muster_ring *ring) {
  muster_ring_writer *writer = &ring->writer;
  if (!may_write(writer)) return EPERM;
  if (!writer->first) return 0;
  writer->position = writer->limit = writer->start;
  writer->first = 0;
  writer->claimed = 0;
  return 0;
}

// By words, as readers of latest mode may look at them meanwhile: H.-J. Boehm's argument is about atomic accesses.
static void store_words(uint64_t *to, const void *bytes, uint32_t size) {
  const unsigned char *from = bytes;
  uint64_t word;
  for (; size >= sizeof word; size -= (uint32_t)sizeof word, from += sizeof word) {
    memcpy(&word, from, sizeof word);
    __atomic_store_n(to++, word, __ATOMIC_RELAXED);
  }
  if (!size) return;
  word = 0;
  memcpy(&word, from, size);
  __atomic_store_n(to, word, __ATOMIC_RELAXED);
}

int muster_ring_write(muster_ring *ring, const void *bytes, uint32_t size, muster_deadline deadline) {
  void *place;
  int status = muster_ring_writer_claim(&ring->writer, size, deadline, &place);
  if (status) return status;
  if (ring->mode == MUSTER_RING_LATEST) store_words(place, bytes, size);
  else muster_ring_copy(place, bytes, size);
  return muster_ring_writer_commit(&ring->writer);
}
