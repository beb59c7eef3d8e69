// An arena's checkpoints: saving, loading, listing.
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "internal/arena.h"
#include "internal/crc32c.h"
#include "internal/region_file.h"

static uint32_t slot_of(const muster_arena *arena, uint64_t number) {
  return (uint32_t)(number % (arena->checkpoints + 1));
}

static uint32_t seal_of(uint64_t number, uint64_t time, uint64_t sequence, uint32_t checksum) {
  uint64_t words[4] = {number, time, sequence, checksum};
  return muster_crc32c(0, words, sizeof words);
}

static uint64_t newest_of(const muster_arena *arena) {
  return __atomic_load_n(&arena_control_of(arena)->newest, __ATOMIC_ACQUIRE);
}

static uint32_t kept_of(const muster_arena *arena, uint64_t newest) {
  return newest < arena->checkpoints ? (uint32_t)newest : arena->checkpoints;
}

// ---- Saving

static arena_slot *head_of(const muster_arena *arena, uint64_t number) {
  return &arena_control_of(arena)->slots[slot_of(arena, number)];
}

// The fence orders the `newest` of the save before, which this slot was free from, before anything that is stored into it: whoever
// meets a byte of this save finds that `newest` has moved.
static void fill(const muster_arena *arena, uint64_t number, muster_arena_checkpoint *saved) {
  __atomic_thread_fence(__ATOMIC_RELEASE);
  void *to = arena_slot_bytes(arena, slot_of(arena, number));
  *saved = (muster_arena_checkpoint){.number = number,
                                     .time = muster_region_wall_clock(),
                                     .sequence = muster_arena_sequence(arena),
                                     .checksum = muster_crc32c_move(0, to, arena->state, (size_t)arena->size),
                                     .whole = 1};
  arena_slot *slot = head_of(arena, number);
  uint32_t seal = seal_of(number, (uint64_t)saved->time, saved->sequence, saved->checksum);
  __atomic_store_n(&slot->number, number, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->time, (uint64_t)saved->time, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->sequence, saved->sequence, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->checksum, saved->checksum, __ATOMIC_RELAXED);
  __atomic_store_n(&slot->seal, seal, __ATOMIC_RELAXED);
}

int muster_arena_save(const muster_arena *arena, muster_arena_checkpoint *saved) {
  muster_arena_checkpoint made;
  if (arena->read_only) return EACCES;
  if (!arena->checkpoints) return ENOTSUP;
  if (muster_arena_changing(arena)) return EBUSY;
  uint64_t number = newest_of(arena) + 1;
  fill(arena, number, &made);
  __atomic_store_n(&arena_control_of(arena)->newest, number, __ATOMIC_RELEASE);
  if (saved) *saved = made;
  return 0;
}

// What a slot's fields tell. Whether the bytes fit is left to whoever looks at them.
static muster_arena_checkpoint see(const muster_arena *arena, uint64_t number) {
  const arena_slot *slot = head_of(arena, number);
  muster_arena_checkpoint seen = {.number = number,
                                  .time = (int64_t)__atomic_load_n(&slot->time, __ATOMIC_RELAXED),
                                  .sequence = __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED),
                                  .checksum = __atomic_load_n(&slot->checksum, __ATOMIC_RELAXED)};
  uint32_t seal = seal_of(number, (uint64_t)seen.time, seen.sequence, seen.checksum);
  seen.whole = __atomic_load_n(&slot->number, __ATOMIC_RELAXED) == number &&
               __atomic_load_n(&slot->seal, __ATOMIC_RELAXED) == seal;
  return seen;
}

// ---- Loading

// Copies one into the state. Whether it is whole is known only when it is there.
static int load_one(const muster_arena *arena, uint64_t number, muster_arena_checkpoint *loaded) {
  *loaded = see(arena, number);
  if (!loaded->whole) return 0;
  const void *from = arena_slot_bytes(arena, slot_of(arena, number));
  loaded->whole = muster_crc32c_move(0, arena->state, from, (size_t)arena->size) == loaded->checksum;
  return loaded->whole;
}

int muster_arena_load(const muster_arena *arena, uint32_t nth, muster_arena_accept accept, void *context,
                      muster_arena_checkpoint *loaded) {
  muster_arena_checkpoint made;
  if (arena->read_only) return EACCES;
  if (arena_is_taken(arena)) return EBUSY;
  uint64_t newest = newest_of(arena);
  uint32_t kept = kept_of(arena, newest), whole = 0;
  if (nth >= kept) return ENODATA;
  arena_open_change(arena);
  for (uint32_t k = nth; k < kept; k++) {
    if (!load_one(arena, newest - k, &made)) continue;
    whole++;
    if (accept && !accept(arena->state, arena->size, context)) continue;
    arena_close_change(arena);
    if (loaded) *loaded = made;
    return 0;
  }
  return whole ? ENOENT : EBADMSG;
}

// ---- Listing, beside an owner that may go on saving

static muster_arena_checkpoint summed(const muster_arena *arena, uint64_t number) {
  muster_arena_checkpoint seen = see(arena, number);
  if (!seen.whole) return seen;
  const void *bytes = arena_slot_bytes(arena, slot_of(arena, number));
  seen.whole = muster_crc32c_look(0, bytes, (size_t)arena->size) == seen.checksum;
  return seen;
}

// While `newest` stays, so do all that are kept: the save after it goes to the slot that none of them has.
static int list(const muster_arena *arena, int verify, muster_arena_checkpoint *listed, uint32_t count,
                uint32_t *kept) {
  uint64_t newest = newest_of(arena);
  *kept = kept_of(arena, newest);
  for (uint32_t k = 0; k < *kept && k < count; k++)
    listed[k] = verify ? summed(arena, newest - k) : see(arena, newest - k);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return newest_of(arena) == newest;
}

int muster_arena_checkpoints(const muster_arena *arena, int verify, muster_arena_checkpoint *checkpoints,
                             uint32_t count, uint32_t *kept) {
  for (uint32_t attempt = 0; attempt < MUSTER_ARENA_ATTEMPTS; attempt++)
    if (list(arena, verify, checkpoints, count, kept)) return 0;
  return EAGAIN;
}
