// What the cases of the ring share: the world before an operation, records whose every byte follows from their number, and
// what a successor and newcomers must be able to do after it. Statics, so that each file of cases has its own.
// SPDX-License-Identifier: Apache-2.0
#ifndef SWEEP_RING_WORLD_H
#define SWEEP_RING_WORLD_H

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "muster/ring.h"
#include "sweep.h"

enum { BYTES = 4096, BEGUN = 3, SLEEPERS = 2, ROOM = SWEEP_ARENA / 2 };

// What a case is about, beside its functions.
enum { LATEST = 1, WRAPS = 2, LAPPED = 4 };

// Beside the ring, what the processes of a case tell each other.
typedef struct notes {
  uint32_t ready;
  int32_t partner;
  uint32_t count;
  int32_t slept[SLEEPERS];
  muster_ring_record record;
  muster_ring_place place;
  unsigned char bytes[256];
} notes;

static inline notes *note(void) { return (notes *)(void *)(sweep->arena + ROOM); }

static muster_ring *mine, *ours, *reader;
static pid_t partner;
static uint64_t seen;  // records that `reader` has read

static inline muster_ring *attach(void) {
  muster_ring *ring;
  SWEEP_STATUS(muster_ring_attach(sweep->arena, ROOM, &ring), 0);
  return ring;
}

static inline uint32_t size_of(uint64_t number) { return (uint32_t)(number * 13 % 90); }

static inline void fill(void *bytes, uint64_t number) { memset(bytes, (int)(number % 251 + 1), size_of(number)); }

static inline int write_number(muster_ring *ring, uint64_t number, muster_deadline deadline) {
  unsigned char bytes[96];
  fill(bytes, number);
  return muster_ring_write(ring, bytes, size_of(number), deadline);
}

static inline uint64_t next_number(const muster_ring *ring) {
  muster_ring_place end;
  SWEEP_STATUS(muster_ring_position(ring, &end), 0);
  return end.number;
}

static inline int write_next(muster_ring *ring) { return write_number(ring, next_number(ring), sweep_deadline()); }

static inline void check_bytes(const void *bytes, uint32_t size, uint64_t number) {
  SWEEP_EQUAL(size, size_of(number));
  for (uint32_t i = 0; i < size; i++) SWEEP_EQUAL(((const unsigned char *)bytes)[i], number % 251 + 1);
}

// Reads on to the end, each record as it has to be.
static inline uint64_t read_rest(muster_ring *ring, uint64_t from) {
  muster_ring_record record;
  int status;
  while (!(status = muster_ring_next(ring, &record))) {
    if (sweep->variant & LATEST) from += record.lost;
    else SWEEP_EQUAL(record.lost, 0);
    SWEEP_EQUAL(record.number, from);
    check_bytes(record.bytes, record.size, from++);
    SWEEP_STATUS(muster_ring_release(ring), 0);
  }
  SWEEP_STATUS(status, EAGAIN);
  return from;
}

static inline uint64_t look(void) { return seen = read_rest(reader, seen); }

// ---- The world before: some records, by one who stopped writing, and a reader who has read none or, of one that went
// round already, all but the last.

static uint32_t begun;

static inline void lay_with(int with_reader) {
  muster_ring_mode mode = sweep->variant & LATEST ? MUSTER_RING_LATEST : MUSTER_RING_LOSSLESS;
  SWEEP_STATUS(muster_ring_init(sweep->arena, ROOM, BYTES, mode), 0);
  ours = attach();
  reader = attach();
  SWEEP_STATUS(muster_ring_start_writing(ours, NULL), 0);
  begun = BEGUN;
  while (sweep->variant & LAPPED && begun < 300) SWEEP_STATUS(write_number(ours, begun++ - BEGUN, MUSTER_DEADLINE_NOW), 0);
  if (sweep->variant & LAPPED) begun -= BEGUN;
  // The next record doesn't fit before the end.
  uint64_t end = 0;
  if (sweep->variant & WRAPS) {
    muster_ring_place at;
    for (begun = 0;; begun++) {
      SWEEP_STATUS(muster_ring_position(ours, &at), 0);
      end = at.position + 8 + size_of(begun);
      if (end > BYTES) break;
      SWEEP_STATUS(write_number(ours, begun, MUSTER_DEADLINE_NOW), 0);
    }
  } else if (!(sweep->variant & LAPPED)) {
    for (uint32_t n = 0; n < begun; n++) SWEEP_STATUS(write_number(ours, n, MUSTER_DEADLINE_NOW), 0);
  }
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  seen = sweep->variant ? begun : 0;
  if (with_reader)
    SWEEP_STATUS(muster_ring_start_reading(reader, sweep->variant ? MUSTER_RING_NEWEST : MUSTER_RING_OLDEST, NULL), 0);
}

static inline void lay(void) { lay_with(1); }

static inline int writes_and_reads(int number) {
  muster_ring *writer = attach(), *other = attach();
  int status = muster_ring_start_writing(writer, NULL);
  if (status) return status;
  SWEEP_STATUS(muster_ring_start_reading(other, MUSTER_RING_NEWEST, NULL), 0);
  uint64_t from = next_number(writer);
  for (int i = 0; i < number; i++) {
    SWEEP_STATUS(write_next(writer), 0);
    SWEEP_EQUAL(read_rest(other, from + (uint64_t)i), from + (uint64_t)i + 1);
  }
  SWEEP_STATUS(muster_ring_close(other), 0);
  return muster_ring_close(writer);
}

static inline int writes_only(int number) {
  (void)number;
  muster_ring *writer = attach();
  int status = muster_ring_start_writing(writer, NULL);
  if (!status) status = write_next(writer);
  return status ? status : muster_ring_close(writer);
}

// A successor takes over, is told of a death or of none, and goes on at the last record; then newcomers go round the
// ring.
static inline void check_successor(int died) {
  muster_ring_predecessor found;
  uint64_t end = look();
  SWEEP_STATUS(muster_ring_start_writing(ours, &found), 0);
  SWEEP_EQUAL(found.end.number, end);
  if (died >= 0) SWEEP_EQUAL(found.died, died);
  if (found.died) SWEEP_CHECK(found.pid == sweep->operator_pid || found.pid == note()->partner || !found.pid);
  for (int i = 0; i < 5; i++) {
    SWEEP_STATUS(write_next(ours), 0);
    SWEEP_EQUAL(look(), ++end);
  }
  SWEEP_STATUS(muster_ring_close(reader), 0);
  SWEEP_STATUS(muster_ring_stop_writing(ours), 0);
  sweep_newcomer(writes_and_reads, 150);
}

static inline void prepare(void) { mine = attach(); }

static inline void writer_prepare(void) {
  prepare();
  SWEEP_STATUS(muster_ring_start_writing(mine, NULL), 0);
}

static inline void finish(void) { SWEEP_STATUS(muster_ring_close(mine), 0); }
static inline int close_operate(void) { return muster_ring_close(mine); }
static inline void nothing(void) {}

#endif
