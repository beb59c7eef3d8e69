// Places in a ring: marks, the chain of headers from one record to the next, and where to begin.
//
// A mark that is whole is a place on the chain (I3 in internal/ring_layout.h). Its writer stores "none", then the number,
// then the position, the last two with release; who reads the position, the number and again the position, with acquire,
// and finds the same position twice, has its number: a later number would have come with "none" or what follows it.
// SPDX-License-Identifier: Apache-2.0
#include "internal/ring.h"

// How often to begin again when the writer overtakes; each time it has gone round the ring nearly whole.
enum { ATTEMPTS = 100 };

MUSTER_NONBLOCKING int muster_ring_is_there(const muster_ring *ring, uint64_t position) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return __atomic_load_n(&ring->state->reserve, __ATOMIC_RELAXED) <= position + ring->bytes;
}

// In lossless mode the writer either sees the position that is held, or this sees that it is gone.
static int hold_at(const muster_ring *ring, uint64_t position, const ring_hold *hold) {
  if (hold) {
    __atomic_store_n(hold->published, position < hold->most ? position : hold->most, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
  }
  return muster_ring_is_there(ring, position);
}

MUSTER_NONBLOCKING int muster_ring_step(const muster_ring *ring, muster_ring_place *place, uint64_t *word) {
  uint64_t position = place->position, offset = position & (ring->bytes - 1), rest = ring->bytes - 8 - offset;
  uint64_t header = *word = ring_header_at(ring, position), size = header & MUSTER_RING_SIZE_MASK;
  if (!header) return EAGAIN;
  if ((header ^ muster_ring_stamp(position, ring->bytes - 1, ring->shift)) >> 32 || size > rest) return EBADMSG;
  uint64_t kind = header & (MUSTER_RING_RECORD | MUSTER_RING_FILLER);
  if (kind == MUSTER_RING_FILLER && size == rest) {
    place->position += 8 + size;
  } else if (kind == MUSTER_RING_RECORD) {
    place->position += muster_ring_extent((uint32_t)size);
    place->number++;
  } else {
    return EBADMSG;
  }
  return 0;
}

static int read_mark(const muster_ring *ring, uint64_t chunk, muster_ring_place *place) {
  const ring_mark *mark = &ring->state->marks[chunk % RING_MARKS];
  place->position = __atomic_load_n(&mark->position, __ATOMIC_ACQUIRE);
  place->number = __atomic_load_n(&mark->number, __ATOMIC_ACQUIRE);
  return __atomic_load_n(&mark->position, __ATOMIC_ACQUIRE) == place->position &&
         place->position < RING_POSITIONS_END && place->position % 8 == 0 && ring_chunk(ring, place->position) == chunk;
}

static uint64_t newest_mark(const muster_ring *ring) { return __atomic_load_n(&ring->state->tail, __ATOMIC_ACQUIRE); }

MUSTER_NONBLOCKING int muster_ring_mark_from(const muster_ring *ring, uint64_t least, muster_ring_place *place) {
  uint64_t chunk = ring_chunk(ring, least), last = ring_chunk(ring, newest_mark(ring));
  if (last >= RING_MARKS && chunk < last - RING_MARKS) chunk = last - RING_MARKS;
  for (; chunk <= last; chunk++)
    if (read_mark(ring, chunk, place) && place->position >= least) return 0;
  return EAGAIN;
}

static uint64_t least_there(const muster_ring *ring) {
  uint64_t reserve = __atomic_load_n(&ring->state->reserve, __ATOMIC_ACQUIRE);
  return reserve > ring->bytes ? reserve - ring->bytes : 0;
}

static int find_oldest(const muster_ring *ring, muster_ring_place *place, const ring_hold *hold) {
  if (muster_ring_mark_from(ring, least_there(ring), place)) return EAGAIN;
  return hold_at(ring, place->position, hold) ? 0 : EAGAIN;
}

// A step by one whom a writer may overtake meanwhile.
static int checked_step(const muster_ring *ring, muster_ring_place *place) {
  uint64_t position = place->position, word;
  int status = muster_ring_step(ring, place, &word);
  return muster_ring_is_there(ring, position) ? status : ESTALE;
}

// Follows the chain to `until`, or to the end. 0 when it ended there, EINVAL when it passed over it or ended before. Two
// places that are both there are no lap apart; with other words somebody could lay the chain on while this follows it.
static int follow(const muster_ring *ring, muster_ring_place *place, uint64_t until) {
  if (until > place->position + ring->bytes) return EINVAL;
  while (place->position < until) {
    int status = checked_step(ring, place);
    if (status) return status == EAGAIN ? EINVAL : status;
  }
  return place->position == until ? 0 : EINVAL;
}

// The newest mark, held, and from there to the end, or past what was the end when this began.
static int find_newest(const muster_ring *ring, muster_ring_place *place, const ring_hold *hold) {
  uint64_t tail = newest_mark(ring);
  if (!read_mark(ring, ring_chunk(ring, tail), place) || !hold_at(ring, place->position, hold)) return EAGAIN;
  uint64_t enough = __atomic_load_n(&ring->state->reserve, __ATOMIC_ACQUIRE), most = place->position + ring->bytes;
  if (enough > most) enough = most;
  int status = 0;
  while (!status && place->position < enough) status = checked_step(ring, place);
  if (status == ESTALE) return EAGAIN;
  if (status && status != EAGAIN) return status;
  return hold_at(ring, place->position, hold) ? 0 : EAGAIN;
}

// Whether a place that was remembered is one: from the newest mark on, or on to the first mark that follows it.
static int find_remembered(const muster_ring *ring, const muster_ring_place *place, const ring_hold *hold) {
  uint64_t tail = newest_mark(ring);
  if (place->position % 8 || place->position >= RING_POSITIONS_END || place->position > tail + ring->bytes) return EINVAL;
  if (!hold_at(ring, place->position, hold)) return ESTALE;
  muster_ring_place from = *place, to;
  int status;
  if (place->position >= tail) {
    to = *place;
    if (!read_mark(ring, ring_chunk(ring, tail), &from) || from.position != tail) return EAGAIN;
  } else if (muster_ring_mark_from(ring, place->position, &to)) {
    return EAGAIN;
  }
  status = follow(ring, &from, to.position);
  if (!muster_ring_is_there(ring, place->position)) return ESTALE;
  // A header that doesn't fit says that the place is none, not that the ring is corrupt.
  if (status == EBADMSG) return EINVAL;
  return status ? status : from.number == to.number ? 0 : EINVAL;
}

static int find_once(const muster_ring *ring, muster_ring_from from, muster_ring_place *place, const ring_hold *hold) {
  switch (from) {
    case MUSTER_RING_OLDEST: return find_oldest(ring, place, hold);
    case MUSTER_RING_NEWEST: return find_newest(ring, place, hold);
    case MUSTER_RING_AT: return find_remembered(ring, place, hold);
  }
  return EINVAL;
}

// Nobody is overtaken each time: a mark that can't be had, though nothing has moved, is one that somebody scribbled on.
int muster_ring_find(const muster_ring *ring, muster_ring_from from, muster_ring_place *place, const ring_hold *hold) {
  uint64_t reserve = least_there(ring), tail = newest_mark(ring);
  int status = EAGAIN;
  for (int turn = 0; turn < ATTEMPTS; turn++)
    if ((status = find_once(ring, from, place, hold)) != EAGAIN) return status;
  return reserve == least_there(ring) && tail == newest_mark(ring) ? EBADMSG : EAGAIN;
}

int muster_ring_recover(const muster_ring *ring, muster_ring_place *end) {
  uint64_t tail = newest_mark(ring), word;
  if (!read_mark(ring, ring_chunk(ring, tail), end) || end->position != tail) return EBADMSG;
  int status = 0;
  while (!status && end->position - tail < ring->bytes) status = muster_ring_step(ring, end, &word);
  return status == EAGAIN ? 0 : EBADMSG;
}
