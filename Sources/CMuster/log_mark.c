// How far a log was drained: two marks that are written in turn.
//
// A mark with an odd sequence number lies in slot 1, one with an even number in slot 0. The drain, of which there is one,
// stores the number 0 first, then the rest, then the checksum, with release. So at each instruction one of the two is whole:
// the one that is not being written. Whoever looks meanwhile finds the checksum not fit, or the number changed, and takes
// the other.
// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>

#include "internal/crc32c.h"
#include "internal/log_drain.h"

enum { TURNS = 16 };

_Static_assert(sizeof(log_mark) % 8 == 0 && offsetof(log_marked, places) == sizeof(log_mark), "one run of words");

static uint64_t *slot_of(const muster_log *log, uint64_t sequence) {
  return log_part(log, log_marks_offset() + (sequence & 1) * log_mark_size(log->places));
}

static size_t size_of(const muster_log *log) { return sizeof(log_mark) + log->places * sizeof(muster_ring_place); }

static uint32_t check_of(const muster_log *log, const log_marked *marked) {
  size_t from = sizeof marked->mark.check;
  return muster_crc32c(0, (const unsigned char *)marked + from, size_of(log) - from);
}

static int load(const muster_log *log, uint64_t slot, log_marked *marked) {
  const uint64_t *words = slot_of(log, slot);
  for (size_t k = 0; k < size_of(log) / 8; k++) {
    uint64_t word = __atomic_load_n(words + k, k ? __ATOMIC_RELAXED : __ATOMIC_ACQUIRE);
    memcpy((unsigned char *)marked + 8 * k, &word, 8);
  }
  const log_mark *mark = &marked->mark;
  return mark->sequence && (mark->sequence & 1) == slot && mark->count == log->places && mark->check == check_of(log, marked);
}

int muster_log_mark_newest(const muster_log *log, log_marked *marked) {
  muster_crc32c_prepare(0);
  log_marked other;
  // Who only looks may meet one mark being written after the other.
  for (int turn = 0; turn < TURNS; turn++) {
    int first = load(log, 0, marked), second = load(log, 1, &other);
    if (second && (!first || other.mark.sequence > marked->mark.sequence)) *marked = other;
    if (first || second) return 1;
  }
  return 0;
}

int muster_log_mark_before(const muster_log *log, uint64_t sequence, log_marked *marked) {
  return load(log, (sequence - 1) & 1, marked) && marked->mark.sequence == sequence - 1;
}

void muster_log_mark_store(const muster_log *log, log_marked *marked) {
  marked->mark.sequence++;
  marked->mark.count = log->places;
  marked->mark.check = check_of(log, marked);
  uint64_t *words = slot_of(log, marked->mark.sequence);
  __atomic_store_n(words + offsetof(log_mark, sequence) / 8, UINT64_C(0), __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (size_t k = size_of(log) / 8; k-- > 0;) {
    uint64_t word;
    memcpy(&word, (const unsigned char *)marked + 8 * k, 8);
    __atomic_store_n(words + k, word, k ? __ATOMIC_RELAXED : __ATOMIC_RELEASE);
  }
}
