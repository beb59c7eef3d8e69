// What the arena's sources share.
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_ARENA_H
#define MUSTER_INTERNAL_ARENA_H

#include "arena_layout.h"

static inline arena_control *arena_control_of(const muster_arena *arena) MUSTER_NONBLOCKING {
  return (arena_control *)(void *)arena->base;
}
static inline arena_log_head *arena_log_of(const muster_arena *arena) MUSTER_NONBLOCKING {
  return (arena_log_head *)(void *)(arena->base + arena->log_offset);
}
static inline uint64_t *arena_log_numbers(const muster_arena *arena) MUSTER_NONBLOCKING {
  return (uint64_t *)(void *)(arena->base + arena->log_offset + arena->page);
}
static inline unsigned char *arena_log_page(const muster_arena *arena, uint64_t index) MUSTER_NONBLOCKING {
  uint64_t numbers = arena_up(arena->log_pages * sizeof(uint64_t), arena->page);
  return arena->base + arena->log_offset + arena->page + numbers + index * arena->page;
}
static inline unsigned char *arena_slot_bytes(const muster_arena *arena, uint32_t index) MUSTER_NONBLOCKING {
  return arena->base + arena->page + index * arena_up(arena->size, arena->page);
}
static inline uint64_t arena_pages(const muster_arena *arena) MUSTER_NONBLOCKING {
  return arena_up(arena->size, arena->page) / arena->page;
}

static inline uint64_t arena_word(uint64_t id, muster_arena_transaction what) MUSTER_NONBLOCKING {
  return id << 8 | (uint64_t)what;
}
static inline uint64_t arena_word_id(uint64_t word) MUSTER_NONBLOCKING { return word >> 8; }
// A word that no function stores is taken for an idle one, which nothing relies on.
static inline muster_arena_transaction arena_word_what(uint64_t word) MUSTER_NONBLOCKING {
  uint64_t what = word & 0xff;
  return what <= MUSTER_ARENA_ABORTED ? (muster_arena_transaction)what : MUSTER_ARENA_IDLE;
}

// The word; that of an idle log where there is none.
static inline uint64_t arena_log_word(const muster_arena *arena) MUSTER_NONBLOCKING {
  return arena->log_pages ? __atomic_load_n(&arena_log_of(arena)->word, __ATOMIC_ACQUIRE) : 0;
}

// Whether the state is a transaction's at present: it runs, or what it committed is not yet redone.
static inline int arena_is_taken(const muster_arena *arena) MUSTER_NONBLOCKING {
  muster_arena_transaction what = arena_word_what(arena_log_word(arena));
  return what == MUSTER_ARENA_RUNNING || what == MUSTER_ARENA_COMMITTED;
}

// The two ends of a change, c1 and c2, and c4. Opening one that is open already leaves it so.
static inline void arena_open_change(const muster_arena *arena) MUSTER_NONBLOCKING {
  uint64_t *sequence = &arena_control_of(arena)->sequence, number = __atomic_load_n(sequence, __ATOMIC_RELAXED);
  __atomic_store_n(sequence, number | 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void arena_close_change(const muster_arena *arena) MUSTER_NONBLOCKING {
  uint64_t *sequence = &arena_control_of(arena)->sequence, number = __atomic_load_n(sequence, __ATOMIC_RELAXED);
  __atomic_store_n(sequence, (number | 1) + 1, __ATOMIC_RELEASE);
}

// Stores once more what init stored in the head, as the handle knows it, for those who attach later: an owner that went astray may
// have written over it. Whatever else there is stays.
void muster_arena_lay_head(const muster_arena *arena);

#endif
