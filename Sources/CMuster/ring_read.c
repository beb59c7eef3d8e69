// Reading: what lies behind a header that doesn't fit, records that were lost, and a copy.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "internal/ring.h"

// How often a reader that is overtaken goes on at once.
enum { ATTEMPTS = 100 };

// One who was overtaken goes on where the writer comes last: a quarter of the ring ahead of what is overwritten next, so
// that it is not overtaken at once again. The numbers tell exactly what lies between.
MUSTER_NONBLOCKING static int go_on(muster_ring_reader *reader) {
  const muster_ring *ring = reader->ring;
  uint64_t reserve = __atomic_load_n(reader->reserve, __ATOMIC_ACQUIRE), bytes = reader->mask + 1;
  uint64_t least = reserve > bytes ? reserve - bytes : 0;
  muster_ring_place to;
  if (muster_ring_mark_from(ring, least + bytes / 4, &to) && muster_ring_mark_from(ring, least, &to)) return EAGAIN;
  if (!muster_ring_is_there(ring, to.position)) return EAGAIN;
  if (to.position < reader->position || to.number < reader->number + reader->lost) return EBADMSG;
  // The number stays until this is told, so that a release before that holds it too: what is told to be lost with a record
  // may have to be told again.
  reader->lost = to.number - reader->number;
  // What was given before and not released stays held: its release will say that it is gone.
  if (reader->held == reader->position) reader->held = to.position;
  reader->position = to.position;
  return 0;
}

// A marked place may be that of a record which is not committed yet. Who was overtaken, finds no place to go on at, and
// finds nothing moved, goes by words that somebody scribbled on, and would be told forever that there is more.
MUSTER_NONBLOCKING int muster_ring_next_more(muster_ring_reader *reader, muster_ring_record *record) {
  if (__atomic_load_n(reader->process, __ATOMIC_RELAXED) != reader->token) return EPERM;
  const muster_ring *ring = reader->ring;
  uint64_t overtook = RING_NONE;
  for (int turn = 0; turn < ATTEMPTS; turn++) {
    muster_ring_place next = {reader->position, reader->number + reader->lost};
    uint64_t word;
    int status = muster_ring_step(ring, &next, &word);
    if (reader->latest && !muster_ring_holds(reader, reader->position)) {
      if (overtook == RING_NONE) overtook = __atomic_load_n(reader->reserve, __ATOMIC_RELAXED);
      status = go_on(reader);
      if (status && status != EAGAIN) return status;
      continue;
    }
    if (status) return status;
    if (word & MUSTER_RING_FILLER) {
      // It was given to nobody, so what is held does not begin with it.
      if (reader->held == reader->position) reader->held = next.position;
      reader->position = next.position;
      continue;
    }
    *record = (muster_ring_record){.bytes = reader->data + (reader->position & reader->mask) + 8,
                                   .size = (uint32_t)(word & MUSTER_RING_SIZE_MASK),
                                   .position = reader->position,
                                   .number = reader->number + reader->lost,
                                   .lost = reader->lost};
    reader->lost = 0;
    reader->position = next.position;
    reader->number = next.number;
    return 0;
  }
  return overtook == __atomic_load_n(reader->reserve, __ATOMIC_RELAXED) ? EBADMSG : EAGAIN;
}

// ---- The fast paths, out of line

muster_ring_reader *muster_ring_reader_of(muster_ring *ring) { return &ring->reader; }

MUSTER_NONBLOCKING int muster_ring_next(muster_ring *ring, muster_ring_record *record) {
  return muster_ring_reader_next(&ring->reader, record);
}

MUSTER_NONBLOCKING int muster_ring_release(muster_ring *ring) { return muster_ring_reader_release(&ring->reader); }

MUSTER_NONBLOCKING int muster_ring_still_valid(const muster_ring *ring, const muster_ring_record *record) {
  return !ring->reader.latest || muster_ring_holds(&ring->reader, record->position);
}

MUSTER_NONBLOCKING static void load_words(void *buffer, const uint64_t *from, uint32_t size) {
  unsigned char *to = buffer;
  uint64_t word;
  for (; size >= sizeof word; size -= (uint32_t)sizeof word, to += sizeof word) {
    word = __atomic_load_n(from++, __ATOMIC_RELAXED);
    memcpy(to, &word, sizeof word);
  }
  if (!size) return;
  word = __atomic_load_n(from, __ATOMIC_RELAXED);
  memcpy(to, &word, size);
}

MUSTER_NONBLOCKING int muster_ring_read(muster_ring *ring, void *buffer, uint32_t capacity,
                                        muster_ring_record *record) {
  muster_ring_reader *reader = &ring->reader;
  for (int turn = 0; turn < ATTEMPTS; turn++) {
    int status = muster_ring_reader_next(reader, record);
    if (status) return status;
    if (record->size > capacity) {
      // Before the record, but behind a filler or what was lost.
      reader->position = record->position;
      reader->number = record->number - record->lost;
      reader->lost = record->lost;
      record->bytes = NULL;
      return EMSGSIZE;
    }
    if (reader->latest) load_words(buffer, record->bytes, record->size);
    else memcpy(buffer, record->bytes, record->size);
    if (reader->latest && !muster_ring_holds(reader, record->position)) {
      reader->position = record->position;
      reader->number = record->number - record->lost;
      reader->lost = record->lost;
      continue;
    }
    record->bytes = buffer;
    // What next gave before is released with it, whatever has become of it.
    reader->held = reader->position;
    reader->held_number = reader->number;
    (void)muster_ring_reader_release(reader);
    return 0;
  }
  return EAGAIN;
}
