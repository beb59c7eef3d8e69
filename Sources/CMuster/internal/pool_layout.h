// A pool in shared memory, version 1.
//
//   what                                                    bytes, each rounded up to 128
//   pool_head: constant after init, which stores `magic`    128
//   last
//   a group of `members` places (group_layout.h)            256 + 128 a place
//   pool_state                                              256
//   settled: for each place the last life in it that is     4 a place
//   settled
//   hints, one for each 64 blocks                           4 a hint
//   words, one for each block                               8 a block
//   blocks                                                  the rounded block size each
//
// Word of a block, 64 bits:
//
//   bits 0..3     tag: 0 free, 1 owned, 2 offered, 3..15 of modules that stand on the pool
//   bits 4..12    place of the owner among the members; 256: nobody, never to be taken back
//   bits 13..31   the owner's life: how many have joined in that place up to it, mod 2^19
//   bits 32..63   generation
//
// The low half of a free one is 0. Hint, 32 bits: the state in bits 0 and 1 (0 none is free, 1 some may be, 2 somebody finds out), above
// that how often somebody began to find out.
//
//   field    written by                            ordering        if its writer is dead
//   -------  ------------------------------------  --------------  -------------------------------------------------------
//   word     free to owned: anyone; owned or       seq_cst cas     it is one or the other; what the dead one owns is taken
//            offered to anything: its owner;                       back
//            offered to owned: anyone; of an
//            ended life to free: anyone
//   hint     a freer 1; a searcher 2, then 0 or    seq_cst cas     2: is looked at as 1 is. Still 0 although its last act
//            1; who settles 1                                      was to free one: set by who settles its death
//   settled  who settles, after all words          release cas     the life is settled once more
//   calls    who is about to sleep for a block     seq_cst add     needless wakes, one by each freer
//   bell     a freer who finds a new call          release add     sleepers watch its lock
//   block    its owner                             plain           of no meaning until its next owner fills it
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_INTERNAL_POOL_LAYOUT_H
#define MUSTER_INTERNAL_POOL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "muster/pool.h"

#define POOL_MAGIC UINT64_C(0x004c4f4f5047534d)  // "MSGPOOL"

enum { POOL_VERSION = 1, POOL_LINE = 128, POOL_HINTED = 64 };

typedef struct pool_head {
  uint64_t magic;
  uint32_t version;
  uint32_t block_size;  // rounded up
  uint32_t blocks;
  uint32_t members;
  uint64_t unused[13];
} pool_head;

_Static_assert(sizeof(pool_head) == POOL_LINE, "the group begins on a line of its own");

typedef struct pool_state {
  _Alignas(POOL_LINE) uint32_t calls;
  _Alignas(POOL_LINE) uint32_t bell;
} pool_state;

_Static_assert(sizeof(pool_state) == 2 * POOL_LINE, "as said above");

// ---- The word of a block

enum {
  POOL_TAG_BITS = 4,
  POOL_PLACE_BITS = 9,
  POOL_LIFE_AT = POOL_TAG_BITS + POOL_PLACE_BITS,
  POOL_LIFE_BITS = 32 - POOL_LIFE_AT,
  POOL_NOBODY = 256,
};

// Tags from POOL_TAG_MODULE on are a module's, which gives a reclaimer (pool.h).
typedef enum pool_tag { POOL_FREE = 0, POOL_OWNED = 1, POOL_OFFERED = 2, POOL_TAG_MODULE = 3, POOL_TAG_MOST = 15 } pool_tag;

// An owner, as bits of a word: all of its low half but the tag.
static inline uint32_t pool_owner_bits(uint32_t place, uint32_t life) { return place << POOL_TAG_BITS | life << POOL_LIFE_AT; }

static inline uint64_t pool_word_of(uint32_t generation, uint32_t owner, uint32_t tag) {
  return (uint64_t)generation << 32 | owner | tag;
}
static inline uint32_t pool_generation(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint32_t pool_tag_of(uint64_t word) { return (uint32_t)word & ((1u << POOL_TAG_BITS) - 1); }
static inline uint32_t pool_owner_of(uint64_t word) { return (uint32_t)word & ~((1u << POOL_TAG_BITS) - 1); }
static inline uint32_t pool_place_of(uint64_t word) {
  return (uint32_t)word >> POOL_TAG_BITS & ((1u << POOL_PLACE_BITS) - 1);
}
static inline uint32_t pool_life_of(uint64_t word) { return (uint32_t)word >> POOL_LIFE_AT; }
static inline int pool_is_free(uint64_t word) { return (uint32_t)word == 0; }

// The same block, its life over.
static inline uint64_t pool_freed(uint64_t word) { return pool_word_of(pool_generation(word) + 1, 0, POOL_FREE); }

// ---- Hints

enum { HINT_NONE = 0, HINT_SOME = 1, HINT_FINDING = 2, HINT_STATES = 3 };

// ---- Offsets in bytes from the head's beginning, all from numbers that were checked

static inline uint32_t pool_rounded(uint32_t block_size) {
  uint32_t to = block_size >= 64 ? 64 : 16;
  return (block_size + to - 1) / to * to;
}
static inline uint32_t pool_hints(uint32_t blocks) { return (blocks + POOL_HINTED - 1) / POOL_HINTED; }
static inline size_t pool_up(size_t bytes) { return (bytes + POOL_LINE - 1) / POOL_LINE * POOL_LINE; }
static inline size_t pool_state_offset(uint32_t members) { return sizeof(pool_head) + pool_up(muster_group_size(members)); }
static inline size_t pool_settled_offset(uint32_t members) { return pool_state_offset(members) + sizeof(pool_state); }
static inline size_t pool_hints_offset(uint32_t members) {
  return pool_settled_offset(members) + pool_up(members * sizeof(uint32_t));
}
static inline size_t pool_words_offset(uint32_t blocks, uint32_t members) {
  return pool_hints_offset(members) + pool_up(pool_hints(blocks) * sizeof(uint32_t));
}
static inline size_t pool_blocks_offset(uint32_t blocks, uint32_t members) {
  return pool_words_offset(blocks, members) + pool_up(blocks * sizeof(uint64_t));
}

#endif
